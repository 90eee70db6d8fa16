/*
 * Which queue of the device the kernel puts a packet in.
 *
 * Left alone the kernel remembers, for each flow, the queue by which its packets were
 * last given back, but notes that only after they went their way: an answer that is
 * there at once, as on an idle machine, goes by what was noted of the packet before. At
 * two ends that follow each other a flow then changes its worker with each round trip:
 * cold caches, and segments that overtake each other.
 *
 * So the queue is chosen by a hash, the same for both directions of a flow, less the
 * router's own ID. Lanes (session.h) carry frames of worker w to worker w + A - B of the
 * other end, for IDs A and B: where both have as many workers, a flow's packets leave
 * and arrive at one worker at each end, from the first one on.
 *
 * TCP's senders fill whatever queue they meet, and what shares it with them waits behind
 * megabytes. So with an even number of queues every other one, and its worker, is for TCP
 * alone: a thread that waits for packets is given a processor soon, whatever the others
 * have to do, and one that has a batch in its hands is done with that first.
 *
 * Fragments have no ports: a flow's may go another way than its whole packets.
 */
#include "router/tun.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/inet.h"
#include "common/inet_private.h"
#include "router/offload.h"

#ifndef TUNSETSTEERINGEBPF /* Linux 4.16 */
#define TUNSETSTEERINGEBPF _IOR('T', 224, int)
#endif

#define GOLDEN 0x61c88647 /* 2^32 / phi, odd: spreads neighbours */

/* Registers: what LD gives is in R0, host byte order; R6 is the packet. */
enum { GIVEN = BPF_REG_0, PACKET = BPF_REG_6, L4, HASH, PROTOCOL };

#define LD_ABS(size, offset) \
	((struct bpf_insn){ .code = BPF_LD | BPF_ABS | (size), .imm = (offset) })
#define LD_L4(size, offset) \
	((struct bpf_insn){ .code = BPF_LD | BPF_IND | (size), .src_reg = L4, .imm = (offset) })
#define SET(to, value) \
	((struct bpf_insn){ .code = BPF_ALU | BPF_MOV | BPF_K, .dst_reg = (to), .imm = (value) })
#define COPY(to, from) \
	((struct bpf_insn){ \
		.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = (to), .src_reg = (from) })
#define WITH(to, op, value) \
	((struct bpf_insn){ .code = BPF_ALU | (op) | BPF_K, .dst_reg = (to), .imm = (value) })
#define JOIN(to, op, from) \
	((struct bpf_insn){ .code = BPF_ALU | (op) | BPF_X, .dst_reg = (to), .src_reg = (from) })
#define SKIP(n) ((struct bpf_insn){ .code = BPF_JMP | BPF_JA, .off = (n) })
#define SKIP_IF(op, what, value, n) \
	((struct bpf_insn){ \
		.code = BPF_JMP | (op) | BPF_K, .dst_reg = (what), .imm = (value), .off = (n) })
#define ADD_WORD(offset) LD_ABS(BPF_W, offset), JOIN(HASH, BPF_ADD, GIVEN)

/* A load past the end of the packet ends the program with queue 0. */
static int load_program(uint32_t self, unsigned queues)
{
	const struct bpf_insn code[] = {
		COPY(PACKET, BPF_REG_1),
		SET(HASH, 0),
		LD_ABS(BPF_B, 0),
		COPY(L4, GIVEN),
		WITH(L4, BPF_AND, 15),
		WITH(L4, BPF_LSH, 2),
		WITH(GIVEN, BPF_RSH, 4),
		SKIP_IF(BPF_JEQ, GIVEN, 6, 11),
		/* IPv4 */
		ADD_WORD(V4_SRC),
		ADD_WORD(V4_DST),
		WITH(HASH, BPF_MUL, GOLDEN),
		LD_ABS(BPF_B, V4_PROTO),
		COPY(PROTOCOL, GIVEN),
		LD_ABS(BPF_H, V4_FRAGMENT),
		WITH(GIVEN, BPF_AND, V4_MF | V4_OFFSET),
		SKIP_IF(BPF_JNE, GIVEN, 0, 27),
		SKIP(20),
		/* IPv6 */
		SET(L4, INET_V6_HEADER),
		ADD_WORD(V6_SRC),
		ADD_WORD(V6_SRC + 4),
		ADD_WORD(V6_SRC + 8),
		ADD_WORD(V6_SRC + 12),
		ADD_WORD(V6_DST),
		ADD_WORD(V6_DST + 4),
		ADD_WORD(V6_DST + 8),
		ADD_WORD(V6_DST + 12),
		WITH(HASH, BPF_MUL, GOLDEN),
		LD_ABS(BPF_B, V6_NEXT),
		COPY(PROTOCOL, GIVEN),
		/* the ports of TCP and UDP */
		SKIP_IF(BPF_JEQ, PROTOCOL, IPPROTO_TCP, 1),
		SKIP_IF(BPF_JNE, PROTOCOL, IPPROTO_UDP, 4),
		LD_L4(BPF_H, 0),
		JOIN(HASH, BPF_ADD, GIVEN),
		LD_L4(BPF_H, 2),
		JOIN(HASH, BPF_ADD, GIVEN),
		/* mixed, and every other one for TCP */
		WITH(HASH, BPF_MUL, GOLDEN),
		WITH(HASH, BPF_RSH, 15),
		WITH(HASH, BPF_LSH, 1),
		SKIP_IF(BPF_JEQ, PROTOCOL, IPPROTO_TCP, 1),
		WITH(HASH, BPF_ADD, 1),
		WITH(HASH, BPF_ADD, (int32_t)(queues - self % queues)),
		COPY(GIVEN, HASH),
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
		.insns = (uintptr_t)code,
		.insn_cnt = sizeof(code) / sizeof(code[0]),
		.license = (uintptr_t) "",
	};
	int fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));

	return fd < 0 ? -errno : fd;
}

int tun_steer(struct tun *t, uint32_t self, unsigned queues)
{
	int program = load_program(self, queues);
	int e = program < 0 ? program : 0;

	if (!e && ioctl(t->fd, TUNSETSTEERINGEBPF, &program) < 0)
		e = -errno;
	if (program >= 0)
		close(program); /* the device keeps it */
	if (!e)
		t->intercept.offloads |= OFFLOAD_BIT(TUN_STEERING);
	return e;
}
