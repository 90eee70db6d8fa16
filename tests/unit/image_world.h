/*
 * Images for tests: small ones made by hand, and random ones.
 */
#ifndef TESTS_UNIT_IMAGE_WORLD_H
#define TESTS_UNIT_IMAGE_WORLD_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/image.h"

static const uint8_t image_seed[SIGN_KEY] = "a signing key of thirty-two byte";

/* Appends a network whose rows are "ROUTER PREFIX" texts, up to NULL. */
__attribute__((unused)) static void image_add_network(struct image *image, uint32_t id,
						      uint8_t sides, const char *const *rows)
{
	struct image_network *n;
	size_t count = 0;

	while (rows && rows[count])
		count++;
	image->networks =
		realloc(image->networks, (image->n_networks + 1) * sizeof(*image->networks));
	n = &image->networks[image->n_networks++];
	*n = (struct image_network){ sides, PROTECT_AES_256_GCM, network_table_room(id, count) };
	for (size_t i = 0; i < count; i++) {
		struct network_row *row = &n->table->rows[n->table->n++];
		char prefix[PREFIX_TEXT];

		if (sscanf(rows[i], "%u %49s", &row->router, prefix) != 2 ||
		    prefix_parse(prefix, &row->prefix))
			abort();
	}
}

__attribute__((unused)) static void image_add_alias(struct image *image, uint32_t from, uint32_t to)
{
	image->aliases = realloc(image->aliases, (image->n_aliases + 1) * sizeof(*image->aliases));
	image->aliases[image->n_aliases++] = (struct alias){ from, to };
}

__attribute__((unused)) static struct image_peer *image_add_peer(struct image *image, uint32_t id,
								 const char *name,
								 const char *endpoint)
{
	struct image_peer *p = image_peer_new();

	p->id = id;
	strcpy(p->name, name);
	if (endpoint)
		strcpy(p->endpoints[p->n_endpoints++], endpoint);
	p->n_keys = 1;
	p->keys[0].len = 32;
	memset(p->keys[0].bytes, (int)id, 32);
	image->peers = realloc(image->peers, (image->n_peers + 1) * sizeof(*image->peers));
	image->peers[image->n_peers++] = p;
	return p;
}

__attribute__((unused)) static struct image_tiny *image_add_tiny(struct image *image, uint32_t id,
								 const char *name,
								 const char *address)
{
	struct image_tiny *t = image_tiny_new();

	t->id = id;
	strcpy(t->name, name);
	t->key.len = 32;
	memset(t->key.bytes, (int)id, 32);
	t->n_addresses = 1;
	if (ip_parse(address, &t->addresses[0]))
		abort();
	image->tinies = realloc(image->tinies, (image->n_tinies + 1) * sizeof(*image->tinies));
	image->tinies[image->n_tinies++] = t;
	return t;
}

#define ROWS(...) ((const char *const[]){ __VA_ARGS__, NULL })

#endif
