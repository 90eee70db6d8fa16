/*
 * What on this machine would break the overlay silently. It only looks; what it
 * finds it puts into one line each, with the name to look for.
 *
 * Rules are read as far as they say something about the device or the overlay's
 * prefixes. A rule is reported if nothing in it excludes the packets in question:
 * conditions that aren't understood (marks, connection state, sets) count as "may
 * match", but for sets of interface names, which hardly ever name our device.
 * Chains that are only jumped to, and iptables-legacy's tables, are not read.
 */
#include "router/host_private.h"

#include <errno.h>
#include <fcntl.h>
#include <libnftnl/chain.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHAINS_MAX 64
#define NAME_MAX_NFT 128

enum chain_kind { CHAIN_FORWARD_DROP, CHAIN_POSTROUTING_NAT };

struct chain {
	char table[NAME_MAX_NFT], name[NAME_MAX_NFT];
	uint32_t family;
	enum chain_kind kind;
	bool settled; /* an earlier rule of it has dealt with our packets */
};

struct diagnosis {
	const struct host_setup *setup;
	uint32_t ifindex;
	bool in_use[2]; /* IPv4, IPv6 */
	void (*fn)(void *arg, const char *line);
	void *arg;
	struct chain chains[CHAINS_MAX];
	size_t n_chains;
};

__attribute__((format(printf, 2, 3))) static void say(struct diagnosis *d, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	d->fn(d->arg, line);
}

/* ---- sysctls ------------------------------------------------------------------- */

/* Value of /proc/sys/net/FAMILY/conf/NAME/KEY; -1 if it can't be told. */
static int sysctl(const char *family, const char *name, const char *key)
{
	char path[128], text[16];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/%s/%s", family, name, key);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return -1;
	text[n] = '\0';
	return atoi(text);
}

static void check_sysctls(struct diagnosis *d)
{
	const char *device = d->setup->device;
	int all = sysctl("ipv4", "all", "forwarding"), own = sysctl("ipv4", device, "forwarding");

	/* IPv4 forwards by the setting of the device a packet came in by. */
	if (d->in_use[0] && all == 0 && own <= 0)
		say(d, "IPv4 forwarding is off: hosts can't reach the overlay through this machine "
		       "(set net.ipv4.ip_forward = 1)");
	else if (d->in_use[0] && own == 0)
		say(d,
		    "IPv4 forwarding is off on %s: what the overlay brings does not reach the "
		    "hosts (set net.ipv4.conf.%s.forwarding = 1)",
		    device, device);
	if (d->in_use[1] && sysctl("ipv6", "all", "forwarding") == 0)
		say(d, "IPv6 forwarding is off: hosts can't reach the overlay through this machine "
		       "(set net.ipv6.conf.all.forwarding = 1)");
	if (d->in_use[1] && sysctl("ipv6", device, "disable_ipv6") > 0)
		say(d, "IPv6 is switched off on %s (net.ipv6.conf.%s.disable_ipv6 = 1)", device,
		    device);
	all = sysctl("ipv4", "all", "rp_filter");
	own = sysctl("ipv4", device, "rp_filter");
	if (d->in_use[0] && (all > own ? all : own) == 1)
		say(d,
		    "rp_filter is strict on %s (net.ipv4.conf.%s.rp_filter = 1): a packet from the "
		    "overlay whose sender this machine routes elsewhere is dropped without a "
		    "word; 2 (loose) is safe",
		    device, all == 1 ? "all" : device);
}

/* ---- routes -------------------------------------------------------------------- */

static void check_route(struct diagnosis *d, const struct host_route *r)
{
	const bool six = r->prefix.ip.family == 6;
	char prefix[PREFIX_TEXT], name[IF_NAMESIZE];
	const char *out = r->oif ? if_indextoname(r->oif, name) : NULL;

	if (r->protocol == HOST_PROTOCOL && (r->type == RTN_UNREACHABLE || r->oif == d->ifindex))
		return;
	if (r->tos || (r->metric > (six ? HOST_IPV6_METRIC : 0) && r->protocol != RTPROT_KERNEL))
		return;
	say(d, "another route of this machine hides the overlay prefix %s from %s: %s%s, metric %u",
	    prefix_format(&r->prefix, prefix), d->setup->device, out ? "dev " : "",
	    out ? out : "no single device", r->metric);
}

static void check_routes(struct diagnosis *d, struct host *host)
{
	struct host_routes all = { .n = 0 };

	if (!host_routes_read(host, d->setup, 0, &all))
		for (size_t i = 0; i < all.n; i++)
			check_route(d, &all.at[i]);
	host_routes_done(&all);
}

/* ---- rules --------------------------------------------------------------------- */

enum field {
	FIELD_NONE,
	FIELD_OIFNAME,
	FIELD_IIFNAME,
	FIELD_OIF,
	FIELD_IIF,
	FIELD_NFPROTO,
	FIELD_ADDRESS
};

/* What reading a rule's expressions from left to right has shown so far. */
struct reading {
	const struct diagnosis *d;
	enum field field;  /* what the last load put into a register */
	uint8_t family;	   /* of the packets: 4, 6, or 0: both */
	unsigned bits;	   /* of the address that count */
	bool possible;	   /* our packets may match */
	bool certain;	   /* ... and do */
	bool names_device; /* it speaks of our device */
	bool rewrites;	   /* the source address */
	bool returns;	   /* accepts, or leaves the chain */
	bool goes_on;	   /* accepts, or jumps to a chain that might */
};

static void load_meta(struct reading *r, const struct nftnl_expr *e)
{
	switch (nftnl_expr_get_u32(e, NFTNL_EXPR_META_KEY)) {
	case NFT_META_OIFNAME: r->field = FIELD_OIFNAME; break;
	case NFT_META_IIFNAME: r->field = FIELD_IIFNAME; break;
	case NFT_META_OIF: r->field = FIELD_OIF; break;
	case NFT_META_IIF: r->field = FIELD_IIF; break;
	case NFT_META_NFPROTO: r->field = FIELD_NFPROTO; break;
	default: r->field = FIELD_NONE;
	}
}

/* Source and destination need not be told apart: both are the overlay's. */
static void load_payload(struct reading *r, const struct nftnl_expr *e)
{
	uint32_t offset = nftnl_expr_get_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET);
	uint32_t len = nftnl_expr_get_u32(e, NFTNL_EXPR_PAYLOAD_LEN);
	bool v4 = r->family == 4 && (offset == 12 || offset == 16) && len <= 4;
	bool v6 = r->family == 6 && (offset == 8 || offset == 24) && len <= 16;

	r->field = FIELD_NONE;
	if (nftnl_expr_get_u32(e, NFTNL_EXPR_PAYLOAD_BASE) != NFT_PAYLOAD_NETWORK_HEADER ||
	    !(v4 || v6))
		return;
	r->field = FIELD_ADDRESS;
	r->bits = len * 8;
}

/* A mask of an address: how many leading bits it leaves. */
static void apply_mask(struct reading *r, const struct nftnl_expr *e)
{
	uint32_t len = 0;
	const uint8_t *mask = nftnl_expr_get(e, NFTNL_EXPR_BITWISE_MASK, &len);
	unsigned bits = 0;

	if (r->field != FIELD_ADDRESS || !mask || len > 16) {
		r->field = FIELD_NONE;
		return;
	}
	while (bits < len * 8 && (mask[bits / 8] & (0x80 >> bits % 8)))
		bits++;
	for (unsigned i = bits; i < len * 8; i++)
		if (mask[i / 8] & (0x80 >> i % 8))
			r->field = FIELD_NONE; /* has holes */
	r->bits = bits;
}

/* Whether an address condition holds for all of the overlay's prefixes of this
 * family, for some, or for none. */
static void test_address(const struct reading *r, const uint8_t *data, uint32_t len, bool *some,
			 bool *all)
{
	struct prefix p = { .ip = { .family = r->family }, .len = (uint8_t)r->bits };

	const struct host_setup *s = r->d->setup;

	memcpy(p.ip.b, data, len < 16 ? len : 16);
	*some = false;
	*all = true;
	for (size_t i = 0; i < s->n_networks; i++) {
		const struct prefix *n = &s->networks[i];

		if (n->ip.family != r->family)
			continue;
		if (prefix_covers(&p, n) || prefix_covers(n, &p))
			*some = true;
		if (!prefix_covers(&p, n))
			*all = false;
	}
}

/* Names shorter than a whole register are wildcards ("eth*"). */
static bool is_device_name(const struct diagnosis *d, const void *data, uint32_t len)
{
	char name[IF_NAMESIZE] = { 0 };

	strncpy(name, d->setup->device, sizeof(name) - 1);
	return len <= sizeof(name) && !memcmp(data, name, len);
}

static void compare(struct reading *r, const struct nftnl_expr *e)
{
	const struct diagnosis *d = r->d;
	uint32_t len = 0, op = nftnl_expr_get_u32(e, NFTNL_EXPR_CMP_OP), index = 0;
	const uint8_t *data = nftnl_expr_get(e, NFTNL_EXPR_CMP_DATA, &len);
	bool some = true, all = false; /* not understood: some */

	if (!data || (op != NFT_CMP_EQ && op != NFT_CMP_NEQ)) {
		r->certain = false;
		return;
	}
	switch (r->field) {
	case FIELD_OIFNAME:
	case FIELD_IIFNAME: some = all = is_device_name(d, data, len); break;
	case FIELD_OIF:
	case FIELD_IIF:
		memcpy(&index, data, len < sizeof(index) ? len : sizeof(index));
		some = all = index == d->ifindex;
		break;
	case FIELD_NFPROTO:
		r->family = data[0] == NFPROTO_IPV6 ? 6 : 4;
		some = d->in_use[r->family == 6];
		all = true; /* of what the rest of the rule speaks of */
		break;
	case FIELD_ADDRESS: test_address(r, data, len, &some, &all); break;
	case FIELD_NONE: break;
	}
	if (r->field != FIELD_NONE && r->field <= FIELD_IIF && op == NFT_CMP_EQ && all)
		r->names_device = true;
	/* What comes in by our device is no concern of what leaves by it. */
	if (r->field == FIELD_IIFNAME || r->field == FIELD_IIF) {
		some = true;
		all = false;
	}
	r->possible &= op == NFT_CMP_EQ ? some : !all;
	r->certain &= op == NFT_CMP_EQ ? all : !some;
}

static void read_verdict(struct reading *r, const struct nftnl_expr *e)
{
	int32_t verdict;

	if (!nftnl_expr_is_set(e, NFTNL_EXPR_IMM_VERDICT))
		return;
	verdict = (int32_t)nftnl_expr_get_u32(e, NFTNL_EXPR_IMM_VERDICT);
	r->returns = verdict == NF_ACCEPT || verdict == NFT_RETURN;
	r->goes_on = verdict == NF_ACCEPT || verdict == NFT_JUMP || verdict == NFT_GOTO;
}

static void read_target(struct reading *r, const struct nftnl_expr *e)
{
	const char *name = nftnl_expr_get_str(e, NFTNL_EXPR_TG_NAME);

	r->rewrites = name && (!strcmp(name, "MASQUERADE") || !strcmp(name, "SNAT") ||
			       !strcmp(name, "NETMAP"));
}

static int read_expression(struct nftnl_expr *e, void *arg)
{
	const char *kind = nftnl_expr_get_str(e, NFTNL_EXPR_NAME);
	struct reading *r = arg;

	if (!strcmp(kind, "meta") && nftnl_expr_is_set(e, NFTNL_EXPR_META_DREG)) {
		load_meta(r, e);
	} else if (!strcmp(kind, "payload") && nftnl_expr_is_set(e, NFTNL_EXPR_PAYLOAD_DREG)) {
		load_payload(r, e);
	} else if (!strcmp(kind, "bitwise")) {
		apply_mask(r, e);
	} else if (!strcmp(kind, "cmp")) {
		compare(r, e);
	} else if (!strcmp(kind, "lookup")) {
		r->certain = false;
		if (r->field == FIELD_OIFNAME || r->field == FIELD_OIF)
			r->possible = false;
	} else if (!strcmp(kind, "masq")) {
		r->rewrites = true;
	} else if (!strcmp(kind, "nat")) {
		r->rewrites = nftnl_expr_get_u32(e, NFTNL_EXPR_NAT_TYPE) == NFT_NAT_SNAT;
	} else if (!strcmp(kind, "immediate")) {
		read_verdict(r, e);
	} else if (!strcmp(kind, "target")) {
		read_target(r, e);
	} else if (strcmp(kind, "counter") && strcmp(kind, "log")) {
		r->field = FIELD_NONE;
		r->certain = false;
	}
	return 0;
}

static const char *family_name(uint32_t family)
{
	return family == NFPROTO_IPV4 ? "ip" : family == NFPROTO_IPV6 ? "ip6" : "inet";
}

static struct chain *find_chain(struct diagnosis *d, uint32_t family, const char *table,
				const char *name)
{
	for (size_t i = 0; i < d->n_chains; i++) {
		struct chain *c = &d->chains[i];

		if (c->family == family && !strcmp(c->table, table) && !strcmp(c->name, name))
			return c;
	}
	return NULL;
}

static void check_rule(struct diagnosis *d, struct chain *c, const struct nftnl_rule *rule)
{
	struct reading r = { .d = d, .possible = true, .certain = true };

	r.family = c->family == NFPROTO_IPV4 ? 4 : c->family == NFPROTO_IPV6 ? 6 : 0;
	nftnl_expr_foreach((struct nftnl_rule *)rule, read_expression, &r);
	if (c->kind == CHAIN_FORWARD_DROP) {
		if (r.goes_on && (r.names_device || r.certain))
			c->settled = true;
		return;
	}
	if (r.rewrites && r.possible)
		say(d,
		    "table %s %s, chain %s, rule handle %llu rewrites the source of packets that "
		    "leave by %s (masquerade or SNAT): exempt the overlay's prefixes",
		    family_name(c->family), c->table, c->name,
		    (unsigned long long)nftnl_rule_get_u64(rule, NFTNL_RULE_HANDLE),
		    d->setup->device);
	if (r.certain && (r.returns || r.rewrites))
		c->settled = true;
}

static int on_rule(const struct nlmsghdr *h, void *arg)
{
	struct nftnl_rule *rule = nftnl_rule_alloc();
	struct diagnosis *d = arg;
	struct chain *c;

	if (rule && nftnl_rule_nlmsg_parse(h, rule) == 0) {
		c = find_chain(d, nftnl_rule_get_u32(rule, NFTNL_RULE_FAMILY),
			       nftnl_rule_get_str(rule, NFTNL_RULE_TABLE),
			       nftnl_rule_get_str(rule, NFTNL_RULE_CHAIN));
		if (c && !c->settled)
			check_rule(d, c, rule);
	}
	if (rule)
		nftnl_rule_free(rule);
	return MNL_CB_OK;
}

static void note_chain(struct diagnosis *d, const struct nftnl_chain *chain)
{
	uint32_t family = nftnl_chain_get_u32(chain, NFTNL_CHAIN_FAMILY), hook;
	const char *type = nftnl_chain_get_str(chain, NFTNL_CHAIN_TYPE);
	struct chain *c = &d->chains[d->n_chains];

	if (!nftnl_chain_is_set(chain, NFTNL_CHAIN_HOOKNUM) || !type || d->n_chains == CHAINS_MAX)
		return;
	if (!(family == NFPROTO_INET || (family == NFPROTO_IPV4 && d->in_use[0]) ||
	      (family == NFPROTO_IPV6 && d->in_use[1])))
		return;
	hook = nftnl_chain_get_u32(chain, NFTNL_CHAIN_HOOKNUM);
	if (hook == NF_INET_FORWARD && nftnl_chain_get_u32(chain, NFTNL_CHAIN_POLICY) == NF_DROP)
		c->kind = CHAIN_FORWARD_DROP;
	else if (hook == NF_INET_POST_ROUTING && !strcmp(type, "nat"))
		c->kind = CHAIN_POSTROUTING_NAT;
	else
		return;
	c->family = family;
	c->settled = false;
	snprintf(c->table, sizeof(c->table), "%s", nftnl_chain_get_str(chain, NFTNL_CHAIN_TABLE));
	snprintf(c->name, sizeof(c->name), "%s", nftnl_chain_get_str(chain, NFTNL_CHAIN_NAME));
	d->n_chains++;
}

static int on_chain(const struct nlmsghdr *h, void *arg)
{
	struct nftnl_chain *chain = nftnl_chain_alloc();

	if (chain && nftnl_chain_nlmsg_parse(h, chain) == 0)
		note_chain(arg, chain);
	if (chain)
		nftnl_chain_free(chain);
	return MNL_CB_OK;
}

static void chains_again(void *arg)
{
	struct diagnosis *d = arg;

	d->n_chains = 0;
}

static void check_rules(struct diagnosis *d, struct host *host)
{
	_Alignas(struct nlmsghdr) char buf[256];
	struct nlmsghdr *h = nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETCHAIN, NFPROTO_UNSPEC, 0, 0);

	/* A kernel without nf_tables has nothing to look at. */
	if (netlink_dump(&host->filter, h, on_chain, d, chains_again) || !d->n_chains)
		return;
	/* The rules may change underneath; a chain is then looked at to its end
	 * twice at worst. */
	h = nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETRULE, NFPROTO_UNSPEC, 0, 0);
	netlink_dump(&host->filter, h, on_rule, d, NULL);
	for (size_t i = 0; i < d->n_chains; i++) {
		const struct chain *c = &d->chains[i];

		if (c->kind == CHAIN_FORWARD_DROP && !c->settled)
			say(d,
			    "table %s %s, chain %s has policy drop and no rule for %s: what goes "
			    "to the overlay or comes from it may be dropped there",
			    family_name(c->family), c->table, c->name, d->setup->device);
	}
}

void host_diagnose(struct host *host, const struct host_setup *s,
		   void (*fn)(void *arg, const char *line), void *arg)
{
	struct diagnosis *d = calloc(1, sizeof(*d));

	if (!d)
		return;
	d->setup = s;
	d->ifindex = if_nametoindex(s->device);
	d->fn = fn;
	d->arg = arg;
	for (size_t i = 0; i < s->n_networks; i++)
		d->in_use[s->networks[i].ip.family == 6] = true;
	check_sysctls(d);
	check_routes(d, host);
	check_rules(d, host);
	free(d);
}
