/*
 * What the files of config share: a configuration while it is read, with the lines
 * that the checks across keys need, and the option tables.
 */
#ifndef ROUTER_CONFIG_PRIVATE_H
#define ROUTER_CONFIG_PRIVATE_H

#include "common/ini.h"
#include "router/config.h"

enum config_kind {
	KIND_ROUTER,
	KIND_INTERCEPT,
	KIND_INJECT,
	KIND_LISTEN,
	KIND_SECURITY,
	KIND_PROXY,
	KIND_QUEUE,
	KIND_LIMITED,
	KIND_AUTHORITY,
	KIND_HOSTS,
	KIND_LNDT,
	KIND_NETWORK,
	KIND_GNDT,
	KIND_PEER,
	KIND_TINY,
	KINDS
};

extern const struct ini_kind config_kinds[KINDS];
extern const struct ini_word config_sign_words[], config_encrypt_words[];
extern const struct ini_type config_address_type, config_protection_type, config_host_type,
	config_key_file_type, config_proxy_type, config_url_type, config_lndt_type,
	config_gndt_type;

#define CONFIG_NAME_MAX 63 /* as long as the authority's */

/* The two keys that make a protection; -1: not given. */
struct draft_protection {
	int sign, encrypt;
};

struct draft_network {
	uint32_t id;
	struct draft_protection protection;
	const struct ini_section *section;
};

/* A section [gndt ID]: several may be of one network. */
struct draft_gndt {
	uint32_t network;
	unsigned line;
	struct draft *draft;
};

struct draft_route {
	uint32_t network;
	size_t name; /* of the router, in draft.names */
	struct prefix prefix;
	unsigned line;
};

struct draft_peer {
	struct config_peer p; /* first: the tables are of struct config_peer */
	const struct ini_section *section;
};

struct draft {
	struct config c; /* first: the tables are of struct config */
	struct ini *ini;
	char *directory; /* that relative key files are in, with its '/'; "" is here */
	struct draft_protection security;
	/* sections without argument that are in the file, or have defaults; by kind */
	const struct ini_section *plain[KINDS];
	struct draft_peer **peers;
	size_t n_peers;
	struct draft_network **networks;
	size_t n_networks;
	struct draft_gndt **gndts;
	size_t n_gndts;
	struct draft_route *routes;
	size_t n_routes;
	char **names;
	size_t n_names;
	unsigned bad_key_line; /* of the last data key that was reported */
};

/* Resolves names, orders rows, checks across keys; reads the key files if `keys`.
 * Peers move from the draft to the configuration, whatever is found. */
void config_check(struct draft *, bool keys);
/* Frees what a configuration holds, wiping its keys. */
void config_done(struct config *);
void config_peer_done(struct config_peer *);

#endif
