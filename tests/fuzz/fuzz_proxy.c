/* links: router/proxy common/addr */
/*
 * What a proxy answers, and the URL that names one. An answer means the same however it
 * comes in pieces, is never longer than what came, and its reason can be shown to people. A
 * URL that is taken makes a request of whole lines, with nothing in them that the user did
 * not mean.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "router/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Not assert(): it must not vanish with NDEBUG. */
static void check(bool ok)
{
	if (!ok)
		abort();
}

static void check_why(const char why[PROXY_WHY])
{
	check(memchr(why, '\0', PROXY_WHY) != NULL);
	for (; *why; why++)
		check(*why >= 0x20 && *why < 0x7f);
}

/* In a block of its own, so that a byte behind its end is noticed. */
static enum proxy_answer read_some(const uint8_t *data, size_t n, size_t *ret_len)
{
	char *some = malloc(n), why[PROXY_WHY];
	enum proxy_answer answer;

	memcpy(some, data, n);
	answer = proxy_read(some, n, ret_len, why);
	if (answer == PROXY_REFUSED)
		check_why(why);
	free(some);
	return answer;
}

static void fuzz_answer(const uint8_t *data, size_t len)
{
	enum proxy_answer first = PROXY_MORE, answer;
	size_t first_len = 0, answer_len = 0;

	for (size_t n = 1; n <= len; n += 1 + n / 100) {
		answer = read_some(data, n, &answer_len);
		check(answer != PROXY_MORE || n < PROXY_ANSWER_MAX);
		check(answer != PROXY_OPEN || (answer_len > 0 && answer_len <= n));
		if (first == PROXY_MORE) {
			first = answer;
			first_len = answer_len;
		} else { /* what follows changes nothing */
			check(answer == first && (first != PROXY_OPEN || answer_len == first_len));
			break;
		}
	}
}

static void check_line(const char *line, const char *start)
{
	check(!strncmp(line, start, strlen(start)));
	for (; *line != '\r'; line++)
		check((unsigned char)*line >= 0x20 && *line != 0x7f);
	check(line[1] == '\n');
}

static void fuzz_url(const uint8_t *data, size_t len)
{
	static const char target[] = "198.51.100.2";
	char *url = calloc(1, len + 1), request[PROXY_REQUEST_MAX];
	const char *line = request;
	struct proxy p;

	memcpy(url, data, len);
	if (proxy_parse(url, &p)) {
		size_t n = proxy_request(&p, target, 443, request, sizeof(request));

		check(*p.host && p.port && n > 0 && n == strlen(request));
		check_line(line, "CONNECT 198.51.100.2:443 HTTP/1.1\r");
		line = strchr(line, '\n') + 1;
		check_line(line, "Host: 198.51.100.2:443\r");
		line = strchr(line, '\n') + 1;
		if (*p.user) {
			check_line(line, "Proxy-Authorization: Basic ");
			line = strchr(line, '\n') + 1;
		}
		check(!strcmp(line, "\r\n"));
	}
	free(url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len < 2 || len > 2 * PROXY_ANSWER_MAX)
		return 0;
	if (data[0] == 'U')
		fuzz_url(data + 1, len - 1);
	else
		fuzz_answer(data + 1, len - 1);
	return 0;
}
