/*
 * What registry.c (looking in) and registry_apply.c (changing) share.
 */
#ifndef AUTHORITY_REGISTRY_PRIVATE_H
#define AUTHORITY_REGISTRY_PRIVATE_H

#include "authority/index.h"
#include "authority/registry.h"

struct registry {
	struct index named[RECORD_CHANGE]; /* by object name */
	struct index vns, routers, tinies; /* by ID */
	struct index addresses;		   /* of hosts */
	struct order order;
	struct list relays;
	const struct registry_observer *observer;
};

extern const struct index_ops registry_by_name, registry_vn_by_id, registry_router_by_id,
	registry_tiny_by_id, registry_by_ip;

void *registry_get(const struct registry *, enum record_kind, const char *name);

#endif
