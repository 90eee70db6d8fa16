/*
 * Who may call what: tables 5-1 and 5-2 of the dissertation, and what we add, as data.
 *
 * This is the first gate. The second is in each operation: a role counts over what its
 * holder owns. SA: sites that list the user as administrator, with their routers, hosts
 * and policies. VNA: VNs that list it. EU: hosts that it owns. VR: the router itself and
 * its hosts. ADM: users, sites, blocks. What nobody may does the authority itself.
 */
#ifndef AUTHORITY_ROLES_H
#define AUTHORITY_ROLES_H

#include <stdbool.h>
#include <stdint.h>

#include "authority/records.h"

#define ROLE_ANY ((1u << ROLES) - 1)

/* X(id, name, roles of table 5-2, roles that we add, arguments): those of the request,
 * separated by a space, any other is refused. */
#define OPERATION_LIST(X) \
	X(REGISTER, "register", ROLE_ANY, 0, \
	  "kind name site key id endpoint tls_port limited queue_routers relay direct blocks " \
	  "router owner addresses admins subnets location contact roles") \
	X(LIST_SITES, "list-sites", ROLE_SA | ROLE_VNA, ROLE_ADM, "") \
	X(LIST_ROUTERS, "list-routers", ROLE_VR, ROLE_ADM | ROLE_SA, "") \
	X(LIST_HOSTS, "list-hosts", ROLE_SA | ROLE_VNA | ROLE_EU, ROLE_VR, "") \
	X(VN_CREATE, "vn-create", ROLE_SA | ROLE_VNA | ROLE_EU, 0, \
	  "name id hosts users sign encrypt") \
	X(VN_SHUTDOWN, "vn-shutdown", ROLE_VNA, 0, "vn") \
	X(VN_MERGE, "vn-merge", ROLE_VNA, 0, "vns name id sign encrypt") \
	X(VN_SPLIT, "vn-split", ROLE_VNA, 0, "vn groups") \
	X(LIST_VN_HOSTS, "list-vn-hosts", ROLE_VNA | ROLE_EU, 0, "vn") \
	X(LIST_VNS, "list-vns", ROLE_SA | ROLE_VNA | ROLE_EU, 0, "") \
	X(VN_JOIN, "vn-join", ROLE_SA | ROLE_VNA | ROLE_EU, ROLE_VR, "vn hosts") \
	X(VN_LEAVE, "vn-leave", ROLE_SA | ROLE_VNA | ROLE_EU, ROLE_VR, "vn hosts") \
	X(GET_TABLES, "get-tables", ROLE_VR, 0, "router") \
	X(UPDATE_TABLES, "update-tables", ROLE_VR, 0, "router") \
	X(GET_METRICS, "get-metrics", ROLE_VR, ROLE_ADM | ROLE_SA, "router") \
	X(MANAGE_USERS, "manage-users", ROLE_ADM, 0, "user roles") \
	X(LIST_USERS, "list-users", 0, ROLE_ADM, "") \
	X(VN_CHANGE, "vn-change", 0, ROLE_VNA, "vn name admins users") \
	X(VN_LOG, "vn-log", 0, ROLE_VNA, "vn") \
	X(VN_UNDO, "vn-undo", 0, ROLE_VNA, "vn") \
	X(SITE_CHANGE, "site-change", 0, ROLE_ADM | ROLE_SA, \
	  "site admins subnets location contact") \
	X(HOST_REMOVE, "host-remove", 0, ROLE_SA | ROLE_EU | ROLE_VR, "host") \
	X(HOST_TOKEN, "host-token", 0, ROLE_SA | ROLE_EU, "host hash") \
	X(ADDRESS_ASSIGN, "address-assign", 0, ROLE_SA | ROLE_VR, "host address") \
	X(ADDRESS_RELEASE, "address-release", 0, ROLE_SA | ROLE_VR, "host address") \
	X(SPACE_CHANGE, "space-change", 0, ROLE_ADM, "blocks") \
	X(BLOCK_ASSIGN, "block-assign", 0, ROLE_ADM, "router block length") \
	X(BLOCK_RELEASE, "block-release", 0, ROLE_ADM, "router block") \
	X(ROUTER_CHANGE, "router-change", 0, ROLE_ADM | ROLE_SA, \
	  "router endpoint tls_port limited queue_routers relay direct disabled") \
	X(POLICY_SET, "policy-set", 0, ROLE_SA, "site name effect hosts vns creators from to") \
	X(POLICY_REMOVE, "policy-remove", 0, ROLE_SA, "site name") \
	X(LIST_POLICIES, "list-policies", 0, ROLE_SA, "") \
	X(TOKEN_CREATE, "token-create", 0, ROLE_ADM | ROLE_SA | ROLE_VNA, \
	  "hash registers site roles vn anywhere count expires") \
	X(DELEGATE, "delegate", 0, ROLE_ADM | ROLE_SA | ROLE_VNA | ROLE_EU, \
	  "hash operations vns expires") \
	X(REVOKE, "revoke", 0, ROLE_ADM | ROLE_SA | ROLE_VNA | ROLE_EU, "kind name") \
	X(AUDIT, "audit", 0, ROLE_ADM, "") \
	X(HEARTBEAT, "heartbeat", 0, ROLE_VR, "router") \
	X(CHECK, "check", 0, ROLE_ADM | ROLE_SA, "") \
	X(RENEW, "renew", 0, ROLE_ANY, "") \
	X(STEER, "steer", 0, 0, "router silent queue_order tinies") \
	X(LIST_TINIES, "list-tinies", 0, ROLE_ADM | ROLE_SA | ROLE_VNA | ROLE_EU, "tiny") \
	X(TINY_JOIN, "tiny-join", 0, 0, \
	  "name addresses source range routers key nonce gone vn owner")

enum operation {
#define X(id, name, paper, ours, arguments) OPERATION_##id,
	OPERATION_LIST(X)
#undef X
		OPERATIONS,
};

struct operation_rule {
	const char *name;
	uint32_t paper, ours;
	const char *arguments;
};

extern const struct operation_rule operation_rules[OPERATIONS];

/* OPERATIONS: there is none of this name. */
enum operation operation_named(const char *name);
bool role_may(enum operation, uint32_t roles);

#endif
