/*
 * The authority as the router sees it, for people: on its own and in the status.
 */
#ifndef CTL_SHOW_AUTHORITY_H
#define CTL_SHOW_AUTHORITY_H

#include <jansson.h>

/* null: prints nothing. */
void authority_print(json_t *);

#endif
