/*
 * What depends on more than one key: names that must be somebody's, IDs that must be
 * one router's alone, key files, prefixes that would never be intercepted, and the
 * conflicts that an image of the tables would have.
 *
 * Each check goes on after an error, so that one run tells all. A check whose ground
 * is missing (a list that could not be read whole, an ID that is none) is left out:
 * it would only repeat, in other words, what was reported already.
 */
#include "common/key_file.h"
#include "router/config_private.h"
#include "router/identity.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Peers in two orders, for looking up. */
struct index {
	struct draft_peer **by_name, **by_id;
	size_t n;
};

static int compare_u32(uint32_t a, uint32_t b)
{
	return a < b ? -1 : a > b;
}

static int compare_name(const void *a, const void *b)
{
	const struct draft_peer *x = *(struct draft_peer *const *)a,
				*y = *(struct draft_peer *const *)b;
	int order = strcmp(x->p.name, y->p.name);

	return order ? order : compare_u32(x->p.line, y->p.line);
}

static int compare_id(const void *a, const void *b)
{
	const struct draft_peer *x = *(struct draft_peer *const *)a,
				*y = *(struct draft_peer *const *)b;
	int order = compare_u32(x->p.id, y->p.id);

	return order ? order : compare_u32(x->p.line, y->p.line);
}

static bool index_init(struct index *ix, const struct draft *d)
{
	ix->n = d->n_peers;
	ix->by_name = calloc(ix->n + 1, sizeof(struct draft_peer *));
	ix->by_id = calloc(ix->n + 1, sizeof(struct draft_peer *));
	if (!ix->by_name || !ix->by_id)
		return false;
	for (size_t i = 0; i < ix->n; i++)
		ix->by_name[i] = ix->by_id[i] = d->peers[i];
	qsort(ix->by_name, ix->n, sizeof(struct draft_peer *), compare_name);
	qsort(ix->by_id, ix->n, sizeof(struct draft_peer *), compare_id);
	return true;
}

/* Of several with one name the one that comes first in the file. */
static const struct draft_peer *find_peer(const struct index *ix, const char *name)
{
	size_t low = 0, high = ix->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(ix->by_name[middle]->p.name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < ix->n && strcmp(ix->by_name[low]->p.name, name) == 0 ? ix->by_name[low] : NULL;
}

/* Peers */

static void check_names(struct draft *d, const struct index *ix)
{
	for (size_t i = 0; i < ix->n; i++) {
		const struct draft_peer *p = ix->by_name[i];

		if (i && strcmp(ix->by_name[i - 1]->p.name, p->p.name) == 0)
			ini_error(d->ini, p->p.line, p->section->label, NULL,
				  "one section for each peer or tiny",
				  "the section is in line %u already", ix->by_name[i - 1]->p.line);
		if (d->c.name && strcmp(d->c.name, p->p.name) == 0)
			ini_error(d->ini, p->p.line, p->section->label, NULL, "another name",
				  "%s is this router's own name", p->p.name);
	}
}

static void check_ids(struct draft *d, const struct index *ix)
{
	for (size_t i = 0; i < ix->n; i++) {
		const struct draft_peer *p = ix->by_id[i];
		unsigned line = ini_line(p->section, "id", 0);

		if (p->p.id == 0)
			continue;
		if (i && ix->by_id[i - 1]->p.id == p->p.id)
			ini_error(d->ini, line, p->section->label, "id", "an ID of its own",
				  "%u is [%s]'s too, in line %u", p->p.id,
				  ix->by_id[i - 1]->section->label,
				  ini_line(ix->by_id[i - 1]->section, "id", 0));
		if (p->p.id == d->c.id)
			ini_error(d->ini, line, p->section->label, "id", "an ID of its own",
				  "%u is this router's own, in line %u", p->p.id,
				  ini_line(d->plain[KIND_ROUTER], "id", 0));
	}
}

static void check_queue_routers(struct draft *d, const struct index *ix,
				const struct ini_section *s, char *const *names, size_t n,
				const struct draft_peer *self)
{
	const char *key = "queue-routers";

	for (size_t i = 0; i < n; i++) {
		const struct draft_peer *q = find_peer(ix, names[i]);
		unsigned line = ini_line(s, key, i);

		for (size_t k = 0; k < i; k++) {
			if (strcmp(names[k], names[i]) == 0) {
				ini_error(d->ini, line, s->label, key, "each once",
					  "%s is named twice", names[i]);
				break;
			}
		}
		if (!q || q->p.tiny)
			ini_error(d->ini, line, s->label, key, "the name of a [peer NAME]",
				  "there is no peer %s", names[i]);
		else if (self && strcmp(q->p.name, self->p.name) == 0)
			ini_error(d->ini, line, s->label, key, "another peer",
				  "%s can't be its own queue router", names[i]);
		else if (!q->p.host && q->p.n_queue_routers)
			ini_error(d->ini, line, s->label, key, "a peer with an endpoint",
				  "%s is itself reached through a queue router", names[i]);
		else if (!self && !q->p.host && !ini_bad(q->section, "endpoint"))
			ini_error(d->ini, line, s->label, key, "a peer with an endpoint",
				  "%s has none, so this router can't connect to it", names[i]);
	}
}

static void find_relays(const struct index *ix, struct draft_peer *p)
{
	for (size_t i = 0; i < p->p.n_queue_routers && i < RELAYS_MAX; i++) {
		const struct draft_peer *q = find_peer(ix, p->p.queue_routers[i]);

		if (q)
			p->p.relays[p->p.n_relays++] = q->p.id;
	}
}

static void check_ways(struct draft *d, const struct index *ix)
{
	const struct ini_section *limited = d->plain[KIND_LIMITED];

	if (limited && !d->c.identity) {
		if (!d->c.n_queue_routers && !ini_bad(limited, "queue-routers"))
			ini_error(d->ini, limited->line, limited->label, "queue-routers",
				  "names of peers, the first choice first", "is missing");
		check_queue_routers(d, ix, limited, d->c.queue_routers, d->c.n_queue_routers, NULL);
	}
	for (size_t i = 0; i < d->n_peers; i++) {
		struct draft_peer *p = d->peers[i];

		check_queue_routers(d, ix, p->section, p->p.queue_routers, p->p.n_queue_routers, p);
		find_relays(ix, p);
	}
}

/* Key files */

static void check_keys(struct draft *d)
{
	for (size_t i = 0; i < d->n_peers; i++) {
		struct draft_peer *p = d->peers[i];
		char room[KEY_FILE_WHY];
		const char *wrong;

		if (!p->p.key_file)
			continue;
		wrong = key_file_read(p->p.key_file, p->p.key, room);
		if (*wrong)
			ini_error(d->ini, ini_line(p->section, "key-file", 0), p->section->label,
				  "key-file", KEY_FILE_EXPECTED, "%s %s", p->p.key_file, wrong);
	}
}

/* Routes */

static int compare_lndt(const void *a, const void *b)
{
	const struct lndt_row *x = a, *y = b;
	int order = compare_u32(x->network, y->network);

	return order ? order : prefix_compare(&x->prefix, &y->prefix);
}

static int compare_gndt(const void *a, const void *b)
{
	const struct gndt_row *x = a, *y = b;
	int order = compare_u32(x->network, y->network);

	if (!order)
		order = compare_u32(x->router, y->router);
	return order ? order : prefix_compare(&x->prefix, &y->prefix);
}

static void route_error(struct draft *d, const struct draft_route *r, const char *expected,
			const char *what)
{
	char label[32];

	snprintf(label, sizeof(label), "gndt %u", r->network);
	ini_error(d->ini, r->line, label, d->names[r->name], expected, "%s", what);
}

/* The ID that the name of a row is for; 0 if there is none. */
static uint32_t resolve(struct draft *d, const struct index *ix, const struct draft_route *r,
			const struct draft_route *last)
{
	const char *name = d->names[r->name];
	const struct draft_peer *p;

	if (d->c.name && strcmp(name, d->c.name) == 0)
		return d->c.id;
	p = find_peer(ix, name);
	if (p)
		return p->p.id;
	/* not for each item of its list */
	if (!last || last->name != r->name || last->network != r->network)
		route_error(d, r, "the name of a [peer NAME], or of this router",
			    "there is no such router");
	return 0;
}

static bool is_covered(const struct draft *d, const struct prefix *p)
{
	/* a default route takes what the kernel sends to the device anyway */
	if (!d->c.n_networks || ini_bad(d->plain[KIND_INTERCEPT], "networks") || p->len == 0)
		return true;
	for (size_t i = 0; i < d->c.n_networks; i++)
		if (prefix_covers(&d->c.networks[i], p))
			return true;
	return false;
}

static void check_covered(struct draft *d, const struct draft_route *r)
{
	char prefix[PREFIX_TEXT], what[PREFIX_TEXT + 64];

	if (is_covered(d, &r->prefix))
		return;
	snprintf(what, sizeof(what), "%s would never be intercepted",
		 prefix_format(&r->prefix, prefix));
	route_error(d, r, "a prefix inside networks of [intercept]", what);
}

/* The tinies' rows. */
static size_t count_addresses(const struct draft *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->n_peers; i++)
		n += d->peers[i]->p.n_addresses;
	return n;
}

static void tiny_error(struct draft *d, const struct draft_peer *t, size_t i, const char *expected,
		       const char *what)
{
	char prefix[PREFIX_TEXT];

	ini_error(d->ini, ini_line(t->section, "address", i), t->section->label, "address",
		  expected, "%s %s", prefix_format(&t->p.addresses[i], prefix), what);
}

static void add_tiny(struct draft *d, const struct draft_peer *t)
{
	struct config *c = &d->c;

	for (size_t i = 0; i < t->p.n_addresses; i++) {
		const struct prefix *p = &t->p.addresses[i];

		if (p->len < ip_bits(&p->ip))
			tiny_error(d, t, i, "an address of the VM, which can't route for others",
				   "is a prefix");
		else if (!is_covered(d, p))
			tiny_error(d, t, i, "an address inside networks of [intercept]",
				   "would never be intercepted");
		if (t->p.id && t->p.network)
			c->gndt[c->n_gndt++] =
				(struct gndt_row){ .network = t->p.network,
						   .router = t->p.id,
						   .prefix = *p,
						   .file = c->file,
						   .line = ini_line(t->section, "address", i) };
	}
}

static bool make_rows(struct draft *d, const struct index *ix)
{
	struct config *c = &d->c;
	size_t addresses = count_addresses(d);

	if ((d->n_routes || addresses) && !c->n_networks &&
	    !ini_bad(d->plain[KIND_INTERCEPT], "networks"))
		ini_error(d->ini, d->plain[KIND_INTERCEPT]->line, "intercept", "networks",
			  "the prefixes that go to the overlay",
			  d->n_routes ? "is missing, and there is a [gndt]"
				      : "is missing, and there is a [tiny]");
	c->gndt = calloc(d->n_routes + addresses + 1, sizeof(*c->gndt));
	if (!c->gndt)
		return false;
	for (size_t i = 0; i < d->n_routes; i++) {
		const struct draft_route *r = &d->routes[i];
		uint32_t router = resolve(d, ix, r, i ? r - 1 : NULL);

		if (!c->name || strcmp(d->names[r->name], c->name) != 0)
			check_covered(d, r);
		if (router)
			c->gndt[c->n_gndt++] = (struct gndt_row){ .network = r->network,
								  .router = router,
								  .prefix = r->prefix,
								  .file = c->file,
								  .line = r->line };
	}
	for (size_t i = 0; i < d->n_peers; i++)
		if (d->peers[i]->p.tiny)
			add_tiny(d, d->peers[i]);
	qsort(c->gndt, c->n_gndt, sizeof(*c->gndt), compare_gndt);
	if (c->n_lndt)
		qsort(c->lndt, c->n_lndt, sizeof(*c->lndt), compare_lndt);
	return true;
}

/* What table_new found: the row of that line says which section and key it is. */
static void take_conflict(void *arg, const char *text, const char *file, unsigned line)
{
	struct draft *d = arg;
	char label[32], key[16];
	const char *expected = "each prefix in one place";

	(void)file;
	for (size_t i = 0; i < d->n_routes; i++) {
		if (d->routes[i].line == line) {
			route_error(d, &d->routes[i], expected, text);
			return;
		}
	}
	for (size_t i = 0; i < d->n_peers; i++) {
		const struct draft_peer *t = d->peers[i];

		for (size_t k = 0; k < t->p.n_addresses; k++) {
			if (ini_line(t->section, "address", k) != line)
				continue;
			ini_error(d->ini, line, t->section->label, "address", expected, "%s", text);
			return;
		}
	}
	for (size_t i = 0; i < d->c.n_lndt; i++) {
		if (d->c.lndt[i].line == line) {
			snprintf(label, sizeof(label), "lndt");
			snprintf(key, sizeof(key), "%u", d->c.lndt[i].network);
			ini_error(d->ini, line, label, key, expected, "%s", text);
			return;
		}
	}
	ini_error(d->ini, line, NULL, NULL, expected, "%s", text);
}

/* Networks */

/* Encryption, where there is some, replaces the signature. */
static enum protection protection_of(const struct draft_protection *own,
				     const struct draft_protection *common,
				     enum protection fallback)
{
	int sign = own->sign >= 0 ? own->sign : common->sign;
	int encrypt = own->encrypt >= 0 ? own->encrypt : common->encrypt;

	if (encrypt > 0)
		return (enum protection)encrypt;
	return sign >= 0 ? (enum protection)sign : fallback;
}

static int compare_network(const void *a, const void *b)
{
	const struct draft_network *x = *(struct draft_network *const *)a;
	const struct draft_network *y = *(struct draft_network *const *)b;
	int order = compare_u32(x->id, y->id);

	return order ? order : compare_u32(x->section->line, y->section->line);
}

static int compare_net(const void *a, const void *b)
{
	return compare_u32(((const struct config_network *)a)->id,
			   ((const struct config_network *)b)->id);
}

static bool make_networks(struct draft *d)
{
	struct config *c = &d->c;
	size_t n = 0;

	c->protection = protection_of(&d->security, &d->security, PROTECT_HMAC);
	c->nets = calloc(c->n_lndt + d->n_routes + d->n_peers + 1, sizeof(*c->nets));
	if (!c->nets)
		return false;
	for (size_t i = 0; i < c->n_lndt; i++)
		c->nets[n++].id = c->lndt[i].network;
	for (size_t i = 0; i < d->n_routes; i++)
		c->nets[n++].id = d->routes[i].network;
	for (size_t i = 0; i < d->n_peers; i++)
		if (d->peers[i]->p.network)
			c->nets[n++].id = d->peers[i]->p.network;
	qsort(c->nets, n, sizeof(*c->nets), compare_net);
	for (size_t i = 0; i < n; i++) {
		if (i && c->nets[i].id == c->nets[i - 1].id)
			continue;
		c->nets[c->n_nets].id = c->nets[i].id;
		c->nets[c->n_nets++].protection = c->protection;
	}
	return true;
}

static void check_networks(struct draft *d)
{
	struct config *c = &d->c;

	if (d->n_networks)
		qsort(d->networks, d->n_networks, sizeof(*d->networks), compare_network);
	for (size_t i = 0; i < d->n_networks; i++) {
		const struct draft_network *own = d->networks[i];
		const struct config_network wanted = { .id = own->id };
		struct config_network *net =
			bsearch(&wanted, c->nets, c->n_nets, sizeof(*c->nets), compare_net);

		if (i && d->networks[i - 1]->id == own->id)
			ini_error(d->ini, own->section->line, own->section->label, NULL,
				  "one section for each network",
				  "the section is in line %u already",
				  d->networks[i - 1]->section->line);
		else if (!net)
			ini_error(d->ini, own->section->line, own->section->label, NULL,
				  "a network of [lndt], of a [gndt ID] or of a [tiny NAME]",
				  "the network has no members and no routes");
		else
			net->protection =
				protection_of(&own->protection, &d->security, c->protection);
	}
}

/* Addresses that are given twice could not be listened on. */
static void check_listen(struct draft *d, const char *key, const struct endpoint *list, size_t n)
{
	const struct ini_section *s = d->plain[KIND_LISTEN];
	char text[ENDPOINT_TEXT];

	for (size_t i = 1; i < n; i++) {
		for (size_t k = 0; k < i; k++) {
			if (endpoint_equal(&list[i], &list[k])) {
				ini_error(d->ini, ini_line(s, key, i), s->label, key, "each once",
					  "%s is named twice", endpoint_format(&list[i], text));
				break;
			}
		}
	}
}

/* One socket can't be both. */
static void check_tls(struct draft *d)
{
	const struct ini_section *s = d->plain[KIND_LISTEN];
	const struct config *c = &d->c;
	char text[ENDPOINT_TEXT];

	for (size_t i = 0; i < c->n_tls; i++)
		for (size_t k = 0; k < c->n_tcp; k++)
			if (endpoint_equal(&c->tls[i], &c->tcp[k]))
				ini_error(d->ini, ini_line(s, "tls", i), s->label, "tls",
					  "another port", "%s is in tcp too",
					  endpoint_format(&c->tls[i], text));
	if (c->tls_certificate && !c->tls_key && !ini_bad(s, "tls-key"))
		ini_error(d->ini, ini_line(s, "tls-certificate", 0), s->label, "tls-key",
			  "the file of the certificate's key", "is missing");
	if (c->tls_key && !c->tls_certificate && !ini_bad(s, "tls-certificate"))
		ini_error(d->ini, ini_line(s, "tls-key", 0), s->label, "tls-certificate",
			  "the file of the key's certificate", "is missing");
}

static void check_file(struct draft *d, const char *key, const char *path)
{
	const struct ini_section *s = d->plain[KIND_LISTEN];

	if (path && access(path, R_OK) != 0)
		ini_error(d->ini, ini_line(s, key, 0), s->label, key, "a PEM file",
			  "%s can't be read: %s", path, strerror(errno));
}

/* The authority */

/* What is the authority's to say can't be said here. */
static void check_own_tables(struct draft *d)
{
	static const char *const expected = "no such section beside [authority], which gives "
					    "tables, networks and peers";

	if (d->c.n_queue_routers)
		ini_error(d->ini, ini_line(d->plain[KIND_LIMITED], "queue-routers", 0), "limited",
			  "queue-routers",
			  "no such key beside [authority], which says who they are", "is there");
	if (d->plain[KIND_LNDT] && d->c.n_lndt)
		ini_error(d->ini, d->plain[KIND_LNDT]->line, "lndt", NULL, expected, "is there");
	for (size_t i = 0; i < d->n_gndts; i++)
		ini_error(d->ini, d->gndts[i]->line, "gndt", NULL, expected, "is there");
	for (size_t i = 0; i < d->n_networks; i++)
		ini_error(d->ini, d->networks[i]->section->line, d->networks[i]->section->label,
			  NULL, expected, "is there");
	for (size_t i = 0; i < d->n_peers; i++)
		ini_error(d->ini, d->peers[i]->section->line, d->peers[i]->section->label, NULL,
			  expected, "is there");
}

/* Name, ID and URL are the identity's: what the file says of them has to agree. */
static void check_identity(struct draft *d)
{
	const struct ini_section *own = d->plain[KIND_ROUTER], *s = d->plain[KIND_AUTHORITY];
	char error[IDENTITY_ERROR];
	struct config *c = &d->c;
	struct identity *id = identity_load(c->identity, error);

	if (!id) {
		ini_error(d->ini, ini_line(s, "identity", 0), s->label, "identity",
			  "a directory of vinectl register router", "%s", error);
		return;
	}
	if (c->name && strcmp(c->name, id->name) != 0)
		ini_error(d->ini, ini_line(own, "name", 0), "router", "name", id->name,
			  "%s is not the name that %s was registered for", c->name, c->identity);
	if (c->id && c->id != id->id)
		ini_error(d->ini, ini_line(own, "id", 0), "router", "id",
			  "the ID that the authority has given, or none",
			  "%u is not %u, which %s has", c->id, id->id, c->identity);
	c->id = id->id;
	if (!c->n_urls && !ini_bad(s, "url")) {
		c->urls = calloc(1, sizeof(*c->urls));
		if (c->urls && config_url_parse(id->url, c->urls))
			c->n_urls = 1;
		else
			ini_error(d->ini, s->line, s->label, "url", "https://HOST:PORT",
				  "is missing, and %s does not say it", c->identity);
	}
	identity_free(id);
}

static void check_authority(struct draft *d, bool keys)
{
	const struct ini_section *own = d->plain[KIND_ROUTER];

	if (!d->c.identity) {
		if (d->c.hosts.ip.family)
			ini_error(d->ini, ini_line(d->plain[KIND_HOSTS], "listen", 0), "hosts",
				  "listen", "an [authority], which answers them",
				  "hosts can't be "
				  "served");
		if (!d->c.id && !ini_bad(own, "id"))
			ini_error(d->ini, own->line, own->label, "id",
				  "a number from 1 to 4294967294 or a dotted quad", "is missing");
		return;
	}
	check_own_tables(d);
	if (!d->c.n_networks && !ini_bad(d->plain[KIND_INTERCEPT], "networks"))
		ini_error(d->ini, d->plain[KIND_INTERCEPT]->line, "intercept", "networks",
			  "the prefixes that go to the overlay",
			  "is missing, and there is an [authority]");
	if (keys)
		check_identity(d);
}

static bool take_peers(struct draft *d)
{
	struct config *c = &d->c;

	c->peers = calloc(d->n_peers + 1, sizeof(*c->peers));
	if (!c->peers)
		return false;
	for (size_t i = 0; i < d->n_peers; i++) {
		c->peers[c->n_peers++] = d->peers[i]->p;
		crypto_wipe(&d->peers[i]->p, sizeof(d->peers[i]->p));
	}
	return true;
}

void config_check(struct draft *d, bool keys)
{
	struct config *c = &d->c;
	struct index ix = { 0 };
	struct table *table;
	bool no_memory = true;

	if (!d->plain[KIND_ROUTER] || !d->plain[KIND_INTERCEPT] || !d->plain[KIND_LISTEN])
		goto out; /* not read to its end */
	if (!index_init(&ix, d))
		goto out;
	check_listen(d, "udp", c->udp, c->n_udp);
	check_listen(d, "tcp", c->tcp, c->n_tcp);
	check_listen(d, "tls", c->tls, c->n_tls);
	check_tls(d);
	check_authority(d, keys);
	check_names(d, &ix);
	check_ids(d, &ix);
	check_ways(d, &ix);
	if (keys) {
		check_keys(d);
		check_file(d, "tls-certificate", c->tls_certificate);
		check_file(d, "tls-key", c->tls_key);
	}
	if (!make_rows(d, &ix) || !make_networks(d))
		goto out;
	check_networks(d);
	if (c->id && (c->n_lndt || c->n_gndt)) {
		table = table_new(c->id, c->lndt, c->n_lndt, c->gndt, c->n_gndt, 0, take_conflict,
				  d);
		table_free(table);
	}
	no_memory = !take_peers(d);
out:
	if (no_memory)
		ini_no_memory(d->ini);
	free(ix.by_name);
	free(ix.by_id);
}
