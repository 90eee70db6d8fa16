/* links: librouter libcommon */
/*
 * The control socket itself: its file, its lines, its bounds, with real
 * descriptors on a loop that is turned by hand.
 */
#include "router/control.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/control_world.h"

struct place {
	struct loop *loop;
	struct router *router;
	struct control *control;
	char directory[32], path[64];
};

static struct control *open_quietly(struct place *t, char **ret_text)
{
	const struct control_hooks none = { 0 };
	size_t len;
	FILE *errors = open_memstream(ret_text, &len);
	struct control *c = control_open(t->router, none, t->path, errors);

	fclose(errors);
	return c;
}

static int setup(void **state)
{
	struct place *t = calloc(1, sizeof(*t));
	char *said;

	strcpy(t->directory, "/tmp/vine-control-XXXXXX");
	assert_non_null(mkdtemp(t->directory));
	/* A directory that is made on the way. */
	snprintf(t->path, sizeof(t->path), "%s/run/router.sock", t->directory);
	t->loop = loop_new();
	t->router = control_router(t->loop, clock_now());
	assert_non_null(t->router);
	t->control = open_quietly(t, &said);
	assert_non_null(t->control);
	assert_string_equal(said, "");
	free(said);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct place *t = *state;
	char run[64];

	control_close(t->control);
	router_free(t->router);
	loop_free(t->loop);
	assert_int_equal(access(t->path, F_OK), -1);
	snprintf(run, sizeof(run), "%s/run", t->directory);
	assert_int_equal(rmdir(run), 0);
	assert_int_equal(rmdir(t->directory), 0);
	free(t);
	return 0;
}

static int connect_to(const struct place *t)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	strcpy(a.sun_path, t->path);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static void write_all(int fd, const char *text, size_t len)
{
	assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), (ssize_t)len);
}

/* Turns the loop until a whole line, or the end (NULL), has come. */
static json_t *read_answer(struct place *t, int fd)
{
	static char line[1 << 16];
	size_t len = 0;

	for (unsigned turns = 0; turns < 10000;) {
		ssize_t n = recv(fd, line + len, 1, 0);

		if (n == 0)
			return NULL;
		if (n < 0) {
			assert_true(errno == EAGAIN || errno == ECONNRESET);
			if (errno == ECONNRESET)
				return NULL;
			loop_turn(t->loop, MSEC);
			turns++;
			continue;
		}
		if (line[len++] == '\n')
			return json_loadb(line, len, 0, NULL);
	}
	fail_msg("no answer");
	return NULL;
}

static void expect(struct place *t, int fd, bool ok)
{
	json_t *answer = read_answer(t, fd);

	assert_non_null(answer);
	assert_int_equal(json_is_true(json_object_get(answer, "ok")), ok);
	json_decref(answer);
}

static void file(void **state)
{
	struct place *t = *state;
	struct stat st;
	char *said;

	assert_int_equal(lstat(t->path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0600);

	/* A living router's place is not taken. */
	assert_null(open_quietly(t, &said));
	assert_non_null(strstr(said, "another router is running"));
	free(said);
	assert_int_equal(access(t->path, F_OK), 0);
}

static void stale(void **state)
{
	struct place *t = *state;
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	char *said;
	FILE *f;

	control_close(t->control);
	strcpy(a.sun_path, t->path);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	close(fd); /* as a router that was killed leaves it */
	t->control = open_quietly(t, &said);
	assert_non_null(t->control);
	free(said);

	control_close(t->control);
	f = fopen(t->path, "w");
	assert_non_null(f);
	fclose(f);
	t->control = open_quietly(t, &said);
	assert_null(t->control);
	assert_non_null(strstr(said, "not a socket"));
	free(said);
	assert_int_equal(unlink(t->path), 0);
}

static void answers(void **state)
{
	struct place *t = *state;
	static const char two[] =
		"{\"verb\":\"status\"}\n\n{\"verb\":\"show\",\"what\":\"gndt\"}\n";
	int fd = connect_to(t);

	/* A request in pieces; then several at once. */
	write_all(fd, "{\"verb\":", 8);
	loop_turn(t->loop, MSEC);
	write_all(fd, "\"status\"}\n", 10);
	expect(t, fd, true);
	write_all(fd, two, sizeof(two) - 1);
	expect(t, fd, true);
	expect(t, fd, false); /* the empty line */
	expect(t, fd, true);

	/* The last one may lack its end; then the router hangs up. */
	write_all(fd, two, 17);
	shutdown(fd, SHUT_WR);
	expect(t, fd, true);
	assert_null(read_answer(t, fd));
	close(fd);
}

static void long_line(void **state)
{
	struct place *t = *state;
	char *line = malloc(CONTROL_LINE + 2);
	int fd = connect_to(t);
	size_t sent = 0;

	memset(line, ' ', CONTROL_LINE + 2);
	while (sent < CONTROL_LINE + 2) {
		ssize_t n = send(fd, line + sent, CONTROL_LINE + 2 - sent, MSG_NOSIGNAL);

		if (n > 0)
			sent += (size_t)n;
		loop_turn(t->loop, MSEC);
	}
	expect(t, fd, false);
	assert_null(read_answer(t, fd));
	close(fd);
	free(line);
}

static void too_many(void **state)
{
	struct place *t = *state;
	int fds[CONTROL_CONNECTIONS + 1];

	for (unsigned i = 0; i <= CONTROL_CONNECTIONS; i++) {
		fds[i] = connect_to(t);
		loop_turn(t->loop, MSEC);
	}
	expect(t, fds[CONTROL_CONNECTIONS], false);
	assert_null(read_answer(t, fds[CONTROL_CONNECTIONS]));
	/* The others are served, and one that goes makes room. */
	write_all(fds[0], "{}\n", 3);
	expect(t, fds[0], false);
	close(fds[0]);
	for (unsigned i = 0; i < 4; i++)
		loop_turn(t->loop, MSEC);
	fds[0] = connect_to(t);
	write_all(fds[0], "{\"verb\":\"status\"}\n", 18);
	expect(t, fds[0], true);
	for (unsigned i = 0; i <= CONTROL_CONNECTIONS; i++)
		close(fds[i]);
}

/* Whoever says nothing is sent away; who waits for pings is not. */
static void idle(void **state)
{
	struct place *t = *state;
	int fd = connect_to(t);
	mono_t now;

	now = loop_turn(t->loop, MSEC);
	loop_fire(t->loop, mono_add(now, CONTROL_IDLE - SEC));
	write_all(fd, "{}\n", 3);
	expect(t, fd, false);
	loop_fire(t->loop, mono_add(clock_now(), CONTROL_IDLE + SEC));
	assert_null(read_answer(t, fd));
	close(fd);
}

/* A reader that goes away in the middle of a series of pings. */
static void gone(void **state)
{
	struct place *t = *state;
	static const char ping[] = "{\"verb\":\"ping\",\"peer\":\"chicago\",\"count\":9}\n";
	int fd = connect_to(t);
	mono_t now;

	write_all(fd, ping, sizeof(ping) - 1);
	now = loop_turn(t->loop, MSEC);
	now = loop_turn(t->loop, MSEC);
	loop_fire(t->loop, mono_add(now, 3 * SEC));
	close(fd);
	for (unsigned i = 0; i < 4; i++)
		now = loop_turn(t->loop, MSEC);
	loop_fire(t->loop, mono_add(now, 60 * SEC));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(file),	TEST(stale), TEST(answers), TEST(long_line),
		TEST(too_many), TEST(idle),  TEST(gone),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
