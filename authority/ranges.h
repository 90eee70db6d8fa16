/*
 * The address ranges from which VMs may ask for vine-tiny: a file of its own (see
 * conf/ranges.ini), which the administrator of the authority keeps.
 */
#ifndef AUTHORITY_RANGES_H
#define AUTHORITY_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "common/addr.h"

struct range {
	char *name;
	unsigned line;		  /* of its header */
	char *provider, *region;  /* region NULL: not given */
	char *site;		  /* whose routers are near; NULL: none */
	struct prefix *prefixes;  /* where VMs ask from, as the Internet sees them */
	struct prefix *addresses; /* that VMs have themselves; none: as the Internet sees them */
	struct prefix *local;	  /* what VMs reach directly */
	char **routers;		  /* the first choice first; none: as they are measured */
	size_t n_prefixes, n_addresses, n_local, n_routers;
	bool exclusive; /* nobody else has VMs there: no token is needed, for this VN */
	char *vn, *owner;
};

struct ranges {
	size_t n;
	struct range **at;
};

/* NULL: all that is wrong is said in errors. */
struct ranges *ranges_load(const char *file, FILE *errors);
/* The same from memory. */
struct ranges *ranges_parse(const char *name, const char *text, size_t len, FILE *errors);
void ranges_free(struct ranges *); /* NULL is fine */
/* The range of an address, by the longest prefix; NULL: it is in none. */
const struct range *ranges_find(const struct ranges *, const struct ip *);
/* Whether a VM of the range that was seen with the one address may have the other itself. */
bool range_may_have(const struct range *, const struct ip *seen, const struct ip *own);

#endif
