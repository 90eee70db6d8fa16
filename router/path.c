/*
 * Ways compared, see path.h.
 */
#include "router/path.h"

bool way_same(const struct way *a, const struct way *b)
{
	if (a->kind != b->kind)
		return false;
	switch (a->kind) {
	case WAY_UDP: return a->link == b->link && endpoint_equal(&a->remote, &b->remote);
	case WAY_STREAM: return a->stream == b->stream;
	case WAY_RELAY: return a->via == b->via;
	}
	return false;
}

bool way_equal(const struct way *a, const struct way *b)
{
	return way_same(a, b) && (a->kind != WAY_UDP || ip_equal(&a->local, &b->local));
}

struct way packet_way(const struct packet *p)
{
	if (p->via)
		return (struct way){ .kind = WAY_RELAY, .via = p->via };
	if (p->stream)
		return (struct way){ .kind = WAY_STREAM, .remote = p->from, .stream = p->stream };
	return (struct way){ .remote = p->from, .local = p->to, .link = p->link };
}
