/*
 * Classify: the source address of a packet gives the networks that it may use.
 *
 * An ICMP error that this gateway itself makes about an overlay packet has the
 * gateway's address as its source, which may be in other networks than the
 * packet was. It belongs where the packet belongs that it quotes, and gets the
 * site's address as its source.
 */
#include "common/inet.h"
#include "router/stage.h"

#define LAN 0 /* the one attachment: the gateway's LAN side as a whole */

static bool is_own(const struct world *v, const struct ip *ip)
{
	for (size_t i = 0; i < v->n_own; i++)
		if (ip_equal(&v->own[i], ip))
			return true;
	return false;
}

/* The networks of an ICMP error by its quoted packet; NULL if it quotes none
 * that a member of this site was to get. */
static const struct netset *by_quote(const struct world *v, const struct packet *p)
{
	struct inet_info quoted;
	size_t len;
	const uint8_t *q = inet_icmp_quoted(p->data, p->len, &p->inet, &len);

	if (!q || !inet_parse_quoted(q, len, &quoted) || !ip_equal(&quoted.src, &p->inet.dst))
		return NULL;
	return lndt_lookup(v->table, LAN, &quoted.dst);
}

static unsigned classify_one(struct worker *w, struct packet *p, const struct packet *last,
			     mono_t now)
{
	const struct world *v = w->view;

	(void)now;
	if (inet_is_icmp_error(p->data, p->len, &p->inet) && is_own(v, &p->inet.src)) {
		const struct ip *address = site_address(w, p->inet.src.family);

		p->nets = by_quote(v, p);
		if (p->nets && address && !ip_equal(address, &p->inet.src)) {
			packet_finish(p);
			inet_set_source(p->data, p->len, &p->inet, address);
			p->inet.src = *address;
		}
	}
	if (!p->nets && same_hosts(p, last))
		p->nets = last->nets;
	if (!p->nets)
		p->nets = lndt_lookup(v->table, LAN, &p->inet.src);
	return p->nets ? KEEP : DROP_UNKNOWN_SOURCE;
}

void classify(struct worker *w, struct batch *b, mono_t now)
{
	batch_filter_run(w, b, now, classify_one);
}
