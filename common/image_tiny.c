/*
 * Tinies of an image: VMs that connect to the router whose image it is. A router may have
 * thousands, of which a change says only those that are different.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/image_private.h"

struct image_tiny *image_tiny_new(void)
{
	struct image_tiny *t = calloc(1, sizeof(*t));

	if (t)
		t->refs = 1;
	return t;
}

struct image_tiny *image_tiny_ref(const struct image_tiny *t)
{
	struct image_tiny *mine = (struct image_tiny *)t;

	mine->refs++;
	return mine;
}

void image_tiny_unref(struct image_tiny *t)
{
	if (t && !--t->refs)
		free(t);
}

void tinies_free(struct image_tiny **tinies, size_t n)
{
	for (size_t i = 0; i < n; i++)
		image_tiny_unref(tinies[i]);
	free(tinies);
}

bool image_tiny_equal(const struct image_tiny *a, const struct image_tiny *b)
{
	bool same = a->id == b->id && a->here == b->here && a->n_addresses == b->n_addresses &&
		    a->key.len == b->key.len && !memcmp(a->key.bytes, b->key.bytes, a->key.len) &&
		    !strcmp(a->name, b->name);

	for (unsigned i = 0; same && i < a->n_addresses; i++)
		same = ip_equal(&a->addresses[i], &b->addresses[i]);
	return same;
}

bool image_tiny_valid(const struct image_tiny *t)
{
	if (!t->id || !t->key.len || !t->n_addresses || t->n_addresses > IMAGE_TINY_ADDRESSES ||
	    !text_valid(t->name, "-._"))
		return false;
	for (unsigned i = 0; i < t->n_addresses; i++)
		for (unsigned k = 0; k < i; k++)
			if (ip_equal(&t->addresses[i], &t->addresses[k]))
				return false;
	return true;
}

bool tinies_valid(const struct image *image)
{
	for (size_t i = 0; i < image->n_tinies; i++) {
		const struct image_tiny *t = image->tinies[i];

		if (!image_tiny_valid(t) || t->id == image->router || image_peer(image, t->id) ||
		    (i && image->tinies[i - 1]->id >= t->id))
			return false;
	}
	return true;
}

const struct image_tiny *image_tiny(const struct image *image, uint32_t id)
{
	size_t low = 0, high = image->n_tinies;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (image->tinies[middle]->id == id)
			return image->tinies[middle];
		if (image->tinies[middle]->id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

bool tinies_find(struct image_change *c, const struct image *from, const struct image *to)
{
	size_t i = 0, k = 0;

	c->tinies_gone = calloc(from->n_tinies + 1, sizeof(*c->tinies_gone));
	c->tinies = calloc(to->n_tinies + 1, sizeof(*c->tinies));
	if (!c->tinies_gone || !c->tinies)
		return false;
	while (i < from->n_tinies || k < to->n_tinies) {
		const struct image_tiny *a = i < from->n_tinies ? from->tinies[i] : NULL;
		const struct image_tiny *b = k < to->n_tinies ? to->tinies[k] : NULL;

		if (a && (!b || a->id < b->id)) {
			c->tinies_gone[c->n_tinies_gone++] = a->id;
			i++;
			continue;
		}
		if (!a || b->id < a->id || !(a == b || image_tiny_equal(a, b)))
			c->tinies[c->n_tinies++] = image_tiny_ref(b);
		i += a && a->id == b->id;
		k++;
	}
	return true;
}

int tinies_apply(const struct image *from, const struct image_change *c, struct image *to)
{
	size_t i = 0, k = 0, g = 0;

	to->tinies = calloc(from->n_tinies + c->n_tinies + 1, sizeof(*to->tinies));
	if (!to->tinies)
		return -ENOMEM;
	while (i < from->n_tinies || k < c->n_tinies) {
		struct image_tiny *a = i < from->n_tinies ? from->tinies[i] : NULL;
		struct image_tiny *b = k < c->n_tinies ? c->tinies[k] : NULL;

		if (b && (!a || b->id <= a->id)) {
			i += a && a->id == b->id;
			k++;
			to->tinies[to->n_tinies++] = image_tiny_ref(b);
		} else {
			i++;
			if (g < c->n_tinies_gone && c->tinies_gone[g] == a->id)
				g++;
			else
				to->tinies[to->n_tinies++] = image_tiny_ref(a);
		}
	}
	return g < c->n_tinies_gone ? -EBADMSG : 0;
}
