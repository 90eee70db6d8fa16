/*
 * A network namespace of the test's own, and what `ip` and `nft` say of it.
 */
#ifndef TESTS_UNIT_NETNS_H
#define TESTS_UNIT_NETNS_H

#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/addr.h"

#define SHELL_TEXT 16384

/* What a command prints. Static: the next call overwrites it. */
static inline const char *shell(const char *fmt, ...)
{
	static char text[SHELL_TEXT];
	char command[1024];
	va_list ap;
	size_t n;
	FILE *f;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	f = popen(command, "r");
	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	pclose(f);
	return text;
}

/* Runs a command that must succeed. */
static inline void run(const char *command)
{
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

/* Gives loopback an address; an IPv6 one is there, but takes packets only when the
 * kernel has routed it to itself, a little later. */
static inline void add_address(const char *text)
{
	const bool six = strchr(text, ':');

	shell("ip address add %s/%u dev lo%s", text, six ? 128 : 32, six ? " nodad" : "");
	for (unsigned i = 0; i < 2000; i++)
		if (strstr(shell("ip -%u route show table local", six ? 6 : 4), text))
			return;
	fail_msg("%s does not become an address", text);
}

static inline bool has_command(const char *name)
{
	return shell("command -v %s", name)[0] != '\0';
}

/* Everything that a router could leave behind. */
static inline char *everything(void)
{
	return strdup(shell("ip -o link; ip -4 route show table all; ip -6 route show table all; "
			    "nft list ruleset 2>/dev/null"));
}

/* A fresh namespace for each test, loopback up. The test is skipped where that
 * is not permitted, or TUN is not there. */
static inline int enter_netns(void **state)
{
	(void)state;
	if (unshare(CLONE_NEWNET) < 0 || access("/dev/net/tun", R_OK | W_OK) < 0 ||
	    !has_command("ip")) {
		print_message("# needs root, network namespaces, /dev/net/tun and ip\n");
		*state = (void *)"skip";
		return 0;
	}
	run("ip link set lo up");
	*state = NULL;
	return 0;
}

#define NEED_NETNS(state) \
	do { \
		if (*(state)) \
			skip(); \
	} while (0)

static inline struct ip ip_of(const char *text)
{
	struct ip ip;

	assert_int_equal(ip_parse(text, &ip), 0);
	return ip;
}

static inline struct prefix prefix_of(const char *text)
{
	struct prefix p;

	assert_int_equal(prefix_parse(text, &p), 0);
	return p;
}

static inline void write_sysctl(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, value, strlen(value)), (ssize_t)strlen(value));
	close(fd);
}

#endif
