/*
 * What an image gives a router, in the words of a configuration: networks with their
 * protection, peers with their endpoints and keys, tinies as a configuration's are.
 */
#include <stdlib.h>
#include <string.h>

#include "router/change.h"

void given_free(struct given *g)
{
	if (!g)
		return;
	for (size_t i = 0; i < g->n_peers; i++)
		free(g->peers[i].host);
	if (g->peers)
		crypto_wipe(g->peers, g->n_peers * sizeof(*g->peers));
	if (g->tables)
		image_free(g->tables);
	image_free(g->image);
	free(g->peers);
	free(g->lndt);
	free(g->nets);
	free(g);
}

static struct pinned pinned_of(const struct image *image, size_t i)
{
	const struct image_tiny *t;

	if (i < image->n_peers) {
		const struct image_peer *p = image->peers[i];

		return (struct pinned){ p->id, p->name, p->keys, p->n_keys };
	}
	t = image->tinies[i - image->n_peers];
	return (struct pinned){ t->id, t->name, &t->key, 1 };
}

/* The place of a peer, or of a tiny; SIZE_MAX: it isn't there. Either are by ID. */
static size_t place_of(const struct given *g, uint32_t id, bool tiny)
{
	size_t low = tiny ? g->image->n_peers : 0;
	size_t high = tiny ? g->n_peers : g->image->n_peers;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (g->peers[middle].id == id)
			return middle;
		if (g->peers[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return SIZE_MAX;
}

/* The key shared with one that has the same public keys as before: deriving it is an exchange
 * of Diffie and Hellman, and a whole image has thousands of new records. */
static bool take_key(struct config_peer *c, const struct pinned *is, const struct given *old,
		     image_key_fn *key, void *arg, FILE *errors)
{
	size_t at = old ? place_of(old, is->id, c->tiny) : SIZE_MAX;
	struct pinned was;
	bool same = at != SIZE_MAX;

	if (same) {
		was = pinned_of(old->image, at);
		same = was.n_keys == is->n_keys;
		for (unsigned i = 0; same && i < is->n_keys; i++)
			same = was.keys[i].len == is->keys[i].len &&
			       !memcmp(was.keys[i].bytes, is->keys[i].bytes, is->keys[i].len);
	}
	if (!same)
		return key(arg, is, c->key, errors);
	memcpy(c->key, old->peers[at].key, CRYPTO_KEY);
	return true;
}

/* "host:port", "[address]:port". False: out of memory. */
static bool take_endpoint(struct config_peer *c, const char *text)
{
	const char *colon = strrchr(text, ':');
	size_t bracket = text[0] == '[';

	c->port = (uint16_t)atoi(colon + 1);
	c->host = strndup(text + bracket, (size_t)(colon - text) - 2 * bracket);
	return c->host != NULL;
}

/* The same. */
static bool take_peer(struct config_peer *c, struct image_peer *p)
{
	c->id = p->id;
	c->name = p->name;
	c->transit = p->transit;
	c->relay = p->relay;
	c->direct = p->direct;
	c->protocol = PROTOCOL_AUTO; /* nobody knows what lies between two sites */
	c->tls_port = p->tls_port;
	for (unsigned i = 0; i < p->n_queue_routers; i++)
		c->relays[c->n_relays++] = p->queue_routers[i];
	return !p->n_endpoints || take_endpoint(c, p->endpoints[0]);
}

/* A client, which comes by itself. */
static void take_tiny(struct config_peer *c, struct image_tiny *t)
{
	c->id = t->id;
	c->name = t->name;
	c->tiny = c->transit = true;
	c->protocol = PROTOCOL_AUTO;
}

/* False: out of memory. */
static bool take_rows(struct given *g)
{
	const struct image *image = g->tables;
	size_t n = 0, k;

	for (size_t i = 0; i < image->n_networks; i++) {
		network_table_of(image->networks[i].table, image->router, &k);
		n += k;
	}
	g->lndt = calloc(n + 1, sizeof(*g->lndt));
	for (size_t i = 0; g->lndt && i < image->n_networks; i++) {
		const struct network_table *t = image->networks[i].table;
		const struct network_row *rows = network_table_of(t, image->router, &k);

		for (size_t j = 0; j < k; j++)
			g->lndt[g->n_lndt++] =
				(struct lndt_row){ .network = t->id, .prefix = rows[j].prefix };
	}
	return g->lndt != NULL;
}

struct given *given_new(struct image *image, const struct given *old, image_key_fn *key, void *arg,
			FILE *errors)
{
	struct given *g = calloc(1, sizeof(*g));
	size_t n_peers = image->n_peers + image->n_tinies;
	bool ok;

	if (!g)
		return NULL;
	g->nets = calloc(image->n_networks + 1, sizeof(*g->nets));
	g->peers = calloc(n_peers + 1, sizeof(*g->peers));
	g->tables = given_tables(image, old);
	ok = g->nets && g->peers && g->tables && take_rows(g);
	for (size_t i = 0; ok && i < image->n_networks; i++) {
		const struct image_network *n = &image->networks[i];

		if (!g->n_nets || g->nets[g->n_nets - 1].id != n->table->id)
			g->nets[g->n_nets++] =
				(struct config_network){ n->table->id, n->protection };
	}
	for (size_t i = 0; ok && i < n_peers; i++) {
		struct config_peer *c = &g->peers[g->n_peers++];
		const struct pinned pinned = pinned_of(image, i);

		if (i < image->n_peers)
			ok = take_peer(c, image->peers[i]);
		else
			take_tiny(c, image->tinies[i - image->n_peers]);
		ok = ok && take_key(c, &pinned, old, key, arg, errors);
	}
	if (ok) {
		g->image = image;
		return g;
	}
	given_free(g);
	return NULL;
}
