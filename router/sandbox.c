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
 * processes. The rest is the kernel's own access control. Names that the
 * installed libseccomp or this machine does not know are passed over.
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
static const char *const allowed[] = {
	/* descriptors and files */
	"read", "readv", "pread64", "write", "writev", "pwrite64", "close", "close_range", "lseek",
	"_llseek", "fcntl", "fcntl64", "dup", "dup2", "dup3", "pipe2", "eventfd2", "open", "openat",
	"openat2", "stat", "stat64", "lstat", "lstat64", "fstat", "fstat64", "newfstatat",
	"fstatat64", "statx", "access", "faccessat", "faccessat2", "readlink", "readlinkat",
	"getdents", "getdents64", "getcwd", "fsync", "fdatasync", "ftruncate", "ftruncate64",
	"flock", "unlink", "unlinkat", "rename", "renameat", "renameat2", "mkdir", "mkdirat",
	"chmod", "fchmod", "fchmodat", "chown", "fchown", "fchownat", "umask", "fadvise64",
	"statfs", "fstatfs",
	/* sockets; socket itself is below */
	"bind", "connect", "listen", "accept", "accept4", "getsockname", "getpeername",
	"getsockopt", "setsockopt", "sendto", "recvfrom", "sendmsg", "recvmsg", "sendmmsg",
	"recvmmsg", "shutdown", "socketpair", "send", "recv",
	/* waiting */
	"epoll_create", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2",
	"poll", "ppoll", "select", "_newselect", "pselect6", "nanosleep", "clock_nanosleep",
	"timerfd_create", "timerfd_settime", "timerfd_gettime",
	/* ... as machines of 32 bits have them */
	"ppoll_time64", "pselect6_time64", "clock_nanosleep_time64", "recvmmsg_time64",
	"timerfd_settime64", "timerfd_gettime64", "clock_gettime64", "clock_getres_time64",
	"rt_sigtimedwait_time64",
	/* time, identity, limits */
	"clock_gettime", "clock_getres", "gettimeofday", "time", "times", "getpid", "gettid",
	"getppid", "getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid", "getgroups",
	"getpgrp", "getrusage", "getrlimit", "ugetrlimit", "prlimit64", "sysinfo", "uname",
	"getcpu", "getrandom", "capget", "capset", "prctl",
	/* memory; mmap and mprotect are below */
	"brk", "munmap", "mremap", "madvise", "mlock", "mlock2", "munlock", "mincore",
	/* threads and signals; clone is below */
	"futex", "futex_time64", "futex_waitv", "membarrier", "set_robust_list", "get_robust_list",
	"rseq", "set_tid_address", "arch_prctl", "sched_yield", "sched_getaffinity",
	"sched_setaffinity", "sched_getparam", "sched_getscheduler", "rt_sigaction",
	"rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigtimedwait", "sigreturn",
	"sigaltstack", "signalfd", "signalfd4", "tgkill", "restart_syscall", "exit", "exit_group"
};

/* The leak checker stops the process's threads from one of its own making. */
static const char *const for_leak_checker[] = { "ptrace", "clone",    "wait4",
						"mmap",	  "mprotect", "kill" };
#ifdef __SANITIZE_ADDRESS__
#define LEAK_CHECKER true
#else
#define LEAK_CHECKER false
#endif

/* The end of the process. */
static const char *const evil[] = {
	/* other programs and processes */
	"execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev",
	"pidfd_getfd", "kcmp", "personality", "modify_ldt",
	/* parts of the kernel of wide reach */
	"bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "init_module", "finit_module",
	"delete_module", "kexec_load", "kexec_file_load", "keyctl", "add_key", "request_key",
	"iopl", "ioperm", "syslog",
	/* another view of files */
	"mount", "umount", "umount2", "move_mount", "open_tree", "fsopen", "fsconfig", "fsmount",
	"fspick", "mount_setattr", "pivot_root", "chroot", "unshare", "setns", "open_by_handle_at",
	"mknod", "mknodat", "quotactl", "swapon", "swapoff", "acct",
	/* the machine's state, and whom we run as */
	"reboot", "settimeofday", "clock_settime", "adjtimex", "clock_adjtime", "sethostname",
	"setdomainname", "setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid",
	"setgroups"
};

/* Allowed if (argument & mask) == value. */
static const struct {
	const char *name;
	unsigned argument;
	uint64_t mask, value;
} narrowed[] = {
	{ "socket", 0, 0xffffffff, AF_UNIX },
	{ "socket", 0, 0xffffffff, AF_INET },
	{ "socket", 0, 0xffffffff, AF_INET6 },
	{ "socket", 0, 0xffffffff, AF_NETLINK },
	{ "socket", 0, 0xffffffff, AF_PACKET }, /* rings */
	{ "ioctl", 1, 0xffffff00, 0x8900 },	/* SIOC...: interfaces */
	{ "ioctl", 1, 0xc000ff00, 0x40005400 }, /* TUNSET... */
	{ "ioctl", 1, 0xc000ff00, 0x80005400 }, /* TUNGET... */
	{ "ioctl", 1, 0xffffffff, 0x5401 },	/* TCGETS: isatty */
	{ "ioctl", 1, 0xffffffff, 0x541b },	/* FIONREAD */
	{ "ioctl", 1, 0xffffffff, 0x5421 },	/* FIONBIO */
	{ "mmap", 2, PROT_EXEC, 0 },
	{ "mmap2", 2, PROT_EXEC, 0 },
	{ "mprotect", 2, PROT_EXEC, 0 },
	/* clone3 is not allowed: its flags are out of a filter's reach */
	{ "clone", 0, CLONE_VM | CLONE_THREAD, CLONE_VM | CLONE_THREAD },
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool is_for_leak_checker(const char *name)
{
	for (size_t i = 0; i < COUNT(for_leak_checker) && LEAK_CHECKER; i++)
		if (!strcmp(for_leak_checker[i], name))
			return true;
	return false;
}

/* Negative numbers are calls that other machines have, or nobody. */
static int add_all(scmp_filter_ctx filter, uint32_t action, const char *const names[], size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && !r; i++) {
		int number = seccomp_syscall_resolve_name(names[i]);

		if (number >= 0 && (action == SCMP_ACT_ALLOW || !is_for_leak_checker(names[i])))
			r = seccomp_rule_add(filter, action, number, 0);
	}
	return r;
}

static int add_narrowed(scmp_filter_ctx filter)
{
	int r = 0;

	for (size_t i = 0; i < COUNT(narrowed) && !r; i++) {
		int number = seccomp_syscall_resolve_name(narrowed[i].name);
		struct scmp_arg_cmp cmp = { .arg = narrowed[i].argument,
					    .op = SCMP_CMP_MASKED_EQ,
					    .datum_a = narrowed[i].mask,
					    .datum_b = narrowed[i].value };

		if (number >= 0 && !is_for_leak_checker(narrowed[i].name))
			r = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number, 1, &cmp);
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
