/*
 * Super-packets at the device, see offload.h.
 *
 * Putting together is the exact reverse of cutting: segments are only joined if
 * cutting the whole would give the same bytes again. So headers must be alike but
 * for lengths, checksums, the consecutive IPv4 identification and sequence number;
 * the last one alone may be shorter or carry PSH and FIN, and ends its run, and
 * nothing that is more than plain data (SYN, RST, URG, CWR, IP options) joins.
 *
 * Order within a flow is kept: a packet joins only the newest run of its flow, and
 * runs are in the order of their first packets.
 */
#include "router/offload.h"

#include <netinet/in.h>
#include <string.h>

#include "common/inet.h"
#include "common/inet_private.h"

#define IP_LENGTH_MAX 65535

/* ---- from the kernel ----------------------------------------------------- */

void offload_read(struct packet *p, const struct virtio_net_hdr *h)
{
	p->csum_partial = h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;
	p->csum_start = h->csum_start;
	p->csum_check = h->csum_offset;
	p->gso_type = h->gso_type & ~VIRTIO_NET_HDR_GSO_ECN;
	p->gso_size = p->gso_type == VIRTIO_NET_HDR_GSO_NONE ? 0 : h->gso_size;
}

/* A partial checksum that is not TCP's or UDP's in its usual place. */
static bool finish_odd(struct packet *p)
{
	size_t at = (size_t)p->csum_start + p->csum_check;

	if (p->inet.proto == IPPROTO_SCTP /* a CRC */ || p->csum_start < p->inet.l4 ||
	    at + 2 > p->len)
		return false;
	inet_check_finish(p->data, p->len, p->csum_start, at);
	p->csum_partial = false;
	return true;
}

bool offload_check(struct packet *p)
{
	size_t at, tcp;

	if (!p->csum_partial)
		return !p->gso_size;
	at = inet_check_at(p->data, p->len, &p->inet);
	if (at && !p->csum_start) { /* not said: where it usually is */
		p->csum_start = p->inet.l4;
		p->csum_check = (uint16_t)(at - p->inet.l4);
	}
	if (!at || p->csum_start != p->inet.l4 || at != (size_t)p->csum_start + p->csum_check)
		return !p->gso_size && finish_odd(p);
	if (!p->gso_size)
		return true;
	tcp = inet_tcp_header(p->data, p->len, &p->inet);
	if ((p->gso_type == VIRTIO_NET_HDR_GSO_UDP_L4) == (tcp > 0))
		return false;
	p->gso_header = (uint16_t)(p->inet.l4 + (tcp ? tcp : UDP_HEADER));
	if (p->len <= (uint32_t)p->gso_header + p->gso_size)
		p->gso_size = 0; /* just one */
	return true;
}

/* ---- putting together ---------------------------------------------------- */

/* Length of the headers of a packet that may be part of a run; 0 if it may not. */
static uint16_t header_of(const struct packet *p, bool tcp, bool udp)
{
	const uint8_t *l4 = p->data + p->inet.l4;
	size_t header = 0;

	if (p->inet.l4 != (p->inet.src.family == 6 ? INET_V6_HEADER : INET_V4_HEADER) ||
	    !inet_check_at(p->data, p->len, &p->inet))
		return 0;
	if (p->inet.proto == IPPROTO_TCP) {
		if (tcp && (l4[TCP_FLAGS] & ~(TCP_PSH | TCP_FIN | TCP_ECE)) == TCP_ACK)
			header = p->inet.l4 + inet_tcp_header(p->data, p->len, &p->inet);
	} else if (udp) {
		header = (size_t)p->inet.l4 + UDP_HEADER;
	}
	return header < p->len ? (uint16_t)header : 0;
}

static bool same(const uint8_t *a, const uint8_t *b, size_t from, size_t to)
{
	return !memcmp(a + from, b + from, to - from);
}

/* IP headers alike, b's identification n after a's. */
static bool same_ip(const uint8_t *a, const uint8_t *b, bool v6, unsigned n)
{
	if (v6)
		return same(a, b, 0, V6_LENGTH) && same(a, b, V6_NEXT, INET_V6_HEADER);
	return same(a, b, 0, V4_LENGTH) && same(a, b, V4_FRAGMENT, V4_CHECK) &&
	       same(a, b, V4_SRC, INET_V4_HEADER) &&
	       load16(b + V4_ID) == (uint16_t)(load16(a + V4_ID) + n);
}

/* TCP headers of this length alike, b's sequence number `bytes` after a's. */
static bool same_tcp(const uint8_t *a, const uint8_t *b, size_t header, uint32_t bytes)
{
	uint8_t differ = a[TCP_FLAGS] ^ b[TCP_FLAGS];

	return same(a, b, 0, TCP_SEQ) && load32(b + TCP_SEQ) == load32(a + TCP_SEQ) + bytes &&
	       same(a, b, TCP_SEQ + 4, TCP_FLAGS) && !(differ & ~(TCP_PSH | TCP_FIN)) &&
	       same(a, b, TCP_FLAGS + 1, TCP_CHECK) && same(a, b, TCP_URGENT, header);
}

static bool is_sound(const struct packet *p)
{
	return p->csum_partial || inet_check_is_right(p->data, p->len, &p->inet);
}

static bool ends_run(const struct packet *p, uint16_t header, uint16_t size)
{
	return p->len - header < size || (p->inet.proto == IPPROTO_TCP &&
					  (p->data[p->inet.l4 + TCP_FLAGS] & (TCP_PSH | TCP_FIN)));
}

static bool joins(const struct run *r, const struct packet *first, uint16_t first_header,
		  const struct packet *p, uint16_t header)
{
	const size_t l4 = p->inet.l4;

	if (r->closed || header != first_header || p->len - header > r->size ||
	    r->len + p->len - header > IP_LENGTH_MAX || first->inet.proto != p->inet.proto ||
	    !same_ip(first->data, p->data, p->inet.src.family == 6, r->n))
		return false;
	if (p->inet.proto == IPPROTO_TCP
		    ? !same_tcp(first->data + l4, p->data + l4, header - l4, r->len - header)
		    : !same(first->data + l4, p->data + l4, 0, UDP_LENGTH))
		return false;
	return is_sound(p) && (r->n > 1 || is_sound(first));
}

/* The newest run of this packet's flow. */
static struct run *find(struct runs *runs, const struct batch *b, const struct packet *p)
{
	for (unsigned i = runs->n; i-- > 0;)
		if (b->p[runs->run[i].first]->flow == p->flow)
			return &runs->run[i];
	return NULL;
}

void offload_runs(struct runs *runs, const struct batch *b, bool tcp, bool udp)
{
	runs->n = 0;
	for (unsigned i = 0; i < b->n; i++) {
		const struct packet *p = b->p[i];
		uint16_t header = runs->header[i] = header_of(p, tcp, udp);
		struct run *r = find(runs, b, p);

		if (r && header && joins(r, b->p[r->first], runs->header[r->first], p, header)) {
			runs->next[r->last] = (uint8_t)i;
			r->last = (uint8_t)i;
			r->n++;
			r->len += p->len - header;
		} else {
			if (r)
				r->closed = true;
			r = &runs->run[runs->n++];
			*r = (struct run){ .n = 1,
					   .first = (uint8_t)i,
					   .last = (uint8_t)i,
					   .closed = !header,
					   .size = (uint16_t)(p->len - header),
					   .len = p->len };
		}
		r->closed |= header && ends_run(p, header, r->size);
	}
}

/* The first packet's headers become those of all; the last one's flags count too. */
static void write_headers(uint8_t *out, const struct packet *first, const struct packet *last,
			  uint16_t header, uint32_t len)
{
	const size_t l4 = first->inet.l4;
	const bool tcp = first->inet.proto == IPPROTO_TCP;

	memcpy(out, first->data, header);
	if (first->inet.src.family == 4) {
		store16(out + V4_LENGTH, (uint16_t)len);
		store16(out + V4_CHECK, 0);
		store_check(out + V4_CHECK, inet_fold(inet_sum(out, l4, 0)));
	} else {
		store16(out + V6_LENGTH, (uint16_t)(len - INET_V6_HEADER));
	}
	if (tcp)
		out[l4 + TCP_FLAGS] |= last->data[l4 + TCP_FLAGS];
	else
		store16(out + l4 + UDP_LENGTH, (uint16_t)(len - l4));
	inet_check_begin(out + l4 + (tcp ? TCP_CHECK : UDP_CHECK), &first->inet,
			 (uint32_t)(len - l4));
}

void offload_gather(struct gathered *g, const struct batch *b, const struct runs *runs,
		    const struct run *r, const void *link, size_t link_len)
{
	const struct packet *first = b->p[r->first];
	const bool tcp = first->inet.proto == IPPROTO_TCP;
	const uint16_t header = runs->header[r->first];
	unsigned at = r->first;
	struct virtio_net_hdr h = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = !tcp			  ? VIRTIO_NET_HDR_GSO_UDP_L4
			    : first->inet.src.family == 6 ? VIRTIO_NET_HDR_GSO_TCPV6
							  : VIRTIO_NET_HDR_GSO_TCPV4,
		.hdr_len = (uint16_t)(link_len + header),
		.gso_size = r->size,
		.csum_start = (uint16_t)(link_len + first->inet.l4),
		.csum_offset = tcp ? TCP_CHECK : UDP_CHECK,
	};

	memcpy(g->head, &h, sizeof(h));
	if (link_len)
		memcpy(g->head + sizeof(h), link, link_len);
	write_headers(g->head + sizeof(h) + link_len, first, b->p[r->last], header, r->len);
	g->iov[0] = (struct iovec){ .iov_base = g->head, .iov_len = sizeof(h) + link_len + header };
	for (g->n = 1; g->n <= r->n; g->n++) {
		g->iov[g->n] = (struct iovec){ .iov_base = b->p[at]->data + header,
					       .iov_len = b->p[at]->len - header };
		at = runs->next[at];
	}
}

void offload_write(struct virtio_net_hdr *h, struct packet *p, size_t link_len)
{
	size_t at = p->csum_partial ? inet_check_at(p->data, p->len, &p->inet) : 0;

	*h = (struct virtio_net_hdr){ .gso_type = VIRTIO_NET_HDR_GSO_NONE };
	if (!at)
		return;
	inet_check_begin(p->data + at, &p->inet, p->len - p->inet.l4);
	h->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	h->csum_start = (uint16_t)(link_len + p->inet.l4);
	h->csum_offset = (uint16_t)(at - p->inet.l4);
}
