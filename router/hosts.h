/*
 * What the hosts of this site ask their router for, by plain HTTP (http.h): to register, an
 * address, to join a network or to leave it. The router passes it to the authority, in the
 * host's name; who the host is, is proved by its secret, whose hash the authority knows.
 *
 *   GET  /v1/host             how the host is
 *   POST /v1/host             registers it, with Vine-Token: TOKEN
 *   POST /v1/host/address     gives it the address that it has, or a new one
 *   POST /v1/host/join/VN, /v1/host/leave/VN
 *
 * Each with Authorization: Bearer NAME:SECRET. With ?physical the address that is registered
 * or given is the one that the request comes from. A good answer says, in lines of a word
 * and a value, how the host is now: host, router, address, vn, gateway, network. Others are
 * one line.
 *
 * Belongs to the control thread.
 */
#ifndef ROUTER_HOSTS_H
#define ROUTER_HOSTS_H

#include <stdio.h>

#include "common/clock.h"

struct router;

#define HOSTS_CONNECTIONS 32
#define HOSTS_PER_SOURCE 4
#define HOSTS_TIME (20 * SEC)	    /* for one request and its answer */
#define HOSTS_WAIT (8 * SEC)	    /* for each of the authority's answers */
#define HOSTS_EVERY (500 * MSEC)    /* requests of one source, in the long run; */
#define HOSTS_BURST 20		    /* ... at once */
#define HOSTS_EVERY_ALL (40 * MSEC) /* ... of all */
#define HOSTS_BURST_ALL 200

struct hosts;

/* Serves at [hosts] listen. Of a router with an authority. NULL, with a line on errors, if
 * it can't. */
struct hosts *hosts_open(struct router *, FILE *errors);
/* Before the authority. NULL is fine. */
void hosts_close(struct hosts *);

#endif
