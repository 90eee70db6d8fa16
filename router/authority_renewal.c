/*
 * The certificate of this router: another one in the last third of its life, and after it.
 */
#include "router/authority_private.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/pki.h"

#define RENEW_LOOK_MOST (600 * SEC)

static void kept(void *arg, int error, mono_t now)
{
	const struct authority *a = arg;

	(void)now;
	if (error)
		log_error("authority: the new certificate can't be written to %s: %s; after a "
			  "restart the old one is used",
			  a->identity->directory, strerror(-error));
}

/* The certificate comes last: it needs the others. */
static void keep_identity(struct authority *a)
{
	const struct identity *id = a->identity;
	const struct {
		const char *file, *text;
	} files[] = { { PKI_TRUST, id->trust_pem }, { PKI_CERTIFICATE, id->certificate_pem } };
	char *path;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (asprintf(&path, "%s/%s", id->directory, files[i].file) < 0)
			return;
		disk_replace(a->disk, path, 0644, files[i].text, strlen(files[i].text), kept, a);
		free(path);
	}
}

static void renewal_done(void *arg, const struct https_answer *answer, mono_t now)
{
	struct authority *a = arg;
	json_t *body = json_loadb(answer->body, answer->len, 0, NULL);
	char why[AUTHORITY_WORDS], when[32];
	struct tm tm;

	(void)now;
	a->renewal = NULL;
	if (!authority_is_good(answer))
		authority_words(answer, why);
	else if (identity_renewed(a->identity, body, time(NULL), why))
		why[0] = '\0';
	json_decref(body);
	if (gmtime_r(&a->identity->ends, &tm))
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	if (*why) {
		if (strcmp(why, a->renewal_error) != 0)
			log_warn("authority: the certificate, good until %s, was not renewed: %s",
				 when, why);
	} else {
		https_identify(a->https, a->identity->certificate_pem, a->identity->key_pem,
			       a->identity->trust_pem);
		keep_identity(a);
		log_info("authority: the certificate was renewed, and is good until %s", when);
	}
	strcpy(a->renewal_error, why);
}

static void renewal_due(struct timer *t, mono_t now)
{
	struct authority *a = container_of(t, struct authority, renewal_timer);
	int64_t look = (int64_t)(a->identity->ends - a->identity->begins) / 100 * SEC;
	char *body = NULL;

	look = look < SEC ? SEC : look > RENEW_LOOK_MOST ? RENEW_LOOK_MOST : look;
	timer_set(a->loop, t, mono_add(now, look + authority_random(look / 4)));
	if (a->renewal || !authority_can_ask(a) || !identity_is_due(a->identity, time(NULL)))
		return;
	body = identity_renewal(a->identity);
	if (body)
		a->renewal =
			authority_ask_path(a, &(struct https_question){ .url = "/v1/renew",
									.body = body,
									.patience = ANSWER_WAIT,
									.done = renewal_done,
									.arg = a });
	free(body);
}

void authority_renewal_init(struct authority *a)
{
	a->renewal_timer.fn = renewal_due;
}

void authority_renewal_begin(struct authority *a, mono_t now)
{
	timer_set(a->loop, &a->renewal_timer, now);
}

void authority_renewal_done(struct authority *a)
{
	timer_cancel(a->loop, &a->renewal_timer);
}
