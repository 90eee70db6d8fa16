/*
 * The table of verbs.
 */
#include "ctl/operations.h"

#define LIST(key, titles, fields) \
	{ \
		{ \
			key, titles, fields \
		} \
	}
#define NONE \
	{ \
		{ \
			NULL, NULL, NULL \
		} \
	}

#define FIGURES \
	{ \
		{ "routers", "ROUTER|SITE|STATE|HEARD|TABLES|>LOAD|>IN|>OUT|>PEERS|REFUSES", \
		  "name site state heard@ version load bytes_in/ bytes_out/ peers refuses" }, \
			{ "links", "ROUTER|PEER|UP|BY|>RTT|>LOST|>IN|>OUT", \
			  "router peer up way rtt~ lost% bytes_in/ bytes_out/" }, \
	}

const struct listing figures[2] = FIGURES;

const struct verb verbs[] = {
	{ "vn", "list", "", "GET", "/v1/vns", "", "",
	  LIST("vns", "NAME|>ID|>HOSTS|PROTECTION|CREATOR|ADMINISTRATORS|CREATED",
	       "name id members protection creator admins created@"),
	  "VNs" },
	{ "vn",
	  "show",
	  "VN",
	  "GET",
	  "/v1/vns/{vn}/hosts",
	  "vn",
	  "",
	  { { "hosts", "HOST|SITE|ROUTER|OWNER|ADDRESSES", "name site router owner addresses" },
	    { "routers", "ROUTER|TABLES|GIVEN|STATE|HEARD|ERROR",
	      "name runs given state heard@ error" } },
	  "The members of a VN, and which tables their routers run" },
	{ "vn", "create",
	  "NAME [HOST...] [--id ID] [--users USER,...] [--sign WORD] [--encrypt WORD]", "POST",
	  "/v1/vns", "name hosts*", "id:n users:l sign:t encrypt:t", NONE,
	  "Create a VN; users: who may join" },
	{ "vn", "join", "VN HOST...", "POST", "/v1/vns/{vn}/join", "vn hosts+", "", NONE,
	  "Hosts join a VN" },
	{ "vn", "leave", "VN HOST...", "POST", "/v1/vns/{vn}/leave", "vn hosts+", "", NONE,
	  "Hosts leave a VN" },
	{ "vn", "merge", "VN VN NAME [--id ID] [--sign WORD] [--encrypt WORD]", "POST", "/v1/merge",
	  "=vns =vns name", "id:n sign:t encrypt:t", NONE, "Merge two VNs into one of that name" },
	{ "vn", "split", "VN NAME=HOST,... NAME=HOST,...", "POST", "/v1/vns/{vn}/split",
	  "vn =groups =groups", "", NONE, "Split a VN into two" },
	{ "vn", "shutdown", "VN", "DELETE", "/v1/vns/{vn}", "vn", "", NONE, "Shut a VN down" },
	{ "vn", "change", "VN [--name NAME] [--admins USER,...] [--users USER,...]", "PATCH",
	  "/v1/vns/{vn}", "vn", "name:t admins:l users:l", NONE,
	  "Its name, administrators, who may join" },
	{ "vn", "log", "VN", "GET", "/v1/vns/{vn}/log", "vn", "",
	  LIST("log", "TIME|CALLER|OPERATION|CHANGE", "time@ caller operation id"),
	  "What was done to it" },
	{ "vn", "undo", "VN", "POST", "/v1/vns/{vn}/undo", "vn", "", NONE,
	  "Take back the last change" },
	{ "site", "list", "", "GET", "/v1/sites", "", "",
	  LIST("sites", "NAME|ADMINISTRATORS|SUBNETS|LOCATION|CONTACT",
	       "name admins subnets location contact"),
	  "Sites" },
	{ "site", "add",
	  "NAME [--admins USER,...] [--subnets PREFIX,...] [--location TEXT] [--contact TEXT]",
	  "POST", "/v1/register", "name", "admins:l subnets:l location:t contact:t", NONE,
	  "Add a site" },
	{ "site", "change",
	  "NAME [--admins USER,...] [--subnets PREFIX,...] [--location TEXT] [--contact TEXT]",
	  "PATCH", "/v1/sites/{site}", "site", "admins:l subnets:l location:t contact:t", NONE,
	  "Change a site" },
	{ "router", "list", "", "GET", "/v1/routers", "", "",
	  LIST("routers",
	       "NAME|>ID|SITE|ENDPOINT|LIMITED|USES|RELAY|BLOCKS|DISABLED|REVOKED|TABLES|STATE|"
	       "HEARD",
	       "name id site endpoint limited uses relay blocks disabled revoked runs state "
	       "heard@"),
	  "Routers" },
	{ "router", "show", "ROUTER", "GET", "/v1/metrics?router={router}", "router", "", FIGURES,
	  "What is known of a router and its links" },
	{ "router", "change",
	  "ROUTER [--endpoint HOST:PORT] [--tls-port PORT] [--limited MODE] "
	  "[--queue-routers ROUTER,...] [--relay yes|no] [--direct yes|no] [--disabled yes|no]",
	  "PATCH", "/v1/routers/{router}", "router",
	  "endpoint:t tls-port:n limited:t queue-routers:l relay:b direct:b disabled:b", NONE,
	  "Change a router" },
	{ "router", "block", "ROUTER [PREFIX] [--length BITS]", "POST",
	  "/v1/routers/{router}/blocks", "router block?", "length:n", NONE,
	  "Give a router a block of addresses" },
	{ "router", "unblock", "ROUTER PREFIX", "DELETE", "/v1/routers/{router}/blocks/{block}",
	  "router block", "", NONE, "Take a block from a router" },
	{ "host", "list", "", "GET", "/v1/hosts", "", "",
	  LIST("hosts", "HOST|SITE|ROUTER|OWNER|ADDRESSES|VNS",
	       "name site router owner addresses vns"),
	  "Hosts" },
	{ "host", "add", "NAME ROUTER [ADDRESS...] [--owner USER] [--token TOKEN]", "POST",
	  "/v1/register", "name router addresses*", "owner:t token:t", NONE,
	  "Add a host; its address is chosen unless named" },
	{ "host", "remove", "HOST", "DELETE", "/v1/hosts/{host}", "host", "", NONE,
	  "Remove a host" },
	{ "host", "token", "HOST", "PUT", "/v1/hosts/{host}/token", "host", "", NONE,
	  "Make a token with which the machine is known to its router: vine-host register" },
	{ "host", "address", "HOST [ADDRESS]", "POST", "/v1/hosts/{host}/addresses",
	  "host address?", "", NONE, "Give a host one more address" },
	{ "host", "unaddress", "HOST ADDRESS", "DELETE", "/v1/hosts/{host}/addresses/{address}",
	  "host address", "", NONE, "Take an address from a host" },
	{ "tiny", "list", "", "GET", "/v1/tinies", "", "",
	  LIST("tinies", "NAME|>ID|VNS|ADDRESSES|ROUTER|UP|SEEN|FROM|RANGE|OWNER|REVOKED",
	       "name id vns addresses router up seen@ source range owner revoked"),
	  "VMs with vine-tiny" },
	{ "tiny", "show", "TINY", "GET", "/v1/tinies?tiny={tiny}", "tiny", "",
	  LIST("tinies",
	       "NAME|>ID|VNS|ADDRESSES|ROUTERS|AT|UP|ENDPOINT|>MOVED|SUSPECTED|SEEN|FROM|RANGE|"
	       "OWNER|CREATED|REVOKED",
	       "name id vns addresses routers at up endpoint moved suspected seen@ source range "
	       "owner created@ revoked"),
	  "What is known of one" },
	{ "tiny", "revoke", "TINY", "POST", "/v1/revoke", "name", "", NONE,
	  "Take a VM out, and believe its key no more" },
	{ "tiny", "invite", "--vn VN [--count N] [--hours N] [--anywhere yes|no]", "POST",
	  "/v1/tokens", "", "vn:t count:n hours:n anywhere:b", NONE,
	  "Print the command that makes a VM a member, with a new token" },
	{ "user", "list", "", "GET", "/v1/users", "", "",
	  LIST("users", "NAME|ROLES|REVOKED|CREATED|CERTIFICATE ENDS",
	       "name roles revoked created@ expires@"),
	  "Users" },
	{ "user", "roles", "USER ROLE...", "PATCH", "/v1/users/{user}", "user roles*", "", NONE,
	  "Set a user's roles: adm, sa, vna, eu" },
	{ "policy", "list", "", "GET", "/v1/policies", "", "",
	  LIST("policies", "NAME|EFFECT|HOSTS|VNS|CREATORS|>FROM|>TO",
	       "name effect hosts vns creators from to"),
	  "Policies of sites" },
	{ "policy", "set",
	  "SITE NAME permit|forbid [--hosts HOST,...] [--vns VN,...] [--creators USER,...] "
	  "[--from MINUTE] [--to MINUTE]",
	  "PUT", "/v1/sites/{site}/policies/{name}", "site name effect",
	  "hosts:l vns:l creators:l from:n to:n", NONE, "Make or change a policy" },
	{ "policy", "remove", "SITE NAME", "DELETE", "/v1/sites/{site}/policies/{name}",
	  "site name", "", NONE, "Remove a policy" },
	{ "token", "create",
	  "user|router|host|tiny [--site SITE] [--roles ROLE,...] [--vn VN] [--anywhere yes|no] "
	  "[--count N] [--hours N]",
	  "POST", "/v1/tokens", "registers", "site:t roles:l vn:t anywhere:b count:n hours:n", NONE,
	  "Make a one-time token, for who registers" },
	{ "credential", "create", "OPERATION... [--vns VN,...] [--hours N]", "POST",
	  "/v1/credentials", "operations+", "vns:l hours:n", NONE,
	  "Make a credential that acts for you" },
	{ "space", "set", "PREFIX...", "PUT", "/v1/space", "blocks+", "", NONE,
	  "The space that blocks are taken from" },
	{ "revoke", "", "user|router|tiny|token|credential NAME", "POST", "/v1/revoke", "kind name",
	  "", NONE, "Revoke; a token or credential by its hash" },
	{ "audit", "", "[--hours N] [--limit N]", "GET", "/v1/audit", "", "hours:n limit:n",
	  LIST("audit", "TIME|CALLER|OPERATION|TARGET|ALLOWED|DETAIL",
	       "time@ caller operation target allowed detail"),
	  "Who did or tried what in the last hours (24)" },
	{ 0 },
};
