/*
 * What an image gives a router, in the words of a configuration: networks with their
 * protection, peers with their endpoints and keys.
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
	image_free(g->image);
	free(g->peers);
	free(g->lndt);
	free(g->nets);
	free(g);
}

/* The key of a peer that has the same public keys as before: deriving one is an exchange of
 * Diffie and Hellman, and a whole image has thousands of new records. */
static const uint8_t *known_key(const struct given *old, const struct image_peer *p)
{
	size_t low = 0, high = old ? old->n_peers : 0;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (old->peers[middle].id == p->id)
			return image_peer_keys_equal(old->image->peers[middle], p)
				       ? old->peers[middle].key
				       : NULL;
		if (old->peers[middle].id < p->id)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
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

static bool take_peer(struct config_peer *c, struct image_peer *p, const uint8_t *known,
		      image_key_fn *key, void *arg, FILE *errors)
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
	if (p->n_endpoints && !take_endpoint(c, p->endpoints[0]))
		return false;
	if (!known)
		return key(arg, p, c->key, errors);
	memcpy(c->key, known, CRYPTO_KEY);
	return true;
}

/* False: out of memory. */
static bool take_rows(struct given *g, const struct image *image)
{
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
	bool ok;

	if (!g)
		return NULL;
	g->nets = calloc(image->n_networks + 1, sizeof(*g->nets));
	g->peers = calloc(image->n_peers + 1, sizeof(*g->peers));
	ok = g->nets && g->peers && take_rows(g, image);
	for (size_t i = 0; ok && i < image->n_networks; i++) {
		const struct image_network *n = &image->networks[i];

		if (!g->n_nets || g->nets[g->n_nets - 1].id != n->table->id)
			g->nets[g->n_nets++] =
				(struct config_network){ n->table->id, n->protection };
	}
	for (size_t i = 0; ok && i < image->n_peers; i++)
		ok = take_peer(&g->peers[g->n_peers++], image->peers[i],
			       known_key(old, image->peers[i]), key, arg, errors);
	if (ok) {
		g->image = image;
		return g;
	}
	given_free(g);
	return NULL;
}
