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

struct way packet_way(const struct packet *p)
{
	return (struct way){
		.kind = p->via	    ? WAY_RELAY
			: p->stream ? WAY_STREAM
				    : WAY_UDP,
		.remote = p->from,
		.local = p->to,
		.link = p->link,
		.stream = p->stream,
		.via = p->via,
	};
}

bool way_equal(const struct way *a, const struct way *b)
{
	return way_same(a, b) && (a->kind != WAY_UDP || ip_equal(&a->local, &b->local));
}
