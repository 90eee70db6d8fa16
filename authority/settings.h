/*
 * authority.conf: its sections and keys. See vine-authority(8).
 */
#ifndef AUTHORITY_SETTINGS_H
#define AUTHORITY_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "authority/store.h"
#include "common/addr.h"
#include "common/wire.h"

struct settings {
	char *file; /* that they are of */
	struct endpoint *listen;
	size_t n_listen;
	char **names; /* under which it is reached: DNS or addresses */
	size_t n_names;
	uint32_t connections; /* at once */
	bool debug;
	char *store; /* URL */
	struct {
		char *ca, *certificate, *key; /* of an etcd cluster; NULL: none */
	} tls;
	char *directory;		/* of the CA */
	int64_t users, routers, server; /* how long certificates are good, in ns */
	enum protection sign, encrypt;	/* of hosts' packets; what encrypts is enough */
	int64_t warn;			/* so long before the end of one it is told */
	struct endpoint metrics;	/* port 0: none */
	char *control;			/* path of the control socket; NULL: in the directory */
	int64_t audit;			/* how long audit records are kept; 0: for ever */
	int64_t silence,
		disable; /* of a router, after which it is told; others do its work; 0: never */
	char *webhook;	 /* URL; NULL: none */
	bool download;	 /* VMs are served */
	char *ranges;	 /* file of them; NULL: none are known */
	char *binaries;	 /* directory of vine-tiny, for each kind of machine */
	struct endpoint http; /* where VMs are served without TLS; port 0: nowhere */
};

/* NULL: all that is wrong is said in errors. */
struct settings *settings_load(const char *file, FILE *errors);
void settings_free(struct settings *);
/* A DNS name or an address, a store's URL: what a file would take. */
bool settings_is_name(const char *text);
bool settings_is_store(const char *text);

#endif
