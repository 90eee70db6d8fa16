/*
 * vinectl keygen: the key files of both ends of a pair of routers, or one key on
 * standard output. No router is asked.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "ctl/client.h"
#include "ctl/pair.h"

static int print_key(const struct ctl *ctl)
{
	char text[CRYPTO_KEY_TEXT + 1];
	int code = EXIT_DONE;

	if (!pair_key(text))
		return ctl_failed("the system has no randomness to give");
	if (ctl->json) {
		text[strlen(text) - 1] = '\0';
		code = client_print_json(json_pack("{s:s}", "key", text));
	} else {
		fputs(text, stdout);
	}
	crypto_wipe(text, sizeof(text));
	return code;
}

static json_t *describe(const char *directory, const char *owner, const char *other)
{
	char path[PATH_MAX];

	pair_path(directory, owner, other, path, sizeof(path));
	return json_pack("{s:s, s:s, s:s}", "router", owner, "peer", other, "file", path);
}

static void explain(const char *directory, const char *owner, const char *other)
{
	char path[PATH_MAX];

	pair_path(directory, owner, other, path, sizeof(path));
	printf("%s\n  goes to router %s, where [peer %s] names it as its key-file\n", path, owner,
	       other);
}

static int make(const struct ctl *ctl, const char *directory, const char *a, const char *b)
{
	char path[PATH_MAX];
	int r = pair_make(directory, a, b, path, sizeof(path));

	if (r == -EEXIST)
		return ctl_failed("%s is there already, and keys are never overwritten", path);
	if (r < 0)
		return ctl_failed("%s: %s", path, strerror(-r));
	if (ctl->json)
		return client_print_json(json_pack("{s:[o, o]}", "files", describe(directory, a, b),
						   describe(directory, b, a)));
	explain(directory, a, b);
	explain(directory, b, a);
	printf("Whoever has read either file can speak for both routers: copy them over a\n"
	       "protected channel (scp), mode 0600, and remove what is left here.\n");
	return EXIT_DONE;
}

static int run(const struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
		{ "directory", required_argument, NULL, 'd' },
		{ 0 },
	};
	const char *directory = ".";
	int c;

	while ((c = getopt_long(argc, argv, "d:", options, NULL)) != -1) {
		if (c != 'd')
			return ctl_usage(&keygen_command, "wrong option");
		directory = optarg;
	}
	argc -= optind;
	argv += optind;
	if (argc == 1 && !strcmp(argv[0], "-"))
		return print_key(ctl);
	if (argc != 2)
		return ctl_usage(&keygen_command, "expected the names of two routers, or -");
	for (int i = 0; i < 2; i++)
		if (!pair_is_name(argv[i]))
			return ctl_usage(&keygen_command, "\"%s\" can't name a router", argv[i]);
	if (!strcmp(argv[0], argv[1]))
		return ctl_usage(&keygen_command, "the two ends must be different routers");
	return make(ctl, directory, argv[0], argv[1]);
}

const struct command keygen_command = { "keygen", "[--directory DIR] A B | -",
					"Make the key files of both ends of a pair", run };
