/*
 * GET /metrics: the figures over HTTP (http.h).
 */
#include "router/metrics.h"

#include <stdlib.h>

#include "router/http.h"
#include "router/router.h"

struct metrics {
	struct router *router;
	struct http *http;
};

static void serve(struct metrics *m, struct http_request *q, mono_t now)
{
	static const char type[] = "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n";
	char *body = NULL;
	size_t len = 0;
	FILE *page = open_memstream(&body, &len);
	bool ok = page != NULL;

	if (page) {
		metrics_write(m->router, page, now);
		ok = !ferror(page);
		ok &= fclose(page) == 0;
	}
	if (ok)
		http_answer(q, 200, type, body, len);
	else
		http_say(q, 503, "out of memory");
	free(body);
}

static void asked(void *arg, struct http_request *q, mono_t now)
{
	const struct http_head *head = http_head(q);

	if (!http_is(&head->path, "/metrics"))
		http_say(q, 404, "the figures are at /metrics");
	else if (!http_is(&head->method, "GET"))
		http_say_405(q, "GET");
	else
		serve(arg, q, now);
}

struct metrics *metrics_open(struct router *r, const struct endpoint *address, FILE *errors)
{
	static const struct http_limits limits = { METRICS_CONNECTIONS, METRICS_CONNECTIONS,
						   METRICS_TIME };
	struct metrics *m = calloc(1, sizeof(*m));

	if (!m) {
		fprintf(errors, "metrics: out of memory\n");
		return NULL;
	}
	m->router = r;
	m->http = http_open(r->loop, address, &limits, &(struct http_hooks){ asked, NULL, m },
			    "metrics", errors);
	if (m->http)
		return m;
	free(m);
	return NULL;
}

void metrics_close(struct metrics *m)
{
	if (!m)
		return;
	http_close(m->http);
	free(m);
}
