/*
 * Seal: a frame header in front, the sequence of this worker's lane, and the MAC
 * or AEAD tag behind; then transmit: to the link that the path uses.
 *
 * Lane 0 is the control thread's; each worker has one of its own for each peer
 * (session.h), as far as the keys have so many: then its sequence has one writer.
 */
#include <string.h>
#include <urcu-qsbr.h>

#include "common/inet.h"
#include "router/stage.h"

static uint8_t state_bits(enum protection protection)
{
	switch (protection) {
	case PROTECT_NONE: return 0;
	case PROTECT_HMAC: return STATE_SIGNED;
	default: return STATE_ENCRYPTED;
	}
}

static enum protection protection_of(const struct packet *p)
{
	return (enum protection)atomic_load_explicit(&p->network->protection, memory_order_relaxed);
}

/* An unfinished checksum stays so where the other side will finish it, and nobody on the
 * way can alter what it would have covered. */
static bool takes_partial(const struct tx_keys *tx, enum protection protection)
{
	return protection != PROTECT_NONE && (tx->features & FEATURE_PARTIAL);
}

static bool leave_partial(struct packet *p, const struct tx_keys *tx, enum protection protection)
{
	if (p->csum_partial && !takes_partial(tx, protection))
		packet_finish(p);
	return p->csum_partial;
}

bool seal_takes_partial(const struct packet *p)
{
	const struct tx_keys *tx = rcu_dereference(p->peer->tx);

	return tx && takes_partial(tx, protection_of(p));
}

/* Writes the header around the packet and, if it is to be protected, the job. */
static bool frame_packet(struct worker *w, struct packet *p, struct tx_keys *tx,
			 struct crypto_job *job)
{
	const enum protection protection = protection_of(p);
	uint8_t lane = tx_lane(tx, p->peer->share[w->number]->lane);
	bool partial = leave_partial(p, tx, protection);
	uint32_t inner = p->len;
	struct frame_header h = {
		.type = FRAME_FORWARD,
		.state = (uint8_t)(state_bits(protection) | (partial ? STATE_PARTIAL : 0)),
		.size = (uint16_t)(inner + FRAME_OVERHEAD),
		.network = p->network->id,
		.source = w->view->self,
		.destination = p->peer->id,
		.epoch = tx->epoch,
		.lane = lane,
		.seq = tx_next(tx, lane, w->count >= tx->lanes),
	};
	uint8_t *head = packet_push(p, FRAME_HEADER);

	frame_format(&h, head);
	p->len += FRAME_MAC;
	p->outer_tos = p->inet.tos;
	if (protection == PROTECT_NONE) {
		memset(head + FRAME_HEADER + inner, 0, FRAME_MAC);
		return false;
	}
	*job = (struct crypto_job){
		.key = tx->key[protection],
		.head = head,
		.head_len = FRAME_HEADER,
		.data = head + FRAME_HEADER,
		.len = inner,
		.mac = head + FRAME_HEADER + inner,
		.nonce = head + 16,
	};
	return true;
}

void seal(struct worker *w, struct batch *b, mono_t now)
{
	struct crypto_job jobs[BATCH_MAX];
	int job[BATCH_MAX]; /* of the packet, -1: none */
	unsigned n = 0, kept = 0;

	for (unsigned i = 0; i < b->n; i++) {
		struct packet *p = b->p[i];
		struct tx_keys *tx = rcu_dereference(p->peer->tx);
		unsigned verdict = KEEP;

		if (!tx)
			verdict = hold(w, p, p->peer->id, now);
		if (verdict == KEEP) {
			job[kept] = frame_packet(w, p, tx, &jobs[n]) ? (int)n++ : -1;
			b->p[kept++] = p;
		} else if (verdict != TAKEN) {
			packet_drop(w, p, (enum drop)verdict);
		}
	}
	b->n = kept;
	crypto_seal(w->number, jobs, n);
	kept = 0;
	for (unsigned i = 0; i < b->n; i++) {
		if (job[i] < 0 || jobs[job[i]].ok)
			b->p[kept++] = b->p[i];
		else /* never in clear */
			packet_drop(w, b->p[i], DROP_NO_KEY);
	}
	b->n = kept;
}

static void count_sent(struct worker *w, const struct packet *p)
{
	uint64_t bytes = p->len - FRAME_OVERHEAD;
	struct traffic *of[] = { &w->counters.traffic[OUT],
				 &p->peer->share[w->number]->traffic[OUT],
				 &p->network->share[w->number]->traffic[OUT] };

	for (unsigned i = 0; i < 3; i++) {
		counter_add(&of[i]->packets, 1);
		counter_add(&of[i]->bytes, bytes);
	}
}

void transmit(struct worker *w, struct batch *b, mono_t now)
{
	struct batch some;

	(void)now;
	for (unsigned l = 0; l < w->n_links && b->n; l++) {
		unsigned kept = 0;

		some.n = 0;
		for (unsigned i = 0; i < b->n; i++) {
			if (b->p[i]->path->way.link == l) {
				count_sent(w, b->p[i]);
				batch_add(&some, b->p[i]);
			} else {
				b->p[kept++] = b->p[i];
			}
		}
		b->n = kept;
		if (some.n)
			w->links[l]->ops->send(w->links[l], &some, w->pool, &w->counters);
	}
	for (unsigned i = 0; i < b->n; i++)
		packet_drop(w, b->p[i], DROP_NO_WAY);
	b->n = 0;
}
