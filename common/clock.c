/*
 * The one place that reads the monotonic clock.
 *
 * CLOCK_MONOTONIC neither jumps with the time of day nor counts a suspended
 * machine's sleep: after a resume, timers are late by the nap instead of all
 * being due at once.
 */
#include "common/clock.h"

#include <time.h>

mono_t clock_now(void)
{
	struct timespec ts;

	/* Can't fail: the clock exists and ts is ours. */
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (mono_t){ (int64_t)ts.tv_sec * SEC + ts.tv_nsec };
}
