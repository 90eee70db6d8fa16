/*
 * See disk.h. A queue to the thread and one back, under one lock that is held for pointers
 * only; the loop is woken by an eventfd.
 *
 * Replacing is a new file beside the old one, synced and renamed, then the directory
 * synced: whenever the machine stops, one of the two is there.
 *
 * What is appended goes behind what the job before has written. If that failed, the file is
 * not what the asker thinks, and perhaps the last good one: it stays as it is until it is
 * replaced.
 */
#include "router/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/list.h"

/* One that was written, or is to be: there are few. */
struct file {
	struct list node;
	bool failed; /* its last job; the thread's */
	char path[];
};

struct job {
	struct list node;
	struct file *file;
	unsigned mode; /* of a new file; 0: append */
	uint64_t at;
	size_t len;
	int error;
	disk_fn *fn;
	void *arg;
	uint8_t data[];
};

struct disk {
	struct loop *loop;
	struct source told;
	pthread_t thread;
	bool runs; /* there is a thread */
	struct list files;
	pthread_mutex_t lock;
	pthread_cond_t wanted;
	/* under the lock: */
	struct list jobs, done;
	bool stop;
};

/* ---- the thread ----------------------------------------------------------------- */

static int write_all(int fd, const uint8_t *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t)n;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

static int sync_directory(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *directory = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	int fd = directory ? open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1, e = 0;

	if (fd < 0 || fsync(fd) < 0)
		e = -errno;
	if (fd >= 0)
		close(fd);
	free(directory);
	return e;
}

static int replace(const struct job *j)
{
	const char *path = j->file->path;
	char *draft;
	int fd, e;

	if (asprintf(&draft, "%s.new", path) < 0)
		return -ENOMEM;
	unlink(draft); /* of a run that was killed */
	fd = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, j->mode);
	e = fd < 0 || fchmod(fd, j->mode) < 0 ? -errno : write_all(fd, j->data, j->len);
	if (fd >= 0)
		close(fd);
	if (!e && rename(draft, path) < 0)
		e = -errno;
	if (e)
		unlink(draft);
	free(draft);
	return e ? e : sync_directory(path);
}

static int append(const struct job *j)
{
	int fd = -1, e = 0;
	struct stat st;

	if (j->file->failed)
		return -ECANCELED;
	fd = open(j->file->path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		e = -errno;
	else if ((uint64_t)st.st_size != j->at)
		e = -ESPIPE; /* somebody else has written it */
	else if (lseek(fd, (off_t)j->at, SEEK_SET) < 0)
		e = -errno;
	else
		e = write_all(fd, j->data, j->len);
	close(fd);
	return e;
}

static void *work(void *arg)
{
	struct disk *d = arg;
	uint64_t one = 1;
	struct job *j;

	pthread_mutex_lock(&d->lock);
	for (;;) {
		while (list_is_empty(&d->jobs) && !d->stop)
			pthread_cond_wait(&d->wanted, &d->lock);
		if (list_is_empty(&d->jobs))
			break;
		j = container_of(d->jobs.next, struct job, node);
		list_remove(&j->node);
		pthread_mutex_unlock(&d->lock);
		j->error = j->mode ? replace(j) : append(j);
		j->file->failed = j->error != 0;
		pthread_mutex_lock(&d->lock);
		list_insert(&d->done, &j->node);
		if (write(d->told.fd, &one, sizeof(one)) < 0)
			continue; /* full: it will be read */
	}
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

/* ---- the control thread --------------------------------------------------------- */

static void told(struct source *s, uint32_t events, mono_t now)
{
	struct disk *d = container_of(s, struct disk, told);
	uint64_t count;
	struct job *j;

	(void)events;
	if (read(s->fd, &count, sizeof(count)) < 0)
		return;
	for (;;) {
		pthread_mutex_lock(&d->lock);
		j = list_is_empty(&d->done) ? NULL : container_of(d->done.next, struct job, node);
		if (j)
			list_remove(&j->node);
		pthread_mutex_unlock(&d->lock);
		if (!j)
			return;
		if (j->fn)
			j->fn(j->arg, j->error, now);
		free(j);
	}
}

struct disk *disk_open(struct loop *loop)
{
	struct disk *d = calloc(1, sizeof(*d));
	int e;

	if (!d)
		return NULL;
	d->loop = loop;
	list_init(&d->files);
	list_init(&d->jobs);
	list_init(&d->done);
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->wanted, NULL);
	d->told.fn = told;
	d->told.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	e = d->told.fd < 0 ? -errno : loop_add(loop, &d->told, EPOLLIN);
	if (!e)
		return d;
	if (d->told.fd >= 0)
		close(d->told.fd);
	free(d);
	errno = -e;
	return NULL;
}

void disk_close(struct disk *d)
{
	if (!d)
		return;
	if (d->runs) {
		pthread_mutex_lock(&d->lock);
		d->stop = true;
		pthread_cond_signal(&d->wanted);
		pthread_mutex_unlock(&d->lock);
		pthread_join(d->thread, NULL);
	}
	list_for_each(node, &d->jobs)
		free(container_of(node, struct job, node));
	list_for_each(node, &d->done)
		free(container_of(node, struct job, node));
	list_for_each(node, &d->files)
		free(container_of(node, struct file, node));
	loop_remove(d->loop, &d->told);
	close(d->told.fd);
	pthread_cond_destroy(&d->wanted);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

/* What can't be tried is told like what has failed, by the same way. */
static void post(struct disk *d, struct job *j)
{
	uint64_t one = 1;
	int e = d->runs ? 0 : -pthread_create(&d->thread, NULL, work, d);

	d->runs |= !e;
	if (e) /* there is no thread whose it is */
		j->file->failed = true;
	pthread_mutex_lock(&d->lock);
	j->error = e;
	list_insert(e ? &d->done : &d->jobs, &j->node);
	pthread_cond_signal(&d->wanted);
	pthread_mutex_unlock(&d->lock);
	if (e && write(d->told.fd, &one, sizeof(one)) < 0)
		return; /* full: it will be read */
}

/* NULL: out of memory. */
static struct file *file_of(struct disk *d, const char *path)
{
	struct file *f;

	list_for_each(node, &d->files) {
		f = container_of(node, struct file, node);
		if (!strcmp(f->path, path))
			return f;
	}
	f = calloc(1, sizeof(*f) + strlen(path) + 1);
	if (!f)
		return NULL;
	strcpy(f->path, path);
	list_insert(&d->files, &f->node);
	return f;
}

static void begin(struct disk *d, const struct job *as, const char *path, const void *data,
		  size_t len)
{
	struct file *f = file_of(d, path);
	struct job *j = f ? calloc(1, sizeof(*j) + len) : NULL;

	if (!j) {
		if (as->fn) /* the only case in this turn */
			as->fn(as->arg, -ENOMEM, clock_now());
		return;
	}
	*j = *as;
	j->file = f;
	if (len)
		memcpy(j->data, data, len);
	j->len = len;
	post(d, j);
}

void disk_replace(struct disk *d, const char *path, unsigned mode, const void *data, size_t len,
		  disk_fn *fn, void *arg)
{
	begin(d, &(struct job){ .mode = mode, .fn = fn, .arg = arg }, path, data, len);
}

void disk_append(struct disk *d, const char *path, uint64_t at, const void *data, size_t len,
		 disk_fn *fn, void *arg)
{
	begin(d, &(struct job){ .at = at, .fn = fn, .arg = arg }, path, data, len);
}
