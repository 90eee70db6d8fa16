/*
 * Scripts: bootstrap.sh, with what it needs to know before it. All of that is made here or
 * checked, so that none of it can end a quoted text.
 *
 * Before anything else a trap is set which tells when the last line didn't arrive. The line that
 * does it is one group without quotes, so that of a part of it any shell says the same: that the
 * end came unexpectedly.
 */
#include <stdlib.h>
#include <string.h>

#include "authority/download_private.h"
#include "authority/memory.h"

/* The file as it is; the Makefile knows that this depends on it. */
__asm__(".pushsection .rodata\n"
	".globl bootstrap_begin\nbootstrap_begin:\n"
	".incbin \"authority/bootstrap.sh\"\n"
	".globl bootstrap_end\nbootstrap_end:\n"
	".byte 0\n"
	".popsection\n");
extern const char bootstrap_begin[] __attribute__((visibility("hidden")));
extern const char bootstrap_end[] __attribute__((visibility("hidden")));

const char *const download_archs[DOWNLOAD_ARCHS + 1] = { "x86_64", "aarch64", NULL };

char *download_script(const struct download_place *p, size_t *ret_len)
{
	char *text = NULL, at[IP_TEXT];
	FILE *f = open_memstream(&text, ret_len);

	if (!f)
		abort();
	fputs("{ vine_cut() { [ $vine_whole ] || { echo vine: this script has not arrived whole: "
	      "nothing was done\\; run the command again >&2; exit 1; }; }; trap vine_cut EXIT; }\n"
	      "vine_whole= vine_work= vine_new=\n",
	      f);
	fprintf(f, "vine_url='%s/tiny/%s'\nvine_binary='%s/tiny/binary'\nvine_server='%s'\n",
		p->base, p->token, p->base, ip_format(p->at, at));
	fprintf(f, "vine_ca='%s'\n", p->ca ? p->ca : "");
	for (int i = 0; i < DOWNLOAD_ARCHS; i++) {
		const struct download_binary *b = p->binaries[i];

		if (b)
			fprintf(f, "vine_%s='%s %zu'\n", download_archs[i], b->digest, b->size);
		else
			fprintf(f, "vine_%s=\n", download_archs[i]);
	}
	fwrite(bootstrap_begin, 1, (size_t)(bootstrap_end - bootstrap_begin), f);
	if (fclose(f))
		abort();
	return text;
}

char *download_refusal(const char *why)
{
	char *words = mem_text(why), *text;

	mem_printable(words);
	for (char *p = words; *p; p++)
		if (*p == '\'')
			*p = '"';
	text = mem_format("echo 'vine: %s' >&2\nexit 1\n", words);
	free(words);
	return text;
}
