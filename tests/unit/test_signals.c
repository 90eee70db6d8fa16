/* links: common/signals common/loop common/clock */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <unistd.h>

#include "common/list.h"
#include "common/signals.h"

struct program {
	struct signals signals;
	int last;
};

static void note_signal(struct signals *s, int signal)
{
	container_of(s, struct program, signals)->last = signal;
}

static void test_each(void **state)
{
	static const int all[] = { SIGTERM, SIGINT, SIGHUP };
	struct program p = { .last = 0 };
	struct loop *loop = loop_new();

	(void)state;
	assert_non_null(loop);
	assert_int_equal(signals_open(&p.signals, loop, note_signal), 0);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		assert_int_equal(kill(getpid(), all[i]), 0);
		assert_int_not_equal(p.last, all[i]); /* not before its turn */
		loop_turn(loop, 0);
		assert_int_equal(p.last, all[i]);
	}
	assert_int_equal(kill(getpid(), SIGPIPE), 0); /* which would have ended the program */
	signals_close(&p.signals);
	loop_free(loop);
}

static void test_not_open(void **state)
{
	struct program p = { .last = 0 };

	(void)state;
	signals_close(&p.signals);
	assert_int_equal(p.last, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each),
		cmocka_unit_test(test_not_open),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
