/*
 * Which full router is best for a VM: those that its range prefers; those of its site; those
 * where other ranges of the same provider are at home; all others. Among equals the one that
 * is nearest and least busy, as it is measured. Behind it are those that the VM goes over to: of
 * the first RECORD_TINY_ROUTERS one is of the same site, if it has one, and one of another.
 */
#ifndef AUTHORITY_DESIGNATE_H
#define AUTHORITY_DESIGNATE_H

#include "authority/monitor.h"
#include "authority/ranges.h"
#include "authority/registry.h"

#define DESIGNATE_MOST 16

/* The best ones, the best first; how many. ranges, range, monitor may be NULL: not known. */
size_t designate(const struct registry *, const struct monitor *, const struct ranges *,
		 const struct range *, const struct router *ret[static DESIGNATE_MOST]);

#endif
