/*
 * A simulated Internet for whole routers: sites with routers on in-memory twins,
 * wires between them with delay, loss and worse, hosts that send and collect,
 * and a virtual clock that jumps from event to event.
 *
 * Single-threaded, no root, no real time. What is random comes from the seed,
 * but for the routers' own keys, on which no verdict depends.
 */
#ifndef TESTS_SIM_NET_H
#define TESTS_SIM_NET_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "common/list.h"
#include "router/offload.h"
#include "router/router.h"

#define NET_SITES 5
#define NET_WORKERS 8
#define NET_PORT 8463
#define NET_PACKET 65535

/* One direction between two sites. Probabilities from 0 to 1. */
struct wire {
	int64_t delay;	/* of every datagram */
	int64_t jitter; /* more, up to this, at random: they overtake each other */
	double loss, duplicate;
	double flip;		     /* one bit of the frame is turned */
	double mark;		     /* an ECN-capable outer header is marked as congested */
	double hold;		     /* held back for 300 ms */
	uint64_t rate;		     /* bytes a second, 0: no bound */
	uint32_t queue;		     /* bytes that may wait for the rate */
	unsigned mtu;		     /* of the outer IP packet, 0: no bound */
	bool hint;		     /* too large: the sender's socket is told, as by ICMP */
	bool cut;		     /* nothing passes */
	bool mute;		     /* ... of handshakes */
	bool no_udp, no_tcp, no_tls; /* a firewall; TLS is what goes to its port */
	int64_t busy;		     /* when the rate has room again */
	uint64_t passed, too_large;
};

/* A NAT in front of a site. Who has not been written to from a port gets in by none. */
enum nat_kind {
	NAT_NONE,
	NAT_RESTRICTED, /* one port for all destinations */
	NAT_SYMMETRIC	/* one for each */
};

#define NAT_ENTRIES 32

struct nat {
	enum nat_kind kind;
	struct ip outside;
	int64_t life; /* of what is not used, 0: without end */
	unsigned made;
	uint64_t refused;
	struct nat_entry {
		struct endpoint remote;
		uint16_t port; /* 0: none */
		mono_t used;
	} entries[NAT_ENTRIES];
};

struct datagram {
	struct endpoint from, to;
	uint8_t tos;
	struct virtio_net_hdr words; /* of a host's packet: what the kernel says of it */
	uint32_t len;
	uint8_t data[];
};

/* What a host sends over and over, and what came of it. */
struct flow {
	unsigned from, to; /* sites */
	struct ip src, dst;
	uint16_t size; /* of the IP packet */
	uint16_t port; /* source port: another flow hash */
	uint8_t tos;
	bool fragmentable; /* IPv4 without DF */
	int64_t interval;
	uint64_t left; /* packets still to be sent */
	mono_t next;
	/* results */
	uint64_t sent, received, duplicates, reordered;
	uint64_t top;	    /* highest serial received */
	mono_t first, last; /* when the first and the last one came */
	uint8_t last_tos, last_ttl;
	uint8_t *seen; /* a byte for each serial */
	size_t room;
};

struct net;

struct site {
	struct net *net;
	unsigned number;       /* also the router ID, */
	uint32_t id;	       /* ... if this is 0 */
	char name[8];	       /* "r1" */
	struct router *router; /* NULL: not running */
	struct loop *loop;
	unsigned workers;
	unsigned equipped; /* for so many there are twins: as many as there ever were workers */
	unsigned steered;  /* frames are, to so many: the workers, if the test likes it so */
	struct endpoint own[2]; /* IPv4, IPv6: where it listens */
	struct endpoint nat[2]; /* port set: what others see instead */
	struct nat box;		/* what is sent by IPv4 leaves through it */
	unsigned lan;		/* 0: none; sites of one have each other before the NAT */
	unsigned first_hop;	/* MTU of its interface */
	bool listens;		/* for streams, when it starts */
	bool kernel_routes;	/* what is injected goes through the kernel's routing */
	bool unrouted;		/* what is taken out has not been through it */
	bool busy;		/* something has arrived */
	bool noted;		/* a worker has told the control thread something */
	bool behind;		/* ... which has no time for it */
	mono_t held_check;
	struct twin *device[NET_WORKERS];
	struct twin *links[NET_WORKERS][2];
	/* configuration, for site_text */
	unsigned peers, hidden; /* bits of sites: configured; without an endpoint */
	bool v6;		/* endpoints of its peers are IPv6 */
	const char *router_lines, *security, *peer_lines;
	const char *tables;   /* [lndt], [gndt ...], [network ...] instead of the usual ones */
	const char *stranger; /* its keys differ from what the others have: mixed in */
	/* what came out, beside flows */
	void (*sink)(void *arg, struct site *, const uint8_t *packet, size_t len);
	void *sink_arg;
	uint64_t answers;     /* ICMP errors of its own router to its hosts */
	uint8_t answer[1500]; /* the last one */
	size_t answer_len;
	uint64_t others; /* injected packets that are no flow's */
	uint8_t other[NET_PACKET];
	size_t other_len;
	uint64_t wired;	  /* datagrams that its router sent */
	unsigned refused; /* so many of its control thread's are, with this error */
	int refusal;
};

struct net {
	mono_t now;
	uint64_t random;
	struct site sites[NET_SITES + 1]; /* from 1 */
	struct wire wires[NET_SITES + 1][NET_SITES + 1];
	struct incident *incidents; /* a heap */
	size_t n_events, room;
	uint64_t order;
	struct list pipes, calls; /* streams; those that are being opened */
	struct flow **flows;
	size_t n_flows;
	uint64_t corrupt, misplaced; /* injected: altered, or not where it should be */
	uint64_t strays;	     /* datagrams to addresses that nobody has */
	/* sees every datagram that a router sends, before the wire */
	void (*tap)(void *arg, struct net *, const struct site *from, const struct datagram *);
	void *tap_arg;
	int log, real_stderr; /* stderr of the test goes here meanwhile */
};

/* cmocka setup and teardown: *state is a struct net. */
int net_setup(void **state);
int net_teardown(void **state);
#define net_test(fn) cmocka_unit_test_setup_teardown(fn, net_setup, net_teardown)
int net_group_setup(void **state);
int net_group_teardown(void **state);

/* Fresh net: no sites run; 10 ms each way; the seed decides what is random. */
struct net *net_new(uint64_t seed);
void net_free(struct net *);

/* Memory of the simulation's own, never NULL: where a test makes allocations fail,
 * those that are tested are to fail. */
void *net_memory(void *old, size_t size);
uint64_t net_random(struct net *, uint64_t below);
/* All wires at once. */
void net_wires(struct net *, const struct wire *);
/* Lines that were logged since the net was made that contain this text. */
unsigned net_logged(struct net *, const char *text);

/* Lets time pass. Checks every router's sums at the end. */
void net_run(struct net *, int64_t time);
/* ... until this holds; how long it took, -1: it did not within max. */
typedef bool net_fn(void *arg, struct net *);
int64_t net_wait(struct net *, net_fn *, void *arg, int64_t max);
/* Every packet accounted for, every buffer where it should be. */
void net_check(struct net *);

/* A datagram from an outsider, or a copy: arrives after delay at whoever has `to`. */
void net_throw(struct net *, const struct endpoint *from, const struct endpoint *to,
	       const void *data, size_t len, int64_t delay);

/* ---- sites (site.c) ---------------------------------------------------- */

/* Starts sites 1 to n as a full mesh in network 8000, with so many workers. */
void sites_start(struct net *, unsigned n, unsigned workers);
/* Fields are as they will be; start builds and starts the router. */
void site_start(struct site *);
void site_stop(struct site *);
/* Another number of workers from now on, up to NET_WORKERS. */
void site_set_workers(struct site *, unsigned n);
/* Ends with a word to the peers. */
void site_leave(struct site *);
/* Applies the fields anew; the result of router_reload. */
bool site_reload(struct site *);
/* The text of the file that the fields give; to be freed. */
char *site_text(const struct site *);
/* The configuration that the fields give: NULL if it is wrong (errors say why). */
struct config *site_config(struct site *, FILE *errors);
struct contact *site_contact(struct net *, unsigned site, unsigned peer);
bool site_is_up(struct net *, unsigned site, unsigned peer);
/* net_fn: all running sites are up with each configured, running peer and know the
 * path MTU. */
bool sites_are_up(void *arg, struct net *);
void sites_wait_up(struct net *);
uint64_t site_drops(const struct site *, enum drop);
uint64_t site_all_drops(const struct site *);
uint16_t site_frame_max(struct net *, unsigned site, unsigned peer);
/* Host h of a site: 172.16.SITE.h, fd00:76:0:SITE::h. */
struct ip host4(unsigned site, unsigned h);
struct ip host6(unsigned site, unsigned h);
struct ip ip_of(const char *text);
struct endpoint endpoint_of(const char *text);
/* Everything that its turn gives, until it is idle. For net.c. */
void site_settle(struct site *);
/* Datagrams and packets into the twins. */
void site_deliver(struct site *, const struct datagram *);
void site_intercept(struct site *, const struct virtio_net_hdr *, const uint8_t *packet,
		    size_t len);
/* A datagram of a site's router, to the wire. For the twins. */
void net_send(struct site *, uint8_t family, const struct endpoint *to, uint8_t tos,
	      const uint8_t *data, size_t len);
/* Whether a datagram of len frame bytes is too large for the first hop; says so. */
void net_hint(struct site *, const struct endpoint *remote, int64_t delay);

/* ---- NATs (nat.c) ------------------------------------------------------ */

/* What a datagram to there comes from; whether one from there to that port gets in. */
struct endpoint nat_out(struct nat *, const struct endpoint *remote, mono_t now);
bool nat_in(struct nat *, const struct endpoint *from, uint16_t port, mono_t now);
/* All mappings are gone; the next ones have other ports. */
void nat_forget(struct nat *);

/* ---- streams (pipes.c) ------------------------------------------------- */

/* The site's router opens streams to others, and they to it. */
void pipes_equip(struct site *);
/* All connections are reset. */
void pipes_reset(struct net *);
/* For net.c: what is due happens; when the next is. */
void pipes_step(struct net *);
mono_t pipes_next(const struct net *);
void pipes_free(struct net *);

/* ---- hosts (hosts.c) --------------------------------------------------- */

/* A flow of UDP packets between hosts of two sites: `count` of them, one each
 * interval, first one after an interval. The net owns it. */
struct flow *flow_new(struct net *, unsigned from, const struct ip *src, unsigned to,
		      const struct ip *dst, uint16_t size, int64_t interval, uint64_t count);
/* Between host 10 of both, IPv4. */
struct flow *flow4(struct net *, unsigned from, unsigned to, uint16_t size, int64_t interval,
		   uint64_t count);
struct flow *flow6(struct net *, unsigned from, unsigned to, uint16_t size, int64_t interval,
		   uint64_t count);
void flow_send(struct net *, struct flow *);
/* All that was sent came, once each. */
void flow_whole(const struct flow *);
bool flow_is_whole(const struct flow *);
/* Of all flows, and none has more to send; for net_wait. */
bool flows_have_come(void *arg, struct net *);
/* For router_apply_image, with a configuration: the keys that it has; of whom it doesn't know,
 * any. */
image_key_fn config_key;
/* What a site's injector was given. */
void hosts_take(struct site *, const uint8_t *packet, size_t len);

/* Whole IP packets with good checksums; how long. out has room for NET_PACKET. */
struct host_packet {
	struct ip src, dst;
	uint8_t proto; /* 6, 17, 1 or 58 */
	uint8_t tos, ttl;
	bool fragmentable;
	uint16_t sport, dport;
	uint32_t seq;	    /* TCP */
	uint8_t flags;	    /* TCP */
	uint16_t mss;	    /* TCP option, 0: none */
	uint8_t type, code; /* ICMP */
	uint16_t gso;	    /* a super-packet of segments of this payload; 0: a single one */
	const uint8_t *payload;
	size_t len;
};
size_t host_build(uint8_t *out, const struct host_packet *);
/* The same as a device hands it out: with what the kernel says of it. */
void host_offer(const struct host_packet *, struct virtio_net_hdr *ret_words, uint8_t *out,
		size_t *ret_len);
/* Sends it from a site's host. */
void host_send(struct site *, const struct host_packet *);

#endif
