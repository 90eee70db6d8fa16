/*
 * Words with an HTTP proxy, and about it, see proxy.h.
 *
 * Of its answer only the status line and the end of the header count. A proxy is as
 * hostile as anybody: its words are bounded, and made printable before they are shown.
 */
#include "router/proxy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/addr.h"

#define DEFAULT_PORT 3128
#define NAME_ROOM 256 /* of one in a list; none that is longer is any host's */

static int hex(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, c | 0x20) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* Copies text without its escapes; false if it does not fit or an escape is broken. */
static bool unescape(const char *from, size_t len, char *to, size_t room)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		char c = from[i];

		if (c == '%') {
			if (len - i < 3 || hex(from[i + 1]) < 0 || hex(from[i + 2]) < 0)
				return false;
			c = (char)(hex(from[i + 1]) * 16 + hex(from[i + 2]));
			i += 2;
		}
		if (n + 1 >= room || (unsigned char)c < 0x20 || c == 0x7f)
			return false;
		to[n++] = c;
	}
	to[n] = '\0';
	return true;
}

static bool parse_port(const char *text, size_t len, uint16_t *ret)
{
	unsigned long port = 0;

	if (!len)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9' || port > UINT16_MAX)
			return false;
		port = port * 10 + (unsigned long)(text[i] - '0');
	}
	if (!port || port > UINT16_MAX)
		return false;
	*ret = (uint16_t)port;
	return true;
}

/* "host", "host:port", "[v6]:port" */
static bool parse_host(const char *text, size_t len, struct proxy *ret)
{
	const char *host = text, *end = text + len, *rest;
	size_t host_len;

	if (len && *text == '[') {
		host++;
		rest = memchr(host, ']', (size_t)(end - host));
		if (!rest)
			return false;
		host_len = (size_t)(rest - host);
		rest++;
	} else {
		rest = memchr(host, ':', len);
		if (!rest)
			rest = end;
		host_len = (size_t)(rest - host);
	}
	if (!host_len || host_len >= sizeof(ret->host))
		return false;
	for (size_t i = 0; i < host_len; i++)
		if ((unsigned char)host[i] <= 0x20 || (unsigned char)host[i] >= 0x7f)
			return false;
	memcpy(ret->host, host, host_len);
	ret->host[host_len] = '\0';
	ret->port = DEFAULT_PORT;
	return rest == end ||
	       (*rest == ':' && parse_port(rest + 1, (size_t)(end - rest) - 1, &ret->port));
}

bool proxy_parse(const char *url, struct proxy *ret)
{
	static const char scheme[] = "http://";
	struct proxy p = { .host = "" };
	const char *at, *colon;
	size_t len;

	if (!strncmp(url, scheme, sizeof(scheme) - 1))
		url += sizeof(scheme) - 1;
	else if (strstr(url, "://"))
		return false;
	len = strcspn(url, "/");
	if (url[len] && url[len + 1])
		return false; /* a path */
	for (at = url + len; at > url && at[-1] != '@'; at--)
		;
	if (at > url) {
		size_t all = (size_t)(at - url) - 1;

		colon = memchr(url, ':', all);
		if (!unescape(url, colon ? (size_t)(colon - url) : all, p.user, sizeof(p.user)))
			return false;
		if (colon && !unescape(colon + 1, all - (size_t)(colon - url) - 1, p.password,
				       sizeof(p.password)))
			return false;
		if (!p.user[0] || strchr(p.user, ':'))
			return false;
		len -= (size_t)(at - url);
		url = at;
	}
	if (!parse_host(url, len, &p))
		return false;
	*ret = p;
	return true;
}

static bool is_in_domain(const char *host, const char *domain)
{
	size_t len = strlen(host), n;

	domain += *domain == '.';
	n = strlen(domain);
	return n && n <= len && !strcasecmp(host + len - n, domain) &&
	       (n == len || host[len - n - 1] == '.');
}

static bool is_named(const char *name, const char *host, const struct ip *ip)
{
	struct prefix p;

	if (!strcmp(name, "*"))
		return true;
	if (!ip->family)
		return is_in_domain(host, name);
	return !prefix_parse(name, &p) && prefix_contains(&p, ip);
}

bool proxy_is_for_others(const char *list, const char *host)
{
	static const char blank[] = ", \t";
	struct ip ip = { .family = 0 };

	ip_parse(host, &ip);
	for (list += strspn(list, blank); *list; list += strspn(list, blank)) {
		size_t len = strcspn(list, blank);
		char name[NAME_ROOM];

		if (len < sizeof(name)) {
			memcpy(name, list, len);
			name[len] = '\0';
			if (is_named(name, host, &ip))
				return true;
		}
		list += len;
	}
	return false;
}

bool proxy_equal(const struct proxy *a, const struct proxy *b)
{
	return !strcmp(a->host, b->host) && a->port == b->port && !strcmp(a->user, b->user) &&
	       !strcmp(a->password, b->password);
}

static void base64(const char *data, size_t len, char *out)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < len; i += 3) {
		size_t n = len - i < 3 ? len - i : 3;
		uint32_t v = 0;

		for (size_t k = 0; k < 3; k++)
			v = v << 8 | (k < n ? (uint8_t)data[i + k] : 0);
		for (size_t k = 0; k < 4; k++)
			*out++ = k <= n ? digits[v >> (18 - 6 * k) & 63] : '=';
	}
	*out = '\0';
}

size_t proxy_request(const struct proxy *p, const char *host, uint16_t port, char *out, size_t room)
{
	const bool v6 = strchr(host, ':') != NULL;
	char who[sizeof(p->user) + sizeof(p->password)], coded[sizeof(who) * 4 / 3 + 8] = "";
	char target[300];
	int n;

	n = snprintf(target, sizeof(target), "%s%s%s:%u", v6 ? "[" : "", host, v6 ? "]" : "", port);
	if (n < 0 || (size_t)n >= sizeof(target))
		return 0;
	if (p->user[0]) {
		n = snprintf(who, sizeof(who), "%s:%s", p->user, p->password);
		base64(who, (size_t)n, coded);
	}
	n = snprintf(out, room, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s%s%s\r\n", target, target,
		     coded[0] ? "Proxy-Authorization: Basic " : "", coded, coded[0] ? "\r\n" : "");
	return n < 0 || (size_t)n >= room ? 0 : (size_t)n;
}

/* "HTTP/1.x NNN ...": the status, 0 if it is no such line. */
static unsigned status_of(const char *line, size_t len)
{
	static const char start[] = "HTTP/1.";

	if (len < 12 || memcmp(line, start, sizeof(start) - 1) != 0 || line[8] != ' ')
		return 0;
	for (size_t i = 9; i < 12; i++)
		if (line[i] < '0' || line[i] > '9')
			return 0;
	return (unsigned)((line[9] - '0') * 100 + (line[10] - '0') * 10 + line[11] - '0');
}

enum proxy_answer proxy_read(const char *data, size_t len, size_t *ret_len, char why[PROXY_WHY])
{
	static const char start[] = "HTTP/1.";
	size_t begin = len < sizeof(start) - 1 ? len : sizeof(start) - 1;
	const char *line = memchr(data, '\n', len), *end;
	unsigned status;
	size_t n;

	if (memcmp(data, start, begin) != 0)
		return PROXY_NONSENSE;
	end = memmem(data, len, "\r\n\r\n", 4);
	if (!end)
		return len >= PROXY_ANSWER_MAX ? PROXY_NONSENSE : PROXY_MORE;
	status = status_of(data, (size_t)(line - data));
	if (!status)
		return PROXY_NONSENSE;
	if (status >= 200 && status < 300) {
		*ret_len = (size_t)(end - data) + 4;
		return PROXY_OPEN;
	}
	for (n = 0; n + 1 < PROXY_WHY && data + 9 + n < line; n++) {
		char c = data[9 + n];

		if (c == '\r')
			break;
		why[n] = (char)(c >= 0x20 && c < 0x7f ? c : '?');
	}
	why[n] = '\0';
	return PROXY_REFUSED;
}
