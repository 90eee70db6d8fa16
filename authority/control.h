/*
 * The control socket of an authority that serves, for its own machine: who may open it (0600)
 * may ask. A request is one packet of SOCK_SEQPACKET, a word; with it may come a descriptor
 * for a file that the asker has opened. The answer is one packet of JSON, and ends the
 * connection.
 */
#ifndef AUTHORITY_CONTROL_H
#define AUTHORITY_CONTROL_H

#include <stdbool.h>

#include <jansson.h>

#define CONTROL_FILE "control" /* in the directory of the CA */
#define CONTROL_ERROR 512
#define CONTROL_ANSWER (128u << 10) /* bytes */

struct event_base;
struct control;
struct control_call;

/* fd: taken over, or -1. It is answered now or later. */
typedef void control_fn(void *arg, struct control_call *, const char *word, int fd);

/* Takes the place of what a killed process has left. NULL:
 * words in error. */
struct control *control_open(struct event_base *, const char *path, control_fn *, void *arg,
			     char error[static CONTROL_ERROR]);
/* Nothing is under way any more. NULL is fine. */
void control_close(struct control *);
/* Takes over the answer. */
void control_answer(struct control_call *, json_t *answer);
bool control_idle(const struct control *);

/* Asks the process that serves at this path. NULL with words in error; *ret_nobody: there
 * is none. */
json_t *control_ask(const char *path, const char *word, int fd, bool *ret_nobody,
		    char error[static CONTROL_ERROR]);

#endif
