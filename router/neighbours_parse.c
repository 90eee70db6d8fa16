/*
 * What the kernel says of links, routes, rules and neighbours, as rows: netlink
 * messages, whose attributes are checked before they are read, and an interface's
 * features, which only ethtool's requests tell. For neighbours.c.
 */
#include "router/neighbours_private.h"

#include <linux/ethtool.h>
#include <linux/fib_rules.h>
#include <linux/if_arp.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define BELIEVED (NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT)

static bool has(const struct nlmsghdr *h, size_t size)
{
	return mnl_nlmsg_get_payload_len(h) >= size;
}

static struct ip attr_ip(const struct nlattr *a, uint8_t family)
{
	const uint8_t *b = mnl_attr_get_payload(a);

	if (mnl_attr_get_payload_len(a) < (family == 6 ? 16 : 4))
		return (struct ip){ .family = 0 };
	return family == 6 ? ip_from_v6(b) : ip_from_v4(b);
}

static uint32_t attr_u32(const struct nlattr *a)
{
	return mnl_attr_validate(a, MNL_TYPE_U32) < 0 ? 0 : mnl_attr_get_u32(a);
}

static bool attr_mac(const struct nlattr *a, uint8_t mac[static ETHERNET_ADDRESS])
{
	static const uint8_t none[ETHERNET_ADDRESS];

	if (mnl_attr_get_payload_len(a) != ETHERNET_ADDRESS)
		return false;
	memcpy(mac, mnl_attr_get_payload(a), ETHERNET_ADDRESS);
	return memcmp(mac, none, sizeof(none)) != 0;
}

/* 4 or 6, 0 for anything else. */
static uint8_t family_of(unsigned af)
{
	return af == AF_INET ? 4 : af == AF_INET6 ? 6 : 0;
}

bool neighbours_parse_link(const struct nlmsghdr *h, struct link_row *ret,
			   char ret_name[static IF_NAMESIZE])
{
	const struct ifinfomsg *m = mnl_nlmsg_get_payload(h);
	const struct nlattr *a;
	bool mac = false;

	*ret = (struct link_row){ .gso_bytes = 65536, .gso_segments = UINT16_MAX };
	if (!has(h, sizeof(*m)) || m->ifi_family != AF_UNSPEC)
		return false;
	ret->ifindex = (uint32_t)m->ifi_index;
	memset(ret_name, 0, IF_NAMESIZE);
	mnl_attr_for_each(a, h, sizeof(*m))
	{
		switch (mnl_attr_get_type(a)) {
		case IFLA_MTU: ret->mtu = attr_u32(a); break;
		case IFLA_ADDRESS: mac = attr_mac(a, ret->mac); break;
		case IFLA_GSO_MAX_SIZE: ret->gso_bytes = attr_u32(a); break;
		case IFLA_GSO_MAX_SEGS: ret->gso_segments = attr_u32(a); break;
		case IFLA_IFNAME:
			if (mnl_attr_validate(a, MNL_TYPE_NUL_STRING) == 0)
				strncpy(ret_name, mnl_attr_get_str(a), IF_NAMESIZE - 1);
			break;
		}
	}
	return h->nlmsg_type == RTM_NEWLINK && m->ifi_type == ARPHRD_ETHER &&
	       (m->ifi_flags & (IFF_UP | IFF_RUNNING | IFF_NOARP)) == (IFF_UP | IFF_RUNNING) &&
	       mac && ret->mtu;
}

static uint32_t parse_mtu(const struct nlattr *metrics)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, metrics)
	{
		if (mnl_attr_get_type(a) == RTAX_MTU)
			return attr_u32(a);
	}
	return 0;
}

/* A next hop of the other family (RFC 5549). */
static struct ip parse_via(const struct nlattr *a)
{
	const struct rtvia *via = mnl_attr_get_payload(a);
	size_t len = mnl_attr_get_payload_len(a);

	if (len == sizeof(*via) + 16 && via->rtvia_family == AF_INET6)
		return ip_from_v6(via->rtvia_addr);
	return (struct ip){ .family = 0 };
}

bool neighbours_parse_route(const struct nlmsghdr *h, struct route_row *ret)
{
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);
	const struct nlattr *a;
	uint32_t table;
	uint8_t family;
	bool plain;

	if (!has(h, sizeof(*m)) || (m->rtm_flags & RTM_F_CLONED))
		return false;
	family = family_of(m->rtm_family);
	*ret = (struct route_row){ .prefix = { .ip.family = family, .len = m->rtm_dst_len } };
	if (!family || m->rtm_dst_len > ip_bits(&ret->prefix.ip))
		return false;
	plain = m->rtm_type == RTN_UNICAST && !m->rtm_tos && !m->rtm_src_len;
	table = m->rtm_table;
	mnl_attr_for_each(a, h, sizeof(*m))
	{
		switch (mnl_attr_get_type(a)) {
		case RTA_DST: ret->prefix.ip = attr_ip(a, family); break;
		case RTA_OIF: ret->ifindex = attr_u32(a); break;
		case RTA_PRIORITY: ret->metric = attr_u32(a); break;
		case RTA_TABLE: table = attr_u32(a); break;
		case RTA_METRICS: ret->mtu = parse_mtu(a); break;
		case RTA_GATEWAY:
			ret->via = attr_ip(a, family);
			plain &= ret->via.family != 0;
			break;
		case RTA_VIA:
			ret->via = parse_via(a);
			plain &= ret->via.family != 0;
			break;
		case RTA_MULTIPATH:
		case RTA_ENCAP: plain = false; break;
		}
	}
	if (!plain)
		ret->ifindex = 0;
	ret->local = table == RT_TABLE_LOCAL;
	return ret->prefix.ip.family && (ret->local || table == RT_TABLE_MAIN);
}

bool neighbours_parse_rule(const struct nlmsghdr *h, uint8_t *ret_family)
{
	const struct fib_rule_hdr *m = mnl_nlmsg_get_payload(h);
	uint32_t table, priority = 0;
	const struct nlattr *a;

	if (!has(h, sizeof(*m)) || !family_of(m->family))
		return false;
	*ret_family = family_of(m->family);
	table = m->table;
	mnl_attr_for_each(a, h, sizeof(*m))
	{
		switch (mnl_attr_get_type(a)) {
		case FRA_TABLE: table = attr_u32(a); break;
		case FRA_PRIORITY: priority = attr_u32(a); break;
		case FRA_PROTOCOL:
		case FRA_SUPPRESS_PREFIXLEN: break;
		default: return true;
		}
	}
	/* but for those that the kernel has by itself, for all packets */
	return m->action != FR_ACT_TO_TBL || m->dst_len || m->src_len || m->tos ||
	       (m->flags & FIB_RULE_INVERT) ||
	       !((priority == 0 && table == RT_TABLE_LOCAL) ||
		 (priority == 32766 && table == RT_TABLE_MAIN) ||
		 (priority == 32767 && table == RT_TABLE_DEFAULT));
}

bool neighbours_parse_neighbour(const struct nlmsghdr *h, struct neighbour_row *ret,
				bool *ret_known)
{
	const struct ndmsg *m = mnl_nlmsg_get_payload(h);
	const struct nlattr *a;
	bool mac = false;

	*ret = (struct neighbour_row){ .ifindex = 0 };
	if (!has(h, sizeof(*m)) || !family_of(m->ndm_family) || (m->ndm_flags & NTF_PROXY))
		return false;
	ret->ifindex = (uint32_t)m->ndm_ifindex;
	ret->fixed = (m->ndm_state & NUD_PERMANENT) || (m->ndm_flags & NTF_EXT_LEARNED);
	mnl_attr_for_each(a, h, sizeof(*m))
	{
		switch (mnl_attr_get_type(a)) {
		case NDA_DST: ret->ip = attr_ip(a, family_of(m->ndm_family)); break;
		case NDA_LLADDR: mac = attr_mac(a, ret->mac); break;
		case NDA_FLAGS_EXT: ret->fixed |= attr_u32(a) != 0; break; /* kept by others */
		}
	}
	*ret_known = h->nlmsg_type == RTM_NEWNEIGH && (m->ndm_state & BELIEVED) && mac;
	return ret->ip.family != 0;
}

/* ---- which super-packets an interface takes ---------------------------------------- */

/* The numbers of these features, -1 where the kernel does not know one. */
static bool find_features(int fd, struct ifreq *request, const char *const names[], int ret[],
			  size_t n, uint32_t *ret_count)
{
	union {
		struct ethtool_sset_info info; /* the count lies behind it */
		uint8_t room[sizeof(struct ethtool_sset_info) + sizeof(uint32_t)];
	} ask = { .info = { .cmd = ETHTOOL_GSSET_INFO, .sset_mask = 1 << ETH_SS_FEATURES } };
	uint32_t count;
	struct ethtool_gstrings *strings;
	bool ok;

	request->ifr_data = (char *)&ask;
	if (ioctl(fd, SIOCETHTOOL, request) < 0 || !ask.info.sset_mask)
		return false;
	memcpy(&count, ask.room + sizeof(ask.info), sizeof(count));
	if (count > 1024)
		return false;
	strings = calloc(1, sizeof(*strings) + (size_t)count * ETH_GSTRING_LEN);
	if (!strings)
		return false;
	strings->cmd = ETHTOOL_GSTRINGS;
	strings->string_set = ETH_SS_FEATURES;
	strings->len = count;
	request->ifr_data = (char *)strings;
	ok = ioctl(fd, SIOCETHTOOL, request) == 0;
	for (uint32_t i = 0; ok && i < count; i++)
		for (size_t k = 0; k < n; k++)
			if (!strncmp((char *)strings->data + (size_t)i * ETH_GSTRING_LEN, names[k],
				     ETH_GSTRING_LEN))
				ret[k] = (int)i;
	free(strings);
	*ret_count = count;
	return ok;
}

void neighbours_find_offloads(int fd, const char *name, struct link_row *link)
{
	static const char *const names[] = { "tx-tcp-segmentation", "tx-tcp6-segmentation",
					     "tx-udp-segmentation" };
	struct ifreq request = { .ifr_flags = 0 };
	struct ethtool_gfeatures *features;
	int at[3] = { -1, -1, -1 };
	uint32_t count, blocks;
	bool on[3] = { false };

	strncpy(request.ifr_name, name, sizeof(request.ifr_name) - 1);
	if (!find_features(fd, &request, names, at, 3, &count))
		return;
	blocks = (count + 31) / 32;
	features = calloc(1, sizeof(*features) + blocks * sizeof(features->features[0]));
	if (!features)
		return;
	features->cmd = ETHTOOL_GFEATURES;
	features->size = blocks;
	request.ifr_data = (char *)features;
	if (ioctl(fd, SIOCETHTOOL, &request) == 0)
		for (unsigned k = 0; k < 3; k++)
			on[k] = at[k] >= 0 &&
				features->features[at[k] / 32].active >> at[k] % 32 & 1;
	free(features);
	link->tcp = on[0] && on[1];
	link->udp = on[2];
}
