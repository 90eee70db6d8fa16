/*
 * The few words that are spoken with an HTTP proxy to get a connection through it:
 * CONNECT (RFC 9110, section 9.3.6), with Basic authentication (RFC 7617). Pure
 * functions over bytes.
 */
#ifndef ROUTER_PROXY_H
#define ROUTER_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct proxy {
	char host[256]; /* name or address; "": there is no proxy */
	uint16_t port;
	char user[128]; /* "": no authentication */
	char password[128];
};

/* "http://user:password@host:port", all but host optional, port 3128 by default; escapes
 * (%40) in user and password. False if it is no such thing, or too long. */
bool proxy_parse(const char *url, struct proxy *ret);

/* Whether a list as in no_proxy names this host (as it is configured: a name or an address):
 * separated by commas or blanks, "*", addresses, prefixes, and domains, which may begin
 * with a dot, with all that is in them. */
bool proxy_is_for_others(const char *list, const char *host);

bool proxy_equal(const struct proxy *, const struct proxy *);

/* The request for a connection to this host (an IPv6 address without brackets). Its
 * length, 0 if it does not fit. */
#define PROXY_REQUEST_MAX 1536
size_t proxy_request(const struct proxy *, const char *host, uint16_t port, char *out, size_t room);

enum proxy_answer { PROXY_MORE, PROXY_OPEN, PROXY_REFUSED, PROXY_NONSENSE };
#define PROXY_ANSWER_MAX 8192 /* bytes of its header that are looked at */
/* What the bytes that have come so far mean. OPEN: *ret_len bytes are the answer, what
 * follows is the connection's. REFUSED: `why` is its status line, printable. */
#define PROXY_WHY 80
enum proxy_answer proxy_read(const char *data, size_t len, size_t *ret_len, char why[PROXY_WHY]);

#endif
