/*
 * By a signalfd, so that a signal is handled in its turn like any other event, never in the
 * middle of something.
 */
#include "common/signals.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/list.h"

static void on_readable(struct source *source, uint32_t events, mono_t now)
{
	struct signals *s = container_of(source, struct signals, source);
	struct signalfd_siginfo info;

	(void)events, (void)now;
	if (read(source->fd, &info, sizeof(info)) == sizeof(info))
		s->fn(s, (int)info.ssi_signo);
}

int signals_open(struct signals *s, struct loop *loop, void (*fn)(struct signals *, int signal))
{
	sigset_t set;
	int fd, e;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	*s = (struct signals){ .source = { .fd = fd, .fn = on_readable }, .fn = fn };
	e = loop_add(loop, &s->source, EPOLLIN);
	if (e < 0) {
		close(fd);
		return e;
	}
	s->loop = loop;
	return 0;
}

void signals_close(struct signals *s)
{
	if (!s->loop)
		return;
	loop_remove(s->loop, &s->source);
	close(s->source.fd);
	s->loop = NULL;
}
