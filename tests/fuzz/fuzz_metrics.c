/* links: librouter libcommon */
/*
 * The head of an HTTP request to the metrics, growing byte by byte as it may come.
 * It is answered once, by one of the known codes, and what comes later changes
 * nothing about it.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "router/metrics.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	int status = 0;

	if (len > 512)
		len = 512;
	for (size_t n = 0; n <= len; n++) {
		/* A copy of this size, so that reading past it is seen. */
		char *head = malloc(n ? n : 1);
		int now;

		memcpy(head, data, n);
		now = metrics_status(head, n);
		free(head);
		if (now != 0 && now != 200 && now != 400 && now != 404 && now != 405)
			abort();
		if (status && now != status)
			abort();
		status = now;
	}
	return 0;
}
