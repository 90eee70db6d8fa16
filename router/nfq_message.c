/*
 * Messages of nfnetlink_queue, see nfq_message.h.
 *
 * One message is one datagram of the socket:
 *
 *   nlmsghdr | nfgenmsg: queue number | attributes, each a length and a type
 *
 * The payload is the last attribute, so that a message that is cut short still
 * says what packet it is about. Nothing is taken through a cast: lengths are
 * tested against what has arrived, values are copied out.
 */
#include "router/nfq_message.h"

#include <arpa/inet.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <string.h>

#include <libmnl/libmnl.h>

static uint32_t load_be32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return ntohl(v);
}

/* An attribute with this much of its value there; *has_id once one says which packet
 * it is. */
static void read_attribute(uint16_t type, uint8_t *value, size_t len, bool whole,
			   struct nfq_message *m, bool *has_id)
{
	switch (type & NLA_TYPE_MASK) {
	case NFQA_PACKET_HDR:
		if (len >= sizeof(struct nfqnl_msg_packet_hdr)) {
			m->id = load_be32(value + offsetof(struct nfqnl_msg_packet_hdr, packet_id));
			*has_id = true;
		}
		break;
	case NFQA_SKB_INFO:
		if (len >= sizeof(uint32_t)) {
			m->super = load_be32(value) & NFQA_SKB_GSO;
			m->csum_partial = load_be32(value) & NFQA_SKB_CSUMNOTREADY;
		}
		break;
	case NFQA_CAP_LEN: /* the kernel gives less than there is */ m->whole = false; break;
	case NFQA_PAYLOAD:
		m->payload = value;
		m->len = (uint32_t)len;
		m->whole &= whole;
		break;
	}
}

bool nfq_message_parse(uint8_t *data, size_t len, struct nfq_message *ret)
{
	const size_t head = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(struct nfgenmsg));
	struct nfq_message m = { .whole = true };
	struct nfgenmsg family;
	struct nlmsghdr h;
	struct nlattr a;
	bool has_id = false;

	if (len < head)
		return false;
	memcpy(&h, data, sizeof(h));
	memcpy(&family, data + NLMSG_HDRLEN, sizeof(family));
	/* Others are complaints about a verdict: the packets were gone already. */
	if (h.nlmsg_type != ((NFNL_SUBSYS_QUEUE << 8) | NFQNL_MSG_PACKET) || h.nlmsg_len < head)
		return false;
	if (len > h.nlmsg_len)
		len = h.nlmsg_len;
	m.queue = ntohs(family.res_id);
	for (size_t at = head, next; len - at >= sizeof(a); at = next) {
		const size_t left = len - at;

		memcpy(&a, data + at, sizeof(a));
		if (a.nla_len < NLA_HDRLEN)
			break;
		read_attribute(a.nla_type, data + at + NLA_HDRLEN,
			       (a.nla_len < left ? a.nla_len : left) - NLA_HDRLEN,
			       a.nla_len <= left, &m, &has_id);
		next = at + (size_t)NLA_ALIGN(a.nla_len);
		if (next >= len)
			break;
	}
	if (has_id)
		*ret = m;
	return has_id;
}

/* ---- verdicts ------------------------------------------------------------ */

static void put(struct nfq_verdicts *v, uint16_t type, uint16_t queue, uint32_t id,
		uint32_t verdict)
{
	struct nlmsghdr *h = nfq_nlmsg_put(v->buf + v->len, type, queue);

	nfq_nlmsg_verdict_put(h, (int)id, (int)verdict);
	v->len += NLMSG_ALIGN(h->nlmsg_len);
}

void nfq_drop_until(struct nfq_verdicts *v, uint16_t queue, uint32_t id)
{
	put(v, NFQNL_MSG_VERDICT_BATCH, queue, id, NF_DROP);
}

void nfq_move(struct nfq_verdicts *v, uint16_t queue, uint32_t id, uint16_t to)
{
	put(v, NFQNL_MSG_VERDICT, queue, id, NF_QUEUE_NR((uint32_t)to));
}
