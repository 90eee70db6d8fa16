/*
 * vinectl vn, site, router, ...: finds the verb in the table, makes its arguments of words
 * and options, asks, and prints.
 */
#include "ctl/operations.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <curl/curl.h>

#include "common/pki.h"
#include "ctl/authority.h"
#include "ctl/client.h"

#define HOUR_MS 3600000ll

/* What some verbs make for somebody else to use; the authority gets its hash. */
enum secret { SECRET_NONE, SECRET_TOKEN, SECRET_CREDENTIAL, SECRET_HOST };

struct ask {
	const struct verb *verb;
	json_t *arguments;
	bool dry_run;
	char host[64]; /* whose secret it is */
	char secret[PKI_SECRET];
};

static int usage(const struct verb *v, const char *what, const char *which)
{
	fprintf(stderr, "vinectl: %s%s%s\nUsage: vinectl %s%s%s %s\n", which, *which ? ": " : "",
		what, v->command, *v->name ? " " : "", v->name, v->usage);
	return EXIT_USAGE;
}

/* ---- values -------------------------------------------------------------------- */

static json_t *split_list(const char *text)
{
	json_t *list = json_array();
	char *copy = strdup(text), *rest = copy, *item;

	while ((item = strsep(&rest, ",")))
		if (*item)
			json_array_append_new(list, json_string(item));
	free(copy);
	return list;
}

static bool is_number(const char *text)
{
	return *text && strspn(text, "0123456789") == strlen(text) && strlen(text) < 19;
}

/* NAME=HOST,HOST, NAME#ID=HOST,... */
static json_t *parse_group(const char *text)
{
	const char *equals = strchr(text, '=');

	return equals ? json_pack("{s:s%,s:o}", "name", text, (size_t)(equals - text), "hosts",
				  split_list(equals + 1))
		      : NULL;
}

static bool set_word(json_t *arguments, const char *word, size_t len, const char *text)
{
	char name[32];
	bool more = *word == '=', rest = strchr("*+", word[len - 1]) != NULL;
	json_t *list, *value;

	snprintf(name, sizeof(name), "%.*s", (int)(len - more - (rest || word[len - 1] == '?')),
		 word + more);
	value = !strcmp(name, "groups")			  ? parse_group(text)
		: !strcmp(name, "vns") && is_number(text) ? json_integer(atoll(text))
							  : json_string(text);
	if (!value)
		return false;
	if (!more && !rest)
		return !json_object_set_new(arguments, name, value);
	list = json_object_get(arguments, name);
	if (!list) {
		list = json_array();
		json_object_set_new(arguments, name, list);
	}
	return !json_array_append_new(list, value);
}

/* The option's type and name in the request; 0: there is no such option. */
static char find_option(const char *options, const char *text, char name[static 32])
{
	size_t n = strlen(text);

	for (const char *p = options; *p; p += strcspn(p, " "), p += *p == ' ') {
		if (strncmp(p, text, n) || p[n] != ':')
			continue;
		snprintf(name, 32, "%s", text);
		for (char *c = name; *c; c++)
			*c = *c == '-' ? '_' : *c;
		return p[n + 1];
	}
	return 0;
}

static json_t *option_value(char type, const char *text)
{
	switch (type) {
	case 'n': return is_number(text) ? json_integer(atoll(text)) : NULL;
	case 'l': return split_list(text);
	case 'b':
		return !strcmp(text, "yes")  ? json_true()
		       : !strcmp(text, "no") ? json_false()
					     : NULL;
	default: return json_string(text);
	}
}

/* Words and options in any order. */
static int parse(struct ask *a, int argc, char **argv)
{
	const struct verb *v = a->verb;
	const char *word = v->words;
	bool given = false; /* one of the list that takes all the rest */

	for (int i = 0; i < argc; i++) {
		size_t len = strcspn(word, " ");
		char name[32], type;
		json_t *value;

		if (!strcmp(argv[i], "--dry-run") && strcmp(v->method, "GET")) {
			a->dry_run = true;
			continue;
		}
		if (!strncmp(argv[i], "--", 2)) {
			type = find_option(v->options, argv[i] + 2, name);
			if (!type)
				return usage(v, "there is no such option", argv[i]);
			if (i + 1 == argc || !(value = option_value(type, argv[i + 1])))
				return usage(v, "its value is missing, or not such a value",
					     argv[i]);
			json_object_set_new(a->arguments, name, value);
			i++;
			continue;
		}
		if (!len)
			return usage(v, "too much", argv[i]);
		if (!set_word(a->arguments, word, len, argv[i]))
			return usage(v, "can't be understood", argv[i]);
		given = strchr("*+", word[len - 1]) != NULL;
		if (!given)
			word += len + (word[len] == ' ');
	}
	if (*word && !given && !strchr("*?", word[strcspn(word, " ") - 1]))
		return usage(v, "something is missing", "");
	return EXIT_DONE;
}

/* ---- what the request needs besides --------------------------------------------- */

/* `hours` from now, or so many if it isn't given, as the time that it ends. */
static long long take_hours(json_t *arguments, long long otherwise)
{
	json_t *hours = json_object_get(arguments, "hours");
	long long n = hours ? json_integer_value(hours) : otherwise;

	json_object_del(arguments, "hours");
	return n * HOUR_MS;
}

static bool invites(const struct verb *v)
{
	return !strcmp(v->command, "tiny") && !strcmp(v->name, "invite");
}

static enum secret secret_of(const struct verb *v)
{
	return !strcmp(v->command, "token")	   ? SECRET_TOKEN
	       : invites(v)			   ? SECRET_TOKEN
	       : !strcmp(v->command, "credential") ? SECRET_CREDENTIAL
	       : !strcmp(v->name, "token")	   ? SECRET_HOST
						   : SECRET_NONE;
}

static bool complete(struct ask *a)
{
	const struct verb *v = a->verb;
	enum secret secret = secret_of(v);
	char hash[PKI_HASH];

	if (!strcmp(v->path, "/v1/register"))
		json_object_set_new(a->arguments, "kind", json_string(v->command));
	if (invites(v))
		json_object_set_new(a->arguments, "registers", json_string("tiny"));
	else if (!strcmp(v->command, "tiny") && !strcmp(v->path, "/v1/revoke"))
		json_object_set_new(a->arguments, "kind", json_string("tiny"));
	if (json_object_get(a->arguments, "token")) {
		const char *given = json_string_value(json_object_get(a->arguments, "token"));

		/* Without the hash of the CA, which is known already. */
		json_object_set_new(a->arguments, "token",
				    json_stringn(given, strcspn(given, ".")));
	}
	if (!secret)
		return true;
	if (!pki_secret_new(a->secret)) {
		ctl_failed("the system has no randomness to give");
		return false;
	}
	pki_secret_hash(a->secret, hash);
	json_object_set_new(a->arguments, "hash", json_string(hash));
	if (secret == SECRET_HOST) {
		snprintf(a->host, sizeof(a->host), "%s",
			 json_string_value(json_object_get(a->arguments, "host")));
		return true;
	}
	json_object_set_new(
		a->arguments, "expires",
		json_integer((json_int_t)time(NULL) * 1000 + take_hours(a->arguments, 24)));
	return true;
}

/* The path with its arguments, which are no longer in the body. */
static void make_path(struct ask *a, char *ret, size_t size)
{
	const char *p = a->verb->path;
	size_t n = 0;

	while (*p && n + 1 < size) {
		char name[32], *text;

		if (*p != '{') {
			ret[n++] = *p++;
			continue;
		}
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(p, "}") - 1, p + 1);
		text = curl_easy_escape(NULL,
					json_string_value(json_object_get(a->arguments, name)), 0);
		n += (size_t)snprintf(ret + n, size - n, "%s", text ? text : "");
		n = n < size ? n : size - 1;
		curl_free(text);
		json_object_del(a->arguments, name);
		p += strcspn(p, "}") + 1;
	}
	ret[n] = '\0';
	if (!strcmp(a->verb->command, "audit"))
		snprintf(ret + n, size - n, "?limit=%lld&since=%lld",
			 json_object_get(a->arguments, "limit")
				 ? json_integer_value(json_object_get(a->arguments, "limit"))
				 : 1000ll,
			 (long long)time(NULL) * 1000 - take_hours(a->arguments, 24));
	else if (a->dry_run)
		snprintf(ret + n, size - n, "?dry_run=true");
}

/* As it is handed on. A token names the CA as well, so that who has it knows whom to
 * believe; a host's names the host. */
static char *full_secret(const struct ask *a, const struct identity *id)
{
	char path[PATH_MAX], pin[PKI_PIN], *pem, *text = NULL;
	X509 *c;

	if (secret_of(a->verb) == SECRET_HOST)
		return asprintf(&text, "%s:%s", a->host, a->secret) < 0 ? NULL : text;
	if (secret_of(a->verb) == SECRET_CREDENTIAL)
		return strdup(a->secret);

	identity_path(id, PKI_TRUST, path);
	pem = pki_read(path);
	c = pem ? pki_certificate_parse(pem) : NULL;
	if (c) {
		pki_pin(c, pin);
		if (asprintf(&text, "%s.%s", a->secret, pin) < 0)
			text = NULL;
	}
	X509_free(c);
	free(pem);
	return text;
}

/* What its VM is told: the authority is known by its key, since its CA is its own. */
static void print_invitation(const struct ask *a, const json_t *result)
{
	const char *url = json_string_value(json_object_get(result, "url"));
	const char *pin = json_string_value(json_object_get(result, "pin"));

	if (!url || !pin) {
		ctl_failed("the authority doesn't say where its VMs ask: is it of this version?");
		return;
	}
	printf("curl -sSk --pinnedpubkey '%s' %s/tiny/%s | sudo sh\n", pin, url, a->secret);
	printf("wget -qO- --no-check-certificate --pinnedpubkey='%s' --content-on-error "
	       "%s/tiny/%s | sudo sh\n",
	       pin, url, a->secret);
}

static int print(const struct ctl *ctl, const struct ask *a, const struct identity *id,
		 json_t *result)
{
	char *secret = *a->secret ? full_secret(a, id) : NULL;

	if (ctl->json) {
		if (secret)
			json_object_set_new(result,
					    secret_of(a->verb) == SECRET_CREDENTIAL ? "credential"
										    : "token",
					    json_string(secret));
		free(secret);
		return client_print_json(result);
	}
	if (secret && invites(a->verb) && !a->dry_run)
		print_invitation(a, result);
	else if (secret)
		printf("%s\n", secret);
	else if (a->verb->lists[0].key)
		show_list(a->verb->lists, result);
	else
		show_outcome(result, a->dry_run);
	free(secret);
	json_decref(result);
	return EXIT_DONE;
}

static int ask(const struct ctl *ctl, struct ask *a, int argc, char **argv)
{
	struct question q = { .method = a->verb->method };
	struct identity id;
	char path[2048];
	json_t *result;
	int r = parse(a, argc, argv);

	if (r)
		return r;
	if (!complete(a) || !identity_read(ctl, &id))
		return EXIT_FAILED;
	make_path(a, path, sizeof(path));
	q.path = path;
	q.body = strcmp(q.method, "GET") && json_object_size(a->arguments) ? a->arguments : NULL;
	q.credential = getenv("VINE_CREDENTIAL");
	if (!q.credential)
		identity_renew(&id);
	result = authority_ask(&id, &q);
	return result ? print(ctl, a, &id, result) : EXIT_FAILED;
}

static int list_verbs(const char *command, FILE *out)
{
	for (const struct verb *v = verbs; v->command; v++)
		if (!strcmp(v->command, command))
			fprintf(out, "  vinectl %s %s %s\n      %s.\n", v->command, v->name,
				v->usage, v->text);
	return out == stdout ? EXIT_DONE : EXIT_USAGE;
}

static int run(const struct ctl *ctl, int argc, char **argv)
{
	struct ask a = { 0 };
	int r;

	for (const struct verb *v = verbs; v->command && !a.verb; v++)
		if (!strcmp(v->command, argv[0]) &&
		    (!*v->name || (argc > 1 && !strcmp(v->name, argv[1]))))
			a.verb = v;
	if (!a.verb) {
		if (argc > 1)
			fprintf(stderr, "vinectl: %s has no \"%s\"; it has:\n", argv[0], argv[1]);
		return list_verbs(argv[0], stderr);
	}
	a.arguments = json_object();
	r = *a.verb->name ? ask(ctl, &a, argc - 2, argv + 2) : ask(ctl, &a, argc - 1, argv + 1);
	json_decref(a.arguments);
	OPENSSL_cleanse(a.secret, sizeof(a.secret));
	return r;
}

const struct command operation_commands[] = {
	{ "vn", "list|show|create|join|leave|merge|split|...", "Virtual networks", run },
	{ "site", "list|add|change", "Sites", run },
	{ "router", "list|show|change|block|unblock", "Routers", run },
	{ "host", "list|add|remove|token|address|unaddress", "Hosts", run },
	{ "tiny", "list|show|revoke|invite", "VMs with vine-tiny", run },
	{ "user", "list|roles", "Users", run },
	{ "policy", "list|set|remove", "What sites permit and forbid", run },
	{ "token", "create user|router|host|tiny", "Let somebody in", run },
	{ "credential", "create OPERATION...", "Let a program act for you", run },
	{ "space", "set PREFIX...", "The space of addresses", run },
	{ "revoke", "user|router|tiny|token|credential NAME", "No longer believed", run },
	{ "audit", "[--hours N]", "Who did or tried what", run },
	{ 0 },
};
