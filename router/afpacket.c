/*
 * AF_PACKET rings, see afpacket.h.
 *
 * A ring is memory that the kernel writes packets into, one to a frame, and that we
 * read: no system call for a packet, nor for a batch of them. Packets are copied out
 * and frames handed back at once.
 *
 * It is TPACKET_V2 and not V3. V3 hands out blocks of many packets, which costs the
 * kernel less, but a block that is not full is kept back until its timer fires, a
 * millisecond later at the earliest, and so would be each packet on an idle router.
 *
 * A frame has room for what travels as a single packet on an Ethernet. What is larger
 * (super-packets, jumbo frames) is marked in its frame, so that it keeps its place,
 * and waits as a whole in the socket's queue (PACKET_COPY_THRESH): a system call for
 * as many segments as it stands for. In front of each packet are the kernel's words
 * about it (PACKET_VNET_HDR), which count from the link header.
 *
 * Which packets: those with our mark, and the kernel's filter lets no others in. The
 * socket listens for IP or IPv6, not for everything: only so it comes behind the hook
 * that sets the mark. One family each, since a socket knows one protocol.
 *
 * The sockets of a family are a group: a program in the kernel gives each packet to
 * one of them by its flow. A new one joins deaf, and opens its ears before the program
 * counts it in: it never gets what another one gets, and nothing is lost meanwhile.
 */
#include "router/afpacket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/list.h"
#include "common/sockopt.h"
#include "router/offload.h"

#define FRAME_SIZE 2048 /* bytes; the kernel's words take less than 128 of them */
#define FRAMES 2048
#define BLOCK_SIZE 65536
#define LARGE_BYTES (16 * 1024 * 1024) /* of memory, in the socket's queue */
#define READ_MAX (256 * 1024)	       /* bytes in one batch: supers are worth many packets */
#define LINK_MAX 64		       /* link header in front of a packet */

_Static_assert(PACKET_HEADROOM >= LINK_MAX + OFFLOAD_HEADER, "room in front of a packet");

struct ring {
	struct intercept intercept;
	uint8_t *frames;
	unsigned at; /* frame to be read next */
	uint8_t family;
};

/* ---- reading --------------------------------------------------------------------- */

/* A packet that is whole in its frame. */
static void copy(struct packet *p, const uint8_t *frame, const struct tpacket2_hdr *h)
{
	const unsigned link = (unsigned)(h->tp_net - h->tp_mac);
	struct virtio_net_hdr words;

	memcpy(&words, frame + h->tp_mac - sizeof(words), sizeof(words));
	p->len = h->tp_snaplen - link;
	memcpy(p->data, frame + h->tp_net, p->len);
	offload_read(p, &words);
	p->csum_start = (uint16_t)(p->csum_start - link);
}

/* The next one in the socket's queue; without p it is only taken out. */
static bool read_large(int fd, struct packet *p, unsigned link)
{
	struct virtio_net_hdr words;
	ssize_t n;

	if (!p) {
		recv(fd, &words, sizeof(words), MSG_DONTWAIT);
		return false;
	}
	n = recv(fd, p->data - link - sizeof(words), sizeof(words) + link + PACKET_ROOM,
		 MSG_DONTWAIT);
	if (n <= (ssize_t)(sizeof(words) + link))
		return false;
	memcpy(&words, p->data - link - sizeof(words), sizeof(words));
	p->len = (uint32_t)(n - (ssize_t)(sizeof(words) + link));
	offload_read(p, &words);
	p->csum_start = (uint16_t)(p->csum_start - link);
	return true;
}

static void count_lost(struct counters *c, enum drop reason, uint64_t n)
{
	counter_add(&c->intercepted, n);
	counter_add(&c->drops[reason], n);
}

/* Takes the packet of a frame that is ours to read. */
static void take(struct ring *r, const uint8_t *frame, struct batch *b, struct pool *pool,
		 struct counters *c)
{
	const struct tpacket2_hdr *h = (const struct tpacket2_hdr *)frame;
	const unsigned link = (unsigned)(h->tp_net - h->tp_mac);
	const bool large = h->tp_snaplen < h->tp_len;
	struct packet *p = large ? pool_get_large(pool) : pool_get(pool);
	bool whole = p && !large && link <= LINK_MAX && h->tp_snaplen > link;

	if (whole)
		copy(p, frame, h);
	else if (h->tp_status & TP_STATUS_COPY)
		whole = read_large(r->intercept.fd, link <= LINK_MAX ? p : NULL, link);
	if (whole) {
		p->unrouted = true;
		batch_add(b, p);
		return;
	}
	/* too large, and no room for it in the queue either */
	count_lost(c, p ? DROP_RING_FULL : DROP_NO_BUFFER, 1);
	if (p)
		pool_put(pool, p);
}

/* What the kernel could not put into the ring since it was last asked. */
static void count_overflow(struct ring *r, struct counters *c)
{
	struct tpacket_stats stats;
	socklen_t size = sizeof(stats);

	if (!getsockopt(r->intercept.fd, SOL_PACKET, PACKET_STATISTICS, &stats, &size))
		count_lost(c, DROP_RING_FULL, stats.tp_drops);
}

static int ring_recv(struct intercept *in, struct batch *b, struct pool *pool, struct counters *c)
{
	struct ring *r = container_of(in, struct ring, intercept);
	const unsigned before = b->n;
	bool losing = false;
	size_t bytes = 0;

	for (unsigned n = 0; n < BATCH_MAX && b->n < BATCH_MAX && bytes < READ_MAX; n++) {
		uint8_t *frame = r->frames + (size_t)r->at * FRAME_SIZE;
		struct tpacket2_hdr *h = (struct tpacket2_hdr *)frame;
		uint32_t status = __atomic_load_n(&h->tp_status, __ATOMIC_ACQUIRE);

		if (!(status & TP_STATUS_USER))
			break;
		losing |= status & TP_STATUS_LOSING;
		bytes += h->tp_len;
		take(r, frame, b, pool, c);
		__atomic_store_n(&h->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
		r->at = (r->at + 1) % FRAMES;
	}
	if (losing)
		count_overflow(r, c);
	return (int)(b->n - before);
}

static void ring_close(struct intercept *in)
{
	struct ring *r = container_of(in, struct ring, intercept);

	if (r->frames != MAP_FAILED)
		munmap(r->frames, (size_t)FRAMES * FRAME_SIZE);
	close(in->fd);
	free(r);
}

static const struct intercept_ops ops = {
	.name = "packet",
	.recv = ring_recv,
	.close = ring_close,
};

/* ---- opening --------------------------------------------------------------------- */

static int attach(int fd, struct sock_filter *code, size_t n)
{
	struct sock_fprog program = { .len = (unsigned short)n, .filter = code };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno
											   : 0;
}

static int hear_nothing(int fd)
{
	struct sock_filter code[] = { BPF_STMT(BPF_RET | BPF_K, 0) };

	return attach(fd, code, sizeof(code) / sizeof(code[0]));
}

static int hear_marked(int fd, uint32_t mark)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_MARK)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, mark, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};

	return attach(fd, code, sizeof(code) / sizeof(code[0]));
}

static int map_ring(struct ring *r)
{
	struct tpacket_req q = { .tp_block_size = BLOCK_SIZE,
				 .tp_block_nr = FRAMES / (BLOCK_SIZE / FRAME_SIZE),
				 .tp_frame_size = FRAME_SIZE,
				 .tp_frame_nr = FRAMES };
	int fd = r->intercept.fd;

	if (setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &q, sizeof(q)) < 0)
		return -errno;
	r->frames =
		mmap(NULL, (size_t)FRAMES * FRAME_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return r->frames == MAP_FAILED ? -errno : 0;
}

static int listen_for(int fd, uint8_t family)
{
	struct sockaddr_ll any = { .sll_family = AF_PACKET,
				   .sll_protocol = htons(family == 6 ? ETH_P_IPV6 : ETH_P_IP) };

	return bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0 ? -errno : 0;
}

/* Into the group of `fellow`, or into a new one whose number the kernel chooses. */
static int join(int fd, const struct intercept *fellow)
{
	int group = PACKET_FANOUT_FLAG_UNIQUEID << 16;
	socklen_t size = sizeof(group);

	if (fellow && getsockopt(fellow->fd, SOL_PACKET, PACKET_FANOUT, &group, &size) < 0)
		return -errno;
	return sockopt_set(fd, SOL_PACKET, PACKET_FANOUT, group | PACKET_FANOUT_CBPF << 16);
}

static int set_up(struct ring *r, uint8_t family, uint32_t mark, const struct intercept *fellow)
{
	int fd = r->intercept.fd, size = LARGE_BYTES;
	int e = hear_nothing(fd);

	if (!e)
		e = sockopt_set(fd, SOL_PACKET, PACKET_VERSION, TPACKET_V2);
	if (!e)
		e = sockopt_set(fd, SOL_PACKET, PACKET_VNET_HDR, 1);
	if (!e)
		e = sockopt_set(fd, SOL_PACKET, PACKET_COPY_THRESH, 1);
	if (!e)
		e = map_ring(r);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (!e)
		e = listen_for(fd, family);
	if (!e)
		e = join(fd, fellow);
	return e ? e : hear_marked(fd, mark);
}

struct intercept *afpacket_open(uint8_t family, uint32_t mark, const struct intercept *fellow)
{
	struct ring *r = calloc(1, sizeof(*r));
	int e;

	if (!r)
		return NULL;
	r->frames = MAP_FAILED;
	r->family = family;
	/* protocol 0: deaf until it is set up */
	r->intercept = (struct intercept){
		.ops = &ops, .fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)
	};
	e = r->intercept.fd < 0 ? -errno : set_up(r, family, mark, fellow);
	if (!e)
		return &r->intercept;
	if (r->intercept.fd >= 0)
		ring_close(&r->intercept);
	else
		free(r);
	errno = -e;
	return NULL;
}

/* ---- sharing --------------------------------------------------------------------- */

#define NET(offset) ((uint32_t)(SKF_NET_OFF + (offset)))
#define LOAD(size, offset) BPF_STMT(BPF_LD | (size) | BPF_ABS, NET(offset))
#define ADD_X BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0)
#define TO_X BPF_STMT(BPF_MISC | BPF_TAX, 0)
/* From the sum of a flow's addresses and ports to a member of the group. */
#define PICK(n) \
	BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, 0x9e3779b1), BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 16), \
		BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, (uint32_t)n), BPF_STMT(BPF_RET | BPF_A, 0)

static int set_program(int fd, struct sock_filter *code, size_t n)
{
	struct sock_fprog program = { .len = (unsigned short)n, .filter = code };

	return setsockopt(fd, SOL_PACKET, PACKET_FANOUT_DATA, &program, sizeof(program)) < 0
		       ? -errno
		       : 0;
}

/* Fragments go by their addresses alone, the first one too. */
static int share_v4(int fd, unsigned n)
{
	struct sock_filter code[] = {
		LOAD(BPF_W, 12),
		TO_X,
		LOAD(BPF_W, 16),
		ADD_X,
		TO_X,
		LOAD(BPF_H, 6),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x3fff, 5, 0),
		LOAD(BPF_B, 9),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 2),
		LOAD(BPF_W, 20), /* the rule takes no options */
		BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0),
		BPF_STMT(BPF_LD | BPF_IMM, 0),
		ADD_X,
		PICK(n),
	};

	return set_program(fd, code, sizeof(code) / sizeof(code[0]));
}

static int share_v6(int fd, unsigned n)
{
	struct sock_filter code[] = {
		LOAD(BPF_W, 16),
		TO_X,
		LOAD(BPF_W, 20),
		ADD_X,
		TO_X,
		LOAD(BPF_W, 32),
		ADD_X,
		TO_X,
		LOAD(BPF_W, 36),
		ADD_X,
		TO_X,
		LOAD(BPF_B, 6),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 2),
		LOAD(BPF_W, 40),
		BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0),
		BPF_STMT(BPF_LD | BPF_IMM, 0),
		ADD_X,
		PICK(n),
	};

	return set_program(fd, code, sizeof(code) / sizeof(code[0]));
}

int afpacket_share(struct intercept *any, unsigned n)
{
	const struct ring *r = container_of(any, struct ring, intercept);

	return r->family == 6 ? share_v6(any->fd, n) : share_v4(any->fd, n);
}
