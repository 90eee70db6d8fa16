/*
 * A worker's mailbox, see mailbox.h: one ring for each sender, asked in turn, so that a
 * busy one does not hold up the others.
 */
#include "router/mailbox.h"

#include <stdlib.h>
#include <string.h>

#include "router/ring.h"

struct mailbox {
	unsigned senders;
	unsigned at; /* whose turn it is; with a letter peeked: whose it is */
	_Atomic(struct ring *) rings[];
};

struct mailbox *mailbox_new(unsigned senders)
{
	struct mailbox *m = calloc(1, sizeof(*m) + senders * sizeof(m->rings[0]));

	if (m)
		m->senders = senders;
	return m;
}

bool mailbox_admit(struct mailbox *m, unsigned sender)
{
	if (!m->rings[sender])
		m->rings[sender] = ring_new(MAILBOX_SLOTS, sizeof(struct letter) + LETTER_MAX);
	return m->rings[sender];
}

void mailbox_free(struct mailbox *m)
{
	if (!m)
		return;
	for (unsigned i = 0; i < m->senders; i++)
		ring_free(m->rings[i]);
	free(m);
}

bool mailbox_put(struct mailbox *m, unsigned sender, const struct letter *l, const void *frame,
		 size_t len)
{
	struct ring *ring = m->rings[sender];
	uint8_t *slot = ring && len <= LETTER_MAX ? ring_reserve(ring) : NULL;

	if (!slot)
		return false;
	memcpy(slot, l, sizeof(*l));
	if (len)
		memcpy(slot + sizeof(*l), frame, len);
	ring_commit(ring, (uint32_t)(sizeof(*l) + len));
	return true;
}

const struct letter *mailbox_peek(struct mailbox *m, const uint8_t **ret_frame, size_t *ret_len)
{
	for (unsigned i = 0; i < m->senders; i++) {
		uint32_t len;
		struct ring *ring = m->rings[m->at];
		const uint8_t *slot = ring ? ring_peek(ring, &len) : NULL;

		if (slot) {
			*ret_frame = slot + sizeof(struct letter);
			*ret_len = len - sizeof(struct letter);
			return (const struct letter *)slot;
		}
		m->at = (m->at + 1) % m->senders;
	}
	return NULL;
}

void mailbox_release(struct mailbox *m)
{
	ring_release(m->rings[m->at]);
	m->at = (m->at + 1) % m->senders;
}
