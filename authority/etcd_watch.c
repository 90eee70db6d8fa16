/*
 * A watch of an etcd cluster: a thread reads a member's stream of changes and queues
 * them for who waits for the descriptor.
 *
 * The thread knows the revision of the last change that it has queued. When the stream
 * ends, or the member does not answer a question between times (one that hangs, or has
 * lost the others, says nothing at all), it goes on at the next member from there. A
 * stream begins at that last revision, not behind it, and what is known is passed over:
 * so a member that has forgotten what comes next always says so. Changes of a revision
 * come in one message. The queue is bounded; a full one lets the member wait.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "authority/etcd.h"
#include "common/list.h"

#define TICK 500      /* ms: how often the thread looks up */
#define SILENCE 1500  /* ms without a word until the member is asked */
#define PATIENCE 1000 /* ms for the answer */
#define PAUSE 100     /* ms from one stream to the next */
#define QUEUE_PAGES 4096
#define QUEUE_BYTES (64u << 20)

struct waiting {
	struct list node;
	struct store_page page;
	size_t bytes;
};

struct watch {
	struct store_watch watch;
	struct etcd *etcd;
	pthread_t thread;
	pthread_mutex_t lock; /* of the queue */
	pthread_cond_t room;
	struct list queue;
	size_t n, bytes;
	bool stop;
	bool over; /* what comes next is forgotten */
	/* The thread's own. */
	CURLM *multi;
	struct etcd_connection *stream, *question;
	uint64_t after;
	char *text; /* of a message that has not ended */
	size_t size;
	int64_t heard;
	bool broken;
};

static bool stopped(struct watch *w)
{
	bool stop;

	pthread_mutex_lock(&w->lock);
	stop = w->stop || w->over;
	pthread_mutex_unlock(&w->lock);
	return stop;
}

static void signal_reader(struct watch *w)
{
	const uint64_t one = 1;

	if (write(w->watch.fd, &one, sizeof(one)) < 0)
		return; /* it is readable already */
}

static int compare_entries(const void *a, const void *b)
{
	return strcmp(((const struct store_entry *)a)->key, ((const struct store_entry *)b)->key);
}

/* Queues a revision's changes; takes the page over. False: to be read again. */
static bool queue(struct watch *w, struct store_page *page)
{
	struct waiting *one = calloc(1, sizeof(*one));

	if (!one) {
		store_page_done(page);
		return false;
	}
	qsort(page->entries, page->n, sizeof(*page->entries), compare_entries);
	page->revision = w->after = page->entries[0].revision;
	one->page = *page;
	for (size_t i = 0; i < page->n; i++)
		one->bytes += strlen(page->entries[i].key) + page->entries[i].size;
	pthread_mutex_lock(&w->lock);
	while ((w->n >= QUEUE_PAGES || w->bytes >= QUEUE_BYTES) && !w->stop)
		pthread_cond_wait(&w->room, &w->lock);
	list_insert(&w->queue, &one->node);
	w->n++;
	w->bytes += one->bytes;
	signal_reader(w);
	pthread_mutex_unlock(&w->lock);
	return true;
}

/* Takes the events of a message apart by revision. */
static bool take_events(struct watch *w, const json_t *events)
{
	struct store_page page = { .n = 0 };
	const char *type;
	const json_t *event, *kv;
	uint64_t revision;
	size_t i;

	json_array_foreach(events, i, event)
	{
		kv = json_object_get(event, "kv");
		revision = etcd_number(kv, "mod_revision");
		if (revision <= w->after)
			continue;
		if (page.n > 0 && page.entries[0].revision != revision) {
			if (!queue(w, &page))
				return false;
			page = (struct store_page){ .n = 0 };
		}
		type = json_string_value(json_object_get(event, "type"));
		if (etcd_add(w->etcd, &page, kv, type && strcmp(type, "DELETE") == 0) < 0) {
			store_page_done(&page);
			return false;
		}
	}
	return page.n == 0 || queue(w, &page);
}

/* One message. False: this stream is of no more use. */
static bool take_message(struct watch *w, const char *text, size_t size)
{
	json_t *json = json_loadb(text, size, 0, NULL);
	const json_t *result = json_object_get(json, "result");
	const json_t *events = json_object_get(result, "events");
	bool good = result && !json_is_true(json_object_get(result, "canceled"));

	if (result && etcd_number(result, "compact_revision") > 0) {
		pthread_mutex_lock(&w->lock);
		w->over = true;
		signal_reader(w);
		pthread_mutex_unlock(&w->lock);
	} else if (good && events) {
		good = take_events(w, events);
	} else if (good && !json_is_true(json_object_get(result, "created"))) {
		/* It has told all up to here: so much may be forgotten now. */
		const uint64_t told = etcd_number(json_object_get(result, "header"), "revision");

		if (told > w->after)
			w->after = told;
	}
	json_decref(json);
	return good;
}

static size_t take_bytes(char *data, size_t one, size_t n, void *arg)
{
	struct watch *w = arg;
	char *text, *end;
	size_t done = 0;

	n *= one;
	w->heard = etcd_now();
	if (n > ETCD_ANSWER_MAX - w->size || !(text = realloc(w->text, w->size + n)))
		return 0;
	memcpy(text + w->size, data, n);
	w->text = text;
	end = memchr(text + w->size, '\n', n);
	w->size += n;
	for (; end; end = memchr(text + done, '\n', w->size - done)) {
		if (!take_message(w, text + done, (size_t)(end - (text + done)))) {
			w->broken = true;
			return 0;
		}
		done = (size_t)(end - text) + 1;
		w->heard = etcd_now(); /* it may have waited for room */
	}
	w->size -= done;
	memmove(text, text + done, w->size);
	return n;
}

/* Whether a member that is silent still knows the others. */
static bool is_alive(struct watch *w, size_t member)
{
	struct etcd_answer answer;
	const int r = etcd_ask(w->question, member, "/v3/kv/range", "{\"key\":\"dg==\"}", PATIENCE,
			       &answer);

	json_decref(answer.json);
	return r == 0;
}

/* Reads one member's stream until it ends. */
static void follow(struct watch *w, size_t member, struct curl_slist *headers)
{
	CURL *curl = w->stream->curl;
	char body[256];
	int running = 1;

	/* "vine/" up to "vine0", in base64. */
	snprintf(body, sizeof(body),
		 "{\"create_request\":{\"key\":\"dmluZS8=\",\"range_end\":\"dmluZTA=\","
		 "\"start_revision\":\"%llu\",\"progress_notify\":true}}",
		 (unsigned long long)(w->after > 0 ? w->after : 1));
	etcd_prepare(w->etcd, curl, member, "/v3/watch", body);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, w);
	w->size = 0;
	w->broken = false;
	w->heard = etcd_now();
	curl_multi_add_handle(w->multi, curl);
	while (running && !w->broken && !stopped(w)) {
		if (curl_multi_perform(w->multi, &running) != CURLM_OK || !running)
			break;
		curl_multi_poll(w->multi, NULL, 0, TICK, NULL);
		if (etcd_now() - w->heard > SILENCE) {
			w->broken = !is_alive(w, member);
			w->heard = etcd_now();
		}
	}
	curl_multi_remove_handle(w->multi, curl);
}

static void *watch_thread(void *arg)
{
	struct watch *w = arg;
	/* A member without a leader is to say so, not to be silent. */
	struct curl_slist *headers = curl_slist_append(NULL, "Grpc-Metadata-hasleader: true");
	size_t member;

	pthread_mutex_lock(&w->etcd->lock);
	member = w->etcd->member;
	pthread_mutex_unlock(&w->etcd->lock);
	while (!stopped(w)) {
		follow(w, member, headers);
		member = (member + 1) % w->etcd->n_members;
		if (!stopped(w))
			curl_multi_poll(w->multi, NULL, 0, PAUSE, NULL);
	}
	curl_slist_free_all(headers);
	return NULL;
}

static void watch_free(struct watch *w)
{
	struct waiting *one;

	list_for_each(node, &w->queue) {
		one = container_of(node, struct waiting, node);
		store_page_done(&one->page);
		free(one);
	}
	if (w->stream)
		etcd_connection_free(w->stream);
	if (w->question)
		etcd_connection_free(w->question);
	curl_multi_cleanup(w->multi);
	if (w->watch.fd >= 0)
		close(w->watch.fd);
	pthread_cond_destroy(&w->room);
	pthread_mutex_destroy(&w->lock);
	free(w->text);
	free(w);
}

/* Starts the thread, which takes no signals. */
static int start(struct watch *w)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&w->thread, NULL, watch_thread, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -r;
}

int etcd_watch_open(struct store *store, uint64_t after, struct store_watch **ret_watch)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (!w)
		return store_fail(store, -ENOMEM, "out of memory");
	w->watch.store = store;
	w->watch.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	w->etcd = (struct etcd *)store;
	w->after = after;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->room, NULL);
	list_init(&w->queue);
	w->stream = etcd_take(w->etcd);
	w->question = etcd_take(w->etcd);
	w->multi = curl_multi_init();
	if (w->watch.fd < 0 || !w->stream || !w->question || !w->multi || start(w) < 0) {
		watch_free(w);
		return store_fail(store, -ENOMEM, "out of memory, descriptors or threads");
	}
	*ret_watch = &w->watch;
	return 0;
}

void etcd_watch_close(struct store_watch *watch)
{
	struct watch *w = (struct watch *)watch;

	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_signal(&w->room);
	pthread_mutex_unlock(&w->lock);
	curl_multi_wakeup(w->multi);
	pthread_join(w->thread, NULL);
	watch_free(w);
}

int etcd_watch_next(struct store_watch *watch, struct store_page *page)
{
	struct watch *w = (struct watch *)watch;
	struct waiting *one = NULL;
	uint64_t count;
	int r = 0;

	pthread_mutex_lock(&w->lock);
	if (!list_is_empty(&w->queue)) {
		one = container_of(w->queue.next, struct waiting, node);
		list_remove(&one->node);
		w->n--;
		w->bytes -= one->bytes;
		pthread_cond_signal(&w->room);
	} else {
		r = w->over ? store_fail(watch->store, -ESTALE, "the changes to come are forgotten")
			    : -EAGAIN;
	}
	if (w->n == 0 && !w->over && read(watch->fd, &count, sizeof(count)) < 0)
		r = r < 0 ? r : 0; /* it was not readable: just as well */
	pthread_mutex_unlock(&w->lock);
	if (!one)
		return r;
	*page = one->page;
	free(one);
	return 0;
}
