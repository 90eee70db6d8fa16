/* links: libauthority libcommon */
/*
 * The tables that the authority computes: those of the dissertation's figures 3-10 (two
 * VNs over three domains) and 5-2 (merged, and split again), prefixes, and what steps a
 * change goes in.
 */
#include "tests/unit/authority_world.h"

/* Domains A, B and C: routers 1, 2 and 3. VN1 has hosts in A and B, VN2 in A and C. */
static void figure_3_10(struct world *w)
{
	world_init(w, "172.16.0.0/12");
	world_site(w, "domaina", 1, "172.16.0.0/24");
	world_site(w, "domainb", 2, "172.16.10.0/24");
	world_site(w, "domainc", 3, "172.16.20.0/24");
	world_host(w, "a10", "domaina", "root", "172.16.0.10");
	world_host(w, "a11", "domaina", "root", "172.16.0.11");
	world_host(w, "a20", "domaina", "root", "172.16.0.20");
	world_host(w, "b11", "domainb", "root", "172.16.10.11");
	world_host(w, "b12", "domainb", "root", "172.16.10.12");
	world_host(w, "c10", "domainc", "root", "172.16.20.10");
	assert_done(as(w, "root", "vn-create",
		       json_pack("{s:s,s:i,s:o}", "name", "vn1", "id", 1, "hosts",
				 list("a10 a11 b11 b12"))));
	assert_done(
		as(w, "root", "vn-create",
		   json_pack("{s:s,s:i,s:o}", "name", "vn2", "id", 2, "hosts", list("a20 c10"))));
}

/* The tables of a router: "NETWORK: ROUTER PREFIX, ...; ...". */
static char *tables_text(const struct networks *l)
{
	static char text[2000];
	char prefix[PREFIX_TEXT];
	size_t n = 0;

	text[0] = '\0';
	for (size_t i = 0; i < l->n; i++) {
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%u:", i ? "; " : "",
				      l->at[i]->id);
		for (size_t k = 0; k < l->at[i]->n; k++)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s %u %s", k ? "," : "",
					      l->at[i]->rows[k].router,
					      prefix_format(&l->at[i]->rows[k].prefix, prefix));
	}
	return text;
}

static void assert_tables(const struct world *w, const char *router, const char *text)
{
	struct networks l;

	networks_of_router(registry_router(w->registry, router), &l);
	assert_string_equal(tables_text(&l), text);
	networks_done(&l);
}

#define VN1 "1: 1 172.16.0.10/31, 2 172.16.10.11/32, 2 172.16.10.12/32"
#define VN2 "2: 1 172.16.0.20/32, 3 172.16.20.10/32"
#define VN3 \
	"3: 1 172.16.0.10/31, 1 172.16.0.20/32, 2 172.16.10.11/32, 2 172.16.10.12/32, " \
	"3 172.16.20.10/32"

static void test_figures(void **state)
{
	struct world world, *w = &world;

	(void)state;
	figure_3_10(w);
	assert_tables(w, "domaina", VN1 "; " VN2);
	assert_tables(w, "domainb", VN1);
	assert_tables(w, "domainc", VN2);
	/* Figure 5-2: the GNDTs are united. */
	assert_done(as(w, "root", "vn-merge",
		       json_pack("{s:[s,i],s:s,s:i}", "vns", "vn1", 2, "name", "vn3", "id", 3)));
	assert_tables(w, "domaina", VN3);
	assert_tables(w, "domainb", VN3);
	assert_tables(w, "domainc", VN3);
	assert_null(registry_vn(w->registry, 1));
	assert_done(as(w, "root", "vn-split",
		       json_pack("{s:s,s:[{s:s,s:i,s:o},{s:s,s:i,s:o}]}", "vn", "vn3", "groups",
				 "name", "vn1", "id", 1, "hosts", list("a10 a11 b11 b12"), "name",
				 "vn2", "id", 2, "hosts", list("a20 c10"))));
	assert_tables(w, "domaina", VN1 "; " VN2);
	assert_tables(w, "domainb", VN1);
	assert_tables(w, "domainc", VN2);
	world_done(w);
}

static void assert_image(const struct tables_change *c, unsigned step, uint32_t router,
			 const char *send, const char *receive, const char *aliases)
{
	struct step_image image;
	char text[200] = "";

	tables_change_image(c, step, router, &image);
	assert_string_equal(tables_text(&image.send), send);
	assert_string_equal(tables_text(&image.receive), receive);
	for (size_t i = 0; i < image.n_aliases; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%u>%u", i ? " " : "",
			 image.aliases[i].from, image.aliases[i].to);
	assert_string_equal(text, aliases);
	step_image_done(&image);
}

static void test_merge_steps(void **state)
{
	struct world world, *w = &world;
	struct tables_change *c;
	const uint32_t *touched;

	(void)state;
	figure_3_10(w);
	c = tables_change_new(w->registry);
	assert_done(
		as(w, "root", "vn-merge",
		   json_pack("{s:[s,s],s:s,s:i}", "vns", "vn1", "vn2", "name", "vn3", "id", 3)));
	tables_change_finish(c);
	assert_int_equal(tables_change_touched(c, &touched), 3);
	assert_int_equal(tables_change_steps(c), 3);
	assert_image(c, 0, 1, VN1 "; " VN2, VN1 "; " VN2, "");
	assert_image(c, 1, 1, VN1 "; " VN2, VN3, "1>3 2>3");
	assert_image(c, 2, 1, VN3, VN3, "1>3 2>3");
	assert_image(c, 3, 1, VN3, VN3, "");
	assert_image(c, 1, 3, VN2, VN3, "2>3");
	tables_change_free(c);
	world_done(w);
}

/* One joins, one leaves: no IDs change, so two steps do, and only those who have a part
 * are touched. */
static void test_join_steps(void **state)
{
	struct world world, *w = &world;
	struct tables_change *c;
	const uint32_t *touched;

	(void)state;
	figure_3_10(w);
	c = tables_change_new(w->registry);
	assert_done(as(w, "root", "vn-leave",
		       json_pack("{s:s,s:o}", "vn", "vn1", "hosts", list("b11 b12"))));
	tables_change_finish(c);
	assert_int_equal(tables_change_touched(c, &touched), 2);
	assert_int_equal(touched[0], 1);
	assert_int_equal(touched[1], 2);
	assert_int_equal(tables_change_steps(c), 2);
	assert_image(c, 1, 1, VN1, "1: 1 172.16.0.10/31", "");
	assert_image(c, 1, 2, VN1, "", "");
	assert_image(c, 2, 2, "", "", "");
	tables_change_free(c);

	/* What is taken back at once is no change; nor is a name. */
	c = tables_change_new(w->registry);
	assert_done(as(w, "root", "vn-join",
		       json_pack("{s:s,s:o}", "vn", "vn1", "hosts", list("b11"))));
	assert_done(as(w, "root", "vn-undo", json_pack("{s:s}", "vn", "vn1")));
	assert_done(as(w, "root", "vn-change", json_pack("{s:s,s:s}", "vn", "vn1", "name", "x")));
	tables_change_finish(c);
	assert_int_equal(tables_change_touched(c, &touched), 0);
	assert_int_equal(tables_change_steps(c), 0);
	tables_change_free(c);
	world_done(w);
}

/* A block is one row when it is full, and not before. */
static void test_prefixes(void **state)
{
	struct world world, *w = &world;

	(void)state;
	world_init(w, "172.16.0.0/12");
	world_site(w, "one", 1, "172.16.0.0/29");
	world_site(w, "two", 2, "172.16.1.0/24");
	for (unsigned i = 0; i < 8; i++) {
		char name[8], address[IP_TEXT];

		snprintf(name, sizeof(name), "h%u", i);
		snprintf(address, sizeof(address), "172.16.0.%u", i);
		world_host(w, name, "one", "root", address);
	}
	world_host(w, "two", "two", "root", "172.16.1.1 fd00::1");
	assert_done(
		as(w, "root", "vn-create",
		   json_pack("{s:s,s:o}", "name", "v", "hosts", list("two h0 h1 h2 h3 h4 h6 h7"))));
	assert_tables(w, "two",
		      "1: 1 172.16.0.0/30, 1 172.16.0.4/32, 1 172.16.0.6/31, 2 172.16.1.1/32, "
		      "2 fd00::1/128");
	assert_done(
		as(w, "root", "vn-join", json_pack("{s:s,s:o}", "vn", "v", "hosts", list("h5"))));
	assert_tables(w, "one", "1: 1 172.16.0.0/29, 2 172.16.1.1/32, 2 fd00::1/128");
	/* A router that is disabled or revoked delivers nothing, and has no tables. */
	assert_done(
		as(w, "root", "revoke", json_pack("{s:s,s:s}", "kind", "router", "name", "one")));
	assert_tables(w, "one", "");
	assert_tables(w, "two", "1: 2 172.16.1.1/32, 2 fd00::1/128");
	world_done(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_figures),
		cmocka_unit_test(test_merge_steps),
		cmocka_unit_test(test_join_steps),
		cmocka_unit_test(test_prefixes),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
