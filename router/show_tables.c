/*
 * The tables as JSON, a page at a time, since a GNDT may have a million rows and
 * the control thread has other things to do; and what they say about one packet
 * (why).
 *
 * The control thread is the only one that publishes worlds, so it may read its
 * own without any lock.
 */
#include "router/router.h"
#include "router/show.h"

static json_t *place(json_t *row, const char *file, unsigned line)
{
	if (row && file &&
	    (json_object_set_new(row, "file", json_string(file)) ||
	     json_object_set_new(row, "line", json_integer((json_int_t)line)))) {
		json_decref(row);
		return NULL;
	}
	return row;
}

/* A page while it is filled. */
struct page {
	struct router *router;
	json_t *rows;
	size_t n;
};

static bool add_lndt(void *arg, const struct lndt_row *row)
{
	struct page *p = arg;
	char text[PREFIX_TEXT];

	if (p->n == SHOW_PAGE)
		return false;
	p->n++;
	json_array_append_new(p->rows,
			      place(json_pack("{s:I, s:s}", "network", (json_int_t)row->network,
					      "prefix", prefix_format(&row->prefix, text)),
				    row->file, row->line));
	return true;
}

static bool add_gndt(void *arg, const struct gndt_row *row)
{
	struct page *p = arg;
	char text[PREFIX_TEXT];

	if (p->n == SHOW_PAGE)
		return false;
	p->n++;
	json_array_append_new(p->rows, place(json_pack("{s:I, s:s, s:[o]}", "network",
						       (json_int_t)row->network, "prefix",
						       prefix_format(&row->prefix, text), "routers",
						       show_router(p->router, row->router)),
					     row->file, row->line));
	return true;
}

static json_t *page(const struct page *p, size_t next)
{
	return show_page(json_pack("{s:o, s:o}", "table_version",
				   show_count(p->router->table_version), "entries", p->rows),
			 next, SIZE_MAX);
}

json_t *show_lndt(struct router *r, size_t offset, mono_t now)
{
	struct page p = { .router = r, .rows = json_array() };

	(void)now;
	return page(&p, table_lndt(r->world->table, offset, add_lndt, &p));
}

json_t *show_gndt(struct router *r, size_t offset, mono_t now)
{
	struct page p = { .router = r, .rows = json_array() };

	(void)now;
	return page(&p, table_gndt(r->world->table, offset, add_gndt, &p));
}

static json_t *prefix(const struct prefix *p)
{
	char text[PREFIX_TEXT];

	return p->ip.family ? json_string(prefix_format(p, text)) : json_null();
}

static json_t *protection(struct router *r, uint32_t id)
{
	const struct network *n = router_network(r, id);

	return n ? json_string(protection_name(
			   atomic_load_explicit(&n->protection, memory_order_relaxed)))
		 : json_null();
}

static json_t *why_peer(const struct contact *c)
{
	if (!c)
		return json_null();
	return json_pack("{s:s, s:I, s:s, s:b, s:o, s:o}", "name", c->peer->name, "id",
			 (json_int_t)c->peer->id, "state", show_state(c), "keys_ready",
			 (int)keying_is_ready(&c->keying), "rtt_seconds", show_seconds(c->rtt),
			 "path", show_path(c));
}

json_t *show_why(struct router *r, const struct ip *source, const struct ip *destination,
		 mono_t now)
{
	json_t *networks = json_array();
	char from[IP_TEXT], to[IP_TEXT];
	struct verdict v;
	bool goes, found;

	(void)now;
	router_why(r, source, destination, &v);
	goes = v.drop == DROPS;
	found = v.prefix.ip.family != 0;
	for (unsigned i = 0; i < v.n_networks && i < sizeof(v.others) / sizeof(*v.others); i++)
		json_array_append_new(networks, json_integer(v.others[i]));

	return json_pack("{s:s, s:s, s:b, s:s?, s:s?, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "source",
			 ip_format(source, from), "destination", ip_format(destination, to), "goes",
			 (int)goes, "reason", goes ? NULL : drop_label(v.drop), "text",
			 goes ? NULL : drop_text(v.drop), "network",
			 found ? json_integer(v.network) : json_null(), "protection",
			 found ? protection(r, v.network) : json_null(), "source_prefix",
			 prefix(&v.source_prefix), "networks", networks, "prefix",
			 prefix(&v.prefix), "router",
			 found ? show_router(r, v.router) : json_null(), "peer",
			 why_peer(v.contact));
}
