/*
 * What a netcheck means and what to do about it, in words. Made of the answer's JSON.
 */
#ifndef CTL_ADVICE_H
#define CTL_ADVICE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* A word on a whole way ("udp", "tcp", "tls", "proxy"): "yes", "no: ...". */
#define ADVICE_TEXT 256
const char *advice_way(json_t *check, const char *way, char buf[static ADVICE_TEXT]);
/* On the NAT. */
const char *advice_nat(json_t *check, char buf[static ADVICE_TEXT]);
/* What to do: a line each, beginning with "- ". */
void advice_print(json_t *check, FILE *out);
/* Whether every queue router (or, if there is none, every router) can be reached. */
bool advice_is_well(json_t *check);

#endif
