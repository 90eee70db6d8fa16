/*
 * What routers say of themselves: heartbeats, figures of each and of its links, silence,
 * tables that they refuse, until when their certificates are good.
 *
 * Pure: time is an argument. In memory only: a process that starts anew learns all of it
 * with the next heartbeats. Bounded: a router that is in the registry, and so many links
 * (of one, and of all).
 */
#ifndef AUTHORITY_MONITOR_H
#define AUTHORITY_MONITOR_H

#include <jansson.h>

#include "authority/registry.h"
#include "common/clock.h"
#include "common/feed.h"

#define MONITOR_ERROR 200
#define MONITOR_BODY (256u << 10) /* bytes of a heartbeat */
#define MONITOR_LINKS 1024	  /* of one router */
#define MONITOR_LINKS_ALL 1000000
#define MONITOR_LINKS_OLD (90 * SEC) /* without a heartbeat that has any, they are forgotten */
#define MONITOR_TINIES 1000	     /* in one heartbeat */
#define MONITOR_TINIES_ALL 200000
#define MONITOR_TINY_GONE (60 * SEC)	  /* without a way to its router it is gone */
#define MONITOR_TINY_MOVES 3		  /* back and forth within a minute: two have its key */
#define MONITOR_TINY_TOLD (10 * 60 * SEC) /* ... told for so long after the last time */

struct monitor;

enum monitor_state {
	MONITOR_UNSEEN, /* not heard yet, and not waited for long enough */
	MONITOR_OK,
	MONITOR_SILENT,
	MONITOR_STATES,
};
extern const char *const monitor_states[]; /* their names; then NULL */

/* Of one router to one of its peers, as the router sees it. */
struct monitor_link {
	uint32_t peer;
	bool up;
	uint8_t way;	      /* place in monitor_ways */
	float rtt, lost;      /* seconds, 0 ... 1; negative: not known */
	float sent, received; /* bytes a second; negative: not known */
	uint64_t tx, rx;      /* bytes, the router's counters */
};
extern const char *const monitor_ways[];

struct monitor_router {
	uint32_t id;
	enum monitor_state state;
	mono_t seen;	     /* {0}: never */
	mono_t since;	     /* in this state */
	struct version runs; /* as its heartbeat says; zero: not known */
	/* Negative: not known. */
	double load, uptime;
	double packets_in, packets_out, bytes_in, bytes_out, drops; /* a second */
	uint64_t rss, workers;
	bool refuses; /* its tables */
	char why[FEED_ERROR];
	int64_t certificate; /* when it ends, seconds since 1970; 0: not known */
	uint32_t n_links, left_out;
	struct monitor_link *links; /* by peer */
};

/* A tiny, as the router that it may connect to and that has seen it last says. */
struct monitor_tiny {
	uint32_t id, router;
	bool up;
	mono_t since;	  /* it is up, or not */
	mono_t said;	  /* when it was in a heartbeat last */
	mono_t suspected; /* when two seemed to have its key last; {0}: never */
	uint32_t moved;	  /* back and forth within the last minute, as it was said last */
	uint32_t turns;	  /* from one router to another that were a minute apart at most */
	mono_t turned;
	bool twice;	   /* two handshakes live at once */
	char endpoint[64]; /* "": not known */
};

/* silence: ns without a heartbeat, or since it was noticed first. */
struct monitor *monitor_new(int64_t silence);
void monitor_free(struct monitor *);

/* A heartbeat's body, a stranger's bytes. 0; -EINVAL: refused, words in error. */
int monitor_heartbeat(struct monitor *, const struct router *, const char *body, size_t len,
		      mono_t now, char error[static MONITOR_ERROR]);
/* It has confirmed a version, or says why it doesn't take one (NULL or "": it does). */
void monitor_confirm(struct monitor *, const struct router *, const char *why);
/* The certificate that it has shown. */
void monitor_certificate(struct monitor *, const struct router *, int64_t end);

/* Once a second or so: new routers, those that are gone, who is silent. */
void monitor_tick(struct monitor *, const struct registry *, mono_t now);

/* NULL: nothing is known of it; so is it of a monitor that is NULL. Good until the next call
 * that isn't const. */
const struct monitor_router *monitor_get(const struct monitor *, uint32_t id);
const struct monitor_tiny *monitor_tiny(const struct monitor *, uint32_t id);
/* Whether it has had no way to its router for long. */
bool monitor_tiny_gone(const struct monitor *, uint32_t id, mono_t now);
bool monitor_tiny_suspected(const struct monitor_tiny *, mono_t now);
size_t monitor_count(const struct monitor *, enum monitor_state);
size_t monitor_links(const struct monitor *);
uint64_t monitor_heartbeats(const struct monitor *, bool refused);

/* What is known of a router; times are given as ms since 1970, now being now_ms. */
json_t *monitor_json(const struct monitor *, const struct router *, mono_t now, uint64_t now_ms);
/* What is known of a tiny; as above. */
json_t *monitor_tiny_json(const struct monitor *, const struct registry *, uint32_t id, mono_t now,
			  uint64_t now_ms);
/* Its links, one after the other, to a list. */
void monitor_add_links(const struct monitor *, const struct registry *, const struct router *,
		       json_t *list);

#endif
