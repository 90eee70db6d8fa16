/*
 * Routers whose process has just died, so they say, come to another one, which may know
 * nothing of that yet. Their requests for a stream wait here until it is known who has the
 * routers, rather than come again and again, a handshake each time.
 */
#ifndef AUTHORITY_LOBBY_H
#define AUTHORITY_LOBBY_H

#include "authority/api.h"

struct lobby;

/* The API is the caller's. NULL: out of memory. */
struct lobby *lobby_new(struct event_base *, struct api *);
/* Before the connections are. */
void lobby_free(struct lobby *);
/* Takes a router's request for its stream, if it is to wait. `without`: the URL of the process
 * that it has lost, or "". */
bool lobby_take(struct lobby *, struct evhttp_request *, const char *router, const char *without);

#endif
