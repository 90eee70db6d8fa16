/*
 * The router's control socket from outside: requests and answers. Every function
 * that fails has said why on stderr.
 */
#ifndef CTL_CLIENT_H
#define CTL_CLIENT_H

#include <jansson.h>

#include "ctl/ctl.h"

struct client;

/* NULL: no router there. */
struct client *client_open(const struct ctl *);
void client_close(struct client *);
/* Answers may be this many seconds further apart than usual. */
void client_wait(struct client *, double seconds);

/* Sends one request, which it takes over (NULL: out of memory). */
bool client_send(struct client *, json_t *request);
/* The next answer's result, a new reference; NULL if there is none or it is an
 * error. *ret_more (may be NULL): further answers to the same request follow. */
json_t *client_recv(struct client *, bool *ret_more);

/* One request and its one result on a connection of its own. */
json_t *client_ask(const struct ctl *, json_t *request);
/* A listing that comes in pages, {"verb":"show","what":what}: the first page with
 * the entries of all of them under `key`. */
json_t *client_list(const struct ctl *, const char *what, const char *key);

/* Prints the result as JSON and drops it. Returns the exit code. */
int client_print_json(json_t *result);

#endif
