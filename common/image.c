/*
 * Images of a router's tables: what they hold, and what makes one good.
 *
 * image_valid is the one judge, of what was decoded and of what a change has made;
 * so no router ever runs what would not have been taken as a whole.
 */
#include "common/image.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/image_private.h"

int version_compare(struct version a, struct version b)
{
	if (a.generation != b.generation)
		return a.generation < b.generation ? -1 : 1;
	return a.number < b.number ? -1 : a.number > b.number;
}

struct image *image_new(void)
{
	return calloc(1, sizeof(struct image));
}

void image_free(struct image *image)
{
	if (!image)
		return;
	for (size_t i = 0; i < image->n_networks; i++)
		network_table_unref(image->networks[i].table);
	for (size_t i = 0; i < image->n_peers; i++)
		image_peer_unref(image->peers[i]);
	free(image->networks);
	free(image->aliases);
	free(image->peers);
	tinies_free(image->tinies, image->n_tinies);
	free(image);
}

const struct image_network *image_network(const struct image *image, uint32_t id, uint8_t side)
{
	size_t low = 0, high = image->n_networks;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (image->networks[middle].table->id < id)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < image->n_networks && image->networks[low].table->id == id; low++)
		if (image->networks[low].sides & side)
			return &image->networks[low];
	return NULL;
}

const struct image_peer *image_peer(const struct image *image, uint32_t id)
{
	size_t low = 0, high = image->n_peers;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (image->peers[middle]->id == id)
			return image->peers[middle];
		if (image->peers[middle]->id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* ---- peers --------------------------------------------------------------------- */

struct image_peer *image_peer_new(void)
{
	struct image_peer *p = calloc(1, sizeof(*p));

	if (p) {
		p->refs = 1;
		p->direct = true;
		p->tls_port = 443;
	}
	return p;
}

struct image_peer *image_peer_copy(const struct image_peer *p)
{
	struct image_peer *copy = malloc(sizeof(*copy));

	if (copy) {
		*copy = *p;
		copy->refs = 1;
	}
	return copy;
}

struct image_peer *image_peer_ref(const struct image_peer *p)
{
	struct image_peer *mine = (struct image_peer *)p;

	mine->refs++;
	return mine;
}

void image_peer_unref(struct image_peer *p)
{
	if (p && !--p->refs)
		free(p);
}

static bool key_equal(const struct image_key *a, const struct image_key *b)
{
	return a->len == b->len && !memcmp(a->bytes, b->bytes, a->len);
}

static bool keys_equal(const struct image_peer *a, const struct image_peer *b)
{
	bool same = a->n_keys == b->n_keys;

	for (unsigned i = 0; same && i < a->n_keys; i++)
		same = key_equal(&a->keys[i], &b->keys[i]);
	return same;
}

bool image_peer_equal(const struct image_peer *a, const struct image_peer *b)
{
	bool same = a->id == b->id && a->transit == b->transit && a->relay == b->relay &&
		    a->direct == b->direct && a->tls_port == b->tls_port &&
		    a->n_endpoints == b->n_endpoints && keys_equal(a, b) &&
		    a->n_queue_routers == b->n_queue_routers && !strcmp(a->name, b->name);

	for (unsigned i = 0; same && i < a->n_endpoints; i++)
		same = !strcmp(a->endpoints[i], b->endpoints[i]);
	for (unsigned i = 0; same && i < a->n_queue_routers; i++)
		same = a->queue_routers[i] == b->queue_routers[i];
	return same;
}

bool text_valid(const char *text, const char *more)
{
	if (!text[0])
		return false;
	for (; *text; text++)
		if (!isalnum((unsigned char)*text) && !strchr(more, *text))
			return false;
	return true;
}

bool image_endpoint_valid(const char *text)
{
	const char *colon = strrchr(text, ':');
	long port = 0;

	if (strlen(text) > IMAGE_ENDPOINT || !colon || colon == text ||
	    !text_valid(text, "-.:[]_") || !colon[1])
		return false;
	for (const char *p = colon + 1; *p; p++) {
		if (!isdigit((unsigned char)*p) || p > colon + 5)
			return false;
		port = port * 10 + *p - '0';
	}
	if (colon[1] == '0' || port > 65535)
		return false;
	return text[0] == '[' ? colon[-1] == ']' && colon - text > 2
			      : !memchr(text, ':', (size_t)(colon - text));
}

/* Each once, and not itself. */
static bool queue_routers_valid(const uint32_t *ids, unsigned n, uint32_t self)
{
	for (unsigned i = 0; i < n; i++) {
		if (!ids[i] || ids[i] == self)
			return false;
		for (unsigned k = 0; k < i; k++)
			if (ids[k] == ids[i])
				return false;
	}
	return true;
}

bool image_peer_valid(const struct image_peer *p)
{
	if (!p->id || !p->tls_port || !p->n_keys || p->n_keys > IMAGE_KEYS ||
	    p->n_endpoints > IMAGE_ENDPOINTS || p->n_queue_routers > IMAGE_QUEUE_ROUTERS ||
	    !text_valid(p->name, "-._"))
		return false;
	for (unsigned i = 0; i < p->n_endpoints; i++)
		if (!image_endpoint_valid(p->endpoints[i]))
			return false;
	for (unsigned i = 0; i < p->n_keys; i++)
		if (!p->keys[i].len)
			return false;
	return queue_routers_valid(p->queue_routers, p->n_queue_routers, p->id);
}

/* ---- all ----------------------------------------------------------------------- */

bool aliases_valid(const struct alias *aliases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct alias *a = &aliases[i];

		if (a->from == a->to ||
		    (i && (a[-1].from > a->from || (a[-1].from == a->from && a[-1].to >= a->to))))
			return false;
	}
	return true;
}

static bool networks_valid(const struct image *image)
{
	for (size_t i = 0; i < image->n_networks; i++) {
		const struct image_network *n = &image->networks[i];

		if (!n->table->id || n->sides > SIDES || n->protection >= PROTECTIONS ||
		    (!n->sides && n->table->n) || !network_table_valid(n->table))
			return false;
		if (!i || n[-1].table->id < n->table->id)
			continue;
		if (n[-1].table->id > n->table->id || n[-1].sides != SIDE_SEND ||
		    n->sides != SIDE_RECEIVE || n[-1].protection != n->protection)
			return false;
	}
	return true;
}

static bool knows(const struct image *image, uint32_t id)
{
	size_t low = 0, high = image->n_networks;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (image->networks[middle].table->id == id)
			return true;
		if (image->networks[middle].table->id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

static bool self_valid(const struct image *image)
{
	const struct image_self *self = &image->self;

	if (self->limited >= IMAGE_MODES || self->n_queue_routers > IMAGE_QUEUE_ROUTERS ||
	    (self->n_queue_routers && self->limited == IMAGE_NOT_LIMITED) ||
	    !queue_routers_valid(self->queue_routers, self->n_queue_routers, image->router))
		return false;
	for (unsigned i = 0; i < self->n_queue_routers; i++)
		if (!image_peer(image, self->queue_routers[i]))
			return false;
	return true;
}

bool image_too_large(const struct image *image)
{
	size_t rows = 0;

	for (size_t i = 0; i < image->n_networks; i++)
		rows += image->networks[i].table->n;
	return rows > IMAGE_ROWS || image->n_peers > IMAGE_PEERS || image->n_tinies > IMAGE_TINIES;
}

bool image_valid(const struct image *image)
{
	if (!image->router || image->step >= IMAGE_STEPS || !networks_valid(image) ||
	    !aliases_valid(image->aliases, image->n_aliases))
		return false;
	for (size_t i = 0; i < image->n_aliases; i++)
		if (!knows(image, image->aliases[i].from) ||
		    !image_network(image, image->aliases[i].to, SIDE_RECEIVE))
			return false;
	for (size_t i = 0; i < image->n_peers; i++)
		if (!image_peer_valid(image->peers[i]) || image->peers[i]->id == image->router ||
		    (i && image->peers[i - 1]->id >= image->peers[i]->id))
			return false;
	return tinies_valid(image) && self_valid(image);
}
