/*
 * The router's own Netfilter table: what would leave by the device is dropped
 * there if it came in by a way that does not lead back to its source (a packet
 * from the Internet in a host's name), and goes to the queues instead where they
 * are in use.
 *
 *   table inet vine-DEVICE
 *     chain overlay_forward   hook forward
 *       meta oifname DEVICE   fib saddr . iif oif missing   counter drop
 *       meta oifname DEVICE   meta l4proto tcp   symhash mod N I   queue num TCP + I
 *       meta oifname DEVICE   symhash mod N I   queue num REST + I
 *     chain overlay_output    hook output
 *       the last two again, both once for each of N workers
 *
 * The hooks come after the kernel's routing, so that TTL and MTU are dealt with
 * and answered; and after the site's own filter rules (priority 0), so that these
 * see the packets as they do when the device takes them. There is no bypass: a
 * queue that nobody reads drops.
 *
 * The table is owned by our netlink socket and vanishes with it, however the
 * process ends. Kernels before 5.12 know no owners: there a leftover may be found
 * and is replaced, in the same transaction. Where the kernel was built without
 * nf_tables' queue expression, the xtables target of the same effect is asked
 * for; without its hash expression, which tells flows apart by their ports as well,
 * there is one rule for all queues, and the target balances by address pair. Each is
 * tried, as there is no other way to find out.
 */
#include "router/host_private.h"

#include <errno.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/xt_NFQUEUE.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "router/nfq.h"

#define PRIORITY 10	       /* after NF_IP_PRI_FILTER */
#define BATCH_ROOM (96 * 1024) /* rules for 32 workers take about half of it */

/* One transaction being written. */
struct transaction {
	struct netlink *nl;
	struct mnl_nlmsg_batch *batch;
	const char *table;
	bool failed;					    /* out of memory */
	_Alignas(struct nlmsghdr) char buf[2 * BATCH_ROOM]; /* libmnl asks for twice the limit */
};

struct rules {
	const char *device;
	uint16_t first, n; /* queues; n = 0: none */
	bool check_source;
	bool by_flow;	 /* balanced by flow, not by address pair */
	bool owner;	 /* the table goes with our socket */
	bool expression; /* nf_tables' own, not the xtables target */
};

/* Completes a rule; `queue` is a number behind the first one, ranges included. */
typedef bool action_fn(struct nftnl_rule *, const struct rules *, unsigned queue);

/* The next message goes behind the one just written. */
static void next(struct transaction *t)
{
	if (!mnl_nlmsg_batch_next(t->batch))
		t->failed = true;
}

static void begin(struct transaction *t, struct netlink *nl, const char *table)
{
	t->nl = nl;
	t->table = table;
	t->failed = false;
	t->batch = mnl_nlmsg_batch_start(t->buf, BATCH_ROOM);
	if (!t->batch) {
		t->failed = true;
		return;
	}
	nftnl_batch_begin(mnl_nlmsg_batch_current(t->batch), netlink_next(nl));
	next(t);
}

static int commit(struct transaction *t)
{
	int e = -ENOMEM;

	if (!t->failed) {
		nftnl_batch_end(mnl_nlmsg_batch_current(t->batch), netlink_next(t->nl));
		next(t);
		e = netlink_batch(t->nl, mnl_nlmsg_batch_head(t->batch),
				  mnl_nlmsg_batch_size(t->batch));
	}
	if (t->batch)
		mnl_nlmsg_batch_stop(t->batch);
	return e;
}

static struct nlmsghdr *message(struct transaction *t, uint16_t type, uint16_t flags)
{
	return nftnl_nlmsg_build_hdr(mnl_nlmsg_batch_current(t->batch), type, NFPROTO_INET,
				     (uint16_t)(flags | NLM_F_ACK), netlink_next(t->nl));
}

static void put_table(struct transaction *t, uint16_t type, uint32_t table_flags)
{
	struct nftnl_table *table = t->failed ? NULL : nftnl_table_alloc();

	if (!table) {
		t->failed = true;
		return;
	}
	nftnl_table_set_str(table, NFTNL_TABLE_NAME, t->table);
	nftnl_table_set_u32(table, NFTNL_TABLE_FAMILY, NFPROTO_INET);
	if (type == NFT_MSG_NEWTABLE)
		nftnl_table_set_u32(table, NFTNL_TABLE_FLAGS, table_flags);
	nftnl_table_nlmsg_build_payload(
		message(t, type, type == NFT_MSG_NEWTABLE ? NLM_F_CREATE : 0), table);
	next(t);
	nftnl_table_free(table);
}

static void put_chain(struct transaction *t, const char *name, uint32_t hook)
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
	nftnl_chain_set_s32(c, NFTNL_CHAIN_PRIO, PRIORITY);
	nftnl_chain_set_u32(c, NFTNL_CHAIN_POLICY, NF_ACCEPT);
	nftnl_chain_nlmsg_build_payload(message(t, NFT_MSG_NEWCHAIN, NLM_F_CREATE), c);
	next(t);
	nftnl_chain_free(c);
}

static struct nftnl_expr *add_expr(struct nftnl_rule *r, const char *kind)
{
	struct nftnl_expr *e = nftnl_expr_alloc(kind);

	if (e)
		nftnl_rule_add_expr(r, e);
	return e;
}

static bool match_device(struct nftnl_rule *r, const char *device)
{
	struct nftnl_expr *meta = add_expr(r, "meta"), *cmp = add_expr(r, "cmp");
	char name[IF_NAMESIZE] = { 0 };

	if (!meta || !cmp)
		return false;
	strncpy(name, device, sizeof(name) - 1);
	nftnl_expr_set_u32(meta, NFTNL_EXPR_META_KEY, NFT_META_OIFNAME);
	nftnl_expr_set_u32(meta, NFTNL_EXPR_META_DREG, NFT_REG_1);
	nftnl_expr_set_u32(cmp, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
	nftnl_expr_set_u32(cmp, NFTNL_EXPR_CMP_OP, NFT_CMP_EQ);
	nftnl_expr_set(cmp, NFTNL_EXPR_CMP_DATA, name, sizeof(name));
	return true;
}

static bool match_tcp(struct nftnl_rule *r)
{
	struct nftnl_expr *meta = add_expr(r, "meta"), *cmp = add_expr(r, "cmp");
	const uint8_t tcp = IPPROTO_TCP;

	if (!meta || !cmp)
		return false;
	nftnl_expr_set_u32(meta, NFTNL_EXPR_META_KEY, NFT_META_L4PROTO);
	nftnl_expr_set_u32(meta, NFTNL_EXPR_META_DREG, NFT_REG_1);
	nftnl_expr_set_u32(cmp, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
	nftnl_expr_set_u32(cmp, NFTNL_EXPR_CMP_OP, NFT_CMP_EQ);
	nftnl_expr_set(cmp, NFTNL_EXPR_CMP_DATA, &tcp, sizeof(tcp));
	return true;
}

/* Of n equal parts of all flows, the i-th. */
static bool match_part(struct nftnl_rule *r, uint32_t n, uint32_t i)
{
	struct nftnl_expr *hash = add_expr(r, "hash"), *cmp = add_expr(r, "cmp");

	if (!hash || !cmp)
		return false;
	nftnl_expr_set_u32(hash, NFTNL_EXPR_HASH_TYPE, NFT_HASH_SYM);
	nftnl_expr_set_u32(hash, NFTNL_EXPR_HASH_DREG, NFT_REG_1);
	nftnl_expr_set_u32(hash, NFTNL_EXPR_HASH_MODULUS, n);
	nftnl_expr_set_u32(cmp, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
	nftnl_expr_set_u32(cmp, NFTNL_EXPR_CMP_OP, NFT_CMP_EQ);
	nftnl_expr_set_u32(cmp, NFTNL_EXPR_CMP_DATA, i);
	return true;
}

static bool queue_by_expression(struct nftnl_rule *r, uint16_t first, uint16_t n)
{
	struct nftnl_expr *e = add_expr(r, "queue");

	if (!e)
		return false;
	nftnl_expr_set_u16(e, NFTNL_EXPR_QUEUE_NUM, first);
	nftnl_expr_set_u16(e, NFTNL_EXPR_QUEUE_TOTAL, n);
	nftnl_expr_set_u16(e, NFTNL_EXPR_QUEUE_FLAGS, 0); /* no bypass */
	return true;
}

static bool queue_by_target(struct nftnl_rule *r, uint16_t first, uint16_t n)
{
	struct nftnl_expr *e = add_expr(r, "target");
	/* Its size must be a multiple of 8. The expression frees it. */
	struct xt_NFQ_info_v3 *info = e ? calloc(1, 8) : NULL;

	if (!info)
		return false;
	info->queuenum = first;
	info->queues_total = n;
	nftnl_expr_set_str(e, NFTNL_EXPR_TG_NAME, "NFQUEUE");
	nftnl_expr_set_u32(e, NFTNL_EXPR_TG_REV, 3);
	nftnl_expr_set(e, NFTNL_EXPR_TG_INFO, info, 8);
	return true;
}

/* To the queue of one worker, if it is its part; or to those of all. */
static bool to_queue(struct nftnl_rule *r, const struct rules *q, unsigned queue)
{
	const uint16_t first = (uint16_t)(q->first + queue), n = q->by_flow ? 1 : q->n;
	const unsigned i = queue % NFQUEUE_RANGE;

	if (queue < NFQUEUE_REST && !match_tcp(r))
		return false;
	if (q->by_flow && i + 1 < q->n && !match_part(r, q->n, i)) /* the last takes the rest */
		return false;
	return q->expression ? queue_by_expression(r, first, n) : queue_by_target(r, first, n);
}

/* The route back to the source must lead out where the packet came in. */
static bool drop_spoofed(struct nftnl_rule *r, const struct rules *q, unsigned queue)
{
	struct nftnl_expr *fib = add_expr(r, "fib"), *cmp = add_expr(r, "cmp");
	struct nftnl_expr *counter = add_expr(r, "counter"), *drop = add_expr(r, "immediate");

	(void)q;
	(void)queue;
	if (!fib || !cmp || !counter || !drop)
		return false;
	nftnl_expr_set_u32(fib, NFTNL_EXPR_FIB_FLAGS, NFTA_FIB_F_SADDR | NFTA_FIB_F_IIF);
	nftnl_expr_set_u32(fib, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_OIF);
	nftnl_expr_set_u32(fib, NFTNL_EXPR_FIB_DREG, NFT_REG_1);
	nftnl_expr_set_u32(cmp, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
	nftnl_expr_set_u32(cmp, NFTNL_EXPR_CMP_OP, NFT_CMP_EQ);
	nftnl_expr_set_u32(cmp, NFTNL_EXPR_CMP_DATA, 0); /* no such interface */
	nftnl_expr_set_u32(drop, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(drop, NFTNL_EXPR_IMM_VERDICT, NF_DROP);
	return true;
}

static void put_rule(struct transaction *t, const char *chain, const struct rules *q,
		     action_fn *action, unsigned queue)
{
	struct nftnl_rule *r = t->failed ? NULL : nftnl_rule_alloc();

	if (!r) {
		t->failed = true;
		return;
	}
	nftnl_rule_set_str(r, NFTNL_RULE_TABLE, t->table);
	nftnl_rule_set_str(r, NFTNL_RULE_CHAIN, chain);
	nftnl_rule_set_u32(r, NFTNL_RULE_FAMILY, NFPROTO_INET);
	if (match_device(r, q->device) && action(r, q, queue)) {
		nftnl_rule_nlmsg_build_payload(
			message(t, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND), r);
		next(t);
	} else {
		t->failed = true;
	}
	nftnl_rule_free(r);
}

static void put_queues(struct transaction *t, const char *chain, const struct rules *q,
		       unsigned range)
{
	const unsigned rules = q->by_flow || !q->n ? q->n : 1;

	for (unsigned i = 0; i < rules; i++)
		put_rule(t, chain, q, to_queue, range + i);
}

static int add_table(struct host *host, const char *name, const struct rules *q)
{
	static const struct {
		const char *name;
		uint32_t hook;
	} chains[] = { { "overlay_forward", NF_INET_FORWARD },
		       { "overlay_output", NF_INET_LOCAL_OUT } };
	struct transaction *t = malloc(sizeof(*t));
	int e;

	if (!t)
		return -ENOMEM;
	begin(t, &host->filter, name);
	/* Made so that it can be deleted whether it was there or not. */
	put_table(t, NFT_MSG_NEWTABLE, 0);
	put_table(t, NFT_MSG_DELTABLE, 0);
	put_table(t, NFT_MSG_NEWTABLE, q->owner ? NFT_TABLE_F_OWNER : 0);
	for (unsigned i = 0; i < 2; i++) {
		put_chain(t, chains[i].name, chains[i].hook);
		if (q->check_source && chains[i].hook == NF_INET_FORWARD)
			put_rule(t, chains[i].name, q, drop_spoofed, 0);
		put_queues(t, chains[i].name, q, NFQUEUE_TCP);
		put_queues(t, chains[i].name, q, NFQUEUE_REST);
	}
	e = commit(t);
	free(t);
	return e;
}

/* Tries what kernels may lack, the best first: owners, hashes, the queue expression. */
static int add_best(struct host *host, const char *name, struct rules *q)
{
	int e = 0;

	for (unsigned way = 0; way < 8; way++) {
		q->owner = !(way & 4);
		q->by_flow = !(way & 2) && q->n > 1;
		q->expression = !(way & 1);
		e = add_table(host, name, q);
		if (!e || e == -EPERM || e == -EACCES || e == -ENOMEM)
			break;
	}
	return e;
}

int host_rules_set(struct host *host, const char *device, bool check_source, uint16_t first,
		   uint16_t n, const char **ret_what)
{
	struct rules q = { .device = device, .check_source = check_source, .first = first, .n = n };
	char name[sizeof(host->table)];
	int e = -EINVAL;

	if (n > NFQUEUE_RANGE || first > NFQUEUE_FIRST_MAX || strlen(device) >= IF_NAMESIZE) {
		*ret_what = "queue numbers or device name out of range";
		return e;
	}
	e = host_rules_remove(host);
	if (e) {
		*ret_what = "the earlier Netfilter table can't be removed";
		return e;
	}
	if (!n && !check_source)
		return 0;
	snprintf(name, sizeof(name), HOST_TABLE_PREFIX "%s", device);
	e = add_best(host, name, &q);
	if (!e) {
		strcpy(host->table, name);
		return 0;
	}
	*ret_what = e == -EPERM	   ? "the Netfilter table is not ours to change"
		    : e == -ENOENT ? "the kernel has neither nf_tables' queue expression nor the "
				     "xtables NFQUEUE target"
				   : "the Netfilter table can't be made";
	return e;
}

int host_rules_remove(struct host *host)
{
	struct transaction *t;
	int e;

	if (!host->table[0])
		return 0;
	t = malloc(sizeof(*t));
	if (!t)
		return -ENOMEM;
	begin(t, &host->filter, host->table);
	put_table(t, NFT_MSG_DELTABLE, 0);
	e = commit(t);
	free(t);
	if (e == -ENOENT) /* somebody flushed the ruleset */
		e = 0;
	if (!e)
		host->table[0] = '\0';
	return e;
}
