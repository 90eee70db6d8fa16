/*
 * The cost in system calls: the same routers on a TUN device each and UDP sockets, in a
 * network namespace of their own.
 *
 * Packets are put into the first one's device beforehand (by a packet socket, as the
 * kernel's routing would), so that what a turn finds is always the same. A child does
 * that, the parent traces it and counts whatever calls it makes between its marks. Run by
 * valgrind there is no child, and instructions are counted instead, with those that it
 * takes to read and write devices and sockets.
 */
#include "tests/cost/cost.h"

#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <valgrind/callgrind.h>

#include "router/tun.h"

#define MARK 0x56694e65 /* prctl of this number: now this way, or none */
#define BETWEEN UINT32_MAX
#define SKIPPED 77

static void mark(uint32_t phase)
{
	prctl(MARK, (unsigned long)phase, 0, 0, 0); /* refused, but seen */
}

/* ---- child --------------------------------------------------------------------------- */

/* Gives the device packets as its kernel would. */
static int packet_socket(const char *device)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
				  .sll_protocol = htons(ETH_P_IP),
				  .sll_ifindex = (int)if_nametoindex(device) };
	int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_IP)), on = 1;

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	shutdown(fd, SHUT_RD);
	return fd;
}

static void offer(int fd, const struct offered *o)
{
	struct iovec iov[] = { { (void *)&o->words, sizeof(o->words) },
			       { (void *)o->data, o->len } };

	assert_int_equal(writev(fd, iov, 2), sizeof(o->words) + o->len);
}

static struct link *open_link(const struct endpoint *at)
{
	struct link *l;

	assert_int_equal(link_udp_open(at, 1, &l), 0);
	return l;
}

struct way_cost {
	struct worker *worker;
	const char *name;
	uint32_t phase;
	struct moved moved;
};

/* A turn, between marks. */
static void turn(struct way_cost *w, unsigned units, mono_t now)
{
	struct moved moved;
	char name[96];

	moved_bytes();
	mark(w->phase);
	own_begin();
	worker_turn(w->worker, now);
	own_end();
	mark(BETWEEN);
	moved = moved_bytes();
	w->moved.copied += moved.copied;
	w->moved.cleared += moved.cleared;
	snprintf(name, sizeof(name), "%s %u", w->name, units);
	CALLGRIND_DUMP_STATS_AT(name);
}

/* As many packets as make a batch of frames, or a super-packet; again and again. */
static void carry(struct course *c, int device, unsigned number)
{
	const unsigned step = c->segments > c->n ? 1 : BATCH_MAX;
	const uint64_t injected = counter_read(&c->to->counters.injected);
	struct way_cost ways[] = { { c->from, "out", number * 2 + OUTBOUND, { 0 } },
				   { c->to, "in", number * 2 + INBOUND, { 0 } } };
	char names[2][80];

	for (unsigned w = 0; w < 2; w++) {
		snprintf(names[w], sizeof(names[w]), "%s %s", case_name(number), ways[w].name);
		ways[w].name = names[w];
	}
	for (unsigned i = 0; i < c->n; i += step) {
		for (unsigned k = i; k < i + step; k++)
			offer(device, &c->packets[k]);
		for (unsigned w = 0; w < 2; w++)
			turn(&ways[w], step, c->net->now);
	}
	assert_int_equal(counter_read(&c->to->counters.injected) - injected, c->segments);
	for (unsigned w = 0; w < 2 && RUNNING_ON_VALGRIND; w++)
		printf("%s copied %lu\n", ways[w].name, ways[w].moved.copied / c->n);
}

/* Has it use these instead; what it used. */
static void exchange(struct worker *w, struct intercept **device, struct link **link)
{
	struct intercept *in = course_port(w, true)->in;

	course_port(w, true)->in = *device;
	*device = in;
	course_port(w, false)->link = *link;
	*link = w->links[0];
	w->links[0] = course_port(w, false)->link;
}

static void measure(unsigned number)
{
	struct course *c = course_new(number);
	struct tun *tun[] = { tun_open("cost0", false), tun_open("cost1", false) };
	struct link *links[] = { open_link(&c->net->sites[1].own[0]),
				 open_link(&c->net->sites[2].own[0]) };
	struct intercept *devices[] = { &tun[0]->intercept, &tun[1]->intercept };
	struct link *used[] = { links[0], links[1] };
	struct inject *inject_was = c->to->inject;
	int fd;

	assert_true(tun[0] && tun[1]);
	assert_int_equal(system("ip link set cost0 addrgenmode none up && "
				"ip link set cost1 addrgenmode none up"),
			 0);
	fd = packet_socket("cost0");
	exchange(c->from, &devices[0], &used[0]);
	exchange(c->to, &devices[1], &used[1]);
	c->to->inject = &tun[1]->inject;
	CALLGRIND_START_INSTRUMENTATION;
	carry(c, fd, number);
	CALLGRIND_STOP_INSTRUMENTATION;
	exchange(c->from, &devices[0], &used[0]);
	exchange(c->to, &devices[1], &used[1]);
	c->to->inject = inject_was;
	close(fd);
	for (unsigned i = 0; i < 2; i++) {
		links[i]->ops->close(links[i]);
		tun[i]->intercept.ops->close(&tun[i]->intercept);
	}
	course_free(c);
}

static bool has_network(void)
{
	return unshare(CLONE_NEWNET) == 0 && access("/dev/net/tun", R_OK | W_OK) == 0 &&
	       system("ip link set lo up && ip addr add 198.51.100.1/32 dev lo && "
		      "ip addr add 198.51.100.2/32 dev lo") == 0;
}

static noreturn void child(void)
{
	if (!has_network() || ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		_exit(SKIPPED);
	raise(SIGSTOP);
	for (unsigned i = 0; i < CASES; i++)
		measure(i);
	exit(0);
}

/* ---- parent ---------------------------------------------------------------------------- */

/* Counts what the child does until it ends; its exit status. */
static int watch(pid_t pid, uint64_t calls[CASES * 2])
{
	struct __ptrace_syscall_info info;
	uint32_t phase = BETWEEN;
	int status, signal = 0;

	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
	ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
	for (;;) {
		ptrace(PTRACE_SYSCALL, pid, NULL, signal);
		if (waitpid(pid, &status, 0) != pid)
			return 1;
		if (!WIFSTOPPED(status))
			return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
		signal = WSTOPSIG(status);
		if (signal != (SIGTRAP | 0x80))
			continue;
		signal = 0;
		if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) <= 0 ||
		    info.op != PTRACE_SYSCALL_INFO_ENTRY)
			continue;
		if (info.entry.nr == SYS_prctl && info.entry.args[0] == MARK)
			phase = (uint32_t)info.entry.args[1];
		else if (phase < CASES * 2)
			calls[phase]++;
	}
}

bool measure_kernel(void)
{
	uint64_t calls[CASES * 2] = { 0 };
	pid_t pid;
	int status;

	if (RUNNING_ON_VALGRIND) {
		if (!has_network())
			return false;
		for (unsigned i = 0; i < CASES; i++)
			measure(i);
		return true;
	}
	fflush(stdout);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		child();
	status = watch(pid, calls);
	if (status == SKIPPED)
		return false;
	assert_int_equal(status, 0);
	for (unsigned i = 0; i < CASES * 2; i++)
		printf("%s %s calls %lu\n", case_name(i / 2), i % 2 ? "in" : "out", calls[i]);
	return true;
}
