/*
 * What is not as it should be, as a list: routers that are silent, late, refuse their tables
 * or are ahead; certificates that run out, of routers, users, the server, the CA; a webhook
 * that nobody answers; keys of tinies that two seem to have. From it come alerts, the check commands, and figures.
 *
 * Pure: time is an argument.
 */
#ifndef AUTHORITY_CHECK_H
#define AUTHORITY_CHECK_H

#include <jansson.h>

#include "authority/monitor.h"
#include "authority/publish.h"

enum severity { SEVERITY_WARNING, SEVERITY_CRITICAL, SEVERITIES };
extern const char *const severity_names[];

/* X(id, name, what it is about) */
#define FINDING_LIST(X) \
	X(ROUTER_SILENT, "router-silent") \
	X(ROUTER_LATE, "router-late") \
	X(ROUTER_REFUSES, "router-refuses") \
	X(ROUTER_AHEAD, "router-ahead") \
	X(ROUTER_CERTIFICATE, "router-certificate") \
	X(USER_CERTIFICATE, "user-certificate") \
	X(SERVER_CERTIFICATE, "server-certificate") \
	X(CA, "ca") \
	X(WEBHOOK, "webhook") \
	X(TINY_STOLEN, "tiny-stolen")

enum finding_kind {
#define X(id, name) FINDING_##id,
	FINDING_LIST(X)
#undef X
		FINDINGS,
};
extern const char *const finding_names[FINDINGS + 1];

struct finding {
	enum finding_kind kind;
	enum severity severity;
	char subject[RECORD_NAME + 1]; /* name of a router, user or tiny; "" */
	char *text;
	uint64_t since; /* ms since 1970 */
};

/* By kind and subject, each once. */
struct findings {
	struct finding *at;
	size_t n, room;
};

struct check {
	const struct registry *registry;
	const struct monitor *monitor; /* NULL: nothing is known of routers here */
	const struct publish *publish; /* NULL: none */
	/* Seconds since 1970; 0: not known. */
	int64_t ca_end, server_end;
	/* Seconds: how long before the end of a certificate it is told, and how long they are
	 * good. It is not told before the last quarter of that. */
	int64_t warn, users, routers, server;
	bool webhook_fails;
	uint64_t now; /* ms since 1970 */
	mono_t clock;
};

void check_run(const struct check *, struct findings *ret);
void findings_done(struct findings *);
/* Order of findings: 0 for the same kind and subject. */
int finding_compare(const struct finding *, const struct finding *);
json_t *finding_json(const struct finding *);

/* {"status", "findings", "left_out"}: at most so many of them, those that shown() lets
 * through (NULL: all). */
#define CHECK_MOST 200
typedef bool finding_shown_fn(const void *arg, const struct finding *);
json_t *check_json(const struct findings *, finding_shown_fn *shown, const void *arg);

#endif
