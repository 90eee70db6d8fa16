/*
 * A configuration as text again: for listing it with every default filled in, and
 * for finding what a reload can't change. Both go by the option tables, so that a
 * new key is in them without a line here. What the tables can't tell (protections,
 * rows) is written below. Keys of peers are never shown, only their files.
 */
#include "router/config_private.h"

#include <stdlib.h>
#include <string.h>

typedef void show_fn(void *arg, const char *section, const char *key, const char *value);

static const char *sign_text(enum protection p)
{
	return config_sign_words[p == PROTECT_NONE].text;
}

static const char *encrypt_text(enum protection p)
{
	for (const struct ini_word *w = config_encrypt_words; w->text; w++)
		if (w->value == (int)p)
			return w->text;
	return config_encrypt_words[0].text;
}

static void show_protection(const char *section, enum protection p, show_fn *fn, void *arg)
{
	fn(arg, section, "sign", sign_text(p));
	fn(arg, section, "encrypt", encrypt_text(p));
}

/* Rows of one key, from first to end - 1, as a list. */
static void show_prefixes(const struct prefix *first, size_t stride, size_t n, const char *section,
			  const char *key, show_fn *fn, void *arg)
{
	const char *place = (const char *)first;
	char prefix[PREFIX_TEXT], *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return;
	for (size_t i = 0; i < n; i++, place += stride)
		fprintf(f, "%s%s", i ? ", " : "",
			prefix_format((const struct prefix *)place, prefix));
	if (fclose(f) == 0 && text)
		fn(arg, section, key, text);
	free(text);
}

static void show_lndt(const struct config *c, show_fn *fn, void *arg)
{
	for (size_t i = 0, end; i < c->n_lndt; i = end) {
		char key[16];

		for (end = i + 1; end < c->n_lndt && c->lndt[end].network == c->lndt[i].network;)
			end++;
		snprintf(key, sizeof(key), "%u", c->lndt[i].network);
		show_prefixes(&c->lndt[i].prefix, sizeof(c->lndt[i]), end - i, "lndt", key, fn,
			      arg);
	}
}

static const char *router_name(const struct config *c, uint32_t id)
{
	if (id == c->id)
		return c->name;
	for (size_t i = 0; i < c->n_peers; i++)
		if (c->peers[i].id == id)
			return c->peers[i].name;
	return "?";
}

static bool is_tiny(const struct config *c, uint32_t id)
{
	for (size_t i = 0; i < c->n_peers; i++)
		if (c->peers[i].id == id)
			return c->peers[i].tiny;
	return false;
}

static void show_gndt(const struct config *c, show_fn *fn, void *arg)
{
	for (size_t i = 0, end; i < c->n_gndt; i = end) {
		char section[32];

		for (end = i + 1; end < c->n_gndt && c->gndt[end].network == c->gndt[i].network &&
				  c->gndt[end].router == c->gndt[i].router;)
			end++;
		if (is_tiny(c, c->gndt[i].router))
			continue; /* in its own section */
		snprintf(section, sizeof(section), "gndt %u", c->gndt[i].network);
		show_prefixes(&c->gndt[i].prefix, sizeof(c->gndt[i]), end - i, section,
			      router_name(c, c->gndt[i].router), fn, arg);
	}
}

void config_each(const struct config *c,
		 void (*fn)(void *arg, const char *section, const char *key, const char *value),
		 void *arg)
{
	char section[CONFIG_NAME_MAX + 16];

	for (int k = KIND_ROUTER; k <= KIND_HOSTS; k++) {
		if ((k == KIND_PROXY && !*c->proxy.host) ||
		    (k == KIND_LIMITED && c->limited == LIMITED_NONE) ||
		    (k == KIND_AUTHORITY && !c->identity) ||
		    (k == KIND_HOSTS && !c->hosts.ip.family))
			continue;
		if (k == KIND_SECURITY)
			show_protection("security", c->protection, fn, arg);
		ini_each(&config_kinds[k], config_kinds[k].name, c, fn, arg);
	}
	show_lndt(c, fn, arg);
	for (size_t i = 0; i < c->n_nets; i++) {
		snprintf(section, sizeof(section), "network %u", c->nets[i].id);
		show_protection(section, c->nets[i].protection, fn, arg);
	}
	show_gndt(c, fn, arg);
	for (size_t i = 0; i < c->n_peers; i++) {
		enum config_kind kind = c->peers[i].tiny ? KIND_TINY : KIND_PEER;

		snprintf(section, sizeof(section), "%s %s", config_kinds[kind].name,
			 c->peers[i].name);
		ini_each(&config_kinds[kind], section, &c->peers[i], fn, arg);
	}
}

/* Reload */

struct difference {
	const char *file, *section;
	FILE *errors;
	bool any;
};

static void tell_difference(void *arg, const struct ini_option *o, const char *old_text,
			    const char *new_text)
{
	struct difference *d = arg;

	d->any = true;
	fprintf(d->errors,
		"%s: [%s] %s: can't change from %s to %s while the router runs; expected a restart\n",
		d->file, d->section, o->key, *old_text ? old_text : "none",
		*new_text ? new_text : "none");
}

bool config_can_reload(const struct config *old, const struct config *new, FILE *errors)
{
	struct difference d = { .file = new->file, .errors = errors };

	for (int k = KIND_ROUTER; k <= KIND_HOSTS; k++) {
		d.section = config_kinds[k].name;
		ini_fixed(&config_kinds[k], old, new, tell_difference, &d);
	}
	return !d.any;
}
