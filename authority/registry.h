/*
 * The registry: the records of the store in memory, linked and indexed. It is what
 * operations are decided on and tables are computed from.
 *
 * registry_apply is the only way to change it; everything else gets it const. Objects
 * live until the apply that deletes them.
 */
#ifndef AUTHORITY_REGISTRY_H
#define AUTHORITY_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "authority/records.h"
#include "common/list.h"

struct vn;
struct tiny;
struct registry;

/* What every object begins with. */
struct object {
	char *name;	   /* the ID of its key; of a VN its name */
	uint64_t revision; /* of the store, that wrote it */
};

struct user {
	struct object object;
	struct user_record record;
	struct list hosts; /* that it owns */
};

struct site {
	struct object object;
	struct site_record record;
	struct list routers, policies;
};

struct router {
	struct object object;
	struct router_record record; /* without its site's name */
	struct site *site;
	struct list by_site, by_relay; /* ... among all whose record has `relay` */
	struct list hosts;
	struct list tinies; /* that may connect to it: by_router of struct tiny_place */
};

struct host_address {
	struct ip ip;
	struct host *host;
};

struct host {
	struct object object;
	struct router *router;
	struct user *owner;
	const struct tiny *tiny; /* NULL: it isn't one */
	struct list by_router, by_owner;
	char *key; /* of its record; NULL: none */
	uint64_t created;
	uint32_t n_addresses, n_vns;
	struct host_address *addresses;
	struct vn **vns; /* by ID */
};

struct tiny_place {
	struct tiny *tiny;
	struct list by_router;
};

struct tiny {
	struct object object;
	struct tiny_record record;
	struct host *host;			       /* NULL: it is revoked */
	struct tiny_place places[RECORD_TINY_ROUTERS]; /* as far as there are routers */
};

struct vn {
	struct object object;
	uint32_t id;
	struct vn_record record; /* without its name and members */
	size_t n_members;
	struct host **members; /* by host_compare */
};

struct policy {
	struct object object;
	struct policy_record record;
	struct site *site;
	struct list by_site;
};

struct token {
	struct object object;
	struct token_record record;
};

struct credential {
	struct object object;
	struct credential_record record;
};

struct order {
	struct object object;
	struct order_record record;
};

/* One key of a transaction that the store has committed. */
struct registry_change {
	const char *key;
	const json_t *value; /* NULL: deleted */
	uint64_t revision;
};

/* Told of what is about to change, while the registry is as it was. */
struct registry_observer {
	void *arg;
	/* The members of a network, or where they are. vn is NULL: it begins. */
	void (*network)(void *arg, uint32_t id, const struct vn *vn);
	/* A router's record, as others see it: key, endpoint, queue routers, state. */
	void (*router)(void *arg, uint32_t id);
	/* A tiny that may connect to this router, or might. */
	void (*tiny)(void *arg, uint32_t router);
};

struct registry *registry_new(void);
void registry_free(struct registry *);
/* One observer at a time; NULL: none. It lives until it is replaced. */
void registry_observe(struct registry *, const struct registry_observer *);

/* Applies the changes of a transaction, in any order, each key once. -EINVAL: a record
 * that is malformed, or refers to what isn't there, which no operation makes: the
 * words are in error, nothing is changed if it was malformed, and the caller should
 * load the store anew otherwise. Kinds that the registry doesn't keep (change, log,
 * audit) are checked and left out. */
int registry_apply(struct registry *, const struct registry_change *, size_t n,
		   char error[static RECORD_ERROR]);

/* NULL: not there. */
const struct user *registry_user(const struct registry *, const char *name);
const struct site *registry_site(const struct registry *, const char *name);
const struct router *registry_router(const struct registry *, const char *name);
const struct host *registry_host(const struct registry *, const char *name);
const struct tiny *registry_tiny(const struct registry *, const char *name);
const struct tiny *registry_tiny_id(const struct registry *, uint32_t id);
const struct policy *registry_policy(const struct registry *, const char *id);
const struct token *registry_token(const struct registry *, const char *hash);
const struct credential *registry_credential(const struct registry *, const char *hash);
const struct vn *registry_vn(const struct registry *, uint32_t id);
const struct vn *registry_vn_named(const struct registry *, const char *name);
const struct router *registry_router_id(const struct registry *, uint32_t id);
/* revision 0: there is none yet, and the record is empty. */
const struct order *registry_order(const struct registry *);
/* The hosts with an address, one after the other. *place is 0 for the first. */
const struct host *registry_at(const struct registry *, const struct ip *, size_t *place);
/* The objects of a kind, in no order. *place is 0 for the first. NULL: no more. */
const void *registry_each(const struct registry *, enum record_kind, size_t *place);
size_t registry_count(const struct registry *, enum record_kind);

/* Whether its hosts are reached at all; and by it, rather than by another one. */
bool router_active(const struct router *);
bool router_carries(const struct router *);
/* Which router delivers an address of a host: its own; where that doesn't carry, the first by
 * ID of its site that does and has the address in a block; else its own again if it is
 * active. NULL: none. A tiny's is its own or none: it is reached only where it is connected, and
 * where that is, is found out (steer.h). */
const struct router *router_for(const struct host *, const struct ip *);
/* Whether nobody can connect to it. */
bool router_is_limited(const struct router *);
/* Whether limited routers can use it as their queue router now. */
bool router_serves(const struct router *);
/* Routers that may serve so, whether they can now or not: by_relay of struct router. */
const struct list *registry_relays(const struct registry *);
bool vn_has(const struct vn *, const struct host *);
/* Order of members: by router ID, first address, name. */
int host_compare(const struct host *, const struct host *);
/* The VN's record as it is stored, the caller's to change and record_done. */
void vn_record(const struct vn *, struct record *ret);
void host_record(const struct host *, struct record *ret);
void router_record(const struct router *, struct record *ret);
void tiny_record(const struct tiny *, struct record *ret);

#endif
