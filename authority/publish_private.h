/*
 * What publish.c (rounds), publish_target.c (one router), publish_peers.c (who knows whom) and
 * publish_begin.c (where it begins) share.
 */
#ifndef AUTHORITY_PUBLISH_PRIVATE_H
#define AUTHORITY_PUBLISH_PRIVATE_H

#include "authority/publish.h"
#include "authority/queue_routers.h"
#include "authority/tables.h"

/* A router. */
struct target {
	uint32_t id;
	struct image *image; /* that it is to run */
	struct image *next;  /* while a step is made */
	size_t room;	     /* for networks, while the first images are made */
	struct version runs; /* that it has confirmed */
	bool late;
	bool sent_once; /* else what it runs may be another publisher's, and differ in its peers */
	mono_t told;	/* that it is ahead */
	publish_send_fn *send; /* NULL: not attached */
	void *arg;
	struct round *round;	 /* that waits for it */
	struct list outstanding; /* has not confirmed what it is to run */
	mono_t since, sent;	 /* ... for how long; when it was sent last */
	mono_t awaited;		 /* when that began */
	mono_t left;		 /* when its stream ended; {0}: it has one, or had none yet */
	int64_t patience;	 /* ns from then on until it is sent again */
	struct list outgoing;	 /* is to be sent what it is to run */
	struct image *from;	 /* ... as a change of this one; NULL: whole */
	uint64_t mark, aside;	 /* for sets of them */
	/* What others know of it; NULL: revoked, or gone. */
	struct image_peer *peer;
	struct image_peer *relayed; /* ... and a queue router; NULL: not made yet */
	/* As of the last change that was gathered. */
	enum image_limited mode;
	bool serves;
	struct queue_routers latest;
	/* As in the images: `used` is said, `served` by those that have it as client. */
	struct queue_routers used, served;
	struct target **clients;
	size_t n_clients, clients_room;
	/* Who shares a network with one that is served, as its image has it. */
	struct target **near;
	size_t n_near, near_room;
};

/* Other queue routers from a round on. */
struct move {
	struct target *target;
	struct queue_routers from, to;
};

struct round {
	struct list node;
	struct tables_change *change;
	uint64_t revision;
	struct target **touched;
	size_t n, room;
	struct move *moves;
	size_t n_moves;
	bool settles;	      /* links to other queue routers have to come up within a step */
	mono_t until;	      /* not before then the next step; {0}: any time */
	unsigned step;	      /* 0: it waits for others; PUBLISHED_DONE: those before it aren't */
	unsigned asks, saved; /* the step that is to be durable, and that is */
	size_t waiting;	      /* for so many */
};

struct publish {
	struct registry *registry;
	const struct signer *signer;
	uint64_t generation, revision, finished; /* up to there all rounds are done with */
	enum protection protection;
	publish_event_fn *event;
	publish_save_fn *save;
	void *arg;
	struct tables_change *gathering;
	bool gathers;
	mono_t first, last; /* change of those */
	struct list rounds; /* in order */
	bool stirred;	    /* one may have become free to go on */
	bool held, saving;  /* nothing may be sent yet; publish_saved is awaited */
	mono_t save_at;	    /* {0}: there is nothing to be saved */
	struct list outstanding, outgoing;
	size_t at_once;		 /* bytes that are sent in one turn, and one more */
	mono_t look;		 /* when the first of those outstanding may be due; {0}: none is */
	size_t looked;		 /* at so many of the routers whose record changes */
	struct target **targets; /* by ID */
	size_t n, room;
	uint64_t mark, aside;
};

/* Images fail for lack of memory only. */
void *publish_have(void *object);

struct version publish_version(const struct publish *, uint64_t revision, unsigned step);
void image_add_network(struct image *, size_t *room, uint8_t sides, const struct network_table *,
		       enum protection);
enum protection publish_protection(const struct publish *, const struct network_table *);
/* What has been gathered becomes a round. */
struct round *publish_gathered(struct publish *);
void round_begin_step(struct publish *, struct round *, mono_t now);
/* All routers have confirmed its last step. */
void round_end(struct round *);
void round_touch(struct publish *, struct round *, struct target *);

/* ---- publish_target.c ---- */

struct target *target_find(const struct publish *, uint32_t id);
struct target *target_need(struct publish *, uint32_t id);
void target_free(struct target *);
/* Its record; NULL: it is revoked, or gone. */
const struct router *target_router(const struct publish *, uint32_t id);
/* Whether it has confirmed what it is to run. */
bool target_is_current(const struct target *);
/* That it does is waited for from now on; t->round, if any, counts it. */
void target_await(struct publish *, struct target *, mono_t now);
/* It is to be sent what it is to run, as a change of this image, which is taken over; NULL: as
 * a whole. */
void target_send(struct publish *, struct target *, struct image *from, mono_t now);
/* Some of what is to be sent goes out. */
void targets_send(struct publish *, mono_t now);
/* Those that don't answer are sent it again, and are late at last; sets p->look. */
void targets_look_after(struct publish *, mono_t now);
/* Those that are revoked have their streams no longer, and nobody waits for them. */
void targets_leave(struct publish *);

/* ---- publish_peers.c ---- */

/* What others are to know of it, by its record and `used`: whether that is different. */
bool target_refresh(const struct publish *, struct target *);
/* All that there is of queue routers, in the beginning. */
void peers_begin(struct publish *);
/* Who shares a network with it by this image, if that matters to anybody. */
void peers_near(struct publish *, struct target *, const struct image *);
/* Peers and self of an image of its; everybody's near is up to date. */
void peers_find(struct publish *, const struct target *, struct image *);
/* Its tinies. */
void peers_tinies(const struct publish *, const struct target *, struct image *);
/* What a finished change does beside the tables: the round's moves, and whom they and
 * changed records touch. */
void peers_gathered(struct publish *, struct round *);
/* The step of the round begins: moves go on. */
void peers_step(struct publish *, const struct round *);

#endif
