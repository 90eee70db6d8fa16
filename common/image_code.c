/*
 * Images and changes as bytes: docs/image.md. Big-endian, lists behind their numbers, the
 * signature last.
 *
 * A number is believed only as far as the bytes that are left could hold so many, and
 * rows and peers, which take far more memory than bytes, are counted before there is any
 * for them. What is decoded is judged as a whole in the
 * end (image_valid), and bytes have one form only.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/image_private.h"

static const uint8_t magic[5] = { 'V', 'i', 'N', 'T', 2 };
#define KIND_OFFSET 5

/* ---- out ------------------------------------------------------------------------ */

/* Bytes that grow; NULL with bad: out of memory. */
struct bytes {
	uint8_t *at;
	size_t n, room;
	bool bad;
};

static uint8_t *grow(struct bytes *b, size_t n)
{
	if (!b->bad && b->room - b->n < n) {
		size_t room = b->room * 2 + n + 256;
		uint8_t *at = room <= 2 * (size_t)IMAGE_MAX ? realloc(b->at, room) : NULL;

		if (at) {
			b->at = at;
			b->room = room;
		} else {
			b->bad = true;
		}
	}
	if (b->bad)
		return NULL;
	b->n += n;
	return b->at + b->n - n;
}

static void put(struct bytes *b, uint64_t v, unsigned n)
{
	uint8_t *p = grow(b, n);

	for (unsigned i = 0; p && i < n; i++)
		p[i] = (uint8_t)(v >> 8 * (n - 1 - i));
}

static void put_data(struct bytes *b, const void *data, size_t n)
{
	uint8_t *p = grow(b, n);

	if (p && n)
		memcpy(p, data, n);
}

static void put_text(struct bytes *b, const char *text)
{
	size_t n = strlen(text);

	put(b, n, 2);
	put_data(b, text, n);
}

/* A prefix's first byte: its length, and 0x40 more for IPv6 (64 to 192). */
static void put_prefix(struct bytes *b, const struct prefix *p)
{
	put(b, p->len + (p->ip.family == 6 ? 64u : 0), 1);
	put_data(b, p->ip.b, (p->len + 7u) / 8);
}

static void put_rows(struct bytes *b, const struct network_table *t)
{
	size_t groups = 0;

	for (size_t i = 0; i < t->n; i = network_table_next(t, i))
		groups++;
	put(b, groups, 4);
	for (size_t i = 0; i < t->n;) {
		size_t end = network_table_next(t, i);

		put(b, t->rows[i].router, 4);
		put(b, end - i, 4);
		for (; i < end; i++)
			put_prefix(b, &t->rows[i].prefix);
	}
}

static void put_queue_routers(struct bytes *b, const uint32_t *ids, uint8_t n)
{
	put(b, n, 1);
	for (unsigned i = 0; i < n; i++)
		put(b, ids[i], 4);
}

static void put_peer(struct bytes *b, const struct image_peer *p)
{
	put(b, p->id, 4);
	put(b, (p->transit ? 1 : 0) | (p->relay ? 2 : 0) | (p->direct ? 4 : 0), 1);
	put(b, p->tls_port, 2);
	put_text(b, p->name);
	put(b, p->n_endpoints, 1);
	for (unsigned i = 0; i < p->n_endpoints; i++)
		put_text(b, p->endpoints[i]);
	put(b, p->n_keys, 1);
	for (unsigned i = 0; i < p->n_keys; i++) {
		put(b, p->keys[i].len, 1);
		put_data(b, p->keys[i].bytes, p->keys[i].len);
	}
	put_queue_routers(b, p->queue_routers, p->n_queue_routers);
}

static void put_self(struct bytes *b, const struct image_self *self)
{
	put(b, self->limited, 1);
	put_queue_routers(b, self->queue_routers, self->n_queue_routers);
}

static void put_aliases(struct bytes *b, const struct alias *aliases, size_t n)
{
	put(b, n, 4);
	for (size_t i = 0; i < n; i++) {
		put(b, aliases[i].from, 4);
		put(b, aliases[i].to, 4);
	}
}

static void put_peers(struct bytes *b, struct image_peer *const *peers, size_t n)
{
	put(b, n, 4);
	for (size_t i = 0; i < n; i++)
		put_peer(b, peers[i]);
}

static void put_tinies(struct bytes *b, struct image_tiny *const *tinies, size_t n)
{
	put(b, n, 4);
	for (size_t i = 0; i < n; i++) {
		const struct image_tiny *t = tinies[i];

		put(b, t->id, 4);
		put(b, t->here, 1);
		put_text(b, t->name);
		put(b, t->key.len, 1);
		put_data(b, t->key.bytes, t->key.len);
		put(b, t->n_addresses, 1);
		for (unsigned k = 0; k < t->n_addresses; k++) {
			struct prefix p = prefix_host(&t->addresses[k]);

			put_prefix(b, &p);
		}
	}
}

static void put_ids(struct bytes *b, const uint32_t *ids, size_t n)
{
	put(b, n, 4);
	for (size_t i = 0; i < n; i++)
		put(b, ids[i], 4);
}

static void put_head(struct bytes *b, enum image_kind kind, uint8_t step, uint32_t router,
		     struct version version)
{
	put_data(b, magic, sizeof(magic));
	put(b, kind, 1);
	put(b, step, 1);
	put(b, router, 4);
	put(b, version.generation, 8);
	put(b, version.number, 8);
}

static uint8_t *sign(struct bytes *b, const struct signer *signer, size_t *ret_len)
{
	size_t len = b->n;
	uint8_t *signature = grow(b, SIGN_BYTES);

	if (signature && b->n <= IMAGE_MAX && signer_sign(signer, b->at, len, signature)) {
		*ret_len = b->n;
		return b->at;
	}
	free(b->at);
	return NULL;
}

uint8_t *image_encode(const struct image *image, const struct signer *signer, size_t *ret_len)
{
	struct bytes b = { 0 };

	put_head(&b, IMAGE_WHOLE, image->step, image->router, image->version);
	put_self(&b, &image->self);
	put(&b, image->n_networks, 4);
	for (size_t i = 0; i < image->n_networks; i++) {
		const struct image_network *n = &image->networks[i];

		put(&b, n->table->id, 4);
		put(&b, n->sides, 1);
		put(&b, n->protection, 1);
		put_rows(&b, n->table);
	}
	put_aliases(&b, image->aliases, image->n_aliases);
	put_peers(&b, image->peers, image->n_peers);
	put_tinies(&b, image->tinies, image->n_tinies);
	return sign(&b, signer, ret_len);
}

uint8_t *image_change_encode(const struct image_change *c, const struct signer *signer,
			     size_t *ret_len)
{
	struct bytes b = { 0 };

	put_head(&b, IMAGE_CHANGE, c->step, c->router, c->version);
	put(&b, c->base.generation, 8);
	put(&b, c->base.number, 8);
	put_self(&b, &c->self);
	put(&b, c->n_networks, 4);
	for (size_t i = 0; i < c->n_networks; i++) {
		const struct network_change *n = &c->networks[i];

		put(&b, n->id, 4);
		put(&b, n->n, 1);
		for (unsigned k = 0; k < n->n; k++) {
			put(&b, n->entries[k].sides, 1);
			put(&b, n->entries[k].protection, 1);
			put(&b, n->entries[k].base, 1);
			put_rows(&b, n->entries[k].gone);
			put_rows(&b, n->entries[k].come);
		}
	}
	put_aliases(&b, c->aliases, c->n_aliases);
	put_ids(&b, c->gone, c->n_gone);
	put_peers(&b, c->peers, c->n_peers);
	put_ids(&b, c->tinies_gone, c->n_tinies_gone);
	put_tinies(&b, c->tinies, c->n_tinies);
	return sign(&b, signer, ret_len);
}

/* ---- in ------------------------------------------------------------------------- */

/* What is read, and why it can't be, if that isn't the bytes' fault. */
struct source {
	struct reader r;
	size_t rows; /* so far */
	bool short_of_memory, too_large;
};

/* Every reader function below leaves the reader bad when it returns false. */
static bool bad(struct source *s)
{
	s->r.bad = true;
	return false;
}

static bool no_memory(struct source *s)
{
	s->short_of_memory = true;
	return bad(s);
}

static bool too_large(struct source *s)
{
	s->too_large = true;
	return bad(s);
}

/* A number of things that take at least so many bytes each. */
static bool get_count(struct source *s, size_t least, size_t *ret)
{
	*ret = read_u32(&s->r);
	if (s->r.bad || *ret > reader_left(&s->r) / least) {
		*ret = 0;
		return bad(s);
	}
	return true;
}

/* An array for that many things; NULL is fine for none. */
static bool get_array(struct source *s, size_t least, size_t size, size_t *ret_n, void *ret)
{
	void *array = NULL;
	size_t n;

	if (!get_count(s, least, &n))
		return false;
	if (n) {
		array = calloc(n, size);
		if (!array)
			return no_memory(s);
	}
	*ret_n = n;
	memcpy(ret, &array, sizeof(array));
	return true;
}

static bool get_text(struct source *s, char *ret, size_t most)
{
	size_t n = read_u16(&s->r);
	const uint8_t *p = n <= most ? read_bytes(&s->r, n) : NULL;

	if (!p || s->r.bad || memchr(p, '\0', n))
		return bad(s);
	memcpy(ret, p, n);
	ret[n] = '\0';
	return true;
}

static bool get_prefix(struct source *s, struct prefix *ret)
{
	unsigned first = read_u8(&s->r), len = first < 64 ? first : first - 64;
	size_t n = (len + 7) / 8;
	const uint8_t *p;

	if (s->r.bad || len > (first < 64 ? 32u : 128u))
		return bad(s);
	p = read_bytes(&s->r, n);
	if (!p || (len % 8 && p[n - 1] & 0xff >> len % 8))
		return bad(s);
	*ret = (struct prefix){ .ip.family = first < 64 ? 4 : 6, .len = (uint8_t)len };
	memcpy(ret->ip.b, p, n);
	return true;
}

/* How many rows there are: a first look, since the table is one piece. */
static bool count_rows(struct source *s, size_t *ret)
{
	struct source look = *s;
	struct prefix prefix;
	size_t groups, n;

	*ret = 0;
	if (!get_count(&look, 9, &groups))
		return bad(s);
	while (groups--) {
		read_u32(&look.r);
		if (!get_count(&look, 1, &n) || !n)
			return bad(s);
		*ret += n;
		while (n--)
			if (!get_prefix(&look, &prefix))
				return bad(s);
	}
	return true;
}

static bool get_rows(struct source *s, uint32_t id, struct network_table **ret)
{
	struct network_table *t;
	size_t groups, n;

	if (!count_rows(s, &n))
		return false;
	s->rows += n;
	if (s->rows > IMAGE_ROWS)
		return too_large(s);
	t = network_table_room(id, n);
	if (!t)
		return no_memory(s);
	*ret = t;
	for (groups = read_u32(&s->r); groups; groups--) {
		uint32_t router = read_u32(&s->r);

		if (t->n && t->rows[t->n - 1].router >= router)
			return bad(s);
		for (n = read_u32(&s->r); n; n--) {
			t->rows[t->n].router = router;
			get_prefix(s, &t->rows[t->n++].prefix);
		}
	}
	return network_table_valid(t) || bad(s);
}

static bool get_key(struct source *s, struct image_key *ret)
{
	const uint8_t *bytes;

	ret->len = read_u8(&s->r);
	bytes = read_bytes(&s->r, ret->len);
	if (!bytes)
		return bad(s);
	memcpy(ret->bytes, bytes, ret->len);
	return true;
}

static bool get_keys(struct source *s, struct image_peer *p)
{
	p->n_keys = read_u8(&s->r);
	if (p->n_keys > IMAGE_KEYS)
		return bad(s);
	for (unsigned i = 0; i < p->n_keys; i++)
		if (!get_key(s, &p->keys[i]))
			return false;
	return true;
}

static bool get_queue_routers(struct source *s, uint32_t *ids, uint8_t *ret_n)
{
	unsigned n = read_u8(&s->r);

	if (n > IMAGE_QUEUE_ROUTERS)
		return bad(s);
	for (unsigned i = 0; i < n; i++)
		ids[i] = read_u32(&s->r);
	*ret_n = (uint8_t)n;
	return !s->r.bad;
}

static bool get_self(struct source *s, struct image_self *ret)
{
	ret->limited = read_u8(&s->r);
	return get_queue_routers(s, ret->queue_routers, &ret->n_queue_routers);
}

static bool get_peer(struct source *s, struct image_peer **ret)
{
	struct image_peer *p = image_peer_new();
	uint8_t bits;

	if (!p)
		return no_memory(s);
	*ret = p;
	p->id = read_u32(&s->r);
	bits = read_u8(&s->r);
	p->transit = bits & 1;
	p->relay = bits & 2;
	p->direct = bits & 4;
	p->tls_port = read_u16(&s->r);
	if (bits > 7 || !get_text(s, p->name, IMAGE_NAME))
		return bad(s);
	p->n_endpoints = read_u8(&s->r);
	if (p->n_endpoints > IMAGE_ENDPOINTS)
		return bad(s);
	for (unsigned i = 0; i < p->n_endpoints; i++)
		if (!get_text(s, p->endpoints[i], IMAGE_ENDPOINT))
			return false;
	if (!get_keys(s, p))
		return false;
	return (get_queue_routers(s, p->queue_routers, &p->n_queue_routers) &&
		image_peer_valid(p)) ||
	       bad(s);
}

static bool get_aliases(struct source *s, struct alias **ret, size_t *ret_n)
{
	if (!get_array(s, 8, sizeof(**ret), ret_n, ret))
		return false;
	for (size_t i = 0; i < *ret_n; i++) {
		(*ret)[i].from = read_u32(&s->r);
		(*ret)[i].to = read_u32(&s->r);
	}
	return aliases_valid(*ret, *ret_n) || bad(s);
}

/* Those that were read count, so that they are freed. */
static bool get_peers(struct source *s, struct image_peer ***ret, size_t *ret_n)
{
	struct image_peer **peers = NULL;
	size_t n = 0;

	if (!get_array(s, 15, sizeof(*peers), &n, &peers))
		return false;
	*ret = peers;
	if (n > IMAGE_PEERS)
		return too_large(s);
	for (*ret_n = 0; *ret_n < n;) {
		bool ok = get_peer(s, &peers[*ret_n]);

		*ret_n += peers[*ret_n] != NULL;
		if (!ok)
			return false;
		if (*ret_n > 1 && peers[*ret_n - 2]->id >= peers[*ret_n - 1]->id)
			return bad(s);
	}
	return true;
}

static bool get_tiny(struct source *s, struct image_tiny **ret)
{
	struct image_tiny *t = image_tiny_new();
	uint8_t here;

	if (!t)
		return no_memory(s);
	*ret = t;
	t->id = read_u32(&s->r);
	here = read_u8(&s->r);
	t->here = here == 1;
	if (here > 1 || !get_text(s, t->name, IMAGE_NAME) || !get_key(s, &t->key))
		return bad(s);
	t->n_addresses = read_u8(&s->r);
	if (t->n_addresses > IMAGE_TINY_ADDRESSES)
		return bad(s);
	for (unsigned i = 0; i < t->n_addresses; i++) {
		struct prefix p;

		if (!get_prefix(s, &p) || p.len != ip_bits(&p.ip))
			return bad(s);
		t->addresses[i] = p.ip;
	}
	return image_tiny_valid(t) || bad(s);
}

/* As get_peers. */
static bool get_tinies(struct source *s, struct image_tiny ***ret, size_t *ret_n)
{
	struct image_tiny **tinies = NULL;
	size_t n = 0;

	if (!get_array(s, 15, sizeof(*tinies), &n, &tinies))
		return false;
	*ret = tinies;
	if (n > IMAGE_TINIES)
		return too_large(s);
	for (*ret_n = 0; *ret_n < n;) {
		bool ok = get_tiny(s, &tinies[*ret_n]);

		*ret_n += tinies[*ret_n] != NULL;
		if (!ok)
			return false;
		if (*ret_n > 1 && tinies[*ret_n - 2]->id >= tinies[*ret_n - 1]->id)
			return bad(s);
	}
	return true;
}

enum image_kind image_kind(const uint8_t *data, size_t len)
{
	if (len <= KIND_OFFSET || len > IMAGE_MAX || memcmp(data, magic, sizeof(magic)) != 0)
		return IMAGE_NONE;
	return data[KIND_OFFSET] == IMAGE_WHOLE || data[KIND_OFFSET] == IMAGE_CHANGE
		       ? (enum image_kind)data[KIND_OFFSET]
		       : IMAGE_NONE;
}

bool image_verify(const uint8_t *data, size_t len, const uint8_t public_key[static SIGN_KEY])
{
	return len > SIGN_BYTES && len <= IMAGE_MAX &&
	       sign_verify(public_key, data, len - SIGN_BYTES, data + len - SIGN_BYTES);
}

static struct version get_version(struct source *s)
{
	struct version v;

	v.generation = read_u64(&s->r);
	v.number = read_u64(&s->r);
	return v;
}

/* The bytes behind the kind, without the signature. */
static bool begin(struct source *s, const uint8_t *data, size_t len, enum image_kind kind)
{
	if (len < SIGN_BYTES || image_kind(data, len - SIGN_BYTES) != kind)
		return false;
	*s = (struct source){ .r = reader_init(data + KIND_OFFSET + 1,
					       len - SIGN_BYTES - KIND_OFFSET - 1) };
	return true;
}

static int end(const struct source *s)
{
	if (s->short_of_memory)
		return -ENOMEM;
	if (s->too_large)
		return -EMSGSIZE;
	return s->r.bad || reader_left(&s->r) ? -EBADMSG : 0;
}

static bool get_networks(struct source *s, struct image *image)
{
	size_t n = 0;

	if (!get_array(s, 10, sizeof(*image->networks), &n, &image->networks))
		return false;
	for (size_t i = 0; i < n; i++) {
		struct image_network *net = &image->networks[i];
		uint32_t id = read_u32(&s->r);
		bool ok;

		net->sides = read_u8(&s->r);
		net->protection = (enum protection)read_u8(&s->r);
		ok = get_rows(s, id, &net->table);
		image->n_networks += net->table != NULL;
		if (!ok)
			return false;
	}
	return true;
}

int image_decode(const uint8_t *data, size_t len, struct image **ret)
{
	struct image *image;
	struct source s;
	int error;

	if (!begin(&s, data, len, IMAGE_WHOLE))
		return -EBADMSG;
	image = image_new();
	if (!image)
		return -ENOMEM;
	image->step = read_u8(&s.r);
	image->router = read_u32(&s.r);
	image->version = get_version(&s);
	if (get_self(&s, &image->self) && get_networks(&s, image) &&
	    get_aliases(&s, &image->aliases, &image->n_aliases) &&
	    get_peers(&s, &image->peers, &image->n_peers))
		get_tinies(&s, &image->tinies, &image->n_tinies);
	error = end(&s);
	if (!error && !image_valid(image))
		error = -EBADMSG;
	if (error)
		image_free(image);
	else
		*ret = image;
	return error;
}

static bool get_entry(struct source *s, uint32_t id, struct entry_change *e)
{
	e->sides = read_u8(&s->r);
	e->protection = (enum protection)read_u8(&s->r);
	e->base = read_u8(&s->r);
	if (e->sides > SIDES || e->base > SIDES || e->protection >= PROTECTIONS)
		return bad(s);
	return get_rows(s, id, &e->gone) && get_rows(s, id, &e->come);
}

static bool get_network_changes(struct source *s, struct image_change *c)
{
	if (!get_array(s, 5, sizeof(*c->networks), &c->n_networks, &c->networks))
		return false;
	for (size_t i = 0; i < c->n_networks; i++) {
		struct network_change *n = &c->networks[i];
		unsigned entries;

		n->id = read_u32(&s->r);
		entries = read_u8(&s->r);
		if (s->r.bad || !n->id || entries > 2 || (i && n[-1].id >= n->id))
			return bad(s);
		n->n = (uint8_t)entries;
		for (unsigned k = 0; k < entries; k++)
			if (!get_entry(s, n->id, &n->entries[k]))
				return false;
	}
	return true;
}

static bool get_ids(struct source *s, uint32_t **ret, size_t *ret_n)
{
	if (!get_array(s, 4, sizeof(**ret), ret_n, ret))
		return false;
	for (size_t i = 0; i < *ret_n; i++) {
		(*ret)[i] = read_u32(&s->r);
		if (i && (*ret)[i - 1] >= (*ret)[i])
			return bad(s);
	}
	return true;
}

int image_change_decode(const uint8_t *data, size_t len, struct image_change **ret)
{
	struct image_change *c;
	struct source s;
	int error;

	if (!begin(&s, data, len, IMAGE_CHANGE))
		return -EBADMSG;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->step = read_u8(&s.r);
	c->router = read_u32(&s.r);
	c->version = get_version(&s);
	c->base = get_version(&s);
	if (get_self(&s, &c->self) && get_network_changes(&s, c) &&
	    get_aliases(&s, &c->aliases, &c->n_aliases) && get_ids(&s, &c->gone, &c->n_gone) &&
	    get_peers(&s, &c->peers, &c->n_peers) &&
	    get_ids(&s, &c->tinies_gone, &c->n_tinies_gone))
		get_tinies(&s, &c->tinies, &c->n_tinies);
	error = end(&s);
	if (!error &&
	    (version_compare(c->base, c->version) >= 0 || !c->router || c->step >= IMAGE_STEPS))
		error = -EBADMSG;
	if (error)
		image_change_free(c);
	else
		*ret = c;
	return error;
}
