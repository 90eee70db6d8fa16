/*
 * The servers that a VM is given by its provider: name servers, DHCP servers, those of the
 * cloud itself.
 */
#ifndef TINY_SERVERS_H
#define TINY_SERVERS_H

#include <stdbool.h>

#include "common/addr.h"

/* Calls fn for each that is known now, perhaps more than once, until it returns false: so does
 * this. */
bool servers_each(bool (*fn)(void *arg, const struct ip *), void *arg);

/* The same for what one line of a file says; for tests. */
bool servers_of_line(const char *line, bool (*fn)(void *arg, const struct ip *), void *arg);

#endif
