/*
 * What a stranger's request says, before anything is done about it: the token of its path, the
 * form of its body, the Host that a script without TLS is to call back. Pure. What is taken is
 * made of a few characters only, so that none of it can end a quoted text of a script.
 */
#include <stdio.h>
#include <string.h>

#include <event2/http.h>
#include <event2/keyvalq_struct.h>

#include "authority/download_private.h"
#include "authority/memory.h"

/* "TOKEN", with or without what names the CA, or "join". */
bool download_token(const char *text, char ret[static PKI_SECRET])
{
	size_t n = strcspn(text, ".");

	ret[0] = '\0';
	if (!strcmp(text, "join"))
		return true;
	if (n != PKI_SECRET - 1 || strspn(text, "0123456789abcdef") != n)
		return false;
	snprintf(ret, PKI_SECRET, "%.*s", (int)n, text);
	return true;
}

/* Whether it can be what a Host header is. */
bool download_host(const char *text)
{
	size_t n = text ? strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				       "0123456789-.:[]")
			: 0;

	return n && n < 256 && !text[n];
}

/* Text of so many bytes with a NUL behind it. */
static bool parse(const char *text, size_t n, struct evkeyvalq *ret)
{
	return strlen(text) == n && !evhttp_parse_query_str(text, ret);
}

bool download_form(const char *body, size_t n, struct download_form *ret)
{
	struct evkeyvalq list = { 0 };
	const char *nonce, *address, *name;
	char *text = mem_new(n + 1, 1);
	bool good;

	*ret = (struct download_form){ 0 };
	if (n)
		memcpy(text, body, n);
	good = parse(text, n, &list);
	free(text);
	if (!good)
		return false;
	ret->script = evhttp_find_header(&list, "script") != NULL;
	nonce = evhttp_find_header(&list, "nonce");
	address = evhttp_find_header(&list, "address");
	name = evhttp_find_header(&list, "name");
	good = nonce && strlen(nonce) >= 16 && name_valid(nonce) &&
	       !(address && *address && ip_parse(address, &ret->address));
	if (good)
		snprintf(ret->nonce, sizeof(ret->nonce), "%s", nonce);
	if (name && strlen(name) < sizeof(ret->name) && name_valid(name))
		strcpy(ret->name, name);
	evhttp_clear_headers(&list);
	return good;
}
