/*
 * The part of libmnl that is used here: Debian has no static one, and vine-tiny is to run
 * where no library is. Names and meanings are those of libmnl/libmnl.h, so that what the
 * router's files say over netlink is said by the same lines.
 */
#include <libmnl/libmnl.h>

#include <errno.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct mnl_socket {
	int fd;
	struct sockaddr_nl name;
};

/* ---- sockets ---------------------------------------------------------------------- */

struct mnl_socket *mnl_socket_open2(int bus, int flags)
{
	struct mnl_socket *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->fd = socket(AF_NETLINK, SOCK_RAW | flags, bus);
	if (s->fd >= 0)
		return s;
	free(s);
	return NULL;
}

int mnl_socket_bind(struct mnl_socket *s, unsigned int groups, pid_t pid)
{
	socklen_t len = sizeof(s->name);

	s->name = (struct sockaddr_nl){ .nl_family = AF_NETLINK,
					.nl_groups = groups,
					.nl_pid = (uint32_t)pid };
	if (bind(s->fd, (struct sockaddr *)&s->name, sizeof(s->name)) < 0)
		return -1;
	return getsockname(s->fd, (struct sockaddr *)&s->name, &len);
}

int mnl_socket_close(struct mnl_socket *s)
{
	int r = close(s->fd);

	free(s);
	return r;
}

int mnl_socket_get_fd(const struct mnl_socket *s)
{
	return s->fd;
}

unsigned int mnl_socket_get_portid(const struct mnl_socket *s)
{
	return s->name.nl_pid;
}

int mnl_socket_setsockopt(const struct mnl_socket *s, int type, void *value, socklen_t len)
{
	return setsockopt(s->fd, SOL_NETLINK, type, value, len);
}

ssize_t mnl_socket_sendto(const struct mnl_socket *s, const void *data, size_t len)
{
	static const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

	return sendto(s->fd, data, len, 0, (const struct sockaddr *)&kernel, sizeof(kernel));
}

ssize_t mnl_socket_recvfrom(const struct mnl_socket *s, void *data, size_t room)
{
	struct sockaddr_nl from;
	struct iovec iov = { data, room };
	struct msghdr m = {
		.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1
	};
	ssize_t n = recvmsg(s->fd, &m, 0);

	if (n >= 0 && (m.msg_flags & MSG_TRUNC)) {
		errno = ENOSPC;
		return -1;
	}
	return n;
}

/* ---- messages --------------------------------------------------------------------- */

struct nlmsghdr *mnl_nlmsg_put_header(void *buf)
{
	struct nlmsghdr *h = buf;

	memset(h, 0, MNL_NLMSG_HDRLEN);
	h->nlmsg_len = MNL_NLMSG_HDRLEN;
	return h;
}

void *mnl_nlmsg_put_extra_header(struct nlmsghdr *h, size_t size)
{
	char *at = (char *)h + h->nlmsg_len;

	memset(at, 0, MNL_ALIGN(size));
	h->nlmsg_len += (uint32_t)MNL_ALIGN(size);
	return at;
}

void *mnl_nlmsg_get_payload(const struct nlmsghdr *h)
{
	return (char *)h + MNL_NLMSG_HDRLEN;
}

size_t mnl_nlmsg_get_payload_len(const struct nlmsghdr *h)
{
	return h->nlmsg_len - MNL_NLMSG_HDRLEN;
}

void *mnl_nlmsg_get_payload_offset(const struct nlmsghdr *h, size_t offset)
{
	return (char *)h + MNL_NLMSG_HDRLEN + MNL_ALIGN(offset);
}

void *mnl_nlmsg_get_payload_tail(const struct nlmsghdr *h)
{
	return (char *)h + MNL_ALIGN(h->nlmsg_len);
}

bool mnl_nlmsg_ok(const struct nlmsghdr *h, int len)
{
	/* with what aligns its end: attributes may reach up to there */
	return len >= (int)sizeof(*h) && h->nlmsg_len >= sizeof(*h) &&
	       h->nlmsg_len <= (unsigned)len && MNL_ALIGN(h->nlmsg_len) <= (unsigned)len;
}

struct nlmsghdr *mnl_nlmsg_next(const struct nlmsghdr *h, int *len)
{
	*len -= (int)MNL_ALIGN(h->nlmsg_len);
	return (struct nlmsghdr *)((char *)h + MNL_ALIGN(h->nlmsg_len));
}

/* ---- attributes ------------------------------------------------------------------- */

uint16_t mnl_attr_get_type(const struct nlattr *a)
{
	return a->nla_type & NLA_TYPE_MASK;
}

uint16_t mnl_attr_get_payload_len(const struct nlattr *a)
{
	return (uint16_t)(a->nla_len - MNL_ATTR_HDRLEN);
}

void *mnl_attr_get_payload(const struct nlattr *a)
{
	return (char *)a + MNL_ATTR_HDRLEN;
}

uint32_t mnl_attr_get_u32(const struct nlattr *a)
{
	uint32_t n;

	memcpy(&n, mnl_attr_get_payload(a), sizeof(n));
	return n;
}

bool mnl_attr_ok(const struct nlattr *a, int len)
{
	return len >= (int)sizeof(*a) && a->nla_len >= sizeof(*a) && a->nla_len <= len;
}

struct nlattr *mnl_attr_next(const struct nlattr *a)
{
	return (struct nlattr *)((char *)a + MNL_ALIGN(a->nla_len));
}

int mnl_attr_validate(const struct nlattr *a, enum mnl_attr_data_type type)
{
	static const uint16_t sizes[MNL_TYPE_MAX] = {
		[MNL_TYPE_U8] = 1, [MNL_TYPE_U16] = 2, [MNL_TYPE_U32] = 4, [MNL_TYPE_U64] = 8
	};

	if (type < MNL_TYPE_MAX && (!sizes[type] || mnl_attr_get_payload_len(a) == sizes[type]))
		return 0;
	errno = ERANGE;
	return -1;
}

int mnl_attr_parse(const struct nlmsghdr *h, unsigned int offset, mnl_attr_cb_t fn, void *arg)
{
	const struct nlattr *a;
	int r = MNL_CB_OK;

	mnl_attr_for_each(a, h, offset)
	{
		r = fn(a, arg);
		if (r <= MNL_CB_STOP)
			break;
	}
	return r;
}

void mnl_attr_put(struct nlmsghdr *h, uint16_t type, size_t len, const void *data)
{
	struct nlattr *a = mnl_nlmsg_get_payload_tail(h);

	a->nla_type = type;
	a->nla_len = (uint16_t)(MNL_ATTR_HDRLEN + len);
	memcpy(mnl_attr_get_payload(a), data, len);
	memset((char *)mnl_attr_get_payload(a) + len, 0, MNL_ALIGN(len) - len);
	h->nlmsg_len += (uint32_t)MNL_ALIGN(a->nla_len);
}

void mnl_attr_put_u8(struct nlmsghdr *h, uint16_t type, uint8_t n)
{
	mnl_attr_put(h, type, sizeof(n), &n);
}

void mnl_attr_put_u32(struct nlmsghdr *h, uint16_t type, uint32_t n)
{
	mnl_attr_put(h, type, sizeof(n), &n);
}

struct nlattr *mnl_attr_nest_start(struct nlmsghdr *h, uint16_t type)
{
	struct nlattr *a = mnl_nlmsg_get_payload_tail(h);

	a->nla_type = NLA_F_NESTED | type;
	h->nlmsg_len += (uint32_t)MNL_ATTR_HDRLEN;
	return a;
}

void mnl_attr_nest_end(struct nlmsghdr *h, struct nlattr *a)
{
	a->nla_len = (uint16_t)((char *)mnl_nlmsg_get_payload_tail(h) - (char *)a);
}

/* ---- answers ---------------------------------------------------------------------- */

static int error_of(const struct nlmsghdr *h)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);

	if (mnl_nlmsg_get_payload_len(h) < sizeof(e->error)) {
		errno = EBADMSG;
		return MNL_CB_ERROR;
	}
	errno = e->error < 0 ? -e->error : e->error;
	return e->error ? MNL_CB_ERROR : MNL_CB_STOP;
}

int mnl_cb_run(const void *data, size_t len, unsigned int seq, unsigned int port, mnl_cb_t fn,
	       void *arg)
{
	const struct nlmsghdr *h = data;
	int left = (int)len, r = MNL_CB_OK;

	for (; r > MNL_CB_STOP && mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
		if ((h->nlmsg_seq && seq && h->nlmsg_seq != seq) ||
		    (h->nlmsg_pid && port && h->nlmsg_pid != port)) {
			errno = ESRCH;
			return MNL_CB_ERROR;
		}
		if (h->nlmsg_type == NLMSG_ERROR)
			r = error_of(h);
		else if (h->nlmsg_type == NLMSG_DONE)
			r = MNL_CB_STOP;
		else if (h->nlmsg_type >= NLMSG_MIN_TYPE)
			r = fn(h, arg);
	}
	return r;
}
