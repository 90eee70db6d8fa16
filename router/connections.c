/*
 * Streams as the control thread sees them, see connections.h.
 *
 * A stream's ID names the port that has it (id % WORKERS_MAX), so that a worker finds it
 * without a table that others write to.
 */
#include "router/connections.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "router/link_stream.h"
#include "router/router.h"

#define DIAL_TIME (4 * SEC)
#define PER_PEER 64 /* that peers, or others in their name, have opened and we don't use */

/* ---- IDs ------------------------------------------------------------------------- */

struct connection *connections_find(struct connections *cs, uint32_t id)
{
	list_for_each(node, &cs->all) {
		struct connection *c = container_of(node, struct connection, node);

		if (c->id == id)
			return c;
	}
	return NULL;
}

/* Worker after worker. */
static uint32_t next_id(struct connections *cs)
{
	unsigned n = cs->router->n_workers;
	uint32_t id;

	do {
		uint32_t serial = cs->serial++;

		id = serial / n * WORKERS_MAX + serial % n;
	} while (!id || connections_find(cs, id));
	return id;
}

/* ---- life ------------------------------------------------------------------------ */

static void forget(struct connection *c)
{
	list_remove(&c->node);
	free(c);
}

static void end_stream(struct connections *cs, uint32_t id, mono_t now)
{
	struct port *port = cs->router->streams[id % WORKERS_MAX];

	if (port)
		link_stream_end(port, id, now);
}

void connections_close(struct connections *cs, uint32_t id, mono_t now)
{
	struct connection *c = connections_find(cs, id);

	end_stream(cs, id, now);
	if (c)
		forget(c);
}

void connections_ended(struct connections *cs, uint32_t id, const char *why, mono_t now)
{
	struct connection *c = connections_find(cs, id);
	struct contact *contact = c ? router_contact_by_id(cs->router, c->router) : NULL;

	if (cs->router->netcheck_ops)
		cs->router->netcheck_ops->ended(cs->router, id, why, now);
	if (contact)
		ways_ended(contact, id, why, now);
	c = connections_find(cs, id);
	if (c)
		forget(c);
}

/* One of those; NULL: there is none. */
static const struct connection *stranded(const struct connections *cs, const struct world *old)
{
	list_for_each(node, (struct list *)&cs->all) {
		const struct connection *c = container_of(node, struct connection, node);

		if (world_owns(old, &c->local) && !world_owns(cs->router->world, &c->local))
			return c;
	}
	return NULL;
}

void connections_readdress(struct connections *cs, const struct world *old, mono_t now)
{
	const struct connection *c;

	while ((c = stranded(cs, old))) {
		uint32_t id = c->id;

		end_stream(cs, id, now);
		connections_ended(cs, id, "the address here that it left from is gone", now);
	}
}

mono_t connections_tidy(struct connections *cs, uint32_t router, bool all, mono_t now)
{
	mono_t next = { 0 };

	list_for_each(node, &cs->all) {
		struct connection *c = container_of(node, struct connection, node);

		if (c->router != router || !(all || mono_is_set(c->close_at)))
			continue;
		if (all || !mono_before(now, c->close_at))
			connections_close(cs, c->id, now);
		else
			next = mono_earlier(next, c->close_at);
	}
	return next;
}

/* One more of what others open: the oldest goes if they are too many. */
static void make_room(struct connections *cs, uint32_t router, mono_t now)
{
	const struct contact *contact = router_contact_by_id(cs->router, router);
	const struct path *path = contact ? contact->peer->path : NULL;
	struct connection *oldest = NULL;
	unsigned n = 0;

	list_for_each(node, &cs->all) {
		struct connection *c = container_of(node, struct connection, node);

		if (c->router != router || c->ours ||
		    (path && path->way.kind == WAY_STREAM && path->way.stream == c->id))
			continue;
		if (!n++)
			oldest = c;
	}
	if (n >= PER_PEER)
		connections_close(cs, oldest->id, now);
}

uint32_t connections_add(struct connections *cs, uint32_t router, enum rung rung, bool ours,
			 struct stream *s, const struct endpoint *remote, const uint8_t *first,
			 size_t len, mono_t now)
{
	struct router *r = cs->router;
	struct connection *c = NULL;
	struct ip local = s->local;
	struct port *port;
	uint32_t id;

	if (!ours)
		make_room(cs, router, now);
	r->streaming = r->streaming || router_open_mailboxes(r, r->n_workers);
	id = next_id(cs);
	port = r->streams[id % WORKERS_MAX];
	if (r->streaming && port)
		c = calloc(1, sizeof(*c));
	if (!c) {
		s->ops->close(s);
		return 0;
	}
	if (!link_stream_give(port, id, s, remote, first, len, ours)) {
		free(c);
		return 0;
	}
	*c = (struct connection){ .id = id,
				  .router = router,
				  .rung = rung,
				  .ours = ours,
				  .remote = *remote,
				  .local = local,
				  .since = now };
	list_insert(&cs->all, &c->node);
	return id;
}

/* ---- to peers ---------------------------------------------------------------------- */

struct dial *connections_dial(struct connections *cs, enum rung rung,
			      const struct config_peer *peer, const struct ip *address,
			      uint16_t *ret_port, mono_t now, dial_fn *fn, void *arg)
{
	struct dial_to to = { .connect = { .ip = *address, .port = peer->port },
			      .host = peer->host,
			      .port = peer->tls_port };

	if (rung != RUNG_TCP) {
		if (!cs->tls_client)
			cs->tls_client = stream_tls_client();
		if (!cs->tls_client)
			return NULL;
		to.tls = cs->tls_client;
		to.connect.port = peer->tls_port;
	}
	if (rung == RUNG_PROXY) {
		to.proxy = &cs->proxy;
		to.connect.port = cs->proxy.port;
	}
	*ret_port = to.connect.port;
	return cs->dialer.start(cs->dialer.arg, &to, DIAL_TIME, now, fn, arg);
}

static struct dial *start(void *loop, const struct dial_to *to, int64_t timeout, mono_t now,
			  dial_fn *fn, void *arg)
{
	return dial_start(loop, to, timeout, now, fn, arg);
}

static void proxy_resolved(void *arg, const struct ip *ips, size_t n, const char *error, mono_t now)
{
	struct connections *cs = arg;

	snprintf(cs->proxy_error, sizeof(cs->proxy_error), "%s", n ? "" : error);
	if (!n) {
		log_warn("proxy %s can't be resolved: %s", cs->proxy.host, error);
		return;
	}
	memcpy(cs->proxy_ips, ips, n * sizeof(ips[0]));
	cs->n_proxy_ips = (unsigned)n;
	list_for_each(node, &cs->router->contacts)
		ways_update(container_of(node, struct contact, node), now);
}

/* https_proxy is what it is called for such connections; HTTP_PROXY is a header's name
 * in some places, and so not asked for. */
static bool proxy_of_environment(struct proxy *ret)
{
	static const char *const names[] = { "https_proxy", "HTTPS_PROXY", "http_proxy" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *url = getenv(names[i]);

		if (!url || !*url)
			continue;
		if (proxy_parse(url, ret)) {
			log_info("proxy %s:%u, as %s in the environment says", ret->host, ret->port,
				 names[i]);
			return true;
		}
		log_warn("%s in the environment is not used: it is not the URL of an HTTP proxy",
			 names[i]);
	}
	return false;
}

static const char *no_proxy(void)
{
	const char *list = getenv("no_proxy");

	if (!list || !*list)
		list = getenv("NO_PROXY");
	return list ? list : "";
}

bool connections_excepts(const struct connections *cs, const char *host)
{
	return cs->of_environment && proxy_is_for_others(no_proxy(), host);
}

void connections_set_proxy(struct connections *cs, const struct proxy *configured)
{
	struct proxy p = *configured;

	cs->of_environment = !*p.host;
	if (!*p.host && !proxy_of_environment(&p))
		p = (struct proxy){ .host = "" };
	if (proxy_equal(&p, &cs->proxy))
		return;
	cs->proxy = p;
	cs->n_proxy_ips = 0;
	watch_free(cs->proxy_watch);
	cs->proxy_watch =
		*p.host ? resolver_watch(cs->router->resolver, p.host, proxy_resolved, cs) : NULL;
	crypto_wipe(&p, sizeof(p));
}

/* ---- from peers ---------------------------------------------------------------------- */

static bool knows(void *arg, uint32_t source, uint32_t destination)
{
	const struct connections *cs = arg;

	return destination == cs->router->world->self &&
	       world_peer(cs->router->world, source) != NULL;
}

void connections_accept(struct connections *cs, struct stream *s, enum rung rung,
			const struct endpoint *from, const uint8_t *first, size_t len, mono_t now)
{
	struct reader r = reader_init(first + FRAME_SOURCE_OFFSET, 8);
	uint32_t source = read_u32(&r), destination = read_u32(&r);

	if (knows(cs, source, destination))
		connections_add(cs, source, rung, false, s, from, first, len, now);
	else
		s->ops->close(s);
}

static void accepted(void *arg, struct stream *s, const struct endpoint *from, const uint8_t *first,
		     size_t len, mono_t now)
{
	connections_accept(arg, s, strcmp(s->ops->name, "tls") ? RUNG_TCP : RUNG_TLS, from, first,
			   len, now);
}

bool connections_listen(struct connections *cs, const struct config *config, FILE *errors)
{
	const struct accept_hooks hooks = { .knows = knows, .ready = accepted, .arg = cs };
	const char *why;

	if (!config->n_tcp && !config->n_tls)
		return true;
	if (config->n_tls) {
		cs->tls_server = stream_tls_server(config->tls_certificate, config->tls_key, &why);
		if (!cs->tls_server) {
			fprintf(errors, "%s: [listen] tls-certificate, tls-key: %s\n", config->file,
				why);
			return false;
		}
	}
	cs->accept = accept_open(cs->router->loop, config->tcp, config->n_tcp, config->tls,
				 config->n_tls, cs->tls_server, &hooks, errors);
	return cs->accept != NULL;
}

/* ---- all ----------------------------------------------------------------------------- */

struct connections *connections_new(struct router *r)
{
	struct connections *cs = calloc(1, sizeof(*cs));

	if (!cs)
		return NULL;
	cs->router = r;
	cs->dialer = (struct dialer){ .start = start, .cancel = dial_cancel, .arg = r->loop };
	list_init(&cs->all);
	return cs;
}

void connections_free(struct connections *cs)
{
	if (!cs)
		return;
	accept_close(cs->accept);
	watch_free(cs->proxy_watch);
	list_for_each(node, &cs->all)
		forget(container_of(node, struct connection, node));
	stream_tls_free(cs->tls_client);
	stream_tls_free(cs->tls_server);
	crypto_wipe(&cs->proxy, sizeof(cs->proxy));
	free(cs);
}
