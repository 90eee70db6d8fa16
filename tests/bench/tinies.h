/* Between tinies.c and tinies_twins.c. */
#ifndef BENCH_TINIES_H
#define BENCH_TINIES_H

#include <stddef.h>
#include <stdint.h>

struct device;

/* That of the tiny which was opened last: its queue for all but TCP. */
struct device *device_last(void);
/* A packet that the VM sends; dropped while the last one waits. */
void device_feed(struct device *, const void *packet, size_t len);
/* Called for each packet that comes for a VM. */
void device_set_taker(void *arg);
void device_taken(void *arg, const uint8_t *packet, size_t len);

/* From which port on the next sockets have one each. */
void sockets_from(uint16_t port);

#endif
