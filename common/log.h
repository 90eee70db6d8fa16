/*
 * Messages to stderr, one line each, with the journal's level prefix ("<4>")
 * when stderr is not a terminal. The only room with a mutable global (level).
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"

void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Says it and exits with this code. Only before the loops run. */
void log_fatal(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3), noreturn));

/* Whether debug messages are shown; off at first. */
void log_set_debug(bool on);

/* A bound for messages that an outsider can provoke: true at most once per
 * interval; says through *ret_suppressed how many were swallowed since. */
struct log_limit {
	mono_t last;
	uint32_t suppressed;
};
bool log_allowed(struct log_limit *, mono_t now, int64_t interval, uint32_t *ret_suppressed);

#endif
