/*
 * Frames on streams, see streams.h.
 *
 * In: one buffer of the worker takes what a stream has; whole frames go into packets, and
 * what is left of the last one is kept with its stream until the rest comes. A size that
 * no frame has ends the stream: there is no way to find the next one.
 *
 * Out: frames wait in the stream's queue, from where they are written by the batch. One that
 * only partly went is taken out of the queue, and its rest goes before all others: so
 * what is in the queue may always be dropped.
 */
#include "router/streams.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "common/list.h"

#define READ_MAX (128 * 1024) /* taken at a time */
#define READS_PER_TURN 16     /* of one stream (TLS gives a record at a time) */
#define WRITE_FRAMES 64	      /* in one call */
#define BUCKETS 256	      /* of 16 streams, when there are as many as may be */

struct one {
	struct list node;   /* of a bucket */
	struct list dirty;  /* of those with something to write */
	struct list recent; /* of those that are not proved, oldest first */
	struct streams *all;
	uint32_t id;
	struct stream *stream;
	struct endpoint remote;
	struct source source;
	uint32_t events; /* asked for */
	struct timer deadline, again;
	bool proved;
	bool full;			  /* the last write was refused: epoll tells */
	uint32_t read_wants, write_wants; /* as the stream said then */
	struct queue *queue;
	size_t in_len, rest_at, rest_len;
	uint8_t in[STREAM_FRAME_MAX];	/* of a frame that is not whole */
	uint8_t rest[STREAM_FRAME_MAX]; /* of a frame that has partly gone */
};

struct streams {
	struct loop *loop; /* inside the worker's; NULL: polled */
	struct pool *pool;
	struct counters *counters;
	struct streams_hooks hooks;
	struct queue_limits limits;
	struct list buckets[BUCKETS];
	struct list dirty, recent;
	size_t n, n_recent;
	struct one *reading; /* the one whose frames are just being told of */
	bool reading_gone;   /* ... and which was closed meanwhile */
	uint8_t buffer[READ_MAX + STREAM_FRAME_MAX];
};

static struct one *find(struct streams *s, uint32_t id)
{
	list_for_each(node, &s->buckets[id % BUCKETS]) {
		struct one *o = container_of(node, struct one, node);

		if (o->id == id)
			return o;
	}
	return NULL;
}

static void set_recent(struct streams *s, struct one *o, bool on)
{
	if (on == !list_is_empty(&o->recent))
		return;
	s->n_recent += on ? 1 : (size_t)-1;
	if (on)
		list_insert(&s->recent, &o->recent);
	else
		list_remove(&o->recent);
}

static void one_free(struct one *o)
{
	struct streams *s = o->all;

	set_recent(s, o, false);
	list_remove(&o->node);
	list_remove(&o->dirty);
	if (s->loop) {
		timer_cancel(s->loop, &o->deadline);
		timer_cancel(s->loop, &o->again);
		loop_remove(s->loop, &o->source);
	}
	if (s->reading == o)
		s->reading_gone = true;
	o->stream->ops->close(o->stream);
	if (s->counters)
		counter_add(&s->counters->drops[DROP_NO_WAY], queue_frames(o->queue));
	queue_free(o->queue);
	free(o);
	s->n--;
}

static void give_up(struct one *o, const char *why)
{
	struct streams *s = o->all;
	uint32_t id = o->id;

	one_free(o);
	s->hooks.gone(s->hooks.arg, id, why);
}

/* Asks the loop for what this stream waits for. */
static void update_events(struct one *o)
{
	uint32_t events = EPOLLIN | o->read_wants | (o->full ? o->write_wants : 0);

	if (!o->all->loop || events == o->events)
		return;
	o->events = events;
	loop_modify(o->all->loop, &o->source, events);
}

/* ---- in --------------------------------------------------------------------- */

/* Size of the frame that begins here; 0: more bytes are needed; SIZE_MAX: none has that. */
static size_t frame_size(const uint8_t *data, size_t len)
{
	size_t size;

	if (len < 4)
		return 0;
	size = (size_t)data[2] << 8 | data[3];
	return size < FRAME_MIN || size > STREAM_FRAME_MAX ? SIZE_MAX : size;
}

static void deliver(struct one *o, struct batch *b, mono_t now)
{
	struct streams *s = o->all;

	if (!b->n)
		return;
	s->reading = o;
	s->reading_gone = false;
	s->hooks.frames(s->hooks.arg, b, now);
	s->reading = NULL;
	b->n = 0;
}

static void take_frame(struct one *o, const uint8_t *data, size_t size, struct batch *b)
{
	struct streams *s = o->all;
	struct packet *p = pool_get(s->pool);

	if (!p) {
		counter_add(&s->counters->received, 1);
		counter_add(&s->counters->drops[DROP_NO_BUFFER], 1);
		return;
	}
	memcpy(p->data, data, size);
	p->len = (uint32_t)size;
	p->from = o->remote;
	p->stream = o->id;
	batch_add(b, p);
}

/* Cuts len bytes into frames. Bytes left over, SIZE_MAX: what is no frame; with
 * s->reading_gone the stream is no more. */
static size_t cut(struct one *o, const uint8_t *data, size_t len, mono_t now)
{
	struct streams *s = o->all;
	struct batch b = { .n = 0 };
	size_t size = 0, at = 0;

	s->reading_gone = false;
	while ((size = frame_size(data + at, len - at)) && size <= len - at) {
		take_frame(o, data + at, size, &b);
		at += size;
		if (b.n == BATCH_MAX)
			deliver(o, &b, now);
		if (s->reading_gone)
			return 0;
	}
	deliver(o, &b, now);
	return size == SIZE_MAX ? SIZE_MAX : len - at;
}

/* Reads what there is. Whether there was anything; the stream may be gone afterwards. */
static bool read_one(struct one *o, mono_t now)
{
	struct streams *s = o->all;
	bool any = false;

	o->read_wants = 0;
	for (unsigned i = 0; i < READS_PER_TURN; i++) {
		ssize_t n;
		size_t left;

		memcpy(s->buffer, o->in, o->in_len);
		n = o->stream->ops->read(o->stream, s->buffer + o->in_len, READ_MAX);
		if (n == -EAGAIN) {
			o->read_wants = o->stream->wants;
			return any;
		}
		if (n <= 0) {
			give_up(o, n ? strerror((int)-n) : "closed by the other side");
			return true;
		}
		any = true;
		left = cut(o, s->buffer, o->in_len + (size_t)n, now);
		if (s->reading_gone)
			return true;
		if (left == SIZE_MAX) {
			give_up(o, "what came is no frame");
			return true;
		}
		memmove(o->in, s->buffer + o->in_len + (size_t)n - left, left);
		o->in_len = left;
	}
	if (s->loop) /* what TLS has already the descriptor does not tell */
		timer_set(s->loop, &o->again, now);
	return any;
}

/* ---- out ---------------------------------------------------------------------- */

static void count_losses(struct streams *s, const struct queue_losses *l)
{
	if (l->full)
		counter_add(&s->counters->drops[DROP_WAIT_FULL], l->full);
	if (l->old)
		counter_add(&s->counters->drops[DROP_WAIT_OLD], l->old);
}

/* The stream has taken n bytes of the rest and the frames behind it. */
static void wrote(struct one *o, size_t n)
{
	size_t rest = o->rest_len - o->rest_at, at, len;
	const uint8_t *frame;

	if (n < rest) {
		o->rest_at += n;
		return;
	}
	n -= rest;
	o->rest_at = o->rest_len = 0;
	while (n > 0) {
		at = 0;
		frame = queue_next(o->queue, &at, &len);
		if (n < len) {
			o->rest_len = len - n;
			memcpy(o->rest, frame + n, o->rest_len);
			n = len;
		}
		n -= len;
		queue_pop(o->queue);
		counter_add(&o->all->counters->sent, 1);
	}
}

/* Writes until there is nothing more, or no more is taken. Whether there was anything;
 * the stream may be gone afterwards. */
static bool write_one(struct one *o, mono_t now)
{
	struct queue_losses losses = { 0 };
	bool any = false;

	queue_expire(o->queue, now, &losses);
	count_losses(o->all, &losses);
	o->full = false;
	for (;;) {
		struct iovec iov[WRITE_FRAMES + 1];
		size_t at = 0, len;
		const uint8_t *frame;
		ssize_t n;
		int k = 0;

		if (o->rest_len > o->rest_at)
			iov[k++] = (struct iovec){ .iov_base = o->rest + o->rest_at,
						   .iov_len = o->rest_len - o->rest_at };
		while (k < WRITE_FRAMES && (frame = queue_next(o->queue, &at, &len)))
			iov[k++] = (struct iovec){ .iov_base = (void *)frame, .iov_len = len };
		if (!k && !o->stream->unsent)
			break;
		n = o->stream->ops->write(o->stream, iov, k);
		if (n == -EAGAIN) {
			o->full = true;
			o->write_wants = o->stream->wants;
			break;
		}
		if (n < 0) {
			give_up(o, strerror((int)-n));
			return true;
		}
		any = true;
		wrote(o, (size_t)n);
	}
	list_remove(&o->dirty);
	update_events(o);
	return any;
}

bool streams_send(struct streams *s, uint32_t id, const uint8_t *frame, size_t len, mono_t now,
		  bool *ret_crowded)
{
	struct queue_losses losses = { 0 };
	struct one *o = find(s, id);

	if (ret_crowded)
		*ret_crowded = false;
	if (!o || !queue_put(o->queue, frame, len, now, &losses)) {
		counter_add(&s->counters->drops[o ? DROP_WAIT_FULL : DROP_NO_WAY], 1);
		return false;
	}
	count_losses(s, &losses);
	if (ret_crowded)
		*ret_crowded = queue_is_crowded(o->queue);
	if (!o->full && list_is_empty(&o->dirty))
		list_insert(&s->dirty, &o->dirty);
	return true;
}

void streams_flush(struct streams *s, mono_t now)
{
	list_for_each(node, &s->dirty)
		write_one(container_of(node, struct one, dirty), now);
}

/* ---- events ---------------------------------------------------------------------- */

static void one_ready(struct source *source, uint32_t events, mono_t now)
{
	struct one *o = container_of(source, struct one, source);
	struct streams *s = o->all;
	uint32_t id = o->id;

	(void)events;
	read_one(o, now);
	o = find(s, id);
	if (o && (o->full || o->stream->unsent || !list_is_empty(&o->dirty))) {
		write_one(o, now);
		o = find(s, id);
	}
	if (o)
		update_events(o);
}

static void read_again(struct timer *t, mono_t now)
{
	one_ready(&container_of(t, struct one, again)->source, EPOLLIN, now);
}

static void not_proved(struct timer *t, mono_t now)
{
	(void)now;
	give_up(container_of(t, struct one, deadline), "nothing authentic came in 10 s");
}

bool streams_turn(struct streams *s, mono_t now)
{
	bool any = false;

	if (s->loop) {
		loop_turn(s->loop, 0);
		return false;
	}
	if (!s->n)
		return false;
	for (unsigned i = 0; i < BUCKETS; i++)
		list_for_each(node, &s->buckets[i])
			any |= read_one(container_of(node, struct one, node), now);
	for (unsigned i = 0; i < BUCKETS; i++)
		list_for_each(node, &s->buckets[i])
			any |= write_one(container_of(node, struct one, node), now);
	return any;
}

/* ---- life ------------------------------------------------------------------------- */

struct streams *streams_new(bool polled, const struct streams_hooks *hooks,
			    const struct queue_limits *limits)
{
	struct streams *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->loop = polled ? NULL : loop_new();
	if (!polled && !s->loop) {
		free(s);
		return NULL;
	}
	s->hooks = *hooks;
	s->limits = *limits;
	for (unsigned i = 0; i < BUCKETS; i++)
		list_init(&s->buckets[i]);
	list_init(&s->dirty);
	list_init(&s->recent);
	return s;
}

void streams_belong(struct streams *s, struct pool *pool, struct counters *counters)
{
	s->pool = pool;
	s->counters = counters;
}

int streams_fd(const struct streams *s)
{
	return s->loop ? loop_fd(s->loop) : -1;
}

mono_t streams_next(const struct streams *s)
{
	return s->loop ? loop_next(s->loop) : (mono_t){ 0 };
}

void streams_free(struct streams *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < BUCKETS; i++)
		list_for_each(node, &s->buckets[i])
			one_free(container_of(node, struct one, node));
	loop_free(s->loop);
	free(s);
}

static struct one *one_new(struct streams *s, uint32_t id, struct stream *stream,
			   const struct endpoint *remote)
{
	struct one *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	o->queue = queue_new(&s->limits);
	if (!o->queue) {
		free(o);
		return NULL;
	}
	o->all = s;
	o->id = id;
	o->stream = stream;
	o->remote = *remote;
	o->source = (struct source){ .fd = stream->fd, .fn = one_ready };
	o->deadline.fn = not_proved;
	o->again.fn = read_again;
	o->events = EPOLLIN;
	list_init(&o->dirty);
	list_init(&o->recent);
	list_insert(&s->buckets[id % BUCKETS], &o->node);
	s->n++;
	return o;
}

bool streams_add(struct streams *s, uint32_t id, struct stream *stream,
		 const struct endpoint *remote, const uint8_t *first, size_t len, bool proved,
		 mono_t now)
{
	struct one *o;

	if (!proved && s->n_recent >= STREAMS_UNPROVED)
		give_up(container_of(s->recent.next, struct one, recent),
			"too many that have not proved themselves");
	o = s->n < STREAMS_MAX && len <= STREAM_FRAME_MAX ? one_new(s, id, stream, remote) : NULL;
	if (!o) {
		stream->ops->close(stream);
		return false;
	}
	if (len)
		memcpy(o->in, first, len);
	o->in_len = len;
	o->proved = proved;
	set_recent(s, o, !proved);
	if (s->loop &&
	    (loop_add(s->loop, &o->source, EPOLLIN) ||
	     (!proved && timer_set(s->loop, &o->deadline, mono_add(now, STREAMS_PROVE))))) {
		one_free(o);
		return false;
	}
	/* TLS may hold bytes already that the descriptor will not tell of. */
	if (s->loop)
		one_ready(&o->source, EPOLLIN, now);
	return true;
}

void streams_prove(struct streams *s, uint32_t id)
{
	struct one *o = find(s, id);

	if (!o || o->proved)
		return;
	o->proved = true;
	set_recent(s, o, false);
	if (s->loop)
		timer_cancel(s->loop, &o->deadline);
}

void streams_close(struct streams *s, uint32_t id)
{
	struct one *o = find(s, id);

	if (o)
		one_free(o);
}

size_t streams_count(const struct streams *s)
{
	return s->n;
}

size_t streams_waiting(const struct streams *s)
{
	size_t n = 0;

	for (unsigned i = 0; i < BUCKETS; i++)
		list_for_each(node, (struct list *)&s->buckets[i])
			n += queue_frames(container_of(node, struct one, node)->queue);
	return n;
}
