/*
 * Netfilter tables of the router's own, written as one transaction: it is in force as
 * a whole, or not at all. Running out of memory on the way is told by the commit.
 */
#ifndef ROUTER_HOST_NFT_H
#define ROUTER_HOST_NFT_H

#include <stdbool.h>
#include <stdint.h>

#include "router/netlink.h"

struct nftnl_rule;
struct nftnl_expr;
struct host_nft;

/* A transaction about one table of a family (NFPROTO_...). NULL: out of memory. */
struct host_nft *host_nft_begin(struct netlink *, uint32_t family, const char *table);
/* 0, or the -errno of what the kernel refused; frees it in any case. */
int host_nft_commit(struct host_nft *);
/* A transaction that does no more than delete the table; 0 too if it is gone already. */
int host_nft_remove(struct netlink *, uint32_t family, const char *table);

/* owner: the table belongs to our netlink socket and vanishes with it. */
void host_nft_add_table(struct host_nft *, bool owner);
void host_nft_delete_table(struct host_nft *);
/* A chain at a hook, accepting what no rule drops; devices: a list that ends with
 * NULL, for families whose hooks are devices'. */
void host_nft_add_chain(struct host_nft *, const char *name, uint32_t hook, int priority,
			const char *const *devices);
/* A rule of the expressions that `write` adds to it; false from it: out of memory. */
void host_nft_add_rule(struct host_nft *, const char *chain,
		       bool (*write)(struct nftnl_rule *, const void *arg), const void *arg);

/* Adds an expression to a rule, which owns it; NULL: out of memory. */
struct nftnl_expr *host_nft_expr(struct nftnl_rule *, const char *kind);
/* Add what fills register 1: a packet's property (NFT_META_...); bytes of a header (base
 * NFT_PAYLOAD_...); the interface that a route leads out by, 0 for none (NFTA_FIB_F_...).
 * False, here and below: out of memory. */
bool host_nft_meta(struct nftnl_rule *, uint32_t key);
bool host_nft_payload(struct nftnl_rule *, uint32_t base, uint32_t offset, uint32_t size);
bool host_nft_fib(struct nftnl_rule *, uint32_t flags);
/* Add a test of register 1 (NFT_CMP_...; whether it is equal). */
bool host_nft_test(struct nftnl_rule *, uint32_t op, const void *value, uint32_t size);
bool host_nft_is(struct nftnl_rule *, const void *value, uint32_t size);
/* Adds the setting of a packet's property. */
bool host_nft_set_meta(struct nftnl_rule *, uint32_t key, const void *value, uint32_t size);

#endif
