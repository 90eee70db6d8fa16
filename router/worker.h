/*
 * A worker: one thread that carries packets both ways, with a queue of the
 * device, sockets, buffers and counters of its own. Workers share nothing with
 * each other and wait for nobody.
 */
#ifndef ROUTER_WORKER_H
#define ROUTER_WORKER_H

#include <stdatomic.h>

#include "common/counters.h"
#include "common/loop.h"
#include "common/packet.h"
#include "router/inject.h"
#include "router/intercept.h"
#include "router/link.h"
#include "router/peer.h"
#include "router/ring.h"

#define WORKERS_MAX 32
#define LINKS_MAX 8
#define POOL_PACKETS 1024
#define HELD_MAX 256 /* packets of one worker that wait for keys */
#define HELD_PER_PEER 64
#define HELD_TIME (5 * SEC)
#define ICMP_BUCKETS 256 /* sources whose ICMP errors are limited apart */

/* A packet that waits: for keys, or for the first result about the path MTU. */
struct held {
	struct packet *packet;
	uint32_t router; /* whom it waits for */
};

struct worker {
	unsigned number;
	unsigned count;	      /* how many workers there are */
	struct world **world; /* RCU; where the router publishes it */
	struct world *view;   /* of this turn */
	struct pool *pool;
	struct loop *loop;
	struct ring *notes; /* to the control thread */
	void (*note_sent)(void *arg);
	void *note_arg;

	struct intercept *device;		/* TUN queue: always read */
	struct intercept *queues;		/* a list: NFQUEUE or rings, if in use */
	_Atomic(struct intercept *) new_queues; /* to be taken up at the next kick */
	_Atomic(struct inject *) inject;	/* gives hosts their packets */
	struct inject *answer;			/* gives hosts the router's own ICMP errors */
	struct link *links[LINKS_MAX];
	unsigned n_links;
	int kick_fd; /* eventfd, -1 for one that is driven by worker_turn */
	struct source device_source, kick_source;
	struct link_port {
		struct source source;
		struct worker *worker;
	} ports[LINKS_MAX];
	struct timer held_timer;

	struct batch to_site; /* ICMP errors made in this turn */
	struct batch to_overlay;
	struct held held[HELD_MAX];
	unsigned n_held;
	struct budget hints; /* of path MTUs */
	mono_t now;	     /* of the turn, for callbacks that are not told */
	_Atomic bool kicked; /* the control thread changed something held packets wait for */
	struct {
		mono_t at;
		uint32_t tokens;
	} icmp[ICMP_BUCKETS];

	struct counters counters;
};

/* What workers tell the control thread, through their ring. */
enum note_kind {
	NOTE_HANDSHAKE,	    /* a handshake frame with a good MAC; data: its payload */
	NOTE_CONTROL,	    /* an authenticated control frame; data: its payload, cut */
	NOTE_WANT_KEYS,	    /* a packet waits for keys with this router */
	NOTE_UNKNOWN_KEY,   /* a frame in this router's name under keys not known */
	NOTE_MOVED,	    /* an authenticated frame from another way than the path's */
	NOTE_BAD_HANDSHAKE, /* a handshake frame in its name with a wrong MAC */
	NOTE_DEVICE_GONE,   /* the device can't be read any more; router 0 */
	NOTE_TOO_BIG	    /* ICMP hint about a datagram to way.remote; router 0 */
};

#define NOTE_DATA 1600
#define NOTE_SLOTS 256

struct note {
	enum note_kind kind;
	uint32_t router;
	struct way way;
	uint16_t frame_size; /* of the frame it came from */
	uint16_t len;	     /* of data, cut at NOTE_DATA */
	uint8_t data[NOTE_DATA];
};

/* Sends a note; false (and nothing) if the control thread is behind. */
bool worker_note(struct worker *, const struct note *head, const void *data, size_t len);

/* Makes the worker look at what the control thread changed: any thread. */
void worker_kick(struct worker *);

/* Gives a worker one more interceptor, from the next kick on: the control thread. */
void worker_take_up(struct worker *, struct intercept *);
/* Takes it back at the next kick: the worker empties it first, and closes it. It is
 * not to be touched any more. */
void worker_retire(struct intercept *);

/* Embedded: ring, pool and counters; devices and links are given afterwards.
 * False: out of memory. */
bool worker_init(struct worker *, unsigned number, unsigned count, struct world **world);
/* Closes device, queues and links; injectors are their opener's. */
void worker_close_devices(struct worker *);
/* The same, and frees the rest. */
void worker_done(struct worker *);

/* One turn of work without any waiting: takes a batch from each source that has
 * something and carries it. True if there was anything. (Twins and draining;
 * running workers are called by their loop.) */
bool worker_turn(struct worker *, mono_t now);

/* Loop callbacks on real descriptors. 0 or -errno. */
int worker_attach(struct worker *, struct loop *);

#endif
