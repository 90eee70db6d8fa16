/*
 * Transport checksums as wholes: testing, finishing, and leaving them partial.
 *
 * A partial checksum is what Linux hands to a network card: the field holds the
 * sum of the pseudo header, not complemented, and whoever passes the packet on
 * last adds the transport header and the payload. Only TCP and UDP can be left
 * so, and only where the transport header is whole and in no fragment.
 */
#include <netinet/in.h>

#include "common/inet.h"
#include "common/inet_private.h"

size_t inet_check_at(const uint8_t *data, size_t len, const struct inet_info *info)
{
	size_t l4 = info->l4;

	if (info->fragment || info->more)
		return 0;
	if (info->proto == IPPROTO_TCP && inet_tcp_header(data, len, info))
		return l4 + TCP_CHECK;
	if (info->proto == IPPROTO_UDP && len >= l4 + UDP_HEADER &&
	    load16(data + l4 + UDP_LENGTH) == len - l4)
		return l4 + UDP_CHECK;
	return 0;
}

bool inet_check_is_right(const uint8_t *data, size_t len, const struct inet_info *info)
{
	size_t at = inet_check_at(data, len, info), n = len - info->l4;

	if (!at || (info->proto == IPPROTO_UDP && !load16(data + at)))
		return false;
	return !inet_fold(inet_sum(data + info->l4, n, inet_pseudo_sum(info, (uint32_t)n)));
}

void inet_check_begin(uint8_t *check, const struct inet_info *info, uint32_t transport_len)
{
	store_check(check, (uint16_t)~inet_fold(inet_pseudo_sum(info, transport_len)));
}

void inet_check_finish(uint8_t *data, size_t len, size_t start, size_t check)
{
	uint16_t sum = inet_fold(inet_sum(data + start, len - start, 0));

	store_check(data + check, sum ? sum : 0xffff); /* the same sum, and never "none" */
}

void packet_finish(struct packet *p)
{
	size_t at = p->csum_partial ? inet_check_at(p->data, p->len, &p->inet) : 0;

	if (!at)
		return;
	inet_check_begin(p->data + at, &p->inet, p->len - p->inet.l4);
	inet_check_finish(p->data, p->len, p->inet.l4, at);
	p->csum_partial = false;
}

bool inet_is_tcp_syn(const uint8_t *data, size_t len, const struct inet_info *info)
{
	return inet_tcp_header(data, len, info) && (data[info->l4 + TCP_FLAGS] & TCP_SYN);
}
