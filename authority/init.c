/*
 * A directory with the CA, the key that signs tables, the first administrator's identity
 * and a configuration; and a store with the first user. All of it is new: where there is
 * something already, nothing is touched. The store is begun last, since what it takes can't
 * be taken back; what was made before is removed if it refuses.
 */
#include "authority/init.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "authority/ca.h"
#include "authority/memory.h"
#include "authority/operation.h"
#include "authority/settings.h"
#include "common/pki.h"

#define DEFAULT_DIRECTORY "/var/lib/vine-authority"
#define DEFAULT_SPACE "172.16.0.0/12"
#define PORT 8464
#define CERTIFICATE_LIFE (90l * 24 * 3600)
enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };
enum { NAMES = 16, FILES = 16 };

struct init {
	const char *directory, *store, *admin, *space, *identity;
	struct store_tls tls;
	char *names[NAMES];
	size_t n_names;
	char admin_directory[PATH_MAX];
	char *made[FILES]; /* files, to be removed if it fails */
	size_t n_made;
	bool unknown; /* whether the store has the first records */
};

static int __attribute__((format(printf, 1, 2))) failed(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("vine-authority init: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	return EXIT_FAILED;
}

static void usage(FILE *to)
{
	fputs("usage: vine-authority init --name NAME [--name NAME...] [--directory DIR]\n"
	      "                           [--store URL] [--admin USER] [--identity DIR]\n"
	      "                           [--space PREFIX]\n"
	      "\n"
	      "Makes a CA, a key that signs tables, a store, and the first administrator.\n"
	      "\n"
	      "  --name NAME      host name or address under which it will be reached\n"
	      "  --directory DIR  where keys and configuration go (default " DEFAULT_DIRECTORY ")\n"
	      "  --store URL      sqlite:/FILE (default: in DIR), or etcd:https://HOST:PORT,...\n"
	      "  --store-ca FILE, --store-certificate FILE, --store-key FILE  for etcd\n"
	      "  --admin USER     name of the first administrator (default admin)\n"
	      "  --identity DIR   where its key and certificate go (default: in DIR, by its name)\n"
	      "  --space PREFIX   that blocks of virtual addresses are taken from\n"
	      "                   (default " DEFAULT_SPACE ")\n",
	      to);
}

static bool put(struct init *i, const char *directory, const char *file, const char *text,
		unsigned mode)
{
	char *path = mem_format("%s/%s", directory, file);
	int r = text ? pki_write_new(path, text, mode) : -ENOMEM;

	if (r) {
		failed("%s: %s", path, strerror(-r));
		free(path);
		return false;
	}
	i->made[i->n_made++] = path;
	return true;
}

static void made(struct init *i, const char *file)
{
	i->made[i->n_made++] = mem_format("%s/%s", i->directory, file);
}

/* The administrator's identity; *ret_key is what its record pins, to be freed. */
static bool make_admin(struct init *i, time_t now, char **ret_key)
{
	char error[CA_ERROR], *key_pem = NULL, *pem = NULL, *about;
	struct ca *ca = ca_load(i->directory, error);
	EVP_PKEY *key = ca ? pki_key_new() : NULL;
	X509 *c = key ? ca_issue(ca, CA_USER, i->admin, key, now, CERTIFICATE_LIFE, NULL, 0) : NULL;
	const char *name = i->names[0], *open = strchr(name, ':') ? "[" : "";
	bool good = false;

	about = mem_format(
		"{\"url\": \"https://%s%s%s:%d\", \"kind\": \"user\", \"name\": \"%s\"}\n", open,
		name, *open ? "]" : "", PORT, i->admin);
	if (!ca)
		failed("%s", error);
	else if (!c || !(key_pem = pki_key_pem(key)) || !(pem = pki_certificate_pem(c)) ||
		 !(*ret_key = pki_key_text(key)))
		failed("out of memory");
	else
		good = put(i, i->admin_directory, PKI_KEY, key_pem, 0600) &&
		       put(i, i->admin_directory, PKI_CERTIFICATE, pem, 0644) &&
		       put(i, i->admin_directory, PKI_TRUST, ca_bundle(ca), 0644) &&
		       put(i, i->admin_directory, PKI_AUTHORITY, about, 0644);
	if (key_pem)
		OPENSSL_cleanse(key_pem, strlen(key_pem));
	free(key_pem);
	free(pem);
	free(about);
	X509_free(c);
	EVP_PKEY_free(key);
	ca_free(ca);
	return good;
}

static bool make_settings(struct init *i)
{
	char *names = mem_text(""), *text, *tls = mem_text("");
	bool good;

	for (size_t k = 0; k < i->n_names; k++) {
		char *more = mem_format("%s%s%s", names, k ? ", " : "", i->names[k]);

		free(names);
		names = more;
	}
	if (i->tls.ca) {
		free(tls);
		tls = mem_format("ca = %s\ncertificate = %s\nkey = %s\n", i->tls.ca,
				 i->tls.certificate, i->tls.key);
	}
	text = mem_format("# See vine-authority(8).\n"
			  "[server]\n"
			  "listen = 0.0.0.0:%d, [::]:%d\n"
			  "names = %s\n\n"
			  "[store]\n"
			  "url = %s\n%s\n"
			  "[certificates]\n"
			  "directory = %s\n",
			  PORT, PORT, names, i->store, tls, i->directory);
	good = put(i, i->directory, "authority.conf", text, 0644);
	free(text);
	free(names);
	free(tls);
	return good;
}

/* The first records, if there are none. */
static bool begin_store(struct init *i, struct store *store, const struct prefix *space,
			const char *key, time_t now)
{
	struct blocks blocks = { 1, (struct prefix *)space };
	struct store_condition conditions[4];
	struct store_entry changes[4];
	struct store_transaction t = { conditions, 0, changes, 0 };
	char error[STORE_ERROR];
	struct outcome o;
	int r;

	operation_begin(i->admin, key, &blocks, (uint64_t)now * 1000, &o);
	for (; t.n_changes < o.n && t.n_changes < 4; t.n_changes++) {
		const struct change *c = &o.changes[t.n_changes];
		char *text;

		if (!strncmp(c->key, "user/", 5))
			json_object_set_new(c->value, "expires",
					    mem_json(json_integer(
						    ((json_int_t)now + CERTIFICATE_LIFE) * 1000)));
		text = json_dumps(c->value, JSON_COMPACT);

		conditions[t.n_conditions++] =
			(struct store_condition){ .key = c->key, .test = STORE_ABSENT };
		changes[t.n_changes] =
			(struct store_entry){ .key = c->key, .value = text, .size = strlen(text) };
	}
	r = store_commit(store, &t, NULL);
	if (r == -EAGAIN)
		failed("%s has an authority's records already", i->store);
	else if (r) {
		store_error(store, error);
		failed("%s: %s", i->store, error);
	}
	i->unknown = r == -ETIMEDOUT || r == -EIO || r == -EPROTO;
	if (i->unknown)
		failed("it is unknown whether the store has begun, so the keys in %s are kept: try "
		       "vine-authority serve; if it says that the store is empty, remove them and "
		       "init again",
		       i->directory);
	for (size_t k = 0; k < t.n_changes; k++)
		free((void *)changes[k].value);
	outcome_done(&o);
	return !r;
}

static bool is_empty(struct init *i, struct store *store)
{
	struct store_range all = { .prefix = "", .limit = 1 };
	struct store_page page;
	char error[STORE_ERROR];
	bool empty;

	if (store_list(store, &all, &page)) {
		store_error(store, error);
		failed("%s: %s", i->store, error);
		return false;
	}
	empty = !page.n;
	store_page_done(&page);
	if (!empty)
		failed("%s is not empty: this authority has begun already", i->store);
	return empty;
}

static int make_directory(const char *path)
{
	int r = pki_directories(path);

	return r ? failed("%s: %s", path, strerror(-r)) : EXIT_DONE;
}

static int make_all(struct init *i, const struct prefix *space)
{
	char error[STORE_ERROR > CA_ERROR ? STORE_ERROR : CA_ERROR], *key = NULL;
	struct store *store;
	time_t now = time(NULL);
	int r = EXIT_FAILED;

	if (make_directory(i->directory))
		return EXIT_FAILED;
	if (store_open(i->store, i->tls.ca ? &i->tls : NULL, &store, error))
		return failed("%s", error);
	if (i->identity)
		snprintf(i->admin_directory, sizeof(i->admin_directory), "%s", i->identity);
	else
		snprintf(i->admin_directory, sizeof(i->admin_directory), "%s/%s", i->directory,
			 i->admin);
	if (!is_empty(i, store) || make_directory(i->admin_directory))
		goto out;
	if (ca_make(i->directory, now, error)) {
		failed("%s", error);
		goto out;
	}
	made(i, "ca.key");
	made(i, "ca.crt");
	made(i, "tables.key");
	made(i, "tables.pub");
	if (make_admin(i, now, &key) && make_settings(i) && begin_store(i, store, space, key, now))
		r = EXIT_DONE;
	for (size_t k = 0; r != EXIT_DONE && !i->unknown && k < i->n_made; k++)
		unlink(i->made[k]);
	if (r != EXIT_DONE && !i->unknown)
		rmdir(i->admin_directory);
out:
	free(key);
	store_close(store);
	return r;
}

static void tell(const struct init *i)
{
	const char *name = i->names[0], *open = strchr(name, ':') ? "[" : "";
	char url[300];

	snprintf(url, sizeof(url), "https://%s%s%s:%d", open, name, *open ? "]" : "", PORT);
	printf("The authority is in %s: whoever can read it can do anything. Back it up.\n"
	       "\n"
	       "Next:\n"
	       "  1. run it:        vine-authority serve --config %s/authority.conf\n",
	       i->directory, i->directory);
	if (i->identity)
		printf("  2. '%s' is who has %s: vinectl finds it in ~/.config/vine,\n"
		       "     or is told by --identity\n",
		       i->admin, i->admin_directory);
	else
		printf("  2. be its administrator: move %s to ~/.config/vine of '%s',\n"
		       "     on whichever machine (or say --identity %s to vinectl)\n",
		       i->admin_directory, i->admin, i->admin_directory);
	printf("  3. let others in: vinectl token create router --count N\n"
	       "                    vinectl token create user --roles eu --count N\n"
	       "     and they say, on each gateway:\n"
	       "       vinectl --authority %s register router NAME --token TOKEN \\\n"
	       "           --endpoint HOST:8463 --block PREFIX --start\n"
	       "     and each user:\n"
	       "       vinectl --authority %s register user NAME --token TOKEN\n",
	       url, url);
}

/* False: said why. */
static bool check(struct init *i, struct prefix *space)
{
	bool good = true;

	for (size_t k = 0; k < i->n_names; k++)
		if (!settings_is_name(i->names[k])) {
			failed("--name %s: expected a host name or an address", i->names[k]);
			good = false;
		}
	if (!i->n_names) {
		failed("--name is missing: the host name or address under which it is reached");
		good = false;
	}
	if (!name_valid(i->admin)) {
		failed("--admin %s: expected 1 to %d of a-z, 0-9, '-' and '.'", i->admin,
		       RECORD_NAME);
		good = false;
	}
	if (i->store && !settings_is_store(i->store)) {
		failed("--store %s: expected sqlite:/FILE, or etcd:https://HOST:PORT,...",
		       i->store);
		good = false;
	}
	if (prefix_parse(i->space, space)) {
		failed("--space %s: expected a prefix like " DEFAULT_SPACE, i->space);
		good = false;
	}
	if (*i->directory != '/') {
		failed("--directory %s: expected an absolute path", i->directory);
		good = false;
	}
	if (!!i->tls.ca != !!i->tls.key || !!i->tls.ca != !!i->tls.certificate) {
		failed("--store-ca, --store-certificate and --store-key belong together");
		good = false;
	}
	return good;
}

int init_run(int argc, char **argv)
{
	static const struct option options[] = {
		{ "name", required_argument, NULL, 'n' },
		{ "directory", required_argument, NULL, 'd' },
		{ "store", required_argument, NULL, 's' },
		{ "store-ca", required_argument, NULL, 'A' },
		{ "store-certificate", required_argument, NULL, 'C' },
		{ "store-key", required_argument, NULL, 'K' },
		{ "admin", required_argument, NULL, 'a' },
		{ "identity", required_argument, NULL, 'i' },
		{ "space", required_argument, NULL, 'p' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct init i = { .directory = DEFAULT_DIRECTORY,
			  .admin = "admin",
			  .space = DEFAULT_SPACE };
	char *store = NULL;
	struct prefix space;
	int o, r;

	while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (o) {
		case 'n':
			if (i.n_names == NAMES)
				return failed("more than %d names", NAMES);
			i.names[i.n_names++] = optarg;
			break;
		case 'd': i.directory = optarg; break;
		case 's': i.store = optarg; break;
		case 'A': i.tls.ca = optarg; break;
		case 'C': i.tls.certificate = optarg; break;
		case 'K': i.tls.key = optarg; break;
		case 'a': i.admin = optarg; break;
		case 'i': i.identity = optarg; break;
		case 'p': i.space = optarg; break;
		case 'h': usage(stdout); return EXIT_DONE;
		default: usage(stderr); return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		failed("unexpected argument \"%s\"", argv[optind]);
		return EXIT_USAGE;
	}
	if (!check(&i, &space))
		return EXIT_USAGE;
	if (!i.store)
		i.store = store = mem_format("sqlite:%s/store.db", i.directory);
	r = make_all(&i, &space);
	if (r == EXIT_DONE)
		tell(&i);
	for (size_t k = 0; k < i.n_made; k++)
		free(i.made[k]);
	free(store);
	return r;
}
