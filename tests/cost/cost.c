/*
 * What a packet costs on the fast path: instructions, bytes copied, system calls. These
 * are counted and not timed, so that they are the same each time and on each machine
 * that has the same compiler. tests/cost/run compares them with tests/cost/budget.
 *
 *   cost twins    to be run by valgrind --tool=callgrind; see twins.c
 *   cost kernel   as root; see kernel.c
 *
 * Both take the same packets of a host through a whole router to the wire, and those
 * frames through another one to the host there: two sites of the simulation with keys
 * and a known path MTU. Frames are neither signed nor encrypted in earnest (stubs.c):
 * what the libraries do there depends on the processor, and is measured by make bench.
 */
#include "tests/cost/cost.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SINGLES 512 /* packets: batches, as many as a turn takes */
#define SUPERS 16

static const struct offer {
	const char *name;
	unsigned n;
	size_t len; /* of the IP packet */
	uint8_t proto;
	uint16_t gso; /* payload of a segment */
} offers[] = {
	{ "single-64", SINGLES, 64, 17, 0 },
	{ "single-1400", SINGLES, 1400, 17, 0 },
	{ "super-64k", SUPERS, 40 + 45 * 1392, 6, 1392 },
};

static const struct {
	const char *name, *lines;
} protections[] = {
	{ "none", "sign = none\nencrypt = none" },
	{ "hmac", "sign = hmac-sha256\nencrypt = none" },
	{ "aead", "sign = none\nencrypt = aes-256-gcm" },
};

#define OFFERS (sizeof(offers) / sizeof(offers[0]))
_Static_assert(CASES == OFFERS * sizeof(protections) / sizeof(protections[0]), "all of them");

const char *case_name(unsigned number)
{
	static char name[64];

	snprintf(name, sizeof(name), "%s %s", offers[number % OFFERS].name,
		 protections[number / OFFERS].name);
	return name;
}

static void build(struct offered *o, const struct offer *t, unsigned i)
{
	static const uint8_t payload[NET_PACKET];
	const size_t header = t->proto == 6 ? 40 : 28;
	struct host_packet h = { .src = host4(1, 10),
				 .dst = host4(2, 10),
				 .proto = t->proto,
				 .sport = 1000,
				 .dport = 2000,
				 .seq = t->proto == 6 ? i * (uint32_t)(t->len - header) : i,
				 .flags = 0x10, /* ACK */
				 .payload = payload,
				 .len = t->len - header,
				 .gso = t->gso };

	host_offer(&h, &o->words, o->data, &o->len);
}

struct course *course_new(unsigned number)
{
	const struct offer *t = &offers[number % OFFERS];
	struct course *c = net_memory(NULL, sizeof(*c));
	struct net *n = net_new(1);

	crypto_is_stubbed = false;
	n->sites[1].security = n->sites[2].security = protections[number / OFFERS].lines;
	sites_start(n, 2, 1);
	sites_wait_up(n);
	crypto_is_stubbed = true;
	*c = (struct course){ .net = n,
			      .from = &n->sites[1].router->workers[0],
			      .to = &n->sites[2].router->workers[0],
			      .packets = net_memory(NULL, t->n * sizeof(c->packets[0])),
			      .n = t->n,
			      .segments = t->n };
	for (unsigned i = 0; i < t->n; i++)
		build(&c->packets[i], t, i);
	if (t->gso)
		c->segments = t->n * (unsigned)((t->len - 40 + t->gso - 1) / t->gso);
	return c;
}

struct port *course_port(const struct worker *w, bool device)
{
	list_for_each(node, w->ports) {
		struct port *port = container_of(node, struct port, node);

		if (port->worker == w && (port->in != NULL) == device)
			return port;
	}
	fail_msg("a worker has no %s", device ? "device" : "socket");
	return NULL;
}

void course_free(struct course *c)
{
	net_free(c->net);
	free(c->packets);
	free(c);
}

int main(int argc, char **argv)
{
	net_group_setup(NULL);
	if (argc == 2 && !strcmp(argv[1], "twins")) {
		for (unsigned i = 0; i < CASES; i++)
			measure_twins(i);
	} else if (argc == 2 && !strcmp(argv[1], "kernel")) {
		if (!measure_kernel())
			return 77;
	} else {
		fprintf(stderr, "usage: cost twins|kernel\n");
		return 2;
	}
	net_group_teardown(NULL);
	return 0;
}
