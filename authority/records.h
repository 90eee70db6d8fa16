/*
 * The kinds of record that the authority keeps, and their form in the store: a key
 * ("vn/8000"), and a JSON object whose fields are those of the struct.
 *
 * Names (sites, users, routers, hosts, VNs) are 1 to 63 of [a-z0-9.-], the first a
 * letter or digit. Lists of names ascend (strcmp), but for those in order of choice, and hold
 * none twice. Times are
 * milliseconds since 1970, UTC.
 */
#ifndef AUTHORITY_RECORDS_H
#define AUTHORITY_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "common/addr.h"

#define RECORD_NAME 63	       /* longest name */
#define RECORD_KEY 200	       /* longest key */
#define RECORD_ERROR 200       /* room for the words of an error */
#define RECORD_MEMBERS 100000  /* of one VN */
#define RECORD_QUEUE_ROUTERS 8 /* that one router may name */
#define RECORD_TINY_ROUTERS 3  /* that one tiny may connect to */
#define RECORD_TINY_ADDRESSES 2

/* Which fields there are. Goes up by one whenever some are added, which say since when they
 * are there, and what they are where they weren't (records.c). See schema.h. */
#define RECORDS_VERSION 3

/* In the order in which records refer to each other: later ones to earlier ones. */
enum record_kind {
	RECORD_ORDER,	   /* "order" */
	RECORD_USER,	   /* "user/NAME" */
	RECORD_SITE,	   /* "site/NAME" */
	RECORD_ROUTER,	   /* "router/NAME" */
	RECORD_HOST,	   /* "host/NAME" */
	RECORD_TINY,	   /* "tiny/NAME": of a host of that name, until it is revoked */
	RECORD_VN,	   /* "vn/ID" */
	RECORD_POLICY,	   /* "policy/SITE/NAME" */
	RECORD_TOKEN,	   /* "token/HASH": of the secret, which isn't stored */
	RECORD_CREDENTIAL, /* "credential/HASH" */
	RECORD_CHANGE,	   /* "change/ID": what an operation on VNs did, for undo */
	RECORD_LOG,	   /* "log/VN/ID": refers to a change */
	RECORD_AUDIT,	   /* "audit/ID" */
	RECORD_KINDS,
};

/* Table 5-1 of the dissertation. */
enum role {
	ROLE_VR = 1 << 0,
	ROLE_ADM = 1 << 1,
	ROLE_SA = 1 << 2,
	ROLE_VNA = 1 << 3,
	ROLE_EU = 1 << 4,
};
#define ROLES 5
extern const char *const role_names[ROLES + 1]; /* by bit; then NULL */

struct names {
	size_t n;
	char **at;
};

struct addresses {
	size_t n;
	struct ip *at;
};

struct blocks {
	size_t n;
	struct prefix *at;
};

/* Every operation that changes what must agree between records (members, addresses,
 * blocks, IDs) writes this one, so that the store lets one of two through that were
 * decided on the same state. */
struct order_record {
	uint64_t n;	  /* such operations until now */
	uint32_t next_vn; /* the next network ID that nobody chose */
	uint32_t next_router;
	uint64_t generation; /* of tables: see publish.h */
	struct blocks space; /* that blocks are taken from */
};

struct user_record {
	uint32_t roles;
	char *key; /* public key or its fingerprint, as the CA writes it */
	bool revoked;
	uint64_t created;
	uint64_t expires; /* its last certificate; 0: not known */
};

struct site_record {
	struct names admins;
	struct blocks subnets; /* the physical network's */
	char *location, *contact;
	uint64_t created;
};

/* Whether nobody can connect to it, and how it keeps in touch with its queue routers. */
enum router_limited {
	ROUTER_AUTO, /* it is if it has no endpoint; how is for its own file to say */
	ROUTER_NOT_LIMITED,
	ROUTER_CHANNEL,
	ROUTER_UDP,
	ROUTER_POLL_UDP,
	ROUTER_POLL_TCP,
	ROUTER_LIMITED_WORDS
};
extern const char *const router_limited_names[ROUTER_LIMITED_WORDS + 1]; /* then NULL */

struct router_record {
	uint32_t id;
	char *site;
	char *key;
	char *endpoint; /* "": none, nobody can connect to it */
	uint32_t tls_port;
	enum router_limited limited;
	struct names queue_routers; /* in order, not sorted; none: they are chosen */
	bool relay;		    /* it may serve limited ones as queue router */
	bool direct;		    /* direct paths to it are looked for */
	struct blocks blocks;
	char *queue_order; /* of those, the first choice first, separated by blanks; "" */
	bool disabled;	   /* by an administrator: carries nothing */
	bool silent;	   /* for long, and another one can carry what it carries */
	bool revoked;
	uint64_t created;
};

struct host_record {
	char *router;
	char *owner;
	struct addresses addresses;
	char *key; /* hash of the secret that it proves itself with to its router; "": none */
	uint64_t created;
};

/* A VM with vine-tiny. As a member of VNs it is the host of its name. */
struct tiny_record {
	uint32_t id;		    /* no router has it */
	char *key;		    /* public */
	struct names routers;	    /* that it may connect to, the designated one first */
	struct addresses addresses; /* its own */
	uint32_t vn;		    /* that it was let into */
	char *owner;
	char *source; /* the address that it was asked for from */
	char *range;  /* "": in none that is known */
	char *token;  /* hash; "": without one */
	char *nonce;  /* by which the VM asks again when it hasn't heard the answer */
	bool revoked; /* there is no host any more */
	uint64_t created;
};

/* How the frames of a VN are protected. */
enum vn_protection {
	VN_DEFAULT, /* as the authority's configuration says for all */
	VN_NONE,
	VN_HMAC,
	VN_AES_256_GCM,
	VN_CHACHA20_POLY1305,
	VN_PROTECTIONS
};
extern const char *const vn_protection_names[VN_PROTECTIONS + 1]; /* then NULL */

struct vn_record {
	char *name;
	enum vn_protection protection; /* as long as it is there */
	char *creator;
	struct names admins;
	struct names users; /* who may have hosts of their own join; "*": anybody */
	struct names members;
	uint64_t created;
	char *change; /* ID of the change that last wrote it */
};

/* Hosts, VNs, users: "*" is any. A rule holds from minute to minute of the day, UTC,
 * the end not included; equal: all day; over midnight where `from` is the later. */
struct policy_record {
	enum { POLICY_PERMIT, POLICY_FORBID } effect;
	struct names hosts;
	struct names vns;
	struct names creators; /* of the VN */
	uint32_t from, to;
};

struct token_record {
	enum { TOKEN_USER, TOKEN_ROUTER, TOKEN_HOST, TOKEN_TINY } registers;
	char *site;	/* of a router or host; "" for others */
	uint32_t roles; /* of a user */
	uint32_t vn;	/* of a tiny */
	bool anywhere;	/* a tiny may be outside of all ranges that are known */
	char *issuer;
	uint32_t count, used;
	uint64_t expires;
};

struct credential_record {
	char *user; /* whom its bearer acts for */
	struct names operations;
	struct names vns; /* "*": any */
	uint64_t expires;
};

/* `before` and `after` hold the VN records by key, null where there was none. */
struct change_record {
	uint64_t time;
	char *caller;
	char *operation;
	json_t *before, *after;
};

struct log_record {
	uint64_t time;
};

struct audit_record {
	uint64_t time;
	char *caller; /* "user/NAME", "router/NAME", "-" */
	char *operation;
	char *target; /* what it was about */
	bool allowed;
	char *detail; /* why not */
};

struct record {
	enum record_kind kind;
	char id[RECORD_KEY]; /* the key after the kind; a policy's is "SITE/NAME" */
	union {
		struct order_record order;
		struct user_record user;
		struct site_record site;
		struct router_record router;
		struct host_record host;
		struct tiny_record tiny;
		struct vn_record vn;
		struct policy_record policy;
		struct token_record token;
		struct credential_record credential;
		struct change_record change;
		struct log_record log;
		struct audit_record audit;
	};
};

/* The kind of a key, its ID checked; *ret_id (may be NULL) points into it.
 * RECORD_KINDS: it is none. */
enum record_kind record_key(const char *key, const char **ret_id);
/* 0; -EINVAL: the words for it in error, *ret is nothing to be freed. The value
 * may be anything. */
int record_decode(const char *key, const json_t *value, struct record *ret,
		  char error[static RECORD_ERROR]);
/* The caller's. What it makes, record_decode takes. */
json_t *record_encode(const struct record *);
/* Gives the value of such a record of an earlier version the fields that have come since.
 * Whether there were any. What isn't well-formed stays so. */
bool record_upgrade(enum record_kind, json_t *value, unsigned from);
/* Frees what the record's fields hold. */
void record_done(struct record *);

bool name_valid(const char *);
bool names_have(const struct names *, const char *name);
/* Names ascending, without doubles. */
bool names_match(const struct names *, const char *name); /* or "*" is among them */
/* Takes over no text: copies. */
void names_insert(struct names *, const char *name);
void names_remove(struct names *, const char *name);
void names_copy(struct names *, const struct names *from);
void names_done(struct names *);
/* The list as JSON; of bit names. */
json_t *names_json(const struct names *);
json_t *roles_json(uint32_t roles);
/* False: not a list of role names without doubles. */
bool roles_parse(const json_t *, uint32_t *ret);

#endif
