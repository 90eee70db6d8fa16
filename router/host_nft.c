/*
 * Messages to nf_tables, see host_nft.h: libnftnl builds the objects, one batch of
 * libmnl carries them.
 */

#include "router/host_nft.h"

#include <errno.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdlib.h>
#include <time.h>

#define BATCH_ROOM (96 * 1024) /* the queue rules of 32 workers take about half of it */

struct host_nft {
	struct netlink *nl;
	struct mnl_nlmsg_batch *batch;
	const char *table;
	uint32_t family;
	bool failed;					    /* out of memory or room */
	_Alignas(struct nlmsghdr) char buf[2 * BATCH_ROOM]; /* libmnl asks for twice the limit */
};

/* The next message goes behind the one just written. */
static void next(struct host_nft *t)
{
	if (!mnl_nlmsg_batch_next(t->batch))
		t->failed = true;
}

struct host_nft *host_nft_begin(struct netlink *nl, uint32_t family, const char *table)
{
	struct host_nft *t = malloc(sizeof(*t));

	if (!t)
		return NULL;
	t->nl = nl;
	t->table = table;
	t->family = family;
	t->failed = false;
	t->batch = mnl_nlmsg_batch_start(t->buf, BATCH_ROOM);
	if (!t->batch) {
		free(t);
		return NULL;
	}
	nftnl_batch_begin(mnl_nlmsg_batch_current(t->batch), netlink_next(nl));
	next(t);
	return t;
}

int host_nft_commit(struct host_nft *t)
{
	int e = -ENOMEM;

	if (!t->failed) {
		nftnl_batch_end(mnl_nlmsg_batch_current(t->batch), netlink_next(t->nl));
		next(t);
		e = netlink_batch(t->nl, mnl_nlmsg_batch_head(t->batch),
				  mnl_nlmsg_batch_size(t->batch));
	}
	mnl_nlmsg_batch_stop(t->batch);
	free(t);
	return e;
}

static struct nlmsghdr *message(struct host_nft *t, uint16_t type, uint16_t flags)
{
	return nftnl_nlmsg_build_hdr(mnl_nlmsg_batch_current(t->batch), type, (uint16_t)t->family,
				     (uint16_t)(flags | NLM_F_ACK), netlink_next(t->nl));
}

static void put_table(struct host_nft *t, uint16_t type, uint32_t table_flags)
{
	struct nftnl_table *table = t->failed ? NULL : nftnl_table_alloc();

	if (!table) {
		t->failed = true;
		return;
	}
	nftnl_table_set_str(table, NFTNL_TABLE_NAME, t->table);
	nftnl_table_set_u32(table, NFTNL_TABLE_FAMILY, t->family);
	if (type == NFT_MSG_NEWTABLE)
		nftnl_table_set_u32(table, NFTNL_TABLE_FLAGS, table_flags);
	nftnl_table_nlmsg_build_payload(
		message(t, type, type == NFT_MSG_NEWTABLE ? NLM_F_CREATE : 0), table);
	next(t);
	nftnl_table_free(table);
}

void host_nft_add_table(struct host_nft *t, bool owner)
{
	put_table(t, NFT_MSG_NEWTABLE, owner ? NFT_TABLE_F_OWNER : 0);
}

void host_nft_delete_table(struct host_nft *t)
{
	put_table(t, NFT_MSG_DELTABLE, 0);
}

int host_nft_remove(struct netlink *nl, uint32_t family, const char *table)
{
	struct host_nft *t = host_nft_begin(nl, family, table);
	int e;

	if (!t)
		return -ENOMEM;
	host_nft_delete_table(t);
	e = host_nft_commit(t);
	return e == -ENOENT ? 0 : e; /* somebody flushed the ruleset */
}

void host_nft_add_chain(struct host_nft *t, const char *name, uint32_t hook, int priority,
			const char *const *devices)
{
	struct nftnl_chain *c = t->failed ? NULL : nftnl_chain_alloc();

	if (!c) {
		t->failed = true;
		return;
	}
	nftnl_chain_set_str(c, NFTNL_CHAIN_TABLE, t->table);
	nftnl_chain_set_str(c, NFTNL_CHAIN_NAME, name);
	nftnl_chain_set_str(c, NFTNL_CHAIN_TYPE, "filter");
	nftnl_chain_set_u32(c, NFTNL_CHAIN_HOOKNUM, hook);
	nftnl_chain_set_s32(c, NFTNL_CHAIN_PRIO, priority);
	nftnl_chain_set_u32(c, NFTNL_CHAIN_POLICY, NF_ACCEPT);
	if (devices)
		nftnl_chain_set_array(c, NFTNL_CHAIN_DEVICES, (const char **)devices);
	nftnl_chain_nlmsg_build_payload(message(t, NFT_MSG_NEWCHAIN, NLM_F_CREATE), c);
	next(t);
	nftnl_chain_free(c);
}

void host_nft_add_rule(struct host_nft *t, const char *chain,
		       bool (*write)(struct nftnl_rule *, const void *), const void *arg)
{
	struct nftnl_rule *r = t->failed ? NULL : nftnl_rule_alloc();

	if (!r) {
		t->failed = true;
		return;
	}
	nftnl_rule_set_str(r, NFTNL_RULE_TABLE, t->table);
	nftnl_rule_set_str(r, NFTNL_RULE_CHAIN, chain);
	nftnl_rule_set_u32(r, NFTNL_RULE_FAMILY, t->family);
	if (write(r, arg)) {
		nftnl_rule_nlmsg_build_payload(
			message(t, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND), r);
		next(t);
	} else {
		t->failed = true;
	}
	nftnl_rule_free(r);
}

struct nftnl_expr *host_nft_expr(struct nftnl_rule *r, const char *kind)
{
	struct nftnl_expr *e = nftnl_expr_alloc(kind);

	if (e)
		nftnl_rule_add_expr(r, e);
	return e;
}

bool host_nft_meta(struct nftnl_rule *r, uint32_t key)
{
	struct nftnl_expr *meta = host_nft_expr(r, "meta");

	if (!meta)
		return false;
	nftnl_expr_set_u32(meta, NFTNL_EXPR_META_KEY, key);
	nftnl_expr_set_u32(meta, NFTNL_EXPR_META_DREG, NFT_REG_1);
	return true;
}

bool host_nft_payload(struct nftnl_rule *r, uint32_t base, uint32_t offset, uint32_t size)
{
	struct nftnl_expr *payload = host_nft_expr(r, "payload");

	if (!payload)
		return false;
	nftnl_expr_set_u32(payload, NFTNL_EXPR_PAYLOAD_DREG, NFT_REG_1);
	nftnl_expr_set_u32(payload, NFTNL_EXPR_PAYLOAD_BASE, base);
	nftnl_expr_set_u32(payload, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
	nftnl_expr_set_u32(payload, NFTNL_EXPR_PAYLOAD_LEN, size);
	return true;
}

bool host_nft_fib(struct nftnl_rule *r, uint32_t flags)
{
	struct nftnl_expr *fib = host_nft_expr(r, "fib");

	if (!fib)
		return false;
	nftnl_expr_set_u32(fib, NFTNL_EXPR_FIB_FLAGS, flags);
	nftnl_expr_set_u32(fib, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_OIF);
	nftnl_expr_set_u32(fib, NFTNL_EXPR_FIB_DREG, NFT_REG_1);
	return true;
}

bool host_nft_test(struct nftnl_rule *r, uint32_t op, const void *value, uint32_t size)
{
	struct nftnl_expr *cmp = host_nft_expr(r, "cmp");

	if (!cmp)
		return false;
	nftnl_expr_set_u32(cmp, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
	nftnl_expr_set_u32(cmp, NFTNL_EXPR_CMP_OP, op);
	nftnl_expr_set(cmp, NFTNL_EXPR_CMP_DATA, value, size);
	return true;
}

bool host_nft_is(struct nftnl_rule *r, const void *value, uint32_t size)
{
	return host_nft_test(r, NFT_CMP_EQ, value, size);
}

bool host_nft_set_meta(struct nftnl_rule *r, uint32_t key, const void *value, uint32_t size)
{
	struct nftnl_expr *load = host_nft_expr(r, "immediate"), *meta = host_nft_expr(r, "meta");

	if (!load || !meta)
		return false;
	nftnl_expr_set_u32(load, NFTNL_EXPR_IMM_DREG, NFT_REG_1);
	nftnl_expr_set(load, NFTNL_EXPR_IMM_DATA, value, size);
	nftnl_expr_set_u32(meta, NFTNL_EXPR_META_KEY, key);
	nftnl_expr_set_u32(meta, NFTNL_EXPR_META_SREG, NFT_REG_1);
	return true;
}
