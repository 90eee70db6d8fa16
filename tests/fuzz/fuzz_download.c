/*
 * What strangers say to the download server: the first byte says whether it is the form that a
 * VM sends, what stands behind /tiny/, a Host header, or a range's file. What is taken holds
 * nothing that a shell or a configuration would read otherwise, and what is taken once is taken
 * again as it was understood.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authority/download_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Not assert(): it must not vanish with NDEBUG. */
static void check(bool ok)
{
	if (!ok)
		abort();
}

static void fuzz_form(const char *text, size_t n)
{
	struct download_form form, again;
	char line[512], address[IP_TEXT] = "";

	if (!download_form(text, n, &form))
		return;
	check(strlen(form.nonce) >= 16 && name_valid(form.nonce));
	check(!*form.name || name_valid(form.name));
	if (form.address.family)
		ip_format(&form.address, address);
	snprintf(line, sizeof(line), "%snonce=%s&address=%s&name=%s",
		 form.script ? "script=1&" : "", form.nonce, address, form.name);
	check(download_form(line, strlen(line), &again));
	check(form.script == again.script && !strcmp(form.nonce, again.nonce) &&
	      !strcmp(form.name, again.name));
	check(form.address.family == again.address.family &&
	      (!form.address.family || ip_equal(&form.address, &again.address)));
}

static void fuzz_token(const char *text)
{
	char secret[PKI_SECRET], again[PKI_SECRET];

	if (!download_token(text, secret))
		return;
	check(*secret || !strcmp(text, "join"));
	check(strspn(secret, "0123456789abcdef") == strlen(secret));
	check(!*secret || (download_token(secret, again) && !strcmp(secret, again)));
}

static void fuzz_host(const char *text)
{
	if (download_host(text))
		check(*text && strlen(text) < 256 && !strpbrk(text, "'\"$`\\ \t\r\n;&|<>(){}/"));
}

static void fuzz_ranges(const char *text, size_t n)
{
	char *said = NULL;
	size_t len;
	FILE *f = open_memstream(&said, &len);
	struct ranges *l;

	check(f != NULL);
	l = ranges_parse("r", text, n, f);
	check(!fclose(f) && (l != NULL) == !len);
	for (size_t i = 0; l && i < l->n; i++)
		for (size_t k = 0; k < l->at[i]->n_prefixes; k++)
			check(ranges_find(l, &l->at[i]->prefixes[k].ip) != NULL);
	ranges_free(l);
	free(said);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text;

	if (!len || len > 4096)
		return 0;
	text = malloc(len);
	check(text != NULL);
	memcpy(text, data + 1, len - 1);
	text[len - 1] = '\0';
	switch (data[0]) {
	case 'f': fuzz_form(text, len - 1); break;
	case 't': fuzz_token(text); break;
	case 'h': fuzz_host(text); break;
	case 'r': fuzz_ranges(text, len - 1); break;
	}
	free(text);
	return 0;
}
