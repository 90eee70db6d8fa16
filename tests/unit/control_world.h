/*
 * A router without devices, with two networks and two peers, for the tests of what
 * it says about itself.
 */
#ifndef TESTS_UNIT_CONTROL_WORLD_H
#define TESTS_UNIT_CONTROL_WORLD_H

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "router/interception.h"
#include "router/router.h"

static const char control_config[] = "[router]\n"
				     "name = florida\n"
				     "id = 1\n"
				     "address = 172.16.0.1\n"
				     "[intercept]\n"
				     "networks = 172.16.0.0/12\n"
				     "[lndt]\n"
				     "8000 = 172.16.0.0/24\n"
				     "8001 = 172.16.0.20\n"
				     "[network 8001]\n"
				     "encrypt = aes-256-gcm\n"
				     "[gndt 8000]\n"
				     "chicago = 172.16.10.0/24\n"
				     "purdue = 172.16.20.0/24\n"
				     "[gndt 8001]\n"
				     "chicago = 172.16.11.0/24\n"
				     "[peer chicago]\n"
				     "id = 2\n"
				     "endpoint = 198.51.100.2:8463\n"
				     "key-file = /nowhere/chicago.key\n"
				     "[peer purdue]\n"
				     "id = 3\n"
				     "endpoint = [2001:db8:20::1]:8463\n"
				     "key-file = /nowhere/purdue.key\n";

#define CONTROL_WORKERS 2

/* Key files are not read: no handshake will succeed, and none is tried with anybody
 * for want of sockets. */
static inline struct router *control_router(struct loop *loop, mono_t now)
{
	struct config *c =
		config_parse("florida.conf", control_config, strlen(control_config), false, stderr);

	return c ? router_new(c, CONTROL_WORKERS, loop, now, stderr) : NULL;
}

/* There is no machine to intercept on: nfqueue is always refused. */
int interception_set(struct router *r, enum intercept_method method, const char **ret_what)
{
	if (method == INTERCEPT_NFQUEUE) {
		*ret_what = "netfilter rule";
		return -EPERM;
	}
	r->intercept = method;
	return 0;
}

/* Nor threads: 9 are too many for it. */
bool router_set_workers(struct router *r, unsigned n, FILE *errors)
{
	if (n == 9 || !router_make_room(r, n)) {
		fprintf(errors, "no room\nat all\n");
		return false;
	}
	r->pause = 250 * USEC;
	router_deal(r, n, clock_now());
	router_dismiss(r, r->started);
	return true;
}

#endif
