/*
 * The body is made in the loop and sent by the thread, so that they share nothing. Redirects
 * aren't followed: an alert goes where the administrator said.
 */
#include "authority/webhook.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include <curl/curl.h>
#include <event2/event.h>

#include "authority/memory.h"
#include "authority/work.h"
#include "common/log.h"

#define PATIENCE 3000l /* ms of one try */

struct webhook {
	char *url, *from;
	char *shown; /* of the URL, in the log: the rest may be a secret */
	struct worker *worker;
	struct event *timer;
	json_t *waiting; /* alerts */
	size_t more;	 /* that had no room */
	/* What is under way. */
	struct work work;
	char *body;
	size_t alerts;
	unsigned tries;
	long status;
	char error[CURL_ERROR_SIZE];
	bool busy, fails;
	struct webhook_figures figures;
};

static size_t ignore(char *data, size_t size, size_t n, void *arg)
{
	(void)data, (void)arg;
	return size * n;
}

static void run_post(struct work *work)
{
	struct webhook *w = container_of(work, struct webhook, work);
	CURL *curl = curl_easy_init();
	struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");

	w->status = 0;
	w->error[0] = '\0';
	if (!curl || !headers)
		abort();
	curl_easy_setopt(curl, CURLOPT_URL, w->url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1l);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, PATIENCE);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "vine-authority/" VINE_VERSION);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDS, w->body);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, ignore);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, w->error);
	if (curl_easy_perform(curl) == CURLE_OK)
		curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &w->status);
	curl_slist_free_all(headers);
	curl_easy_cleanup(curl);
}

static void next(struct webhook *w)
{
	struct timeval now;
	json_t *body;

	if (w->busy || !json_array_size(w->waiting))
		return;
	gettimeofday(&now, NULL);
	body = mem_json(json_pack("{s:s,s:I,s:o,s:I}", "authority", w->from, "time",
				  (json_int_t)now.tv_sec * 1000 + now.tv_usec / 1000, "alerts",
				  w->waiting, "left_out", (json_int_t)w->more));
	w->alerts = json_array_size(w->waiting) + w->more;
	w->body = json_dumps(body, JSON_COMPACT);
	if (!w->body)
		abort();
	json_decref(body);
	w->waiting = mem_json(json_array());
	w->more = 0;
	w->tries = 0;
	w->busy = true;
	worker_post(w->worker, &w->work);
}

static void posted(struct work *work)
{
	struct webhook *w = container_of(work, struct webhook, work);
	bool done = w->status >= 200 && w->status < 300;
	/* 1, 4, 16, 64 seconds */
	const struct timeval later = { .tv_sec = 1l << 2 * w->tries };
	char text[CURL_ERROR_SIZE + 32];

	w->fails = !done;
	if (done) {
		w->figures.done++;
	} else {
		w->figures.failed++;
		if (w->status)
			snprintf(text, sizeof(text), "it answers with status %ld", w->status);
		else
			snprintf(text, sizeof(text), "%s", *w->error ? w->error : "no answer");
		if (++w->tries < WEBHOOK_TRIES) {
			if (w->tries == 1)
				log_warn("webhook %s: %s; trying again", w->shown, text);
			event_add(w->timer, &later);
			return;
		}
		log_error("webhook %s: %s; %zu alerts were not delivered", w->shown, text,
			  w->alerts);
		w->figures.given_up += w->alerts;
	}
	free(w->body);
	w->body = NULL;
	w->busy = false;
	next(w);
}

static void again(evutil_socket_t fd, short events, void *arg)
{
	struct webhook *w = arg;

	(void)fd, (void)events;
	list_init(&w->work.node);
	worker_post(w->worker, &w->work);
}

static char *scheme_and_host(const char *url)
{
	const char *colon = strstr(url, "://"), *host = colon ? colon + 3 : url, *p;
	const char *end = host + strcspn(host, "/?#\\");
	int scheme = (int)(host - url);

	for (p = host; p < end; p++)
		if (*p == '@') /* behind a name and password */
			host = p + 1;
	return mem_format("%.*s%.*s", scheme, url, (int)(end - host), host);
}

struct webhook *webhook_new(struct event_base *base, const char *url, const char *from)
{
	struct webhook *w = mem_new(1, sizeof(*w));

	w->url = mem_text(url);
	w->shown = scheme_and_host(url);
	w->from = mem_text(from);
	w->waiting = mem_json(json_array());
	w->work = (struct work){ .run = run_post, .done = posted };
	list_init(&w->work.node);
	w->timer = evtimer_new(base, again, w);
	w->worker = w->timer ? worker_new(base) : NULL;
	if (w->worker)
		return w;
	webhook_free(w);
	return NULL;
}

void webhook_free(struct webhook *w)
{
	if (!w)
		return;
	worker_free(w->worker);
	if (w->timer)
		event_free(w->timer);
	json_decref(w->waiting);
	free(w->body);
	free(w->url);
	free(w->shown);
	free(w->from);
	free(w);
}

void webhook_add(struct webhook *w, json_t *alert)
{
	if (json_array_size(w->waiting) < WEBHOOK_ALERTS) {
		json_array_append_new(w->waiting, alert);
	} else {
		json_decref(alert);
		w->more++;
	}
	next(w);
}

bool webhook_fails(const struct webhook *w)
{
	return w && w->fails;
}

struct webhook_figures webhook_figures(const struct webhook *w)
{
	return w ? w->figures : (struct webhook_figures){ 0 };
}
