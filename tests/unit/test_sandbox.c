/* links: router/sandbox */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "router/sandbox.h"

#define CAPS (1ULL << CAP_NET_ADMIN | 1ULL << CAP_NET_RAW)

/* In the child there is no test framework: it ends with the line that failed. */
#define check(condition) \
	do { \
		if (!(condition)) { \
			dprintf(2, "# line %d, errno %d\n", __LINE__, errno); \
			_exit(1); \
		} \
	} while (0)

/* Runs fn in a child inside the sandbox; how it ended (waitpid). */
static int run_inside(void (*fn)(void))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		const char *what = "";
		int r = sandbox_enter(&what);

		if (r < 0) {
			dprintf(2, "# %s: %s\n", what, strerror(-r));
			_exit(1);
		}
		fn();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static uint64_t status_field(const char *name)
{
	FILE *f = fopen("/proc/self/status", "r");
	unsigned long long value = ~0ULL;
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, name, strlen(name)))
			sscanf(line + strlen(name), ":\t%llx", &value);
	if (f)
		fclose(f);
	return value;
}

static void look_at_caps(void)
{
	check(status_field("CapInh") == 0);
	check(status_field("CapPrm") == CAPS);
	check(status_field("CapEff") == CAPS);
	check(status_field("CapBnd") == 0);
	check(status_field("CapAmb") == 0);
	check(status_field("NoNewPrivs") == 1);
	check(status_field("Seccomp") == 2);
	check(sandbox_missing() == NULL);
}

static void capabilities(void **state)
{
	(void)state;
	assert_null(sandbox_missing());
	assert_int_equal(run_inside(look_at_caps), 0);
}

static void *thread(void *arg)
{
	*(int *)arg = 42;
	return malloc(1 << 20);
}

/* Roughly what a router does all day. */
static void work(void)
{
	struct epoll_event e = { .events = EPOLLIN };
	struct timespec ts;
	struct mmsghdr m = { 0 };
	pthread_t t;
	sigset_t set;
	void *block;
	int got = 0, fd, ep;
	char buf[64];

	check(clock_gettime(CLOCK_MONOTONIC, &ts) == 0);
	check(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &ts) == 0);
	check(syscall(SYS_getrandom, buf, sizeof(buf), 0) == sizeof(buf));
	fd = open("/etc/hosts", O_RDONLY | O_CLOEXEC);
	check(fd >= 0 && read(fd, buf, sizeof(buf)) >= 0 && close(fd) == 0);

	check((fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) >= 0 && close(fd) == 0);
	check((fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)) >= 0);
	check(close(fd) == 0);
	check((fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW)) >= 0 && close(fd) == 0);
	check((fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)) >= 0 && close(fd) == 0);
	check((fd = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0)) >= 0);
	check(recvmmsg(fd, &m, 1, MSG_DONTWAIT, NULL) < 0 && errno == EAGAIN);
	check(sendmmsg(fd, &m, 1, MSG_DONTWAIT) < 0 && errno != ENOSYS);
	check(ioctl(fd, SIOCGIFMTU, &(struct ifreq){ .ifr_name = "lo" }) == 0);
	check((ep = epoll_create1(EPOLL_CLOEXEC)) >= 0);
	check(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0);
	check(epoll_pwait2(ep, &e, 1, &(struct timespec){ 0 }, NULL) >= 0);
	check(epoll_wait(ep, &e, 1, 0) >= 0);
	check(close(fd) == 0 && close(ep) == 0);

	check((fd = eventfd(0, EFD_CLOEXEC)) >= 0 && close(fd) == 0);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	check(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
	check((fd = signalfd(-1, &set, SFD_CLOEXEC)) >= 0 && close(fd) == 0);
	check(syscall(SYS_membarrier, 0 /* query */, 0, 0) >= 0);
	check(pthread_create(&t, NULL, thread, &got) == 0);
	check(pthread_join(t, &block) == 0 && got == 42 && block);
	free(block);
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		unsigned features;

		check(ioctl(fd, TUNGETFEATURES, &features) == 0);
		check(ioctl(fd, TUNSETIFF, &(struct ifreq){ .ifr_flags = 0x7fff }) < 0);
		check(errno != ENOSYS);
	}
}

static void router_works(void **state)
{
	(void)state;
	assert_int_equal(run_inside(work), 0);
}

/* What is not on the list fails, without more harm. */
static void refuse(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	check(p != MAP_FAILED);
#ifndef __SANITIZE_ADDRESS__
	check(mprotect(p, 4096, PROT_READ | PROT_EXEC) < 0);
	check(mmap(NULL, 4096, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
	check(fork() < 0);
#endif
	check(socket(AF_VSOCK, SOCK_STREAM, 0) < 0 && errno == ENOSYS);
	check(ioctl(0, TIOCSTI, "x") < 0 && errno == ENOSYS);
	check(syscall(SYS_memfd_create, "x", 0) < 0 && errno == ENOSYS);
	check(syscall(SYS_clone3, NULL, 0) < 0 && errno == ENOSYS);
	/* capabilities that are gone */
	check(mkdir("/proc/x", 0700) < 0);
	check(prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN, 0, 0, 0) < 0);
}

static void others_refused(void **state)
{
	(void)state;
	assert_int_equal(run_inside(refuse), 0);
}

static void do_execve(void)
{
	char *argv[] = { (char *)"true", NULL };

	execve("/bin/true", argv, NULL);
}

static void do_mount(void)
{
	syscall(SYS_mount, "x", "/", "tmpfs", 0, NULL);
}

static void do_bpf(void)
{
	syscall(SYS_bpf, 0, NULL, 0);
}

static void do_setns(void)
{
	syscall(SYS_setns, -1, 0);
}

static void do_module(void)
{
	syscall(SYS_finit_module, -1, "", 0);
}

static void do_kexec(void)
{
	syscall(SYS_kexec_load, 0, 0, NULL, 0);
}

static void *call(void *arg)
{
	(*(void (**)(void))arg)();
	return NULL;
}

/* A thread started later is inside as well, and takes the process with it. */
static void do_mount_in_thread(void)
{
	void (*fn)(void) = do_mount;
	pthread_t t;

	check(pthread_create(&t, NULL, call, &fn) == 0);
	pthread_join(t, NULL);
}

static void evil_ends_the_process(void **state)
{
	void (*evil[])(void) = { do_execve, do_mount,	       do_bpf, do_setns, do_module,
				 do_kexec,  do_mount_in_thread };

	(void)state;
	for (size_t i = 0; i < sizeof(evil) / sizeof(evil[0]); i++) {
		int status = run_inside(evil[i]);

		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGSYS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(capabilities),
		cmocka_unit_test(router_works),
		cmocka_unit_test(others_refused),
		cmocka_unit_test(evil_ends_the_process),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	if (geteuid() != 0 || sandbox_missing()) {
		printf("1..0 # SKIP needs root\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
