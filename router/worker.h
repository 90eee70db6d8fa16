/*
 * A worker: one thread that carries packets both ways, with a queue of the
 * device, sockets, buffers and counters of its own. Workers share nothing with
 * each other and wait for nobody.
 */
#ifndef ROUTER_WORKER_H
#define ROUTER_WORKER_H

#include <stdatomic.h>

#include "common/counters.h"
#include "common/list.h"
#include "common/loop.h"
#include "common/packet.h"
#include "router/inject.h"
#include "router/intercept.h"
#include "router/link.h"
#include "router/peer.h"
#include "router/ring.h"

#define LINKS_MAX 8
#define POOL_PACKETS 1024
#define HELD_MAX 256 /* packets of one worker that wait for keys */
#define HELD_PER_PEER 64
#define HELD_TIME (5 * SEC)
#define ICMP_BUCKETS 256 /* sources whose ICMP errors are limited apart */

/*
 * Something that is read for packets: a queue of the device, an NFQUEUE, a socket.
 * Each is opened for the worker of its number and belongs to it while there is one;
 * else to worker number % count. It is never closed before the end: what is in it
 * would be lost, and what is on its way to it. So each worker may read several.
 */
struct port {
	struct list node; /* of the router's ports */
	struct source source;
	unsigned number;
	/* Who reads it: changes only while no worker runs. NULL: nobody yet, and nothing
	 * can be in it. */
	struct worker *worker;
	struct intercept *in;	 /* what it is: this, */
	struct link *link;	 /* or this, */
	uint8_t l;		 /* of this listening address, */
	struct streams *streams; /* or these; see link_stream.h */
	_Atomic(struct arrival *) arrivals;
	struct timer due;
};

/* A packet that waits: for keys, or for the first result about the path MTU. */
struct held {
	struct packet *packet;
	uint32_t router; /* whom it waits for */
};

struct worker {
	unsigned number;
	unsigned count;	      /* how many workers there are: changes while none runs */
	struct world **world; /* RCU; where the router publishes it */
	struct world *view;   /* of this turn */
	struct pool *pool;
	struct loop *loop;
	struct ring *notes; /* to the control thread */
	void (*note_sent)(void *arg);
	void *note_arg;

	struct list *ports;		 /* the router's, of which some are this worker's */
	_Atomic(struct inject *) inject; /* gives hosts their packets */
	struct inject *answer;		 /* gives hosts the router's own ICMP errors */
	struct link *links[LINKS_MAX];	 /* to send by: those of its number */
	unsigned n_links;
	struct port **streams;	 /* the router's, by number; NULL: not there (yet) */
	struct mailbox *mailbox; /* frames of other threads for streams that are this one's */
	bool stream_dirty;	 /* a stream has something to write */
	int kick_fd;		 /* eventfd, -1 for one that is driven by worker_turn */
	struct source kick_source;
	struct timer held_timer;

	struct batch to_site; /* ICMP errors made in this turn */
	struct batch to_overlay;
	struct held held[HELD_MAX];
	unsigned n_held;
	struct budget hints; /* of path MTUs */
	mono_t now;	     /* of the turn, for callbacks that are not told */
	_Atomic bool drain;  /* something kept for a peer is to be sent */
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
	NOTE_RELAYED,	    /* the same, by a relay */
	NOTE_NO_WAY,	    /* it sent a frame for a router that can't be reached; data: ID */
	NOTE_BAD_HANDSHAKE, /* a handshake frame in its name with a wrong MAC */
	NOTE_DEVICE_GONE,   /* the device can't be read any more; router 0 */
	NOTE_STREAM_GONE,   /* way.stream has ended; data: why; router 0 */
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

/* Embedded. What it has from the beginning to the end is its number and its counters;
 * while it works, ring and pool too. worker_hire false: out of memory. */
void worker_init(struct worker *, unsigned number, struct world **world, struct list *ports);
bool worker_hire(struct worker *);
void worker_dismiss(struct worker *);

/* A new port on the list, which takes over what is read, for the worker of this
 * number or who works in its place; NULL: out of memory. */
struct port *port_new(struct list *ports, unsigned number, struct intercept *, struct link *,
		      uint8_t l);
/* Carries frames that have come on a stream. */
void worker_take_frames(struct worker *, struct batch *, mono_t now);
/* Closes what is read. */
void port_free(struct port *);

/* One turn of work without any waiting: takes a batch from each source that has
 * something and carries it. True if there was anything. (Twins and draining;
 * running workers are called by their loop.) */
bool worker_turn(struct worker *, mono_t now);

/* Adds what the worker is to read, once there are `count` of them, to a loop which
 * another one may still be in the place of. 0 or -errno. */
int worker_watch(struct worker *, struct loop *, unsigned count);
/* Uses this loop from now on; its thread does not run. */
void worker_attach(struct worker *, struct loop *, mono_t now);

#endif
