/*
 * The hosts of the simulation: packets as they make them, flows of numbered
 * packets, and a check of everything that is given to them.
 *
 * A flow's packet carries its flow and a serial number, and a payload that
 * follows from them: lost, doubled, altered and misplaced ones are told apart.
 */
#include <stdlib.h>
#include <string.h>

#include "common/inet.h"
#include "tests/sim/net.h"

#define MAGIC 0x56694e65
#define FLOW_HEADER 16

/* ---- addresses ------------------------------------------------------------ */

struct ip ip_of(const char *text)
{
	struct ip ip;

	assert_int_equal(ip_parse(text, &ip), 0);
	return ip;
}

struct endpoint endpoint_of(const char *text)
{
	struct endpoint e;

	assert_int_equal(endpoint_parse(text, &e), 0);
	return e;
}

struct ip host4(unsigned site, unsigned h)
{
	return ip_from_v4((uint8_t[]){ 172, 16, (uint8_t)site, (uint8_t)h });
}

struct ip host6(unsigned site, unsigned h)
{
	return ip_from_v6(
		(uint8_t[16]){ 0xfd, 0, 0, 0x76, 0, 0, 0, (uint8_t)site, [15] = (uint8_t)h });
}

/* ---- packets ---------------------------------------------------------------- */

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Writes the transport header; its length. *ret_check: where its checksum is. */
static size_t transport(uint8_t *t, const struct host_packet *h, size_t *ret_check)
{
	size_t len = h->proto == 17 ? 8 : h->proto != 6 ? 4 : h->mss ? 24 : 20;

	memset(t, 0, len);
	if (h->proto == 6 || h->proto == 17) {
		put16(t, h->sport);
		put16(t + 2, h->dport);
	}
	*ret_check = h->proto == 17 ? 6 : h->proto == 6 ? 16 : 2;
	if (h->proto == 17) {
		put16(t + 4, (unsigned)(8 + h->len));
	} else if (h->proto == 6) {
		put32(t + 4, h->seq);
		t[12] = (uint8_t)(len / 4 << 4);
		t[13] = h->flags;
		put16(t + 14, 65535);
		if (h->mss) {
			t[20] = 2;
			t[21] = 4;
			put16(t + 22, h->mss);
		}
	} else {
		t[0] = h->type;
		t[1] = h->code;
	}
	return len;
}

size_t host_build(uint8_t *out, const struct host_packet *h)
{
	size_t ip = h->src.family == 6 ? INET_V6_HEADER : INET_V4_HEADER, l4, check, got;
	struct inet_info info;
	uint64_t sum = 0;
	uint16_t folded;

	l4 = transport(out + ip, h, &check);
	memcpy(out + ip + l4, h->payload, h->len);
	l4 += h->len;
	memset(out, 0, ip);
	if (h->src.family == 6) {
		put32(out, 6u << 28 | (uint32_t)h->tos << 20);
		put16(out + 4, (unsigned)l4);
		out[6] = h->proto;
		out[7] = h->ttl ? h->ttl : 64;
		memcpy(out + 8, h->src.b, 16);
		memcpy(out + 24, h->dst.b, 16);
	} else {
		out[0] = 0x45;
		out[1] = h->tos;
		put16(out + 2, (unsigned)(ip + l4));
		put16(out + 4, (unsigned)(h->seq + h->sport));
		out[6] = h->fragmentable ? 0 : 0x40;
		out[8] = h->ttl ? h->ttl : 64;
		out[9] = h->proto;
		memcpy(out + 12, h->src.b, 4);
		memcpy(out + 16, h->dst.b, 4);
		folded = inet_fold(inet_sum(out, ip, 0));
		memcpy(out + 10, &folded, 2);
	}
	assert_true(inet_parse(out, ip + l4, &info, &got) && got == ip + l4);
	if (h->proto != 1)
		sum = inet_pseudo_sum(&info, (uint32_t)l4);
	folded = inet_fold(inet_sum(out + ip, l4, sum));
	if (h->proto == 17 && !folded)
		folded = 0xffff;
	memcpy(out + ip + check, &folded, 2);
	return ip + l4;
}

void host_offer(const struct host_packet *h, struct virtio_net_hdr *ret_words, uint8_t *out,
		size_t *ret_len)
{
	const bool tcp = h->proto == 6, v6 = h->src.family == 6;
	size_t got;
	struct inet_info info;

	*ret_len = host_build(out, h);
	*ret_words = (struct virtio_net_hdr){ .flags = 0 };
	if (!h->gso || !inet_parse(out, *ret_len, &info, &got))
		return;
	*ret_words = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = !tcp ? VIRTIO_NET_HDR_GSO_UDP_L4
			    : v6 ? VIRTIO_NET_HDR_GSO_TCPV6
				 : VIRTIO_NET_HDR_GSO_TCPV4,
		.hdr_len = (uint16_t)(*ret_len - h->len),
		.gso_size = h->gso,
		.csum_start = info.l4,
		.csum_offset = tcp ? 16 : 6,
	};
	inet_check_begin(out + info.l4 + ret_words->csum_offset, &info,
			 (uint32_t)(*ret_len - info.l4));
}

void host_send(struct site *s, const struct host_packet *h)
{
	struct virtio_net_hdr words;
	uint8_t packet[NET_PACKET];
	size_t len;

	host_offer(h, &words, packet, &len);
	site_intercept(s, &words, packet, len);
}

/* ---- flows --------------------------------------------------------------------- */

struct flow *flow_new(struct net *n, unsigned from, const struct ip *src, unsigned to,
		      const struct ip *dst, uint16_t size, int64_t interval, uint64_t count)
{
	struct flow *f = net_memory(NULL, sizeof(*f));

	n->flows = net_memory(n->flows, (n->n_flows + 1) * sizeof(f));
	*f = (struct flow){ .from = from,
			    .to = to,
			    .src = *src,
			    .dst = *dst,
			    .size = size,
			    .port = (uint16_t)(20000 + n->n_flows * 7),
			    .interval = interval,
			    .left = count,
			    .next = mono_add(n->now, interval) };
	f->room = count + 1000;
	f->seen = net_memory(NULL, f->room);
	memset(f->seen, 0, f->room);
	n->flows[n->n_flows++] = f;
	return f;
}

struct flow *flow4(struct net *n, unsigned from, unsigned to, uint16_t size, int64_t interval,
		   uint64_t count)
{
	struct ip src = host4(from, 10), dst = host4(to, 10);

	return flow_new(n, from, &src, to, &dst, size, interval, count);
}

struct flow *flow6(struct net *n, unsigned from, unsigned to, uint16_t size, int64_t interval,
		   uint64_t count)
{
	struct ip src = host6(from, 10), dst = host6(to, 10);

	return flow_new(n, from, &src, to, &dst, size, interval, count);
}

static uint8_t pattern(uint32_t flow, uint64_t serial, size_t i)
{
	return (uint8_t)(flow * 101 + serial * 13 + i * 7 + i / 251);
}

void flow_send(struct net *n, struct flow *f)
{
	size_t headers = (f->src.family == 6 ? INET_V6_HEADER : INET_V4_HEADER) + 8u;
	uint8_t payload[NET_PACKET];
	struct host_packet h = { .src = f->src,
				 .dst = f->dst,
				 .proto = 17,
				 .tos = f->tos,
				 .fragmentable = f->fragmentable,
				 .sport = f->port,
				 .dport = 4000,
				 .seq = (uint32_t)f->sent,
				 .payload = payload,
				 .len = f->size - headers };
	uint32_t number = 0;

	assert_true(f->size >= headers + FLOW_HEADER && f->size < NET_PACKET);
	while (n->flows[number] != f)
		number++;
	if (!n->sites[f->from].router)
		return;
	f->sent++;
	assert_true(f->sent < f->room);
	put32(payload, MAGIC);
	put32(payload + 4, number);
	put32(payload + 8, 0);
	put32(payload + 12, (uint32_t)f->sent);
	for (size_t i = FLOW_HEADER; i < h.len; i++)
		payload[i] = pattern(number, f->sent, i);
	host_send(&n->sites[f->from], &h);
}

bool flow_is_whole(const struct flow *f)
{
	return f->sent > 0 && f->received == f->sent && f->duplicates == 0;
}

bool flows_have_come(void *arg, struct net *n)
{
	(void)arg;
	for (size_t i = 0; i < n->n_flows; i++)
		if (n->flows[i]->left || !flow_is_whole(n->flows[i]))
			return false;
	return true;
}

void flow_whole(const struct flow *f)
{
	if (!flow_is_whole(f))
		print_error("flow %u -> %u: sent %lu, received %lu, twice %lu\n", f->from, f->to,
			    f->sent, f->received, f->duplicates);
	assert_true(flow_is_whole(f));
}

/* ---- taking ---------------------------------------------------------------------- */

static bool checksums_are_right(const uint8_t *p, size_t len, const struct inet_info *i)
{
	uint64_t sum = i->proto == 1 ? 0 : inet_pseudo_sum(i, (uint32_t)(len - i->l4));

	if (i->fragment || i->more)
		return true;
	if (i->proto == 17 && !p[i->l4 + 6] && !p[i->l4 + 7])
		return false;
	return inet_fold(inet_sum(p + i->l4, len - i->l4, sum)) == 0;
}

static void take_flow(struct net *n, const struct site *s, struct flow *f, uint32_t number,
		      const struct inet_info *i, const uint8_t *payload, size_t len)
{
	uint64_t serial = get32(payload + 12);

	if (f->to != s->number || !ip_equal(&f->dst, &i->dst) || !ip_equal(&f->src, &i->src)) {
		n->misplaced++;
		return;
	}
	for (size_t k = FLOW_HEADER; k < len; k++)
		if (payload[k] != pattern(number, serial, k)) {
			n->corrupt++;
			return;
		}
	if (!serial || serial > f->sent) {
		n->corrupt++;
		return;
	}
	if (f->seen[serial]++) {
		f->duplicates++;
		return;
	}
	f->received++;
	f->last = n->now;
	f->last_tos = i->tos;
	f->last_ttl = i->ttl;
	if (f->received == 1)
		f->first = n->now;
	if (serial < f->top)
		f->reordered++;
	else
		f->top = serial;
}

void hosts_take(struct site *s, const uint8_t *packet, size_t len)
{
	struct net *n = s->net;
	struct inet_info i;
	size_t got;

	if (!inet_parse(packet, len, &i, &got) || got != len ||
	    !checksums_are_right(packet, len, &i)) {
		n->corrupt++;
		return;
	}
	if (i.proto == 17 && !i.fragment && !i.more && len >= i.l4 + 8u + FLOW_HEADER &&
	    get32(packet + i.l4 + 8) == MAGIC) {
		uint32_t number = get32(packet + i.l4 + 12);

		if (number < n->n_flows)
			take_flow(n, s, n->flows[number], number, &i, packet + i.l4 + 8,
				  len - i.l4 - 8);
		else
			n->corrupt++;
		return;
	}
	s->others++;
	s->other_len = len < sizeof(s->other) ? len : sizeof(s->other);
	memcpy(s->other, packet, s->other_len);
	if (s->sink)
		s->sink(s->sink_arg, s, packet, len);
}
