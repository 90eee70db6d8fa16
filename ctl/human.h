/*
 * JSON values as people read them. What is missing or of another type becomes
 * "-", so that a router of another version can be asked as well.
 */
#ifndef CTL_HUMAN_H
#define CTL_HUMAN_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define HUMAN_TEXT 64

/* The value at a path of keys, "traffic.in.bytes"; NULL if it is not there. */
json_t *human_get(json_t *, const char *path);

/* A string or a number as it is. Valid as long as the value, or buf. */
const char *human_text(json_t *, const char *path, char buf[static HUMAN_TEXT]);
/* "3.2 MiB" */
const char *human_bytes(json_t *, const char *path, char buf[static HUMAN_TEXT]);
/* Bytes a second: "3.2 MiB/s" */
const char *human_rate(json_t *, const char *path, char buf[static HUMAN_TEXT]);
/* A share of one: "1.5 %" */
const char *human_percent(json_t *, const char *path, char buf[static HUMAN_TEXT]);
/* Seconds: "0.41 ms" */
const char *human_rtt(json_t *, const char *path, char buf[static HUMAN_TEXT]);
/* Seconds: "2d 3h" */
const char *human_span(double seconds, char buf[static HUMAN_TEXT]);
/* A time: "12s ago" */
const char *human_ago(json_t *, const char *path, char buf[static HUMAN_TEXT]);
/* A counter; 0 if it is none. */
uint64_t human_count(json_t *, const char *path);
bool human_true(json_t *, const char *path);

/* An RFC 3339 time in UTC as seconds since 1970; negative if it is none. */
double human_time(const char *text);

#endif
