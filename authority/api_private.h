/*
 * What the files of the API share.
 */
#ifndef AUTHORITY_API_PRIVATE_H
#define AUTHORITY_API_PRIVATE_H

#include "authority/api.h"

/* Takes over the body. */
void api_answer(struct evhttp_request *, int status, json_t *body);
/* RFC 7807. */
void api_problem(struct evhttp_request *, int status, const char *detail);
/* A parameter behind the '?'; false: it isn't there. Cut to the room. */
bool api_query(struct evhttp_request *, const char *name, char *ret, size_t size);

/* Whether a route is a router's own about its tables (api_tables.c), which serves it once
 * it is allowed. */
bool api_is_tables(const struct route *);
void api_tables(struct api *, const struct route *, struct evhttp_request *, const char *router);
/* The router's stream, or where it is. */
void api_begin_stream(struct api *, struct evhttp_request *, const char *router);
/* To the process that has the routers. */
void api_send_on(struct api *, struct evhttp_request *);

/* Routes about how routers and the authority are (api_health.c), once they are allowed. */
bool api_is_health(const struct route *);
void api_health(struct api *, const struct route *, struct evhttp_request *,
		const struct request *);

/* What routers run, to what an operation lists. */
void api_add_status(const struct api *, enum operation, json_t *result);

#endif
