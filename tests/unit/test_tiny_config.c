/* links: tiny/config tiny/servers common/ini common/ini_error common/ini_types common/addr
 * common/table common/table_new common/table_update common/table_rows
 * common/table_conflicts common/vector common/lpm common/lpm_change
 * common/crypto common/wire common/key_file router/config_done router/config_options
 * router/config_types router/proxy */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tiny/config.h"
#include "tiny/servers.h"

#define LEAST "[tiny]\nid = 10017\nrouter = 198.51.100.2:8463\nrouter-id = 2\n"
#define NETWORKS "networks = 172.16.0.0/12\n"
#define KEY "key-file = k\n"

/* Reads it; what is said goes to *ret_said, to be freed. */
static struct tiny_config *read_text(const char *text, bool keys, char **ret_said)
{
	size_t len;
	FILE *f = open_memstream(ret_said, &len);
	struct tiny_config *c = tiny_config_parse("f", text, strlen(text), keys, f);

	fclose(f);
	return c;
}

static void test_defaults(void **state)
{
	char *said;
	struct tiny_config *c = read_text(LEAST NETWORKS KEY, false, &said);

	(void)state;
	assert_string_equal(said, "");
	assert_non_null(c);
	assert_string_equal(c->device, "vine0");
	assert_string_equal(c->routers[0].host, "198.51.100.2");
	assert_int_equal(c->routers[0].port, 8463);
	assert_int_equal(c->router_ids[0], 2);
	assert_int_equal(c->protocol, PROTOCOL_AUTO);
	assert_int_equal(c->tls_port, 443);
	assert_int_equal(c->network, 0);
	assert_string_equal(c->key_files[0], "k");
	tiny_config_free(c);
	free(said);
}

static void test_wrong(void **state)
{
	static const char *const rows[][2] = {
		{ LEAST KEY "networks = 172.16.0.1/12\n", "f:6: [tiny] networks: " },
		{ LEAST NETWORKS, "f:1: [tiny] key-file: is missing" },
		{ "[tiny]\nid = 2\nrouter = a:1\nrouter-id = 2\n" NETWORKS KEY,
		  "f:4: [tiny] router-id: 2 is this tiny's own; expected another ID\n" },
		{ LEAST NETWORKS KEY "router = b.example:1\n",
		  "f:4: [tiny] router-id: 2 routers have 1 IDs" },
		{ LEAST NETWORKS "key-file = a, b\n",
		  "f:6: [tiny] key-file: 1 routers have 2 keys" },
		{ LEAST NETWORKS KEY "local = 172.0.0.0/8\n",
		  "f:7: [tiny] local: 172.0.0.0/8 holds all of 172.16.0.0/12; expected prefixes "
		  "inside networks\n" },
		{ LEAST NETWORKS KEY "address = 127.0.0.1\n",
		  "can't be \"127.0.0.1\"; expected an address of this machine" },
		{ LEAST NETWORKS KEY "address = 10.0.0.5, 10.0.0.6\n", "a second IPv4 address" },
		{ LEAST NETWORKS KEY "router = nowhere\n", "can't be \"nowhere\"; expected 198." },
		{ LEAST NETWORKS KEY "color = blue\n", "f:7: [tiny] color: " },
		{ LEAST NETWORKS KEY "[router]\n", "f:7: [router]" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *said;

		assert_null(read_text(rows[i][0], false, &said));
		if (!strstr(said, rows[i][1]))
			fail_msg("\"%s\" is not in what was said: %s", rows[i][1], said);
		free(said);
	}
}

/* A key that others can read is refused, and one file serves all routers. */
static void test_keys(void **state)
{
	char name[] = "/tmp/test_tiny_config.XXXXXX", *said, *text;
	static const char key[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
	struct tiny_config *c;
	int fd = mkstemp(name);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, key, strlen(key)), strlen(key));
	assert_true(asprintf(&text, LEAST NETWORKS "router = b:1\nrouter-id = 3\nkey-file = %s\n",
			     name) > 0);
	c = read_text(text, true, &said);
	assert_non_null(c);
	for (unsigned i = 0; i < CRYPTO_KEY; i++) {
		assert_int_equal(c->keys[0][i], i);
		assert_int_equal(c->keys[1][i], i);
	}
	tiny_config_free(c);
	free(said);
	assert_int_equal(fchmod(fd, 0640), 0);
	assert_null(read_text(text, true, &said));
	assert_non_null(strstr(said, "is open to group or others (mode 0640)"));
	free(said);
	free(text);
	close(fd);
	unlink(name);
}

/* One peer, the networks behind it, and the VM's own address as the only member. */
static void test_as_router(void **state)
{
	const struct config_network network = { 8000, PROTECT_AES_256_GCM }, none = { 0 };
	struct ip own, no = { 0 };
	char *said;
	struct tiny_config *c = read_text(LEAST NETWORKS KEY, false, &said);
	struct config *r;

	(void)state;
	assert_int_equal(ip_parse("10.1.0.5", &own), 0);
	r = tiny_config_router(c, 0, &none, &no, &no);
	assert_int_equal(r->n_peers, 1);
	assert_true(r->peers[0].designated);
	assert_false(r->peers[0].replaceable);
	assert_false(r->peers[0].transit);
	assert_int_equal(r->n_lndt + r->n_gndt + r->n_nets, 0);
	config_free(r);
	r = tiny_config_router(c, 0, &network, &own, &no);
	assert_int_equal(r->n_lndt, 1);
	assert_true(ip_equal(&r->lndt[0].prefix.ip, &own));
	assert_int_equal(r->n_gndt, 1);
	assert_int_equal(r->gndt[0].router, 2);
	assert_int_equal(r->nets[0].protection, PROTECT_AES_256_GCM);
	config_free(r);
	tiny_config_free(c);
	free(said);
	/* one of two */
	c = read_text(LEAST NETWORKS KEY "router = b:1\nrouter-id = 3\n", false, &said);
	r = tiny_config_router(c, 1, &none, &no, &no);
	assert_int_equal(r->peers[0].id, 3);
	assert_true(r->peers[0].replaceable);
	config_free(r);
	tiny_config_free(c);
	free(said);
}

static void test_sample(void **state)
{
	FILE *f = fopen("conf/tiny.conf", "re");
	char text[4096], *said;
	struct tiny_config *c;

	(void)state;
	assert_non_null(f);
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	c = read_text(text, false, &said);
	assert_string_equal(said, "");
	assert_int_equal(c->n_local, 1);
	tiny_config_free(c);
	free(said);
}

static bool collect(void *arg, const struct ip *ip)
{
	char text[IP_TEXT];

	strcat(arg, ip_format(ip, text));
	strcat(arg, " ");
	return true;
}

static void test_servers(void **state)
{
	static const char *const rows[][2] = {
		{ "nameserver 10.0.0.2\n", "10.0.0.2 " },
		{ "nameserver fd00::53%eth0\n", "fd00::53 " },
		{ "  option domain-name-servers 10.0.0.2,10.0.0.3;\n", "10.0.0.2 10.0.0.3 " },
		{ "  option dhcp-server-identifier 10.0.0.1;\n", "10.0.0.1 " },
		{ "SERVER_ADDRESS=169.254.169.254\n", "169.254.169.254 " },
		{ "DNS=10.0.0.2 10.0.0.3\n", "10.0.0.2 10.0.0.3 " },
		{ "# nameserver 10.0.0.2\n", "" },
		{ "nameserver nonsense\n", "" },
		{ "search example.org\n", "" },
		{ "", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char found[256] = "";

		assert_true(servers_of_line(rows[i][0], collect, found));
		assert_string_equal(found, rows[i][1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults), cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_keys),	 cmocka_unit_test(test_as_router),
		cmocka_unit_test(test_servers),	 cmocka_unit_test(test_sample),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
