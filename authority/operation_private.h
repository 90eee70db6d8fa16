/*
 * What operation_*.c share.
 *
 * Functions that return bool: false, the request is refused, and the outcome says so.
 */
#ifndef AUTHORITY_OPERATION_PRIVATE_H
#define AUTHORITY_OPERATION_PRIVATE_H

#include "authority/operation.h"

#define CHANGE_ID 64

struct task {
	const struct registry *registry;
	const struct request *request;
	struct outcome *outcome;
	enum operation operation;
	const struct user *user;     /* NULL: not a user */
	const struct router *router; /* NULL: not a router */
	const struct host *host; /* for which the router asks, alone; NULL: for all of its own */
	const struct credential *credential;
	uint32_t roles;
	char id[CHANGE_ID]; /* of the audit record: begins with the time */
	char target[200];
	bool ordered;		  /* the order record is among the changes */
	const struct host *comes; /* a host that is made by the same transaction; or NULL */
	const struct host *goes;  /* ... that it removes */
};

/* Whether somebody may do it by a credential: operations on VNs, and what changes nothing. */
bool may_delegate(enum operation);

typedef bool operation_fn(struct task *);

operation_fn operation_register, operation_list_sites, operation_list_routers, operation_list_hosts,
	operation_list_vn_hosts, operation_list_vns, operation_list_users, operation_list_policies,
	operation_vn_create, operation_vn_shutdown, operation_vn_merge, operation_vn_split,
	operation_vn_join, operation_vn_leave, operation_vn_change, operation_vn_log,
	operation_vn_undo, operation_manage_users, operation_site_change, operation_host_remove,
	operation_address_assign, operation_address_release, operation_space_change,
	operation_block_assign, operation_block_release, operation_router_change,
	operation_policy_set, operation_policy_remove, operation_token_create, operation_delegate,
	operation_revoke, operation_renew, operation_get_metrics, operation_steer,
	operation_host_token, operation_tiny_join, operation_list_tinies;

/* What revoke does, by kind (operation_tiny.c). */
bool revoke_tiny(struct task *);
/* What steer does with tinies that are at another one of their routers. */
bool steer_tinies(struct task *, const struct router *);

/* ---- tokens (operation_register.c) ---- */
/* The request's token, used once more; NULL: it has none. */
bool use_token(struct task *, const struct token **ret);

/* ---- refusals: false always ---- */
bool refuse(struct task *, int status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* ---- arguments: of the wrong form, or missing, they are refused ---- */
const json_t *argument(const struct task *, const char *name); /* NULL: not given */
bool argument_name(struct task *, const char *name, const char **ret);
bool argument_text(struct task *, const char *name, size_t max, const char **ret); /* or "" */
bool argument_number(struct task *, const char *name, uint64_t max, uint64_t absent, uint64_t *ret);
/* Sorted, to be freed with names_done. absent: that argument may be missing. "*" alone
 * only with any. */
bool argument_names(struct task *, const char *name, bool absent, bool any, struct names *ret);
/* ... of any JSON value; `what` names it. */
bool names_from(struct task *, const char *what, const json_t *, bool any, struct names *ret);
bool argument_blocks(struct task *, const char *name, struct blocks *ret);

/* ---- what arguments name ---- */
const struct site *named_site(struct task *, const char *argument);
const struct router *named_router(struct task *, const char *argument);
const struct host *named_host(struct task *, const char *argument);
const struct vn *find_vn(struct task *, const json_t *name_or_id);
const struct vn *named_vn(struct task *, const char *argument);

/* ---- who owns what ---- */
bool owns_site(const struct task *, const struct site *);
/* What an argument names, for ADM or who owns the site. NULL: refused. */
const struct site *managed_site(struct task *, const char *argument);
const struct router *managed_router(struct task *, const char *argument);
bool owns_vn(const struct task *, const struct vn *);
bool owns_host(const struct task *, const struct host *); /* or is its router, asking for it */
/* A credential limits VNs by name; true without one. */
bool credential_covers(const struct task *, const char *vn_name);

/* ---- changes; values are taken over ---- */
void change_put(struct task *, const char *key, json_t *value, const struct object *was);
void change_delete(struct task *, const char *key, const struct object *was);
/* Of a record, which it frees. was: the object that there is, NULL: there is none. */
void change_record(struct task *, struct record *, const struct object *was);
/* The order record, one more, with the IDs that this uses up (0: none). */
void change_order(struct task *, uint32_t vn, uint32_t router, const struct blocks *space);
void set_result(struct task *, json_t *);

/* ---- VNs (operation_commit.c) ---- */
/* Whether the caller may put the host into the VN as far as the host is concerned. */
bool consents(struct task *, const struct host *, const char *vn, const char *creator);
/* Some VNs become others: every one of `was` that has no record of its ID among `is` goes.
 * Checks policies, clashes and ambiguity, makes the changes with log, and the result.
 * Frees the records. */
bool commit_vns(struct task *, const struct vn *const *was, size_t n_was, struct record *is,
		size_t n_is);

#endif
