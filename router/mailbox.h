/*
 * Frames from one thread to another's worker: what is to leave by a stream that another
 * worker writes to.
 *
 * A mailbox belongs to the worker that reads it and has a ring for each thread that may
 * write to it, so nobody takes a lock. A full ring loses the frame, which the sender
 * counts; nobody waits.
 */
#ifndef ROUTER_MAILBOX_H
#define ROUTER_MAILBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "router/streams.h"

struct mailbox;

/* What is written on it: a frame for this stream, which leads to this router. */
struct letter {
	uint32_t stream;
	uint32_t router;
};

#define LETTER_MAX STREAM_FRAME_MAX /* bytes of a frame */
#define MAILBOX_SLOTS 256	    /* letters that one sender may have under way */

/* For up to `senders` threads, numbered from 0. NULL: out of memory. */
struct mailbox *mailbox_new(unsigned senders);
void mailbox_free(struct mailbox *); /* NULL is fine */
/* From now on this one may write; the mailbox may be in use by others. False: out of
 * memory. */
bool mailbox_admit(struct mailbox *, unsigned sender);

/* Sender: puts a copy. False: full, or too long. */
bool mailbox_put(struct mailbox *, unsigned sender, const struct letter *, const void *frame,
		 size_t len);

/* Reader: the next letter, of the senders in turn; its frame is valid until
 * mailbox_release. NULL: none. */
const struct letter *mailbox_peek(struct mailbox *, const uint8_t **ret_frame, size_t *ret_len);
void mailbox_release(struct mailbox *);

#endif
