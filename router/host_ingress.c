/*
 * What gives packets to the rings (afpacket.c) and hides them from the kernel's IP: a
 * rule of the router's own at the site's interfaces, before the kernel has a look.
 *
 *   table netdev vine-DEVICE
 *     chain overlay_ingress   hook ingress devices = { eth1, ... }
 *       pkttype host  ether type ip   version and header length 0x45  ttl > 1 \
 *         fib daddr oif DEVICE  fib saddr . iif oif exists \
 *         mark set OURS  pkttype set other
 *       pkttype host  ether type ip6  next header not 0  hop limit > 1 ... the same
 *
 * One rule decides, so that each packet goes one way, also while rule, routes or
 * interfaces change: marked it is a ring's, since its filter asks for the mark, and
 * the kernel drops what is said to be another machine's; unmarked it goes on as if
 * there were no ring, and comes by the device. The kernel's own routing is asked what
 * is the overlay's and whence it may come, so nothing of it has to be followed here.
 *
 * Left to the kernel is what it has to answer or to look into: TTL run out, IP
 * options, hop-by-hop headers; and what is no plain Ethernet frame: VLAN tags (their
 * interface is another one).
 */
#include "router/host_nft.h"
#include "router/host_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libnftnl/expr.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define CHAIN "overlay_ingress"
#define PRIORITY 10 /* after the site's own filters */
#define ETHER_TYPE 12

struct taking {
	uint32_t ifindex; /* of the device */
	uint32_t mark;
	bool check_source;
};

static bool byte_is(struct nftnl_rule *r, uint32_t offset, uint32_t op, uint8_t value)
{
	return host_nft_payload(r, NFT_PAYLOAD_NETWORK_HEADER, offset, 1) &&
	       host_nft_test(r, op, &value, 1);
}

static bool begins(struct nftnl_rule *r, uint16_t ether_type)
{
	uint8_t host = PACKET_HOST;
	uint16_t type = htons(ether_type);

	return host_nft_meta(r, NFT_META_PKTTYPE) && host_nft_is(r, &host, 1) &&
	       host_nft_payload(r, NFT_PAYLOAD_LL_HEADER, ETHER_TYPE, 2) &&
	       host_nft_is(r, &type, sizeof(type));
}

static bool ends(struct nftnl_rule *r, const struct taking *t)
{
	const uint32_t none = 0;
	const uint8_t other = PACKET_OTHERHOST;

	return host_nft_fib(r, NFTA_FIB_F_DADDR) && host_nft_is(r, &t->ifindex, 4) &&
	       (!t->check_source || (host_nft_fib(r, NFTA_FIB_F_SADDR | NFTA_FIB_F_IIF) &&
				     host_nft_test(r, NFT_CMP_NEQ, &none, 4))) &&
	       host_nft_set_meta(r, NFT_META_MARK, &t->mark, 4) &&
	       host_nft_set_meta(r, NFT_META_PKTTYPE, &other, 1);
}

/* SCTP goes by the device as ever: its unfinished checksum is a CRC, which only the kernel
 * can tell from others. */
static bool take_v4(struct nftnl_rule *r, const void *arg)
{
	return begins(r, ETH_P_IP) && byte_is(r, 0, NFT_CMP_EQ, 0x45) &&
	       byte_is(r, 8, NFT_CMP_GT, 1) && byte_is(r, 9, NFT_CMP_NEQ, IPPROTO_SCTP) &&
	       ends(r, arg);
}

static bool take_v6(struct nftnl_rule *r, const void *arg)
{
	return begins(r, ETH_P_IPV6) && byte_is(r, 6, NFT_CMP_NEQ, 0) &&
	       byte_is(r, 6, NFT_CMP_NEQ, IPPROTO_SCTP) && byte_is(r, 7, NFT_CMP_GT, 1) &&
	       ends(r, arg);
}

uint32_t host_ingress_mark(const char *device)
{
	return 0x76000000 | (if_nametoindex(device) & 0xffffff);
}

static int replace_table(struct host *host, const struct taking *taking, const char *const *devices)
{
	struct host_nft *t = host_nft_begin(&host->filter, NFPROTO_NETDEV, host->ingress);

	if (!t)
		return -ENOMEM;
	if (host->taking)
		host_nft_delete_table(t);
	/* Not without an owner: what it hides would be hidden for ever after a kill. */
	host_nft_add_table(t, true);
	host_nft_add_chain(t, CHAIN, NF_NETDEV_INGRESS, PRIORITY, devices);
	host_nft_add_rule(t, CHAIN, take_v4, taking);
	host_nft_add_rule(t, CHAIN, take_v6, taking);
	return host_nft_commit(t);
}

int host_ingress_set(struct host *host, const char *device, bool check_source,
		     const struct host_interfaces *from, const char **ret_what)
{
	struct taking taking = { .ifindex = if_nametoindex(device),
				 .mark = host_ingress_mark(device),
				 .check_source = check_source };
	const char *devices[HOST_INTERFACES_MAX + 1] = { NULL };
	int e;

	*ret_what = "packets can't be taken where they come in (does the kernel lack nf_tables' "
		    "netdev tables or their fib expression?)";
	if (!from->n)
		return host_ingress_remove(host);
	if (!taking.ifindex) {
		*ret_what = "the device is not there";
		return -ENODEV;
	}
	for (unsigned i = 0; i < from->n; i++)
		devices[i] = from->at[i].name;
	snprintf(host->ingress, sizeof(host->ingress), HOST_TABLE_PREFIX "%s", device);
	e = replace_table(host, &taking, devices);
	if (e == -ENOENT && host->taking) { /* somebody has deleted it */
		host->taking = false;
		e = replace_table(host, &taking, devices);
	}
	if (!e)
		host->taking = true;
	return e;
}

int host_ingress_remove(struct host *host)
{
	int e;

	if (!host->taking)
		return 0;
	e = host_nft_remove(&host->filter, NFPROTO_NETDEV, host->ingress);
	if (!e)
		host->taking = false;
	return e;
}
