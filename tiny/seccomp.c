/*
 * The part of libseccomp that router/sandbox.c uses, as mnl.c is of libmnl: the library has
 * the calls of all machines in it. Names and meanings are those of seccomp.h.
 *
 * The program is a list: for each rule, in the order in which they were added, whether the call
 * is this one and what happens then. Calls that are allowed whatever their arguments cost
 * nothing on kernels from 5.11, which remember them.
 */
#include <seccomp.h>

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define MACHINE AUDIT_ARCH_X86_64
#define FOREIGN 0x40000000 /* from here on: x32's */
#elif defined(__aarch64__)
#define MACHINE AUDIT_ARCH_AARCH64
#define FOREIGN 0x80000000
#else
#error "which machine is this for the kernel (linux/audit.h)?"
#endif
#define LOWER (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 0 : 4) /* half of an argument */

struct filter {
	uint32_t otherwise;
	unsigned n;
	struct sock_filter at[BPF_MAXINSNS];
};

static int add(struct filter *f, const struct sock_filter *code, unsigned n)
{
	if (f->n + n > BPF_MAXINSNS)
		return -E2BIG;
	for (unsigned i = 0; i < n; i++)
		f->at[f->n++] = code[i];
	return 0;
}
#define ADD(f, ...) \
	add(f, (const struct sock_filter[]){ __VA_ARGS__ }, \
	    sizeof((const struct sock_filter[]){ __VA_ARGS__ }) / sizeof(struct sock_filter))
#define LOAD(offset) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(offset))
#define RETURN(action) BPF_STMT(BPF_RET | BPF_K, action)
/* Goes on if it is so, else behind `n` more. */
#define IF(what, value, n) BPF_JUMP(BPF_JMP | (what) | BPF_K, (uint32_t)(value), 0, n)
#define CALL offsetof(struct seccomp_data, nr)

scmp_filter_ctx seccomp_init(uint32_t otherwise)
{
	struct filter *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->otherwise = otherwise;
	ADD(f, LOAD(offsetof(struct seccomp_data, arch)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MACHINE, 1, 0), RETURN(SECCOMP_RET_KILL_PROCESS),
	    LOAD(CALL), IF(BPF_JGE, FOREIGN, 1), RETURN(otherwise));
	return f;
}

void seccomp_release(scmp_filter_ctx filter)
{
	free(filter);
}

/* All threads at once is how it is loaded here; the rest are niceties. */
int seccomp_attr_set(scmp_filter_ctx filter, enum scmp_filter_attr attr, uint32_t value)
{
	(void)filter;
	(void)attr;
	(void)value;
	return 0;
}

int seccomp_rule_add_array(scmp_filter_ctx filter, uint32_t action, int call, unsigned int n,
			   const struct scmp_arg_cmp *cmp)
{
	struct filter *f = filter;
	unsigned at;

	if (n == 0)
		return ADD(f, IF(BPF_JEQ, call, 1), RETURN(action));
	/* of 32 bits is all that is asked for */
	if (n > 1 || cmp->op != SCMP_CMP_MASKED_EQ || cmp->arg >= 6 || cmp->datum_a >> 32 ||
	    cmp->datum_b >> 32)
		return -EINVAL;
	at = (unsigned)offsetof(struct seccomp_data, args) + 8 * cmp->arg + LOWER;
	return ADD(f, IF(BPF_JEQ, call, 5), LOAD(at),
		   BPF_STMT(BPF_ALU | BPF_AND | BPF_K, (uint32_t)cmp->datum_a),
		   IF(BPF_JEQ, cmp->datum_b, 1), RETURN(action), LOAD(CALL));
}

int seccomp_rule_add(scmp_filter_ctx filter, uint32_t action, int call, unsigned int n, ...)
{
	return n ? -EINVAL : seccomp_rule_add_array(filter, action, call, 0, NULL);
}

int seccomp_load(const scmp_filter_ctx filter)
{
	struct filter *f = filter;
	int r = ADD(f, RETURN(f->otherwise));
	struct sock_fprog program = { .len = (unsigned short)f->n, .filter = f->at };

	if (r)
		return r;
	/* without SPEC_ALLOW, kernels before 5.16 would slow down the whole process */
	r = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			 SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program);
	return r < 0 ? -errno : r > 0 ? -ESRCH : 0;
}
