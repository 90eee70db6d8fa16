/* links: librouter libcommon */
/*
 * A proxy's answer, growing byte by byte as it may come: once it is understood it means
 * the same whatever follows. And its URL, which is read, or refused, whole.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "router/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void answer(const uint8_t *data, size_t len)
{
	enum proxy_answer first = PROXY_MORE;
	size_t first_len = 0;

	for (size_t n = 1; n <= len; n++) {
		char *head = malloc(n); /* so that reading past it is seen */
		char why[PROXY_WHY] = "";
		size_t end = 0;
		enum proxy_answer a;

		memcpy(head, data, n);
		a = proxy_read(head, n, &end, why);
		free(head);
		if (first != PROXY_MORE && a != first)
			abort();
		if (a == PROXY_OPEN && (end > n || (first_len && end != first_len)))
			abort();
		for (const char *c = why; *c; c++)
			if (*c < 0x20 || *c >= 0x7f)
				abort();
		if (a == PROXY_OPEN)
			first_len = end;
		first = a;
	}
}

static void url(const uint8_t *data, size_t len)
{
	char *text = malloc(len + 1), request[PROXY_REQUEST_MAX];
	struct proxy p;
	size_t n;

	memcpy(text, data, len);
	text[len] = '\0';
	if (proxy_parse(text, &p)) {
		n = proxy_request(&p, "gw.example.org", 443, request, sizeof(request));
		if (!*p.host || !p.port || n >= sizeof(request))
			abort();
		for (size_t i = 0; i + 1 < n; i++) /* nobody may add a line to it */
			if ((request[i] == '\r') != (request[i + 1] == '\n'))
				abort();
	}
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len > 600)
		len = 600;
	answer(data, len);
	url(data, len);
	return 0;
}
