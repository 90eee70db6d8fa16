/*
 * Messages to stderr, each one write of one line.
 *
 * A line is put together in a buffer on the stack and written at once, so that
 * the lines of several threads do not mix, and no lock or memory is needed. What
 * a message quotes may come from outside (names, texts of peers): control
 * characters become "?", so that nobody can forge a second line or steer a
 * terminal. A message too long for a line ends in "...".
 *
 * systemd reads the level from a prefix "<3>" to "<7>"; people at a terminal get
 * a word instead, and only where the level is not "info".
 */
#include "common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_ROOM 1024

/* sd-daemon(3) levels, the same as syslog's. */
enum level { LEVEL_ERROR = 3, LEVEL_WARN = 4, LEVEL_INFO = 6, LEVEL_DEBUG = 7 };

static atomic_bool debug_on;

static const char *level_word(enum level level)
{
	switch (level) {
	case LEVEL_ERROR: return "error: ";
	case LEVEL_WARN: return "warning: ";
	case LEVEL_DEBUG: return "debug: ";
	default: return "";
	}
}

static void write_line(const char *line, size_t len)
{
	/* Where stderr is gone there is nobody to tell. */
	ssize_t done = write(STDERR_FILENO, line, len);
	(void)done;
}

static __attribute__((format(printf, 2, 0))) void emit(enum level level, const char *fmt,
						       va_list args)
{
	char line[LINE_ROOM];
	size_t room = sizeof(line) - 1; /* for the line's end */
	size_t start, len;
	int saved = errno; /* for %m, and for the caller */
	int n;

	if (isatty(STDERR_FILENO))
		n = snprintf(line, room, "%s", level_word(level));
	else
		n = snprintf(line, room, "<%d>", (int)level);
	start = (size_t)n;

	errno = saved;
	n = vsnprintf(line + start, room - start, fmt, args);
	if (n < 0)
		return;
	len = start + (size_t)n;
	if (len >= room) {
		len = room - 1;
		memcpy(line + len - 3, "...", 3);
	}
	/* What is past ASCII may be UTF-8 and passes. */
	for (size_t i = start; i < len; i++) {
		unsigned char c = (unsigned char)line[i];
		if (c < 0x20 || c == 0x7f)
			line[i] = '?';
	}
	line[len++] = '\n';
	write_line(line, len);
	errno = saved;
}

void log_error(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	emit(LEVEL_ERROR, fmt, args);
	va_end(args);
}

void log_warn(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	emit(LEVEL_WARN, fmt, args);
	va_end(args);
}

void log_info(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	emit(LEVEL_INFO, fmt, args);
	va_end(args);
}

void log_debug(const char *fmt, ...)
{
	va_list args;

	if (!atomic_load_explicit(&debug_on, memory_order_relaxed))
		return;
	va_start(args, fmt);
	emit(LEVEL_DEBUG, fmt, args);
	va_end(args);
}

void log_fatal(int code, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	emit(LEVEL_ERROR, fmt, args);
	va_end(args);
	exit(code);
}

void log_set_debug(bool on)
{
	atomic_store_explicit(&debug_on, on, memory_order_relaxed);
}

bool log_allowed(struct log_limit *l, mono_t now, int64_t interval, uint32_t *ret_suppressed)
{
	if (mono_is_set(l->last) && mono_since(now, l->last) < interval) {
		if (l->suppressed < UINT32_MAX)
			l->suppressed++;
		return false;
	}
	*ret_suppressed = l->suppressed;
	l->suppressed = 0;
	l->last = now;
	return true;
}
