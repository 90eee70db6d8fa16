/*
 * vinectl: a table of commands, one file each. A command parses its own
 * arguments, asks the router, and prints: the answer's JSON with --json, else
 * something for people made of that JSON and of nothing else, so that both say
 * the same.
 */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include <stdbool.h>

#define EXIT_DONE 0
#define EXIT_FAILED 1
#define EXIT_USAGE 2

#define CTL_SOCKET "/run/vine/router.sock"

/* The options that stand before the command. */
struct ctl {
	const char *socket;
	const char *authority; /* URL; NULL: the identity's */
	const char *identity;  /* directory; NULL: ~/.config/vine */
	bool json;
};

struct command {
	const char *name, *arguments, *text;
	/* argv[0] is the command's name. Returns the exit code. */
	int (*run)(const struct ctl *, int argc, char **argv);
};

extern const struct command status_command, show_command, why_command, reload_command, set_command,
	ping_command, trace_command, netcheck_command, keygen_command, register_command,
	renew_command, top_command, check_command;
/* Those about the authority's operations; ends with one without a name. */
extern const struct command operation_commands[];

/* Both write "vinectl: ..." to stderr and return the exit code. */
int ctl_failed(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The command's usage follows. */
int ctl_usage(const struct command *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
