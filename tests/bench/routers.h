/*
 * Simulated routers: many in one process, each with a certificate, and two connections to
 * the authority as vine-router has them. On one it reads its stream; on the other it
 * confirms tables, and sends a heartbeat every five seconds. What fails is tried again after
 * vine-router's pauses.
 *
 * Every fiftieth takes its tables as a router does (signature, addressee, version, change
 * upon image) and ends the program if one is wrong; the others look at the version alone,
 * since a machine that simulates ten thousand can't do the work of so many.
 */
#ifndef BENCH_ROUTERS_H
#define BENCH_ROUTERS_H

#include "common/sign.h"
#include "tests/bench/client.h"

struct routers_plan {
	struct event_base *base;
	SSL_CTX *context;
	uint16_t port;
	unsigned n;
	unsigned beating;		/* so many send heartbeats; others confirm only, and
					   close that connection when they have */
	const struct identity *routers; /* r0, r1, ... with IDs from 1; the caller's */
	uint8_t tables_key[SIGN_KEY];	/* that signs their tables */
};

struct routers_figures {
	unsigned attached; /* whose stream has said something */
	unsigned current;  /* that have confirmed tables, in the authority's answer */
	unsigned final;	   /* that have confirmed a last step since routers_mark */
	uint64_t bytes;	   /* of streams */
	unsigned failures; /* connections that were lost, or came to nothing */
	unsigned verified; /* tables that were taken as a router does */
	unsigned beats;	   /* heartbeats that were answered */
};

struct routers *routers_new(const struct routers_plan *);
void routers_free(struct routers *);
/* All of them, now. */
void routers_start(struct routers *);
/* Heartbeats or none. */
void routers_beat(struct routers *, bool);
void routers_mark(struct routers *);
struct routers_figures routers_figures(const struct routers *);

#endif
