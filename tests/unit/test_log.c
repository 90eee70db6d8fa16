/* links: common/log */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"

/* Between begin and end, stderr is a pipe. */
struct capture {
	int saved, pipe[2];
	char text[4096];
};

static void capture_begin(struct capture *c)
{
	c->saved = dup(STDERR_FILENO);
	assert_int_equal(pipe(c->pipe), 0);
	assert_int_equal(dup2(c->pipe[1], STDERR_FILENO), STDERR_FILENO);
}

static const char *capture_end(struct capture *c)
{
	size_t len = 0;
	ssize_t n;

	assert_int_equal(dup2(c->saved, STDERR_FILENO), STDERR_FILENO);
	close(c->saved);
	close(c->pipe[1]);
	while ((n = read(c->pipe[0], c->text + len, sizeof(c->text) - 1 - len)) > 0)
		len += (size_t)n;
	close(c->pipe[0]);
	c->text[len] = '\0';
	return c->text;
}

static void test_levels(void **state)
{
	struct capture c;

	(void)state;
	capture_begin(&c);
	log_error("no %s", "device");
	log_warn("slow");
	log_info("ready, %d peers", 3);
	log_debug("unseen");
	log_set_debug(true);
	log_debug("seen");
	log_set_debug(false);
	log_debug("unseen again");
	assert_string_equal(capture_end(&c), "<3>no device\n<4>slow\n<6>ready, 3 peers\n<7>seen\n");
}

static void test_one_line_whatever_it_quotes(void **state)
{
	struct capture c;

	(void)state;
	capture_begin(&c);
	log_warn("peer says %s", "hi\n<3>forged\r\x1b[31m\x7f caf\xc3\xa9");
	assert_string_equal(capture_end(&c), "<4>peer says hi?<3>forged??[31m? caf\xc3\xa9\n");
}

static void test_long_line_is_cut(void **state)
{
	struct capture c;
	char text[3000];
	const char *line;
	size_t len;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	capture_begin(&c);
	log_info("%s", text);
	line = capture_end(&c);
	len = strlen(line);
	assert_in_range(len, 500, 1024);
	assert_string_equal(line + len - 5, "x...\n");
	assert_ptr_equal(strchr(line, '\n'), line + len - 1);
}

/* Lengths around the room of a line: each gives one whole line. */
static void test_length_edges(void **state)
{
	char text[1100];

	(void)state;
	for (size_t n = 1000; n < 1040; n++) {
		struct capture c;
		const char *line;
		size_t len;

		memset(text, 'y', n);
		text[n] = '\0';
		capture_begin(&c);
		log_info("%s", text);
		line = capture_end(&c);
		len = strlen(line);
		assert_true(len <= 1024);
		assert_int_equal(line[len - 1], '\n');
		if (line[len - 2] == 'y')
			assert_int_equal(len, n + 4); /* "<6>" and the end */
		else
			assert_true(n + 4 >= 1023);
	}
}

static void test_errno_is_kept(void **state)
{
	struct capture c;

	(void)state;
	capture_begin(&c);
	errno = ENOENT;
	log_error("open: %m");
	assert_int_equal(errno, ENOENT);
	assert_string_equal(capture_end(&c), "<3>open: No such file or directory\n");
}

static void test_fatal_exits(void **state)
{
	struct capture c;
	int status;
	pid_t pid;

	(void)state;
	capture_begin(&c);
	pid = fork();
	if (pid == 0)
		log_fatal(2, "bad %s", "configuration");
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_string_equal(capture_end(&c), "<3>bad configuration\n");
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 2);
}

static void test_limit(void **state)
{
	struct log_limit l = { .suppressed = 0 };
	mono_t now = { 5 };
	uint32_t n = 99;

	(void)state;
	assert_true(log_allowed(&l, now, SEC, &n));
	assert_int_equal(n, 0);
	n = 99;
	assert_false(log_allowed(&l, mono_add(now, SEC / 2), SEC, &n));
	assert_false(log_allowed(&l, mono_add(now, SEC - 1), SEC, &n));
	assert_int_equal(n, 99);
	assert_true(log_allowed(&l, mono_add(now, SEC), SEC, &n));
	assert_int_equal(n, 2);
	assert_true(log_allowed(&l, mono_add(now, 2 * SEC), SEC, &n));
	assert_int_equal(n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_one_line_whatever_it_quotes),
		cmocka_unit_test(test_long_line_is_cut),
		cmocka_unit_test(test_length_edges),
		cmocka_unit_test(test_errno_is_kept),
		cmocka_unit_test(test_fatal_exits),
		cmocka_unit_test(test_limit),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
