/*
 * The configuration of a full router: one immutable struct made from a file
 * (SPEC section 6). A running router holds one; reload makes another.
 */
#ifndef ROUTER_CONFIG_H
#define ROUTER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/addr.h"
#include "common/crypto.h"
#include "common/table.h"
#include "common/wire.h"
#include "router/proxy.h"

enum intercept_method { INTERCEPT_TUN, INTERCEPT_NFQUEUE, INTERCEPT_PACKET, INTERCEPT_METHODS };
enum inject_method { INJECT_TUN, INJECT_RAW, INJECT_PACKET };
enum fail_mode { FAIL_CLOSED, FAIL_OPEN };
enum protocol { PROTOCOL_UDP, PROTOCOL_TCP, PROTOCOL_TLS, PROTOCOL_AUTO };
enum limited_mode {
	LIMITED_NONE,
	LIMITED_CHANNEL,
	LIMITED_UDP,
	LIMITED_POLL_UDP,
	LIMITED_POLL_TCP
};

const char *intercept_method_name(enum intercept_method);
bool intercept_method_parse(const char *text, enum intercept_method *ret);
const char *inject_method_name(enum inject_method);

#define RELAYS_MAX 16 /* queue routers of one peer, or of this router */

/* [peer NAME], or [tiny NAME]: a client of this router's on one VM, at these addresses */
struct config_peer {
	char *name;
	unsigned line;
	uint32_t id;
	char *host; /* of the endpoint: a name or an address; NULL: it comes to us */
	uint16_t port;
	uint16_t tls_port;
	enum protocol protocol;
	char *key_file;
	uint8_t key[CRYPTO_KEY];
	bool relay, transit, direct;
	char **queue_routers; /* names of peers, in order: as they were configured */
	size_t n_queue_routers;
	uint32_t relays[RELAYS_MAX]; /* who they are */
	unsigned n_relays;
	bool tiny;
	uint32_t network; /* its only one */
	struct prefix *addresses;
	size_t n_addresses;
	/* This router's only way into the overlay: watched closely, and kept alive. */
	bool designated;
	bool replaceable; /* ... for there is another one, with which to go on when it is dead */
};

/* https://host[:port] */
struct config_url {
	char *text; /* without a path */
	char *host; /* a name or an address */
	uint16_t port;
};

/* [network ID], or the defaults for one that only [lndt] or [gndt] names */
struct config_network {
	uint32_t id;
	enum protection protection;
};

struct config {
	char *file;
	/* [router] */
	char *name;
	uint32_t id;
	unsigned workers;	      /* 0: one per CPU */
	char *control;		      /* path of the control socket */
	unsigned mtu;		      /* of the path outside, 0: found by probing */
	struct ip address4, address6; /* the gateway's own in the site; family 0: none */
	struct endpoint metrics;      /* ip.family 0: off */
	bool debug;		      /* log = debug */
	/* [intercept] and [inject] */
	enum intercept_method intercept;
	char *device;
	struct prefix *networks;
	size_t n_networks;
	char **interfaces; /* that packets are taken from, with method packet; none: found */
	size_t n_interfaces;
	uint16_t queue;
	enum fail_mode fail;
	bool source_check; /* what came in another way than its source's is dropped */
	enum inject_method inject;
	/* [listen] */
	struct endpoint *udp;
	size_t n_udp;
	struct endpoint *tcp;
	size_t n_tcp;
	struct endpoint *tls;
	size_t n_tls;
	char *tls_certificate, *tls_key; /* paths; NULL: made when the router starts */
	/* [proxy]; host "": not given */
	struct proxy proxy;
	/* [security] */
	enum protection protection; /* default for all networks */
	int64_t rekey_after;	    /* nanoseconds of use */
	uint64_t rekey_frames;	    /* of one lane */
	/* [limited] */
	enum limited_mode limited;
	char **queue_routers;
	size_t n_queue_routers;
	int64_t poll_interval;
	/* [queue]: of each router that asks for its frames */
	uint32_t queue_bytes;
	int64_t queue_age; /* nanoseconds */
	/* [authority]: tables, networks and peers are what it gives */
	struct config_url *urls;
	size_t n_urls;
	char *identity; /* directory; NULL: there is no authority */
	char *state;	/* ... of what this router keeps */
	/* [hosts] */
	struct endpoint hosts; /* where they ask; ip.family 0: nowhere */
	/* [lndt], [gndt ID], [network ID], [peer NAME], [tiny NAME] */
	struct lndt_row *lndt;
	size_t n_lndt;
	struct gndt_row *gndt; /* those of tinies among them */
	size_t n_gndt;
	struct config_network *nets; /* ascending, one for each network of lndt and gndt */
	size_t n_nets;
	struct config_peer *peers; /* in the order of the file */
	size_t n_peers;
};

/* Reads and checks a file and the key files that it names. NULL if anything is
 * wrong; each error is a line "FILE:LINE: [section] key: what is wrong; expected
 * what" on `errors`. */
struct config *config_load(const char *file, FILE *errors);
/* The same from memory (tests, fuzzing); key files are not read if !keys. */
struct config *config_parse(const char *name, const char *text, size_t len, bool keys,
			    FILE *errors);
/* "198.51.100.2:8463", "[2001:db8::1]:8463", "gw.example.org:8463"; false for anything else. */
bool config_host_parse(const char *text, char host[static 256], uint16_t *ret_port);
/* What a URL of [authority] says; false, and untouched, for anything else, or out of memory. */
bool config_url_parse(const char *text, struct config_url *ret);
/* Wipes the keys. NULL is fine. */
void config_free(struct config *);

const struct config_peer *config_peer(const struct config *, const char *name);
/* The settings that can't change while the router runs (router ID, device,
 * control socket, workers, listening addresses, ...): writes "FILE: [section] key: ..."
 * lines for those that differ; true if none does. */
bool config_can_reload(const struct config *old, const struct config *new, FILE *errors);
/* The file again, with every default filled in, keys left out: for "show config".
 * Calls fn for each: section as in the file ("peer chicago"), key, value. */
void config_each(const struct config *,
		 void (*fn)(void *arg, const char *section, const char *key, const char *value),
		 void *arg);

#endif
