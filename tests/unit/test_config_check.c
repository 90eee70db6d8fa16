/* links: common/ini common/ini_error common/ini_types common/addr
 * common/table common/table_new common/table_update common/table_rows
 * common/table_conflicts common/vector common/lpm common/lpm_change
 * common/crypto common/wire router/config router/config_done router/config_options
 * router/config_types router/proxy
 * router/config_check common/key_file router/config_show router/identity common/pki */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "router/config.h"
#include "tests/unit/config_text.h"

static void test_wrong_files(void **state)
{
	static const char *const rows[][2] = {
		{ "",
		  "f:1: [router] name: is missing; expected a name of at most 63 letters, digits, '.', '_' "
		  "and '-'\n"
		  "f:1: [router] id: is missing; expected a number from 1 to 4294967294 or a dotted quad\n" },
		{ "[router]\nname = a\n[authority]\nurl = http://a:1, https://, https://a:x, https://a/b\n",
		  "f:1: [intercept] networks: is missing, and there is an [authority]; expected the "
		  "prefixes that go to the overlay\n"
		  "f:4: [authority] url: can't be \"http://a:1\"; expected https://HOST:PORT\n"
		  "f:4: [authority] url: can't be \"https://\"; expected https://HOST:PORT\n"
		  "f:4: [authority] url: can't be \"https://a:x\"; expected https://HOST:PORT\n"
		  "f:4: [authority] url: can't be \"https://a/b\"; expected https://HOST:PORT\n" },
		{ "[router]\nname = a\nid = 1\n[hosts]\nlisten = 10.0.0.1:8465\n",
		  "f:5: [hosts] listen: hosts can't be served; expected an [authority], which answers "
		  "them\n" },
		{ "[router]\nname = a\n" NETWORKS "[authority]\n[hosts]\nlisten = 10.0.0.1\n",
		  "f:7: [hosts] listen: can't be \"10.0.0.1\"; expected off or an address and "
		  "port like 198.51.100.2:8463 or [2001:db8::1]:8463\n" },
		{ "[router]\nname = a\n" NETWORKS "[authority]\n[lndt]\n1 = 172.16.0.1\n[gndt 1]\n"
		  "b = 172.16.1.0/24\n[network 1]\nsign = none\n" PEER_B,
		  "f:6: [lndt]: is there; expected no such section beside [authority], which gives tables, "
		  "networks and peers\n"
		  "f:8: [gndt]: is there; expected no such section beside [authority], which gives tables, "
		  "networks and peers\n"
		  "f:10: [network 1]: is there; expected no such section beside [authority], which gives "
		  "tables, networks and peers\n"
		  "f:12: [peer b]: is there; expected no such section beside [authority], which gives "
		  "tables, networks and peers\n" },
		{ "[router]\nname = a\nid = 4294967295\n",
		  "f:3: [router] id: can't be \"4294967295\"; expected a number from 1 to 4294967294 or a dotted "
		  "quad\n" },
		{ HEAD "workers = 33\n",
		  "f:4: [router] workers: can't be \"33\"; expected auto or a number from 1 to 32\n" },
		{ HEAD "address = 10.0.0.1, 10.0.0.2\n",
		  "f:4: [router] address: 10.0.0.2 is a second IPv4 address; expected at most one of each "
		  "family\n" },
		{ HEAD "address = 224.0.0.1\n",
		  "f:4: [router] address: can't be \"224.0.0.1\"; expected an address of this gateway in its "
		  "site\n" },
		{ HEAD "udp = 0.0.0.0:1\n",
		  "f:4: [router] udp: unknown key; expected it in a section [listen]\n" },
		{ HEAD "[intercept]\ninterfaces = eth0, eth1/2\n",
		  "f:5: [intercept] interfaces: can't be \"eth1/2\"; expected names of network "
		  "interfaces of the site\n" },
		{ HEAD "[intercept]\nmethod = tap\n",
		  "f:5: [intercept] method: tap is not in this build; expected tun, nfqueue or packet\n" },
		{ HEAD "[intercept]\nmethod = ebpf\n",
		  "f:5: [intercept] method: can't be \"ebpf\"; expected tun, nfqueue or packet\n" },
		{ HEAD "[intercept]\ndevice = much-too-long-name\n",
		  "f:5: [intercept] device: can't be \"much-too-long-name\"; expected a name of at most 15 "
		  "letters, digits, '.', '_' and '-'\n" },
		{ HEAD "[intercept]\nnetworks = 172.16.0.0/8\n",
		  "f:5: [intercept] networks: 172.16.0.0/8 has bits set behind its length; expected "
		  "172.0.0.0/8, or 172.16.0.0 alone for one host\n" },
		{ HEAD "[security]\nrekey-after = 2h\nrekey-frames = 999\n",
		  "f:5: [security] rekey-after: can't be \"2h\"; expected a time from 1s to 2m\n"
		  "f:6: [security] rekey-frames: can't be \"999\"; expected a number from 1000 to 4294967296\n" },
		{ HEAD "[security]\nencrypt = aes\n",
		  "f:5: [security] encrypt: can't be \"aes\"; expected none, aes-256-gcm or "
		  "chacha20-poly1305\n" },
		/* networks */
		{ HEAD "[lndt]\n0 = 10.0.0.1, 10.0.0.2\nx = 10.0.0.300\n",
		  "f:5: [lndt] 0: can't be a key here; expected a network ID, a number from 1 to 4294967295 or "
		  "a dotted quad\n"
		  "f:6: [lndt] x: can't be \"10.0.0.300\"; expected prefixes like 172.16.0.0/24 or "
		  "fd00:76::/32, or addresses\n"
		  "f:6: [lndt] x: can't be a key here; expected a network ID, a number from 1 to 4294967295 or "
		  "a dotted quad\n" },
		{ HEAD "[network 8]\nencrypt = aes-256-gcm\n",
		  "f:4: [network 8]: the network has no members and no routes; expected a network of [lndt], "
		  "of a [gndt ID] or of a [tiny NAME]\n" },
		{ HEAD "[network 8]\n[lndt]\n8 = 10.0.0.1\n[network 0.0.0.8]\n",
		  "f:7: [network 0.0.0.8]: the section is in line 4 already; expected one section for each "
		  "network\n" },
		{ HEAD "[gndt all]\n",
		  "f:4: [gndt all]: \"all\" is no network; expected a network ID, a number "
		  "from 1 to 4294967295 or a dotted quad\n" },
		{ HEAD PEER_B "[gndt 8]\nb = 172.16.0.0/24\n",
		  "f:1: [intercept] networks: is missing, and there is a [gndt]; expected the prefixes that go "
		  "to the overlay\n" },
		{ HEAD NETWORKS "[gndt 8]\nb = 172.16.0.0/24, 172.16.1.0/24\nb = 172.16.2.0/24\n",
		  "f:7: [gndt 8] b: there is no such router; expected the name of a [peer NAME], or of this "
		  "router\n" },
		{ HEAD NETWORKS PEER_B
		  "[gndt 8]\nb = 172.16.1.0/24,\n  10.0.0.0/24, 0.0.0.0/0\na = 10.1.0.0/24\n",
		  "f:12: [gndt 8] b: 10.0.0.0/24 would never be intercepted; expected a prefix inside networks "
		  "of [intercept]\n" },
		{ HEAD NETWORKS PEER_B PEER_C "[gndt 8]\nb = 172.16.1.0/24\nc = 172.16.1.0/24\n",
		  "f:16: [gndt 8] c: 172.16.1.0/24 is in network 8 for router 2 and for router 3: which of them "
		  "delivers it? (the other one: f:15); expected each prefix in one place\n" },
		{ HEAD NETWORKS PEER_B PEER_C
		  "[lndt]\n8 = 172.16.0.0/24\n9 = 172.16.0.20\n[gndt 8]\nb = 172.16.1.0/24\n[gndt 9]\nc = 172.16.1.0/24\n",
		  "f:20: [gndt 9] c: 172.16.1.0/24 is in networks 8 and 9, which both have member 172.16.0.20: "
		  "which of them should carry it? (the other one: f:18); expected each prefix in one place\n" },
		{ HEAD NETWORKS PEER_B "[lndt]\n8 = 172.16.0.0/24\n[gndt 8]\nb = 172.16.0.0/24\n",
		  "f:13: [gndt 8] b: 172.16.0.0/24 is a member of this site in network 8, but router 2 is to "
		  "deliver it: which is right? (the other one: f:11); expected each prefix in one place\n" },
		/* peers */
		{ HEAD "[peer b]\n",
		  "f:4: [peer b] id: is missing; expected a number from 1 to 4294967294 or a "
		  "dotted quad\n"
		  "f:4: [peer b] key-file: is missing; expected the path of a key file\n" },
		{ HEAD "[peer -]\nid = 1\n",
		  "f:4: [peer -]: \"-\" is no name; expected at most 63 letters, digits, '.', '_' and '-'\n" },
		{ HEAD PEER_B "[peer b]\nid = 9\nkey-file = x\n",
		  "f:8: [peer b]: the section is in line 4 already; expected one section for each peer or tiny\n" },
		{ HEAD "[peer a]\nid = 9\nkey-file = x\n",
		  "f:4: [peer a]: a is this router's own name; expected another name\n" },
		{ HEAD PEER_B "[peer c]\nkey-file = x\nid = 0.0.0.2\n",
		  "f:10: [peer c] id: 2 is [peer b]'s too, in line 5; expected an ID of its own\n" },
		{ HEAD "[peer c]\nkey-file = x\nid = 1\n",
		  "f:6: [peer c] id: 1 is this router's own, in line 3; expected an ID of its own\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		expect_errors(rows[i][0], rows[i][1]);
}

/* How routers are reached. */
static void test_wrong_ways(void **state)
{
	static const char *const rows[][2] = {
		{ HEAD "[listen]\nudp = 0.0.0.0:1, [::]:1,\n  0.0.0.0:1\n",
		  "f:6: [listen] udp: 0.0.0.0:1 is named twice; expected each once\n" },
		{ HEAD "[listen]\ntcp = 0.0.0.0:443\ntls = 0.0.0.0:443, [::]:443, [::]:443\n",
		  "f:6: [listen] tls: [::]:443 is named twice; expected each once\n"
		  "f:6: [listen] tls: 0.0.0.0:443 is in tcp too; expected another port\n" },
		{ HEAD "[listen]\ntls = 0.0.0.0:443\ntls-certificate = /c.pem\n",
		  "f:6: [listen] tls-key: is missing; expected the file of the certificate's key\n" },
		{ HEAD "[listen]\ntls-key = k.pem\n",
		  "f:5: [listen] tls-key: can't be \"k.pem\"; expected an absolute path of at most 4095 "
		  "bytes\n" },
		{ HEAD "[listen]\ntls-key = /k.pem\n",
		  "f:5: [listen] tls-certificate: is missing; expected the file of the key's "
		  "certificate\n" },
		{ HEAD "[proxy]\n",
		  "f:4: [proxy] url: is missing; expected the URL of an HTTP proxy\n" },
		{ HEAD "[proxy]\nurl = https://me:secret@proxy\n",
		  "f:5: [proxy] url: is no address of an HTTP proxy; expected http://HOST:PORT or "
		  "http://USER:PASSWORD@HOST:PORT\n" },
		{ HEAD PEER_B "tls-port = 0\n",
		  "f:8: [peer b] tls-port: can't be \"0\"; expected a number from 1 to 65535\n" },
		/* limited */
		{ HEAD NETWORKS "[limited]\nqueue-routers = b\n[authority]\n",
		  "f:7: [limited] queue-routers: is there; expected no such key beside [authority], "
		  "which says who they are\n" },
		{ HEAD "[limited]\n",
		  "f:4: [limited] queue-routers: is missing; expected names of peers, the "
		  "first choice first\n" },
		{ HEAD PEER_B "[limited]\nqueue-routers = b,\n  nobody, b\n",
		  "f:10: [limited] queue-routers: there is no peer nobody; expected the name of a [peer NAME]\n"
		  "f:10: [limited] queue-routers: b is named twice; expected each once\n" },
		{ HEAD PEER_B
		  "[peer d]\nid = 9\nkey-file = d\nendpoint = ?\n[limited]\nqueue-routers = d\n",
		  "f:11: [peer d] endpoint: can't be \"?\"; expected 198.51.100.2:8463, [2001:db8::1]:8463 or "
		  "gw.example.org:8463\n" },
		{ HEAD PEER_B
		  "queue-routers = b, d\n[peer d]\nid = 9\nkey-file = d\nqueue-routers = b\n",
		  "f:8: [peer b] queue-routers: b can't be its own queue router; expected another peer\n"
		  "f:8: [peer b] queue-routers: d is itself reached through a queue router; expected a peer "
		  "with an endpoint\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		expect_errors(rows[i][0], rows[i][1]);
}

static void test_endpoints(void **state)
{
	static const char *const good[][2] = {
		{ "192.0.2.1:1", "192.0.2.1" },
		{ "[2001:db8:0:0::1]:65535", "2001:db8::1" },
		{ "127.0.0.1:8463", "127.0.0.1" },
		{ "gw:80", "gw" },
		{ "10gw.example.org:80", "10gw.example.org" },
		{ "my_host.example.:80", "my_host.example." },
	};
	static const char *const bad[] = {
		"192.0.2.1",   "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536", "192.0.2.256:80",
		"192.0.2:80",  "::1:80",     "[::]:80",	    "[2001:db8::1]",   "0.0.0.0:80",
		"224.0.0.1:1", "gw",	     ":80",	    "gw:http",	       "gw:-1",
		"gw..x:80",    "a b:80",     "-gw:80",	    "gw:000080",       "[gw]:80",
		"[ff02::1]:1"
	};
	char text[512], *errors;
	struct config *c;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		snprintf(text, sizeof(text), HEAD "[peer b]\nid = 2\nkey-file = b\nendpoint = %s\n",
			 good[i][0]);
		c = parse_good(text);
		assert_string_equal(c->peers[0].host, good[i][1]);
		config_free(c);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), HEAD "[peer b]\nid = 2\nkey-file = b\nendpoint = %s\n",
			 bad[i]);
		c = parse(text, &errors);
		assert_null(c);
		assert_ptr_equal(strstr(errors, "f:7: [peer b] endpoint: can't be"), errors);
		free(errors);
	}
}

/* A tiny is a peer that may send through this router, with its addresses behind it. */
static void test_tinies(void **state)
{
	static const char *const rows[][2] = {
		{ HEAD NETWORKS "[tiny v]\nid = 7\nkey-file = k\nnetwork = 8\n",
		  "f:6: [tiny v] address: is missing; expected addresses of the VM\n" },
		{ HEAD NETWORKS "[tiny v]\nid = 7\nkey-file = k\nnetwork = 8\n"
				"address = 172.16.0.0/24, 10.0.0.1\n",
		  "f:10: [tiny v] address: 172.16.0.0/24 is a prefix; expected an address of the VM, "
		  "which can't route for others\n"
		  "f:10: [tiny v] address: 10.0.0.1/32 would never be intercepted; expected an address "
		  "inside networks of [intercept]\n" },
		{ HEAD NETWORKS PEER_B "queue-routers = v\n"
				       "[tiny v]\nid = 2\nkey-file = k\nnetwork = 8\n"
				       "address = 172.16.0.1\n",
		  "f:10: [peer b] queue-routers: there is no peer v; expected the name of a [peer "
		  "NAME]\n"
		  "f:12: [tiny v] id: 2 is [peer b]'s too, in line 7; expected an ID of its own\n" },
	};
	struct config *c;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		expect_errors(rows[i][0], rows[i][1]);
	c = parse_good(HEAD NETWORKS "[tiny v]\nid = 7\nkey-file = k\nnetwork = 8\n"
				     "address = 172.16.0.1, 172.16.0.2\n"
				     "[network 8]\nencrypt = aes-256-gcm\n");
	assert_int_equal(c->n_peers, 1);
	assert_true(c->peers[0].tiny && c->peers[0].transit && !c->peers[0].relay);
	assert_int_equal(c->n_gndt, 2);
	assert_int_equal(c->gndt[0].router, 7);
	assert_int_equal(c->n_nets, 1);
	assert_int_equal(c->nets[0].protection, PROTECT_AES_256_GCM);
	config_free(c);
}

/* Errors of reading and of checking, in the order of lines. */
static void test_many_errors(void **state)
{
	(void)state;
	expect_errors(
		"[router]\nname = a\nid = 1\nwokers = 2\n"
		"[intercept]\nnetworks = 172.16.0.0/12\n"
		"[gndt 8]\nb = 10.0.0.0/8\nx = 172.16.0.0/16\n"
		"[peer b]\nid = 1\nprotocol = smtp\nkey-file = b\n"
		"[pear c]\nid = 2\n",
		"f:4: [router] wokers: unknown key; expected workers\n"
		"f:8: [gndt 8] b: 10.0.0.0/8 would never be intercepted; expected a prefix inside "
		"networks of [intercept]\n"
		"f:9: [gndt 8] x: there is no such router; expected the name of a [peer NAME], or of "
		"this router\n"
		"f:11: [peer b] id: 1 is this router's own, in line 3; expected an ID of its own\n"
		"f:12: [peer b] protocol: can't be \"smtp\"; expected udp, tcp, tls or auto\n"
		"f:14: [pear c]: unknown section; expected [peer NAME]\n");
}

/* Thousands of peers and rows must not take more than a moment, nor a wrong line. */
static void test_large(void **state)
{
	enum { N = 5000 };
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	struct config *c;

	(void)state;
	fputs("[router]\nname = a\nid = 1\n[intercept]\nnetworks = 10.0.0.0/8\n[gndt 8]\n", f);
	for (int i = 0; i < N; i++)
		fprintf(f, "p%d = 10.%d.%d.0/24\n", i, i / 256, i % 256);
	for (int i = 0; i < N; i++)
		fprintf(f, "[peer p%d]\nid = %d\nkey-file = k\n", i, N + 1 - i);
	fclose(f);
	c = parse_good(text);
	assert_int_equal(c->n_peers, N);
	assert_int_equal(c->n_gndt, N);
	assert_int_equal(c->gndt[0].router, 2);
	assert_int_equal(c->gndt[0].line, 6 + N);
	config_free(c);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wrong_files), cmocka_unit_test(test_wrong_ways),
		cmocka_unit_test(test_endpoints),   cmocka_unit_test(test_many_errors),
		cmocka_unit_test(test_large),	    cmocka_unit_test(test_tinies),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
