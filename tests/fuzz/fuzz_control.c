/* links: librouter libcommon */
/*
 * Lines of the control socket, on a router with two peers and no devices. Whatever
 * comes must be answered by one JSON object that says whether it went well; a series
 * of pings must end by itself, and may be given up at any time.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "router/verbs.h"
#include "tests/unit/control_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct {
	struct loop *loop;
	struct router *router;
	mono_t now;
	unsigned reloads;
} world;

/* Not assert(): it must not vanish with NDEBUG. */
static void check(bool ok)
{
	if (!ok)
		abort();
}

static bool reload(void *arg, FILE *errors)
{
	(void)arg;
	fprintf(errors, "reload %u\n", world.reloads);
	return world.reloads++ % 2;
}

static void check_answer(json_t *answer)
{
	json_t *ok = json_object_get(answer, "ok");
	char *text = json_dumps(answer, JSON_COMPACT);

	check(json_is_boolean(ok) && text && !strchr(text, '\n'));
	check(json_is_true(ok) ? json_object_get(answer, "result") != NULL
			       : json_is_string(json_object_get(answer, "error")));
	free(text);
	json_decref(answer);
}

static void tell(void *arg, json_t *result, const char *error, bool last)
{
	bool *ended = arg;

	check(!*ended && (result || error));
	*ended = last;
	json_decref(result);
}

static void run_pings(const struct pings_request *request)
{
	bool ended = false;
	struct pings *p = pings_new(world.router, request, tell, &ended, world.now);

	check(p && request->count <= PINGS_COUNT_MAX);
	for (unsigned i = 0; i < 8 && !ended; i++) {
		world.now = mono_add(world.now, SEC);
		loop_fire(world.loop, world.now);
	}
	pings_free(p);
}

static void request(const char *line, size_t len)
{
	const struct control_hooks hooks = { .reload = reload };
	struct control_task task;
	json_t *answer = control_answer(world.router, &hooks, line, len, world.now, &task);

	check(answer || task.kind != TASK_NONE);
	if (answer)
		check_answer(answer);
	else if (task.kind == TASK_PINGS)
		run_pings(&task.pings);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *line = (const char *)data, *end = line + len;

	if (!world.router) {
		world.now.ns = SEC;
		world.loop = loop_new();
		world.router = control_router(world.loop, world.now);
		check(world.router != NULL);
	}
	while (line < end) {
		const char *stop = memchr(line, '\n', (size_t)(end - line));

		if (!stop)
			stop = end;
		request(line, (size_t)(stop - line));
		line = stop + 1;
	}
	return 0;
}
