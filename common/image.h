/*
 * The tables that a router receives from the authority: one image, signed, or what
 * changes from the one that it runs (SPEC section 8; docs/image.md has the bytes).
 *
 * An image holds all that a router needs: networks with their rows, aliases, and the
 * routers and tinies that it talks to, by pinned keys. Send and receive tables differ while a
 * change goes through its steps; most networks are in both.
 *
 * Bytes are read as a stranger's, whether their signature is checked or not. Of one
 * image there is one form: what is decoded comes out the same when it is encoded.
 *
 * Images are immutable and share networks and peers by reference: one thread.
 */
#ifndef COMMON_IMAGE_H
#define COMMON_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/network.h"
#include "common/sign.h"
#include "common/wire.h"

#define IMAGE_MAX (32u << 20) /* bytes */
/* What a router takes: its memory is in proportion to these, not to the bytes. */
#define IMAGE_ROWS (2u << 20)
#define IMAGE_PEERS (1u << 16)
#define IMAGE_TINIES (1u << 17)
#define IMAGE_NAME 63
#define IMAGE_ENDPOINT 261 /* text of "host:port" */
#define IMAGE_ENDPOINTS 4
#define IMAGE_KEYS 2 /* of one router: two while one replaces the other */
#define IMAGE_KEY 255
#define IMAGE_QUEUE_ROUTERS 8
#define IMAGE_TINY_ADDRESSES 4
#define IMAGE_STEPS 4 /* numbered from 0 */

/* Of a router's tables: the higher generation is newer, then the higher number. */
struct version {
	uint64_t generation, number;
};
int version_compare(struct version, struct version);

#define SIDE_SEND 1
#define SIDE_RECEIVE 2
#define SIDES 3

struct image_network {
	uint8_t sides; /* in which tables; 0: none, aliases come from it */
	enum protection protection;
	struct network_table *table; /* ours */
};

struct image_key {
	uint8_t len;
	uint8_t bytes[IMAGE_KEY]; /* public key, as its certificate has it */
};

struct image_peer {
	uint32_t refs;
	uint32_t id;
	bool transit, relay, direct; /* as in [peer] of a router's configuration */
	uint16_t tls_port;
	uint8_t n_endpoints, n_keys, n_queue_routers;
	char name[IMAGE_NAME + 1];
	char endpoints[IMAGE_ENDPOINTS][IMAGE_ENDPOINT + 1]; /* none: nobody can connect to it */
	struct image_key keys[IMAGE_KEYS];
	uint32_t queue_routers[IMAGE_QUEUE_ROUTERS]; /* IDs, the best first */
};

/* A tiny (vine-tiny) that may connect to the addressee. Its addresses are its own; in which
 * networks they are the rows say. */
struct image_tiny {
	uint32_t refs;
	uint32_t id; /* no router has it */
	bool here;   /* the addressee's rows that have its addresses mean it */
	uint8_t n_addresses;
	char name[IMAGE_NAME + 1];
	struct image_key key; /* as a peer's */
	struct ip addresses[IMAGE_TINY_ADDRESSES];
};

/* What is pinned of a peer or a tiny. */
struct pinned {
	uint32_t id;
	const char *name;
	const struct image_key *keys; /* in the order in which they came */
	unsigned n_keys;
};

/* How one to whom nobody can connect keeps in touch with its queue routers. */
enum image_limited {
	IMAGE_NOT_LIMITED,
	IMAGE_LIMITED, /* as its own configuration says */
	IMAGE_CHANNEL,
	IMAGE_UDP,
	IMAGE_POLL_UDP,
	IMAGE_POLL_TCP,
	IMAGE_MODES
};

/* What the addressee is told of itself. */
struct image_self {
	uint8_t limited; /* enum image_limited */
	uint8_t n_queue_routers;
	uint32_t queue_routers[IMAGE_QUEUE_ROUTERS]; /* peers, the best first */
};

struct image {
	struct version version;
	uint32_t router; /* whose */
	uint8_t step;
	struct image_self self;
	/* By ID, sides. One ID is here once, or for either side apart. */
	size_t n_networks;
	struct image_network *networks;
	size_t n_aliases;
	struct alias *aliases; /* by from, to */
	size_t n_peers;
	struct image_peer **peers; /* by ID */
	size_t n_tinies;
	struct image_tiny **tinies; /* by ID */
};

/* Empty; NULL: out of memory. */
struct image *image_new(void);
void image_free(struct image *);
/* Whether it is more than IMAGE_ROWS, _PEERS, _TINIES. */
bool image_too_large(const struct image *);
/* Whether everything in it is as it should be, as decoded ones are. */
bool image_valid(const struct image *);
/* The network's table on this side; NULL: it isn't there. */
const struct image_network *image_network(const struct image *, uint32_t id, uint8_t side);
const struct image_peer *image_peer(const struct image *, uint32_t id);
/* "host:port", "[address]:port": what resolving it gives is the router's to see. */
bool image_endpoint_valid(const char *);
/* Empty, with what a configuration has by default, one reference; NULL: out of memory. */
struct image_peer *image_peer_new(void);
struct image_peer *image_peer_ref(const struct image_peer *);
void image_peer_unref(struct image_peer *);
bool image_peer_valid(const struct image_peer *);
bool image_peer_equal(const struct image_peer *, const struct image_peer *);
/* Another one with the same in it, one reference; NULL: out of memory. */
struct image_peer *image_peer_copy(const struct image_peer *);

const struct image_tiny *image_tiny(const struct image *, uint32_t id);
/* Empty, one reference; NULL: out of memory. */
struct image_tiny *image_tiny_new(void);
struct image_tiny *image_tiny_ref(const struct image_tiny *);
void image_tiny_unref(struct image_tiny *);
bool image_tiny_valid(const struct image_tiny *);
bool image_tiny_equal(const struct image_tiny *, const struct image_tiny *);

/* From one image to the next. */
struct image_change;
void image_change_free(struct image_change *);
struct version image_change_version(const struct image_change *);
/* What makes `to` of `from`. Either may be a part of the whole, the same one of both:
 * what is in neither stays as it is. NULL: out of memory. */
struct image_change *image_change_new(const struct image *from, const struct image *to);
/* 0; -ESTALE: it is not about what is run, or for another router; -EBADMSG: it takes
 * out what isn't there, or makes no good image; -ENOMEM. */
int image_apply_change(const struct image *, const struct image_change *, struct image **ret);

/* Bytes, signed; to be freed. NULL: out of memory, or larger than IMAGE_MAX. */
uint8_t *image_encode(const struct image *, const struct signer *, size_t *ret_len);
uint8_t *image_change_encode(const struct image_change *, const struct signer *, size_t *ret_len);

enum image_kind { IMAGE_NONE, IMAGE_WHOLE, IMAGE_CHANGE };
/* What the first bytes say. */
enum image_kind image_kind(const uint8_t *, size_t len);
/* Whether the authority of this key has signed the bytes. */
bool image_verify(const uint8_t *, size_t len, const uint8_t public_key[static SIGN_KEY]);
/* 0, -EBADMSG, -ENOMEM; -EMSGSIZE: more than IMAGE_ROWS, _PEERS, _TINIES. The signature is not
 * looked at. */
int image_decode(const uint8_t *, size_t len, struct image **ret);
int image_change_decode(const uint8_t *, size_t len, struct image_change **ret);

#endif
