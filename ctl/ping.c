/*
 * vinectl ping: round trips to a peer, by signed control frames on the path that
 * packets take. Exit code 0 if anything came back.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctl/client.h"
#include "ctl/human.h"

struct options {
	unsigned long count, size;
	double interval; /* seconds */
};

static bool number(const char *text, unsigned long max, unsigned long *ret)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || n > max)
		return false;
	*ret = n;
	return true;
}

static bool seconds(const char *text, double *ret)
{
	char *end;
	double s = strtod(text, &end);

	if (end == text || *end || !(s >= 0.01 && s <= 3600))
		return false;
	*ret = s;
	return true;
}

/* 0, or the exit code for wrong usage. */
static int parse(int argc, char **argv, struct options *o)
{
	static const struct option options[] = {
		{ "count", required_argument, NULL, 'c' },
		{ "size", required_argument, NULL, 's' },
		{ "interval", required_argument, NULL, 'i' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "c:s:i:", options, NULL)) != -1) {
		if (c == 'c' && (!number(optarg, 10000, &o->count) || o->count == 0))
			return ctl_usage(&ping_command, "--count: expected 1 to 10000");
		if (c == 's' && !number(optarg, 65535, &o->size))
			return ctl_usage(&ping_command, "--size: expected at most 65535 bytes");
		if (c == 'i' && !seconds(optarg, &o->interval))
			return ctl_usage(&ping_command,
					 "--interval: expected 0.01 to 3600 seconds");
		if (c == '?')
			return ctl_usage(&ping_command, "wrong option");
	}
	return argc - optind == 1 ? 0 : ctl_usage(&ping_command, "expected one peer");
}

static void print_frame(json_t *f)
{
	char a[HUMAN_TEXT], b[HUMAN_TEXT], c[HUMAN_TEXT];

	if (human_true(f, "answered"))
		printf("%s bytes from %s: seq=%s", human_text(f, "frame_bytes", a),
		       human_text(f, "remote", b), human_text(f, "seq", c));
	else
		printf("seq=%s", human_text(f, "seq", a));
	if (human_true(f, "answered"))
		printf(" time=%s\n", human_rtt(f, "rtt_seconds", a));
	else if (json_is_string(human_get(f, "error")))
		printf(" not sent: %s\n", human_text(f, "error", a));
	else
		printf(" no answer\n");
	fflush(stdout);
}

static void print_summary(json_t *s, unsigned long wanted)
{
	char a[HUMAN_TEXT], b[HUMAN_TEXT], c[HUMAN_TEXT];
	unsigned long received = human_count(s, "received");

	printf("%s: %lu sent, %lu answered", human_text(s, "peer.name", a),
	       (unsigned long)human_count(s, "sent"), received);
	if (received < wanted)
		printf(", %lu%% lost", (wanted - received) * 100 / wanted);
	if (received)
		printf("; round trip %s least, %s mean, %s most",
		       human_rtt(s, "rtt_min_seconds", a), human_rtt(s, "rtt_avg_seconds", b),
		       human_rtt(s, "rtt_max_seconds", c));
	putchar('\n');
}

/* Frames as they come, then the summary, which the frames are put into for JSON.
 * NULL: failed, and said so. */
static json_t *follow(struct client *client, bool json)
{
	json_t *frames = json_array(), *result;
	bool more;

	for (;;) {
		more = false;
		result = client_recv(client, &more);
		if (!result || !more)
			break;
		if (!json)
			print_frame(result);
		json_array_append_new(frames, result);
	}
	if (result)
		json_object_set(result, "frames", frames);
	json_decref(frames);
	return result;
}

static int run(const struct ctl *ctl, int argc, char **argv)
{
	struct options o = { .count = 5, .size = 100, .interval = 0.2 };
	struct client *client;
	json_t *result = NULL;
	bool answered;
	int r = parse(argc, argv, &o);

	if (r)
		return r;
	client = client_open(ctl);
	if (!client)
		return EXIT_FAILED;
	client_wait(client, o.interval);
	if (client_send(client,
			json_pack("{s:s, s:s, s:I, s:I, s:I}", "verb", "ping", "peer", argv[optind],
				  "count", (json_int_t)o.count, "size", (json_int_t)o.size,
				  "interval_ms", (json_int_t)(o.interval * 1000 + 0.5))))
		result = follow(client, ctl->json);
	client_close(client);
	if (!result)
		return EXIT_FAILED;
	answered = human_count(result, "received") > 0;
	if (ctl->json) {
		r = client_print_json(result);
		return r ? r : answered ? EXIT_DONE : EXIT_FAILED;
	}
	print_summary(result, o.count);
	json_decref(result);
	return answered ? EXIT_DONE : EXIT_FAILED;
}

const struct command ping_command = { "ping", "[-c COUNT] [-s BYTES] [-i SECONDS] PEER",
				      "Round trips to a peer", run };
