/*
 * Reading router.conf into one immutable struct.
 *
 *   1. ini reads the text by the tables of config_options.c into a draft, which also
 *      keeps names that are not resolved yet, and lines
 *   2. config_check.c resolves, orders, checks across keys, reads the key files
 *   3. the draft's configuration is handed out if nothing was wrong
 *
 * A configuration is whole or there is none: nobody sees a half-read one. Its keys
 * are wiped when it is freed, and never appear in a message.
 */
#include "router/config_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void draft_free(struct draft *d)
{
	if (!d)
		return;
	config_done(&d->c);
	for (size_t i = 0; i < d->n_peers; i++) {
		config_peer_done(&d->peers[i]->p);
		free(d->peers[i]);
	}
	free(d->peers);
	for (size_t i = 0; i < d->n_networks; i++)
		free(d->networks[i]);
	free(d->networks);
	for (size_t i = 0; i < d->n_gndts; i++)
		free(d->gndts[i]);
	free(d->gndts);
	for (size_t i = 0; i < d->n_names; i++)
		free(d->names[i]);
	free(d->names);
	free(d->routes);
	free(d->directory);
	ini_free(d->ini);
	free(d);
}

/* NULL: no memory. */
static struct draft *draft_new(const char *name)
{
	struct draft *d = calloc(1, sizeof(*d));
	const char *slash = strrchr(name, '/');

	if (!d)
		return NULL;
	d->ini = ini_new(name);
	d->c.file = strdup(name);
	d->directory = strndup(name, slash ? (size_t)(slash + 1 - name) : 0);
	if (!d->ini || !d->c.file || !d->directory) {
		draft_free(d);
		return NULL;
	}
	return d;
}

struct config *config_parse(const char *name, const char *text, size_t len, bool keys, FILE *errors)
{
	struct config *c = NULL;
	struct draft *d = draft_new(name);

	if (!d)
		goto no_memory;
	ini_read(d->ini, text, len, config_kinds, KINDS, d);
	config_check(d, keys);
	if (!ini_report(d->ini, errors))
		goto out;
	c = malloc(sizeof(*c));
	if (!c)
		goto no_memory;
	*c = d->c;
	memset(&d->c, 0, sizeof(d->c));
	goto out;
no_memory:
	fprintf(errors, "%s: out of memory\n", name);
out:
	draft_free(d);
	return c;
}

/* A whole file, heap. NULL with errno. */
static char *read_file(const char *file, size_t *ret_len)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	char *text = NULL;
	size_t len = 0, room = 0;
	int error = 0;

	if (fd < 0)
		return NULL;
	for (;;) {
		ssize_t n;

		if (len == room) {
			char *more =
				len < INI_FILE_MAX ? realloc(text, room ? 2 * room : 4096) : NULL;

			error = len < INI_FILE_MAX ? ENOMEM : EFBIG;
			if (!more)
				goto out;
			text = more;
			room = room ? 2 * room : 4096;
		}
		n = read(fd, text + len, room - len);
		error = n < 0 ? errno : 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			goto out;
		len += (size_t)n;
	}
out:
	close(fd);
	if (error) {
		free(text);
		errno = error;
		return NULL;
	}
	*ret_len = len;
	return text;
}

struct config *config_load(const char *file, FILE *errors)
{
	struct config *c;
	size_t len;
	char *text = read_file(file, &len);

	if (!text) {
		fprintf(errors, "%s: can't read it: %s\n", file, strerror(errno));
		return NULL;
	}
	c = config_parse(file, text, len, true, errors);
	free(text);
	return c;
}
