/*
 * vinectl: finds the command and runs it.
 */
#include "ctl/ctl.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct command *const commands[] = {
	&status_command,   &show_command, &why_command,	   &ping_command,   &trace_command,
	&netcheck_command, &set_command,  &reload_command, &keygen_command, &register_command,
	&renew_command,	   &top_command,  &check_command,
};

static const struct command *command_lookup(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	for (const struct command *c = operation_commands; c->name; c++)
		if (!strcmp(c->name, name))
			return c;
	return NULL;
}

static void help_command(const struct command *c, FILE *out)
{
	fprintf(out, "  %-10s %-44s %s\n", c->name, c->arguments, c->text);
}

static void help(FILE *out)
{
	fputs("Usage: vinectl [--json] [--control SOCKET] COMMAND ...\n"
	      "       vinectl [--json] [--authority URL] [--identity DIR] COMMAND ...\n\n",
	      out);
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		help_command(commands[i], out);
	fputs("\nOf the authority (each alone says what it has):\n", out);
	for (const struct command *c = operation_commands; c->name; c++)
		help_command(c, out);
	fputs("\n"
	      "      --control SOCKET  the router's, else " CTL_SOCKET "\n"
	      "      --authority URL   the authority, else the identity's\n"
	      "      --identity DIR    keys and certificates, else ~/.config/vine\n"
	      "      --json            the same facts as JSON\n"
	      "  -h, --help            this, or a command's usage after its name\n"
	      "  -V, --version\n"
	      "\nExit status: 0 done, 1 failed, 2 wrong usage. See vinectl(1).\n",
	      out);
}

int ctl_failed(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("vinectl: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	return EXIT_FAILED;
}

int ctl_usage(const struct command *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("vinectl: ", stderr);
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "\nUsage: vinectl %s %s\n", c->name, c->arguments);
	va_end(ap);
	return EXIT_USAGE;
}

static bool wants_help(int argc, char **argv)
{
	return argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"));
}

/* What could not be printed was not done: a full disk, a closed pipe. */
static int finish(int code)
{
	bool lost = ferror(stdout);

	if ((fclose(stdout) != 0 || lost) && code == EXIT_DONE)
		return ctl_failed("can't write the answer to standard output");
	return code;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "control", required_argument, NULL, 'c' },
		{ "authority", required_argument, NULL, 'a' },
		{ "identity", required_argument, NULL, 'i' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	struct ctl ctl = { .socket = CTL_SOCKET };
	const struct command *command;
	int o;

	while ((o = getopt_long(argc, argv, "+hV", options, NULL)) != -1) {
		switch (o) {
		case 'j': ctl.json = true; break;
		case 'c': ctl.socket = optarg; break;
		case 'a': ctl.authority = optarg; break;
		case 'i': ctl.identity = optarg; break;
		case 'h': help(stdout); return finish(EXIT_DONE);
		case 'V': puts("vinectl " VINE_VERSION); return finish(EXIT_DONE);
		default: fputs("Try vinectl --help.\n", stderr); return EXIT_USAGE;
		}
	}
	if (optind == argc) {
		help(stderr);
		return EXIT_USAGE;
	}
	command = command_lookup(argv[optind]);
	if (!command) {
		fprintf(stderr, "vinectl: there is no command \"%s\"; try vinectl --help\n",
			argv[optind]);
		return EXIT_USAGE;
	}
	argc -= optind;
	argv += optind;
	if (wants_help(argc, argv)) {
		printf("Usage: vinectl %s %s\n\n%s.\n", command->name, command->arguments,
		       command->text);
		return finish(EXIT_DONE);
	}
	optind = 0; /* commands parse their own options from the start */
	return finish(command->run(&ctl, argc, argv));
}
