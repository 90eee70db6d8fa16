/* links: librouter libcommon */
/*
 * What vine-tiny reads from outside and nothing else does: its configuration, lines in which
 * machines write down their servers, netlink messages by its own mnl.c, and which networks
 * its router says that there are. The first byte says which of them this is.
 *
 * Of a configuration there is either one or at least one line on errors, never both; of it,
 * and of any network that a router may name, the router's own can be made.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "router/netlink.h"
#include "router/router.h"
#include "tests/unit/control_world.h"
#include "tiny/config.h"
#include "tiny/servers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const struct ip own = { .family = 4, .b = { [12] = 10, 1, 0, 5 } }, none;

/* Not assert(): it must not vanish with NDEBUG. */
static void check(bool ok)
{
	if (!ok)
		abort();
}

/* ---- configuration ---------------------------------------------------------------- */

static void fuzz_config(const uint8_t *data, size_t len)
{
	const struct config_network net = { .id = 8000, .protection = PROTECT_HMAC };
	char *said = NULL;
	size_t said_len;
	FILE *f = open_memstream(&said, &said_len);
	struct tiny_config *c;

	check(f);
	c = tiny_config_parse("f", (const char *)data, len, false, f);
	fclose(f);
	check((c != NULL) == (said_len == 0));
	if (c) {
		check(c->keys && c->n_routers && c->n_router_ids == c->n_routers);
		for (size_t i = 0; i < c->n_routers; i++) {
			struct config *r = tiny_config_router(c, i, &net, &own, &none);

			check(r && r->n_peers == 1);
			config_free(r);
		}
	}
	tiny_config_free(c);
	free(said);
}

/* ---- servers ------------------------------------------------------------------------- */

static bool is_address(void *arg, const struct ip *ip)
{
	unsigned *n = arg;

	check(ip->family == 4 || ip->family == 6);
	return ++*n < 20;
}

static void fuzz_servers(const uint8_t *data, size_t len)
{
	char *line = strndup((const char *)data, len);
	unsigned n = 0;

	check(line);
	check(servers_of_line(line, is_address, &n) == (n < 20));
	free(line);
}

/* ---- netlink ------------------------------------------------------------------------- */

struct bounds {
	const uint8_t *start, *end;
};

static int look_at(const struct nlmsghdr *h, void *arg)
{
	const struct bounds *b = arg;
	const uint8_t *at = (const uint8_t *)h;
	const struct nlattr *a;
	volatile uint32_t sum = 0;

	check(at >= b->start && MNL_ALIGN(h->nlmsg_len) <= (size_t)(b->end - at));
	mnl_attr_for_each(a, h, 0)
	{
		const uint8_t *value = mnl_attr_get_payload(a);

		check(value + mnl_attr_get_payload_len(a) <= at + MNL_ALIGN(h->nlmsg_len));
		for (unsigned i = 0; i < mnl_attr_get_payload_len(a); i++)
			sum = sum + value[i];
		if (mnl_attr_validate(a, MNL_TYPE_U32) == 0)
			sum = sum + mnl_attr_get_u32(a);
	}
	return MNL_CB_OK;
}

static void fuzz_netlink(const uint8_t *data, size_t len)
{
	uint8_t *copy = aligned_alloc(8, (len + 8) / 8 * 8); /* as the kernel's are */
	struct bounds b = { copy, copy + len };

	check(copy);
	memcpy(copy, data, len);
	mnl_cb_run(copy, len, 0, 0, look_at, &b);
	free(copy);
}

/* ---- networks ------------------------------------------------------------------------ */

static void told(void *arg, struct contact *c, const struct config_network *nets, size_t n,
		 mono_t now)
{
	static const char text[] = "[tiny]\nid = 10017\nrouter = 198.51.100.2:8463\n"
				   "router-id = 2\nnetworks = 10.0.0.0/8\nkey-file = k\n";
	struct tiny_config *config = tiny_config_parse("f", text, strlen(text), false, stderr);

	(void)arg;
	(void)c;
	(void)now;
	check(config && n <= 200);
	for (size_t i = 0; i < n; i++) {
		struct config *r;

		if ((unsigned)nets[i].protection >= PROTECTIONS)
			continue;
		r = tiny_config_router(config, 0, &nets[i], &own, &none);
		check(r && r->protection == nets[i].protection);
		config_free(r);
	}
	tiny_config_free(config);
}

static void fuzz_networks(const uint8_t *data, size_t len)
{
	static struct router *router;
	static struct loop *loop;
	struct control_message m = { .kind = CONTROL_NETWORKS, .body = data, .len = len };
	const mono_t now = { .ns = SEC };

	if (!router) {
		loop = loop_new();
		router = control_router(loop, now);
		check(router != NULL);
		router->told = told;
	}
	announce_recv(router_contact_by_id(router, 2), &m, now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static void (*const kinds[])(const uint8_t *, size_t) = { fuzz_config, fuzz_servers,
								  fuzz_netlink, fuzz_networks };

	if (len)
		kinds[data[0] % 4](data + 1, len - 1);
	return 0;
}
