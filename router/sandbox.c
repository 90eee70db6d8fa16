/*
 * Giving up what the router no longer needs once it is set up.
 *
 * 1. The capability bounding set is emptied, and what is left of the others is
 *    CAP_NET_ADMIN (TUN, routes, Netfilter) and CAP_NET_RAW (raw and packet sockets).
 * 2. No new privileges, ever.
 * 3. A system call filter. What no network program has any business with ends the
 *    process: it means that somebody else has taken it over. Whatever else is not
 *    on the list gives ENOSYS rather than EPERM, because that is what makes the C
 *    library fall back from a call that is too new to be listed.
 *
 * Arguments are looked at where a call can do much more than is needed here:
 * families of sockets, kinds of ioctl, no new executable memory, threads but no
 * processes. The rest is the kernel's own access control. Calls that this machine
 * does not have are passed over.
 */
#include "router/sandbox.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CAPS_NEEDED (1U << CAP_NET_ADMIN | 1U << CAP_NET_RAW)

/* ---- capabilities -------------------------------------------------------- */

static int caps_get(struct __user_cap_data_struct data[static _LINUX_CAPABILITY_U32S_3])
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };

	return syscall(SYS_capget, &header, data) < 0 ? -errno : 0;
}

static int caps_set(const struct __user_cap_data_struct *data)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };

	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

const char *sandbox_missing(void)
{
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (caps_get(data) < 0 || !(data[0].effective & 1U << CAP_NET_ADMIN))
		return "CAP_NET_ADMIN";
	if (!(data[0].effective & 1U << CAP_NET_RAW))
		return "CAP_NET_RAW";
	return NULL;
}

/* Needs CAP_SETPCAP; a service manager that did not leave us that has seen to the
 * bounding set itself, or at least keeps it out of reach: nothing is executed. */
static int drop_bounding(void)
{
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EPERM)
			return -errno;
	return 0;
}

static int drop_caps(void)
{
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	/* EINVAL: a kernel without ambient capabilities */
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
		return -errno;
	data[0].permitted = data[0].effective = CAPS_NEEDED;
	return caps_set(data);
}

/* ---- the filter ---------------------------------------------------------- */

/* Allowed whatever their arguments. */
static const int allowed[] = {
	/* descriptors and files */
	SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(pread64), SCMP_SYS(write), SCMP_SYS(writev),
	SCMP_SYS(pwrite64), SCMP_SYS(close), SCMP_SYS(close_range), SCMP_SYS(lseek),
	SCMP_SYS(_llseek), SCMP_SYS(fcntl), SCMP_SYS(fcntl64), SCMP_SYS(dup), SCMP_SYS(dup2),
	SCMP_SYS(dup3), SCMP_SYS(pipe2), SCMP_SYS(eventfd2), SCMP_SYS(open), SCMP_SYS(openat),
	SCMP_SYS(openat2), SCMP_SYS(stat), SCMP_SYS(stat64), SCMP_SYS(lstat), SCMP_SYS(lstat64),
	SCMP_SYS(fstat), SCMP_SYS(fstat64), SCMP_SYS(newfstatat), SCMP_SYS(fstatat64),
	SCMP_SYS(statx), SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2),
	SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(getdents), SCMP_SYS(getdents64),
	SCMP_SYS(getcwd), SCMP_SYS(fsync), SCMP_SYS(fdatasync), SCMP_SYS(ftruncate),
	SCMP_SYS(ftruncate64), SCMP_SYS(flock), SCMP_SYS(unlink), SCMP_SYS(unlinkat),
	SCMP_SYS(rename), SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(mkdir),
	SCMP_SYS(mkdirat), SCMP_SYS(chmod), SCMP_SYS(fchmod), SCMP_SYS(fchmodat), SCMP_SYS(chown),
	SCMP_SYS(fchown), SCMP_SYS(fchownat), SCMP_SYS(umask), SCMP_SYS(fadvise64),
	SCMP_SYS(statfs), SCMP_SYS(fstatfs),
	/* sockets; socket itself is below */
	SCMP_SYS(bind), SCMP_SYS(connect), SCMP_SYS(listen), SCMP_SYS(accept), SCMP_SYS(accept4),
	SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(getsockopt), SCMP_SYS(setsockopt),
	SCMP_SYS(sendto), SCMP_SYS(recvfrom), SCMP_SYS(sendmsg), SCMP_SYS(recvmsg),
	SCMP_SYS(sendmmsg), SCMP_SYS(recvmmsg), SCMP_SYS(shutdown), SCMP_SYS(socketpair),
	SCMP_SYS(send), SCMP_SYS(recv),
	/* waiting */
	SCMP_SYS(epoll_create), SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2), SCMP_SYS(poll), SCMP_SYS(ppoll),
	SCMP_SYS(select), SCMP_SYS(_newselect), SCMP_SYS(pselect6), SCMP_SYS(nanosleep),
	SCMP_SYS(clock_nanosleep), SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime),
	SCMP_SYS(timerfd_gettime),
	/* ... as machines of 32 bits have them */
	SCMP_SYS(ppoll_time64), SCMP_SYS(pselect6_time64), SCMP_SYS(clock_nanosleep_time64),
	SCMP_SYS(recvmmsg_time64), SCMP_SYS(timerfd_settime64), SCMP_SYS(timerfd_gettime64),
	SCMP_SYS(clock_gettime64), SCMP_SYS(clock_getres_time64), SCMP_SYS(rt_sigtimedwait_time64),
	/* time, identity, limits */
	SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(gettimeofday), SCMP_SYS(time),
	SCMP_SYS(times), SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getppid), SCMP_SYS(getuid),
	SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(getresuid),
	SCMP_SYS(getresgid), SCMP_SYS(getgroups), SCMP_SYS(getpgrp), SCMP_SYS(getrusage),
	SCMP_SYS(getrlimit), SCMP_SYS(ugetrlimit), SCMP_SYS(prlimit64), SCMP_SYS(sysinfo),
	SCMP_SYS(uname), SCMP_SYS(getcpu), SCMP_SYS(getrandom), SCMP_SYS(capget), SCMP_SYS(capset),
	SCMP_SYS(prctl),
	/* memory; mmap and mprotect are below */
	SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(mlock),
	SCMP_SYS(mlock2), SCMP_SYS(munlock), SCMP_SYS(mincore),
	/* threads and signals; clone is below */
	SCMP_SYS(futex), SCMP_SYS(futex_time64), SCMP_SYS(futex_waitv), SCMP_SYS(membarrier),
	SCMP_SYS(set_robust_list), SCMP_SYS(get_robust_list), SCMP_SYS(rseq),
	SCMP_SYS(set_tid_address), SCMP_SYS(arch_prctl), SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity), SCMP_SYS(sched_setaffinity), SCMP_SYS(sched_getparam),
	SCMP_SYS(sched_getscheduler), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigpending), SCMP_SYS(rt_sigtimedwait),
	SCMP_SYS(sigreturn), SCMP_SYS(sigaltstack), SCMP_SYS(signalfd), SCMP_SYS(signalfd4),
	SCMP_SYS(tgkill), SCMP_SYS(restart_syscall), SCMP_SYS(exit), SCMP_SYS(exit_group)
};

/* The leak checker stops the process's threads from one of its own making. */
static const int for_leak_checker[] = { SCMP_SYS(ptrace), SCMP_SYS(clone),    SCMP_SYS(wait4),
					SCMP_SYS(mmap),	  SCMP_SYS(mprotect), SCMP_SYS(kill) };
#ifdef __SANITIZE_ADDRESS__
#define LEAK_CHECKER true
#else
#define LEAK_CHECKER false
#endif

/* The end of the process. */
static const int evil[] = {
	/* other programs and processes */
	SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(ptrace),
	SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(pidfd_getfd),
	SCMP_SYS(kcmp), SCMP_SYS(personality), SCMP_SYS(modify_ldt),
	/* parts of the kernel of wide reach */
	SCMP_SYS(bpf), SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd), SCMP_SYS(io_uring_setup),
	SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module),
	SCMP_SYS(kexec_load), SCMP_SYS(kexec_file_load), SCMP_SYS(keyctl), SCMP_SYS(add_key),
	SCMP_SYS(request_key), SCMP_SYS(iopl), SCMP_SYS(ioperm), SCMP_SYS(syslog),
	/* another view of files */
	SCMP_SYS(mount), SCMP_SYS(umount), SCMP_SYS(umount2), SCMP_SYS(move_mount),
	SCMP_SYS(open_tree), SCMP_SYS(fsopen), SCMP_SYS(fsconfig), SCMP_SYS(fsmount),
	SCMP_SYS(fspick), SCMP_SYS(mount_setattr), SCMP_SYS(pivot_root), SCMP_SYS(chroot),
	SCMP_SYS(unshare), SCMP_SYS(setns), SCMP_SYS(open_by_handle_at), SCMP_SYS(mknod),
	SCMP_SYS(mknodat), SCMP_SYS(quotactl), SCMP_SYS(swapon), SCMP_SYS(swapoff), SCMP_SYS(acct),
	/* the machine's state, and whom we run as */
	SCMP_SYS(reboot), SCMP_SYS(settimeofday), SCMP_SYS(clock_settime), SCMP_SYS(adjtimex),
	SCMP_SYS(clock_adjtime), SCMP_SYS(sethostname), SCMP_SYS(setdomainname), SCMP_SYS(setuid),
	SCMP_SYS(setgid), SCMP_SYS(setreuid), SCMP_SYS(setregid), SCMP_SYS(setresuid),
	SCMP_SYS(setresgid), SCMP_SYS(setgroups)
};

/* Allowed if (argument & mask) == value. */
static const struct {
	int call;
	unsigned argument;
	uint64_t mask, value;
} narrowed[] = {
	{ SCMP_SYS(socket), 0, 0xffffffff, AF_UNIX },
	{ SCMP_SYS(socket), 0, 0xffffffff, AF_INET },
	{ SCMP_SYS(socket), 0, 0xffffffff, AF_INET6 },
	{ SCMP_SYS(socket), 0, 0xffffffff, AF_NETLINK },
	{ SCMP_SYS(socket), 0, 0xffffffff, AF_PACKET }, /* rings */
	{ SCMP_SYS(ioctl), 1, 0xffffff00, 0x8900 },	/* SIOC...: interfaces */
	{ SCMP_SYS(ioctl), 1, 0xc000ff00, 0x40005400 }, /* TUNSET... */
	{ SCMP_SYS(ioctl), 1, 0xc000ff00, 0x80005400 }, /* TUNGET... */
	{ SCMP_SYS(ioctl), 1, 0xffffffff, 0x5401 },	/* TCGETS: isatty */
	{ SCMP_SYS(ioctl), 1, 0xffffffff, 0x541b },	/* FIONREAD */
	{ SCMP_SYS(ioctl), 1, 0xffffffff, 0x5421 },	/* FIONBIO */
	{ SCMP_SYS(mmap), 2, PROT_EXEC, 0 },
	{ SCMP_SYS(mmap2), 2, PROT_EXEC, 0 },
	{ SCMP_SYS(mprotect), 2, PROT_EXEC, 0 },
	/* clone3 is not allowed: its flags are out of a filter's reach */
	{ SCMP_SYS(clone), 0, CLONE_VM | CLONE_THREAD, CLONE_VM | CLONE_THREAD },
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool is_for_leak_checker(int call)
{
	for (size_t i = 0; i < COUNT(for_leak_checker) && LEAK_CHECKER; i++)
		if (for_leak_checker[i] == call)
			return true;
	return false;
}

/* Negative numbers are calls that other machines have, or nobody. */
static int add_all(scmp_filter_ctx filter, uint32_t action, const int calls[], size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && !r; i++)
		if (calls[i] >= 0 && (action == SCMP_ACT_ALLOW || !is_for_leak_checker(calls[i])))
			r = seccomp_rule_add(filter, action, calls[i], 0);
	return r;
}

static int add_narrowed(scmp_filter_ctx filter)
{
	int r = 0;

	for (size_t i = 0; i < COUNT(narrowed) && !r; i++) {
		int call = narrowed[i].call;
		struct scmp_arg_cmp cmp = { .arg = narrowed[i].argument,
					    .op = SCMP_CMP_MASKED_EQ,
					    .datum_a = narrowed[i].mask,
					    .datum_b = narrowed[i].value };

		if (call >= 0 && !is_for_leak_checker(call))
			r = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, 1, &cmp);
	}
	return r;
}

static int fill_filter(scmp_filter_ctx filter)
{
	int r = add_all(filter, SCMP_ACT_ALLOW, allowed, COUNT(allowed));

	if (!r && LEAK_CHECKER)
		r = add_all(filter, SCMP_ACT_ALLOW, for_leak_checker, COUNT(for_leak_checker));
	if (!r)
		r = add_narrowed(filter);
	if (!r)
		r = add_all(filter, SCMP_ACT_KILL_PROCESS, evil, COUNT(evil));
	return r;
}

static int install_filter(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	int r;

	if (!filter)
		return -ENOMEM;
	r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	/* A binary tree instead of a list; and no mitigation by slowing down the whole
	 * process, which kernels before 5.16 take a filter for a wish for. Both are
	 * niceties that an older libseccomp lacks. */
	seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
	if (!r)
		r = fill_filter(filter);
	if (!r)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r;
}

int sandbox_enter(const char **ret_what)
{
	static const struct {
		const char *what;
		int (*fn)(void);
	} steps[] = {
		{ "bounding set", drop_bounding },
		{ "capabilities", drop_caps },
		{ "system call filter", install_filter },
	};

	/* The last step would do it too, but it is not worth depending on. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
		*ret_what = "no new privileges";
		return -errno;
	}
	for (size_t i = 0; i < COUNT(steps); i++) {
		int r = steps[i].fn();

		if (r < 0) {
			*ret_what = steps[i].what;
			return r;
		}
	}
	return 0;
}
