/*
 * A full router: its configuration, its view of the overlay, its workers, and
 * what it knows of its peers. Everything here belongs to the control thread;
 * workers see the published world only.
 */
#ifndef ROUTER_ROUTER_H
#define ROUTER_ROUTER_H

#include <stdio.h>

#include "common/handshake.h"
#include "common/image.h"
#include "common/list.h"
#include "common/loop.h"
#include "router/adjacency.h"
#include "router/config.h"
#include "router/contact.h"
#include "router/host.h"
#include "router/interception.h"
#include "router/worker.h"

/* Who is told what comes, while a check of what gets out is under way (netcheck.h). */
struct netcheck_ops {
	/* A handshake frame's payload that came this way: whether it answers the check. */
	bool (*recv)(struct contact *, const struct way *, const uint8_t *data, size_t len,
		     mono_t now);
	/* The same for a control message: where the peer sees us. */
	bool (*observed)(struct contact *, const struct control_message *, const struct way *);
	/* A stream has ended. */
	void (*ended)(struct router *, uint32_t stream, const char *why, mono_t now);
};

struct router {
	struct config *config;
	struct loop *loop;		   /* the control thread's */
	struct world *world;		   /* RCU */
	struct worker *workers;		   /* WORKERS_MAX of them */
	unsigned n_workers;		   /* that carry packets now */
	unsigned n_made;		   /* that ever did: their counters count */
	struct list ports;		   /* what they read */
	struct port *streams[WORKERS_MAX]; /* those of streams, by number; NULL: none (yet) */
	bool streaming;			   /* workers may write to each other's streams */
	struct crypto *crypto;	   /* threads: the workers, then this one, sealing on lane 0 */
	struct network **networks; /* ascending by ID: long-lived, counters included */
	size_t n_networks;
	struct given *given; /* by the authority; NULL: all is the configuration's */
	struct list contacts;
	unsigned n_contacts;
	struct handshake_ctx *handshakes;
	struct resolver *resolver;
	struct connections *connections;
	struct netcheck *netcheck;		 /* under way; NULL: none */
	const struct netcheck_ops *netcheck_ops; /* ... */
	struct authority *authority;		 /* NULL: there is none */
	struct host *host;			 /* NULL in a simulation */
	/* Gives the device an MTU: 0 or -errno. NULL: there is none (yet). */
	int (*set_mtu)(struct router *, uint32_t mtu);
	struct machine *machine; /* this too */
	/* Told which networks a peer says that both share, before they are judged; NULL:
	 * nobody learns its networks so. */
	void (*told)(void *arg, struct contact *, const struct config_network *, size_t n,
		     mono_t now);
	void *told_arg;
	enum intercept_method intercept; /* in force: may be changed while it runs */
	struct interception interception;
	int64_t pause;				  /* ns that the last change of workers took them */
	unsigned device_offloads, queue_offloads; /* of its queues, of NFQUEUEs: enum offload */
	uint32_t device_mtu;
	bool device_gone; /* nothing can be read from it any more */
	mono_t started;
	uint64_t table_version;	  /* counts reloads and changes of tables */
	counter_t events[EVENTS]; /* the control thread's own */
	counter_t drops[DROPS];
	struct limited limited;
	struct observing observing;
	unsigned tinies_beat; /* of heartbeats that have tinies */
	size_t tinies_turn;   /* whose it is */
	struct log_limit odd; /* messages that outsiders can provoke */
};

/* A router from its configuration, which it takes over: world, peers, workers
 * without devices and links. NULL: out of memory (said on errors). */
struct router *router_new(struct config *, unsigned workers, struct loop *, mono_t now,
			  FILE *errors);
/* Workers must be idle: their threads ended. */
void router_free(struct router *);

/* Applies a changed configuration, which it takes over, all or nothing, without
 * losing a packet: false, with lines on errors, if it can't. */
bool router_reload(struct router *, struct config *, mono_t now, FILE *errors);

/* The key that this router and another one share, by what is pinned. False: there is
 * none, said why. */
typedef bool image_key_fn(void *arg, const struct pinned *, uint8_t ret[static CRYPTO_KEY],
			  FILE *errors);

/* Runs the tables, networks and peers that the authority gives, whose signature the
 * caller has checked, in the place of those of the configuration: all or nothing,
 * without losing a packet. False, with lines on errors: it is for another router, is
 * not newer than what runs, doesn't go together. Takes over the image in any case. */
bool router_apply_image(struct router *, struct image *, image_key_fn *, void *arg, mono_t now,
			FILE *errors);

/* The image in force; NULL: all is the configuration's. */
const struct image *router_image(const struct router *);
/* The networks of the image in force as they are here: with rows of this router's tinies. */
const struct image *router_tables(const struct router *);
/* The members of this site: of the image in force, else of this configuration. */
const struct lndt_row *router_site(const struct router *, const struct config *, size_t *ret_n);

/* Takes in what the workers have noted, a bounded number. Called when they say there
 * is something; true if there is more. */
bool router_notes(struct router *, mono_t now);
/* Makes every worker look at what it holds back. */
void router_kick(struct router *);
/* The set of paths has changed: the device's MTU follows. */
void router_update_mtu(struct router *);
/* The same after one path has another hope (frame_hope), where that makes a difference. */
void router_path_mtu(struct router *, uint32_t old, uint32_t new);
/* The addresses of this machine, and the site's own of each family (family 0: none).
 * Whether anything has changed. */
bool router_set_addresses(struct router *, const struct ip *own, size_t n,
			  const struct ip *address4, const struct ip *address6, mono_t now);

/* The way to the site's hosts; takes it over. NULL: not known. */
void router_set_adjacencies(struct router *, struct adjacencies *);

/* By name or ID text; NULL if there is none. */
struct contact *router_contact(struct router *, const char *name_or_id);
struct contact *router_contact_by_id(struct router *, uint32_t id);
struct network *router_network(struct router *, uint32_t id);

/* Has workers write to each other's streams, as soon as there is a stream. False: out of
 * memory. */
bool router_open_mailboxes(struct router *, unsigned n);

/* Another number of workers, 1 to WORKERS_MAX; no packet is lost by it. False, with
 * lines on errors: it is as before. */
bool router_set_workers(struct router *, unsigned n, FILE *errors);

/* ---- workers.c: the steps of it that are the same in a simulation ---- */

/* Room for n workers in all that each has its own of. False: out of memory, nothing
 * that shows has changed. */
bool router_make_room(struct router *, unsigned n);
/* From now on there are n, room for whom has been made. No worker runs. */
void router_deal(struct router *, unsigned n, mono_t now);
/* Afterwards: reads what those have noted that are gone, and frees what they had. */
void router_dismiss(struct router *, mono_t now);
/* A new port, which takes over what is opened for the worker of this number; it is
 * read from now on. 0, or -errno: it is closed. */
int router_read(struct router *, unsigned number, struct intercept *);
/* Closes everything that is read. No worker runs, nor will. */
void router_close_ports(struct router *);

/* Sums over workers. */
uint64_t router_drops(const struct router *, enum drop);
uint64_t router_events(const struct router *, enum event);
void router_traffic(const struct router *, enum direction, uint64_t *ret_packets,
		    uint64_t *ret_bytes);
void peer_traffic(const struct router *, const struct peer *, enum direction, uint64_t *ret_packets,
		  uint64_t *ret_bytes);
/* Queue frames from or to it. */
void peer_relayed(const struct router *, const struct peer *, enum direction, uint64_t *ret_frames,
		  uint64_t *ret_bytes);
void network_traffic(const struct router *, const struct network *, enum direction,
		     uint64_t *ret_packets, uint64_t *ret_bytes);

/* What a packet from source to destination would meet (vinectl why), without
 * sending one. */
struct verdict {
	enum drop drop;			     /* DROPS: it would go */
	uint32_t network;		     /* if found */
	struct prefix source_prefix, prefix; /* of LNDT and GNDT; family 0: none */
	uint32_t router;		     /* that delivers it */
	const struct contact *contact;	     /* NULL: none, or this router itself */
	uint32_t others[8];		     /* further networks of the source */
	unsigned n_networks;
};
void router_why(struct router *, const struct ip *source, const struct ip *destination,
		struct verdict *ret);

#endif
