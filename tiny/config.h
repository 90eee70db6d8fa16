/*
 * The configuration of vine-tiny: [tiny] of a file, or the same keys as options on the
 * command line (SPEC section 6).
 */
#ifndef TINY_CONFIG_H
#define TINY_CONFIG_H

#include <stdio.h>

#include "router/config.h"

struct tiny_router {
	char host[256]; /* a name or an address */
	uint16_t port;
};

struct tiny_config {
	char *file; /* for messages */
	char *name;
	uint32_t id;
	/* The designated full routers, the first choice first; of each its ID, and its key. */
	struct tiny_router *routers;
	size_t n_routers;
	uint32_t *router_ids;
	size_t n_router_ids;
	char **key_files; /* one for all, or one each */
	size_t n_key_files;
	uint8_t (*keys)[CRYPTO_KEY]; /* of each router */
	enum protocol protocol;
	uint16_t tls_port;
	struct proxy proxy; /* host "": not given */
	uint32_t network;   /* 0: as the router says */
	struct ip address4,
		address6;	 /* the VM's own; family 0: that by which the router is reached */
	struct prefix *networks; /* what goes to the router, */
	size_t n_networks;
	struct prefix *local; /* ... but for these */
	size_t n_local;
	char *device;
	unsigned mtu; /* of the path outside; 0: found by probing */
	bool debug;
};

/* Reads and checks a file, and the key files that it names. NULL with lines on errors. */
struct tiny_config *tiny_config_load(const char *file, FILE *errors);
/* The same from memory; key files are not read if !keys. */
struct tiny_config *tiny_config_parse(const char *name, const char *text, size_t len, bool keys,
				      FILE *errors);
/* Wipes the keys. NULL is fine. */
void tiny_config_free(struct tiny_config *);
/* Whether there is such a key. */
bool tiny_config_knows(const char *key);

/* As a full router's, with one peer, number `which`: see tiny.h. Network 0: not known yet.
 * NULL: out of memory. */
struct config *tiny_config_router(const struct tiny_config *, size_t which,
				  const struct config_network *, const struct ip *address4,
				  const struct ip *address6);

#endif
