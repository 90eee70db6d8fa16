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

#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "router/config.h"
#include "tests/unit/config_text.h"

/* The sample of the specification, but for the directory of the keys. */
static const char sample[] =
	"; /etc/vine/router.conf\n"
	"[router]\n"
	"name = florida\n"
	"id = 1                                ; 32 bits, decimal or dotted quad\n"
	"workers = auto\n"
	"control = /run/vine/router.sock\n"
	"mtu = auto                            ; of the path outside\n"
	"address = 172.16.0.1                  ; the gateway's own in the site: source of its ICMP errors\n"
	"metrics = 127.0.0.1:9463              ; Prometheus, off by default\n"
	"\n"
	"[intercept]\n"
	"method = tun                          ; tun | nfqueue | packet | tap\n"
	"device = vine0\n"
	"networks = 172.16.0.0/12, fd00:76::/32\n"
	"queue = 0                             ; first NFQUEUE number\n"
	"fail = closed                         ; closed | open\n"
	"\n"
	"[inject]\n"
	"method = tun                          ; tun | raw\n"
	"\n"
	"[listen]\n"
	"udp = 0.0.0.0:8463\n"
	"tcp = 0.0.0.0:8463\n"
	"\n"
	"[security]\n"
	"sign = hmac-sha256                    ; hmac-sha256 | none\n"
	"encrypt = none                        ; none | aes-256-gcm | chacha20-poly1305\n"
	"\n"
	"[limited]                             ; present: this router is limited\n"
	"queue-routers = chicago\n"
	"mode = channel                        ; channel | udp | poll-udp | poll-tcp\n"
	"interval = 200ms\n"
	"\n"
	"[lndt]                                ; network = its members at this site\n"
	"8000 = 172.16.0.0/24, fd00:76:0:1::/64\n"
	"8001 = 172.16.0.20                    ; in both: a host is in every network that lists it\n"
	"\n"
	"[network 8000]                        ; optional: what differs for this network\n"
	"encrypt = aes-256-gcm\n"
	"\n"
	"[gndt 8000]                           ; router = the prefixes that it delivers\n"
	"chicago = 172.16.10.0/24, fd00:76:0:10::/64\n"
	"purdue = 172.16.20.0/24\n"
	"\n"
	"[peer chicago]\n"
	"id = 2\n"
	"endpoint = 198.51.100.2:8463\n"
	"protocol = udp                        ; udp | tcp | tls | auto\n"
	"key-file = keys/chicago.key           ; 32 bytes, base64\n"
	"relay = no                            ; may use this router as its queue router\n"
	"transit = no                          ; may send on through this router\n"
	"\n"
	"[peer purdue]                         ; limited: reached through its queue router\n"
	"id = 3\n"
	"queue-routers = chicago\n"
	"key-file = keys/purdue.key\n";

/* A directory of its own for the files of a test. */
struct place {
	char dir[64];
};

static int place_init(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	char keys[80];

	strcpy(p->dir, "/tmp/vine-config-XXXXXX");
	if (!mkdtemp(p->dir))
		return -1;
	snprintf(keys, sizeof(keys), "%s/keys", p->dir);
	*state = p;
	return mkdir(keys, 0700);
}

static void write_file(const struct place *p, const char *name, const char *text, mode_t mode)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", p->dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(chmod(path, mode), 0);
}

static void remove_all(const char *dir, const char *what)
{
	char pattern[128];
	glob_t g;

	snprintf(pattern, sizeof(pattern), "%s/%s", dir, what);
	if (glob(pattern, 0, NULL, &g) == 0)
		for (size_t i = 0; i < g.gl_pathc; i++)
			remove(g.gl_pathv[i]);
	globfree(&g);
}

static int place_done(void **state)
{
	struct place *p = *state;

	remove_all(p->dir, "keys/*");
	remove_all(p->dir, "*");
	rmdir(p->dir);
	free(p);
	return 0;
}

/* Loads DIR/router.conf; in the errors "DIR/" is left out. */
static struct config *load(const struct place *p, char **ret_errors)
{
	char path[128], *from, *to;
	size_t size, len = strlen(p->dir) + 1;
	FILE *f = open_memstream(ret_errors, &size);
	struct config *c;

	snprintf(path, sizeof(path), "%s/router.conf", p->dir);
	c = config_load(path, f);
	fclose(f);
	for (from = to = *ret_errors; *from;) {
		if (strncmp(from, p->dir, len - 1) == 0 && from[len - 1] == '/')
			from += len;
		else
			*to++ = *from++;
	}
	*to = '\0';
	return c;
}

static void write_keys(const struct place *p, uint8_t chicago[CRYPTO_KEY],
		       uint8_t purdue[CRYPTO_KEY])
{
	char text[CRYPTO_KEY_TEXT + 2];

	for (int i = 0; i < CRYPTO_KEY; i++) {
		chicago[i] = (uint8_t)(i * 7 + 1);
		purdue[i] = (uint8_t)(i * 11 + 200);
	}
	crypto_key_format(chicago, text);
	strcat(text, "\n");
	write_file(p, "keys/chicago.key", text, 0600);
	write_file(p, "keys/purdue.key", crypto_key_format(purdue, text), 0400);
}

static void test_sample(void **state)
{
	const struct place *place = *state;
	uint8_t chicago[CRYPTO_KEY], purdue[CRYPTO_KEY];
	char text[ENDPOINT_TEXT], path[128], *errors;
	const struct config_peer *p;
	struct config *c;

	write_keys(place, chicago, purdue);
	write_file(place, "router.conf", sample, 0644);
	c = load(place, &errors);
	assert_string_equal(errors, "");
	free(errors);
	assert_non_null(c);
	assert_string_equal(c->name, "florida");
	assert_int_equal(c->id, 1);
	assert_int_equal(c->workers, 0);
	assert_int_equal(c->mtu, 0);
	assert_string_equal(c->control, "/run/vine/router.sock");
	assert_string_equal(ip_format(&c->address4, text), "172.16.0.1");
	assert_int_equal(c->address6.family, 0);
	assert_string_equal(endpoint_format(&c->metrics, text), "127.0.0.1:9463");
	assert_false(c->debug);
	assert_int_equal(c->intercept, INTERCEPT_TUN);
	assert_string_equal(c->device, "vine0");
	assert_int_equal(c->n_networks, 2);
	assert_string_equal(prefix_format(&c->networks[1], text), "fd00:76::/32");
	assert_int_equal(c->queue, 0);
	assert_int_equal(c->fail, FAIL_CLOSED);
	assert_int_equal(c->inject, INJECT_TUN);
	assert_int_equal(c->n_udp, 1);
	assert_int_equal(c->n_tcp, 1);
	assert_string_equal(endpoint_format(&c->udp[0], text), "0.0.0.0:8463");
	assert_int_equal(c->protection, PROTECT_HMAC);
	assert_true(c->rekey_after == 120000000000);
	assert_true(c->rekey_frames == 4294967296);
	assert_int_equal(c->limited, LIMITED_CHANNEL);
	assert_int_equal(c->n_queue_routers, 1);
	assert_string_equal(c->queue_routers[0], "chicago");
	assert_true(c->poll_interval == 200000000);
	assert_int_equal(c->n_lndt, 3);
	assert_int_equal(c->lndt[0].network, 8000);
	assert_int_equal(c->lndt[0].line, 35);
	assert_int_equal(c->lndt[2].network, 8001);
	assert_string_equal(prefix_format(&c->lndt[2].prefix, text), "172.16.0.20/32");
	assert_int_equal(c->n_gndt, 3);
	assert_int_equal(c->gndt[2].router, 3);
	assert_int_equal(c->gndt[2].line, 43);
	assert_int_equal(c->n_nets, 2);
	assert_int_equal(c->nets[0].id, 8000);
	assert_int_equal(c->nets[0].protection, PROTECT_AES_256_GCM);
	assert_int_equal(c->nets[1].id, 8001);
	assert_int_equal(c->nets[1].protection, PROTECT_HMAC);
	assert_int_equal(c->n_peers, 2);
	p = config_peer(c, "chicago");
	assert_ptr_equal(p, &c->peers[0]);
	assert_int_equal(p->id, 2);
	assert_string_equal(p->host, "198.51.100.2");
	assert_int_equal(p->port, 8463);
	assert_int_equal(p->protocol, PROTOCOL_UDP);
	assert_memory_equal(p->key, chicago, CRYPTO_KEY);
	snprintf(path, sizeof(path), "%s/keys/chicago.key", place->dir);
	assert_string_equal(p->key_file, path);
	p = config_peer(c, "purdue");
	assert_null(p->host);
	assert_int_equal(p->n_queue_routers, 1);
	assert_string_equal(p->queue_routers[0], "chicago");
	assert_memory_equal(p->key, purdue, CRYPTO_KEY);
	assert_null(config_peer(c, "florida"));
	config_free(c);
	config_free(NULL);
}

static void test_key_files(void **state)
{
	const struct place *place = *state;
	uint8_t chicago[CRYPTO_KEY], purdue[CRYPTO_KEY];
	char path[128], *errors;
	static const struct {
		const char *text;
		mode_t mode;
		const char *error;
	} rows[] = {
		{ "AQgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3vsXM09o=", 0640,
		  "is open to group or others (mode 0640)" },
		{ "AQgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3vsXM09o=", 0604,
		  "is open to group or others (mode 0604)" },
		{ "AQgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3vsXM09o=", 0602,
		  "is open to group or others (mode 0602)" },
		{ "", 0600, "holds no key" },
		{ "secret!", 0600, "holds no key" },
		{ "AQgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3vsXM0w==", 0600, "holds no key" },
		{ "AQgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3vsXM09oAAAA=", 0600, "holds no key" },
	};

	write_file(place, "router.conf", sample, 0600);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char expected[256];

		write_keys(place, chicago, purdue);
		write_file(place, "keys/chicago.key", rows[i].text, rows[i].mode);
		assert_null(load(place, &errors));
		snprintf(
			expected, sizeof(expected),
			"router.conf:49: [peer chicago] key-file: keys/chicago.key %s; expected a file of "
			"mode 0600 with 32 bytes in base64\n",
			rows[i].error);
		assert_string_equal(errors, expected);
		/* keys left out of every message */
		if (*rows[i].text)
			assert_null(strstr(errors, rows[i].text));
		free(errors);
	}
	write_keys(place, chicago, purdue);
	snprintf(path, sizeof(path), "%s/keys/chicago.key", place->dir);
	unlink(path);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/keys/purdue.key", place->dir);
	unlink(path);
	assert_null(load(place, &errors));
	assert_string_equal(
		errors,
		"router.conf:49: [peer chicago] key-file: keys/chicago.key is no regular file; expected a file "
		"of mode 0600 with 32 bytes in base64\n"
		"router.conf:56: [peer purdue] key-file: keys/purdue.key can't be opened: No such file or "
		"directory; expected a file of mode 0600 with 32 bytes in base64\n");
	free(errors);
	/* a pipe must not make the check wait */
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_null(load(place, &errors));
	assert_non_null(strstr(errors, "keys/purdue.key is no regular file"));
	free(errors);
}

static void test_load_nothing(void **state)
{
	const struct place *place = *state;
	char path[128], *errors;

	remove_all(place->dir, "router.conf");
	assert_null(load(place, &errors));
	assert_string_equal(errors, "router.conf: can't read it: No such file or directory\n");
	free(errors);
	snprintf(path, sizeof(path), "%s/router.conf", place->dir);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_null(load(place, &errors));
	assert_string_equal(errors, "router.conf: can't read it: Is a directory\n");
	free(errors);
	rmdir(path);
}

/* A relative file is beside the configuration, wherever that is. */
static void test_directory(void **state)
{
	static const char text[] =
		"[router]\nname = a\nid = 1\n[peer b]\nid = 2\nkey-file = b.key\n"
		"[peer c]\nid = 3\nkey-file = /k/c.key\n";
	struct config *c;

	(void)state;
	c = config_parse("/etc/vine/r.conf", text, strlen(text), false, stderr);
	assert_string_equal(c->peers[0].key_file, "/etc/vine/b.key");
	assert_string_equal(c->peers[1].key_file, "/k/c.key");
	config_free(c);
	c = config_parse("r.conf", text, strlen(text), false, stderr);
	assert_string_equal(c->peers[0].key_file, "b.key");
	config_free(c);
}

static void test_defaults(void **state)
{
	char text[ENDPOINT_TEXT];
	struct config *c = parse_good(HEAD);

	(void)state;
	assert_string_equal(c->control, "/run/vine/router.sock");
	assert_string_equal(c->device, "vine0");
	assert_int_equal(c->metrics.ip.family, 0);
	assert_int_equal(c->n_udp, 2);
	assert_string_equal(endpoint_format(&c->udp[0], text), "0.0.0.0:8463");
	assert_string_equal(endpoint_format(&c->udp[1], text), "[::]:8463");
	assert_int_equal(c->n_tcp, 0);
	assert_int_equal(c->limited, LIMITED_NONE);
	assert_int_equal(c->protection, PROTECT_HMAC);
	assert_int_equal(c->n_nets, 0);
	assert_int_equal(c->n_peers, 0);
	config_free(c);
	/* TCP alone leaves UDP as it is */
	c = parse_good(HEAD "[listen]\ntcp = 0.0.0.0:443\n");
	assert_int_equal(c->n_udp, 2);
	assert_int_equal(c->n_tcp, 1);
	config_free(c);
}

/* A proxy's password is not shown. */
static void no_secret(void *arg, const char *section, const char *key, const char *value)
{
	(void)arg;
	if (!strcmp(section, "proxy"))
		assert_string_equal(value, "http://me:***@[2001:db8::3]:8080");
	else
		assert_string_not_equal(key, "url");
}

static void test_values(void **state)
{
	char text[IP_TEXT];
	struct config *c;

	(void)state;
	c = parse_good(
		"[router]\nname = a\nid = 0.0.1.0\nworkers = 32\nmtu = 1280\nlog = debug\n"
		"address = fd00:76::1, 172.16.0.1\n[intercept]\nmethod = nfqueue\nfail = open\n"
		"[inject]\nmethod = raw\n"
		"[listen]\ntcp = 0.0.0.0:1\ntls = 0.0.0.0:443, [::]:443\n"
		"tls-certificate = /c\ntls-key = /k\n"
		"[proxy]\nurl = http://me:p%40ss@[2001:db8::3]:8080/\n"
		"[security]\nsign = none\nrekey-after = 1s\nrekey-frames = 1000\n"
		"[limited]\nqueue-routers = c,\n  b\nmode = poll-tcp\ninterval = 1s\n"
		"[peer b]\nid = 2\nkey-file = b\nendpoint = [2001:db8::1]:8463\nprotocol = auto\n"
		"[peer c]\nid = 255.255.255.254\nkey-file = c\nendpoint = gw.example.org:443\n"
		"protocol = tls\ntls-port = 8443\nrelay = yes\ntransit = yes\ndirect = no\n");
	assert_int_equal(c->id, 256);
	assert_int_equal(c->workers, 32);
	assert_int_equal(c->mtu, 1280);
	assert_true(c->debug);
	assert_string_equal(ip_format(&c->address4, text), "172.16.0.1");
	assert_string_equal(ip_format(&c->address6, text), "fd00:76::1");
	assert_int_equal(c->intercept, INTERCEPT_NFQUEUE);
	assert_int_equal(c->fail, FAIL_OPEN);
	assert_int_equal(c->inject, INJECT_RAW);
	assert_int_equal(c->protection, PROTECT_NONE);
	assert_true(c->rekey_after == 1000000000);
	assert_true(c->rekey_frames == 1000);
	assert_int_equal(c->limited, LIMITED_POLL_TCP);
	assert_int_equal(c->n_tcp, 1);
	assert_int_equal(c->n_tls, 2);
	assert_string_equal(c->tls_certificate, "/c");
	assert_string_equal(c->tls_key, "/k");
	assert_string_equal(c->proxy.host, "2001:db8::3");
	assert_int_equal(c->proxy.port, 8080);
	assert_string_equal(c->proxy.password, "p@ss");
	assert_int_equal(c->peers[0].tls_port, 443);
	assert_int_equal(c->peers[1].tls_port, 8443);
	config_each(c, no_secret, NULL);
	assert_int_equal(c->n_queue_routers, 2);
	assert_string_equal(c->queue_routers[0], "c");
	assert_string_equal(c->queue_routers[1], "b");
	assert_string_equal(c->peers[0].host, "2001:db8::1");
	assert_int_equal(c->peers[0].protocol, PROTOCOL_AUTO);
	assert_string_equal(c->peers[1].host, "gw.example.org");
	assert_int_equal(c->peers[1].port, 443);
	assert_int_equal(c->peers[1].id, 0xfffffffe);
	assert_true(c->peers[1].relay);
	assert_true(c->peers[1].transit);
	assert_true(c->peers[0].direct);
	assert_false(c->peers[1].direct);
	config_free(c);
}

/* What [security] and [network ID] make together. */
static void test_protection(void **state)
{
	static const struct {
		const char *security, *network;
		enum protection common, own;
	} rows[] = {
		{ "", "", PROTECT_HMAC, PROTECT_HMAC },
		{ "sign = none\n", "", PROTECT_NONE, PROTECT_NONE },
		{ "sign = none\n", "sign = hmac-sha256\n", PROTECT_NONE, PROTECT_HMAC },
		{ "sign = none\nencrypt = aes-256-gcm\n", "", PROTECT_AES_256_GCM,
		  PROTECT_AES_256_GCM },
		{ "encrypt = aes-256-gcm\n", "sign = hmac-sha256\n", PROTECT_AES_256_GCM,
		  PROTECT_AES_256_GCM },
		{ "encrypt = aes-256-gcm\n", "encrypt = none\n", PROTECT_AES_256_GCM,
		  PROTECT_HMAC },
		{ "sign = none\nencrypt = aes-256-gcm\n", "encrypt = none\n", PROTECT_AES_256_GCM,
		  PROTECT_NONE },
		{ "", "encrypt = chacha20-poly1305\nsign = none\n", PROTECT_HMAC,
		  PROTECT_CHACHA20_POLY1305 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[512];
		struct config *c;

		/* the section may come before what it is for */
		snprintf(text, sizeof(text),
			 HEAD
			 "[network 7]\n%s[security]\n%s[lndt]\n0.0.0.7 = 10.0.0.1\n8 = 10.0.0.2\n",
			 rows[i].network, rows[i].security);
		c = parse_good(text);
		assert_int_equal(c->protection, rows[i].common);
		assert_int_equal(c->n_nets, 2);
		assert_int_equal(c->nets[0].id, 7);
		assert_int_equal(c->nets[0].protection, rows[i].own);
		assert_int_equal(c->nets[1].protection, rows[i].common);
		config_free(c);
	}
}

/* Lists add up over keys and sections; both forms of an ID are one network. */
static void test_rows(void **state)
{
	char text[PREFIX_TEXT];
	struct config *c;

	(void)state;
	c = parse_good(HEAD NETWORKS PEER_B PEER_C
		       "[gndt 0.0.0.8]\nc = 172.16.3.0/24\nb = 172.16.2.0/24\n"
		       "[gndt 8]\nb = 172.16.1.0/24,\n  172.16.0.0/24\na = 172.16.9.0/24\n"
		       "[gndt 7]\nc = ::/0\n");
	assert_int_equal(c->n_gndt, 6);
	assert_int_equal(c->n_nets, 2);
	assert_int_equal(c->gndt[0].network, 7);
	assert_int_equal(c->gndt[1].router, 1);
	assert_int_equal(c->gndt[2].router, 2);
	assert_string_equal(prefix_format(&c->gndt[2].prefix, text), "172.16.0.0/24");
	assert_int_equal(c->gndt[2].line, 19);
	assert_string_equal(prefix_format(&c->gndt[4].prefix, text), "172.16.2.0/24");
	assert_int_equal(c->gndt[4].line, 16);
	assert_string_equal(c->gndt[5].file, "f");
	config_free(c);
}

static void test_interfaces(void **state)
{
	struct config *c = parse_good("[router]\nname = a\nid = 1\n[intercept]\nmethod = packet\n"
				      "interfaces = eth1, br-lan,\n  eth0.10\n");

	(void)state;
	assert_int_equal(c->intercept, INTERCEPT_PACKET);
	assert_int_equal(c->n_interfaces, 3);
	assert_string_equal(c->interfaces[0], "eth1");
	assert_string_equal(c->interfaces[1], "br-lan");
	assert_string_equal(c->interfaces[2], "eth0.10");
	config_free(c);
}

static void test_methods(void **state)
{
	enum intercept_method m = INTERCEPT_TUN;

	(void)state;
	assert_true(intercept_method_parse("nfqueue", &m));
	assert_int_equal(m, INTERCEPT_NFQUEUE);
	assert_true(intercept_method_parse("packet", &m));
	assert_int_equal(m, INTERCEPT_PACKET);
	assert_false(intercept_method_parse("tap", &m));
	assert_false(intercept_method_parse("", &m));
	assert_int_equal(m, INTERCEPT_PACKET);
	assert_string_equal(intercept_method_name(INTERCEPT_TUN), "tun");
	assert_string_equal(intercept_method_name(INTERCEPT_NFQUEUE), "nfqueue");
	assert_string_equal(inject_method_name(INJECT_TUN), "tun");
	assert_string_equal(inject_method_name(INJECT_RAW), "raw");
	assert_string_equal(inject_method_name(INJECT_PACKET), "packet");
}

static void expect_reload(const char *old_text, const char *new_text, const char *expected)
{
	struct config *old = parse_good(old_text), *new = parse_good(new_text);
	char *errors;
	size_t size;
	FILE *f = open_memstream(&errors, &size);
	bool can = config_can_reload(old, new, f);

	fclose(f);
	assert_string_equal(errors, expected);
	assert_int_equal(can, *expected == '\0');
	free(errors);
	config_free(old);
	config_free(new);
}

static void test_reload(void **state)
{
	(void)state;
	expect_reload(sample, sample, "");
	/* tables, peers, protections, method, log: on a running router */
	expect_reload(
		HEAD NETWORKS PEER_B "[gndt 8]\nb = 172.16.1.0/24\n",
		"[router]\nid = 1\nname = new\nlog = debug\naddress = 10.0.0.1\n"
		"[intercept]\nmethod = nfqueue\nnetworks = 172.16.0.0/12, 10.0.0.0/8\nfail = open\n"
		"[security]\nencrypt = aes-256-gcm\n" PEER_C "[gndt 9]\nc = 10.1.0.0/16\n",
		"");
	expect_reload(
		HEAD,
		"[router]\nname = a\nid = 2\nworkers = 4\ncontrol = /run/other\nmtu = 1400\n"
		"metrics = 127.0.0.1:9463\n[intercept]\ndevice = vine1\nqueue = 8\n[inject]\nmethod = raw\n"
		"[listen]\nudp = 0.0.0.0:8463\ntcp = 0.0.0.0:443\n",
		"f: [router] id: can't change from 1 to 2 while the router runs; expected a restart\n"
		"f: [router] control: can't change from /run/vine/router.sock to /run/other while the "
		"router runs; expected a restart\n"
		"f: [router] mtu: can't change from auto to 1400 while the router runs; expected a "
		"restart\n"
		"f: [router] metrics: can't change from off to 127.0.0.1:9463 while the router runs; "
		"expected a restart\n"
		"f: [intercept] device: can't change from vine0 to vine1 while the router runs; expected "
		"a restart\n"
		"f: [intercept] queue: can't change from 0 to 8 while the router runs; expected a "
		"restart\n"
		"f: [listen] udp: can't change from 0.0.0.0:8463, [::]:8463 to 0.0.0.0:8463 while the "
		"router runs; expected a restart\n"
		"f: [listen] tcp: can't change from none to 0.0.0.0:443 while the router runs; expected "
		"a restart\n");
}

/* Writes what config_each() tells as a file, a line for each item of a list. */
static void write_key(void *arg, const char *section, const char *key, const char *value)
{
	FILE *f = arg;

	fprintf(f, "[%s]\n%s =", section, key);
	for (; *value; value++) {
		if (*value == ',')
			fputs(",\n ", f);
		else
			fputc(*value, f);
	}
	fputc('\n', f);
}

static char *list(const struct config *c)
{
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	config_each(c, write_key, f);
	fclose(f);
	return text;
}

static void write_plain(void *arg, const char *section, const char *key, const char *value)
{
	fprintf(arg, "%s/%s=%s\n", section, key, value);
}

static void test_each(void **state)
{
	struct config *c = parse_good(sample);
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	(void)state;
	config_each(c, write_plain, f);
	fclose(f);
	assert_string_equal(
		text,
		"router/name=florida\nrouter/id=1\nrouter/workers=auto\nrouter/control=/run/vine/router.sock\n"
		"router/mtu=auto\nrouter/address=172.16.0.1\nrouter/metrics=127.0.0.1:9463\nrouter/log=info\n"
		"intercept/method=tun\nintercept/device=vine0\n"
		"intercept/networks=172.16.0.0/12, fd00:76::/32\nintercept/queue=0\nintercept/fail=closed\n"
		"intercept/source-check=yes\ninject/method=tun\nlisten/udp=0.0.0.0:8463\nlisten/tcp=0.0.0.0:8463\n"
		"security/sign=hmac-sha256\nsecurity/encrypt=none\nsecurity/rekey-after=2m\n"
		"security/rekey-frames=4294967296\n"
		"queue/bytes=4194304\nqueue/age=5s\nlimited/queue-routers=chicago\nlimited/mode=channel\nlimited/interval=200ms\n"
		"lndt/8000=172.16.0.0/24, fd00:76:0:1::/64\nlndt/8001=172.16.0.20/32\n"
		"network 8000/sign=hmac-sha256\nnetwork 8000/encrypt=aes-256-gcm\n"
		"network 8001/sign=hmac-sha256\nnetwork 8001/encrypt=none\n"
		"gndt 8000/chicago=172.16.10.0/24, fd00:76:0:10::/64\ngndt 8000/purdue=172.16.20.0/24\n"
		"peer chicago/id=2\npeer chicago/endpoint=198.51.100.2:8463\npeer chicago/tls-port=443\n"
		"peer chicago/protocol=udp\npeer chicago/key-file=keys/chicago.key\npeer chicago/relay=no\npeer chicago/direct=yes\npeer chicago/transit=no\n"
		"peer purdue/id=3\npeer purdue/tls-port=443\npeer purdue/protocol=udp\npeer purdue/queue-routers=chicago\n"
		"peer purdue/key-file=keys/purdue.key\npeer purdue/relay=no\npeer purdue/direct=yes\npeer purdue/transit=no\n");
	free(text);
	config_free(c);
}

/* A listing is a file again, of the same configuration. (Each [peer NAME] and [network
 * ID] may come once, so their headers are written once.) */
static void test_each_round_trip(void **state)
{
	struct config *c = parse_good(sample), *again;
	char *first, *second, *merged = calloc(1, 8192), last[64] = "";

	(void)state;
	first = list(c);
	for (char *line = strtok(first, "\n"); line; line = strtok(NULL, "\n")) {
		if (*line == '[' && strcmp(line, last) == 0)
			continue;
		if (*line == '[')
			snprintf(last, sizeof(last), "%s", line);
		strcat(strcat(merged, line), "\n");
	}
	again = parse_good(merged);
	free(first);
	first = list(c);
	second = list(again);
	assert_string_equal(first, second);
	free(first);
	free(second);
	free(merged);
	config_free(c);
	config_free(again);
}

static char *read_file(const char *path, size_t *ret_len)
{
	char *text = malloc(65536);
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	*ret_len = fread(text, 1, 65536, f);
	fclose(f);
	return text;
}

static struct config *load_sample(const char *path)
{
	size_t len;
	char *text = read_file(path, &len);
	struct config *c = config_parse(path, text, len, false, stderr);

	free(text);
	assert_non_null(c);
	return c;
}

static void test_conf_samples(void **state)
{
	glob_t g;

	(void)state;
	assert_int_equal(glob("conf/*.conf", 0, NULL, &g), 0);
	assert_true(g.gl_pathc >= 4);
	for (size_t i = 0; i < g.gl_pathc; i++)
		if (strcmp(g.gl_pathv[i], "conf/tiny.conf") != 0) /* see test_tiny_config.c */
			config_free(load_sample(g.gl_pathv[i]));
	globfree(&g);
}

static bool has_route(const struct config *c, uint32_t network, uint32_t router,
		      const struct prefix *p)
{
	for (size_t i = 0; i < c->n_gndt; i++)
		if (c->gndt[i].network == network && c->gndt[i].router == router &&
		    prefix_equal(&c->gndt[i].prefix, p))
			return true;
	return false;
}

/* The three sites agree: who is a member at one is a route at the others, and both
 * ends protect a network alike. */
static void test_sites_agree(void **state)
{
	struct config *sites[3] = { load_sample("conf/site-florida.conf"),
				    load_sample("conf/site-chicago.conf"),
				    load_sample("conf/site-purdue.conf") };

	(void)state;
	for (size_t a = 0; a < 3; a++) {
		for (size_t b = 0; b < 3; b++) {
			const struct config *x = sites[a], *y = sites[b];

			if (a == b)
				continue;
			assert_int_equal(config_peer(x, y->name)->id, y->id);
			for (size_t i = 0; i < x->n_nets; i++) {
				for (size_t k = 0; k < y->n_nets; k++) {
					if (x->nets[i].id != y->nets[k].id)
						continue;
					assert_int_equal(x->nets[i].protection,
							 y->nets[k].protection);
					for (size_t m = 0; m < x->n_lndt; m++)
						if (x->lndt[m].network == x->nets[i].id)
							assert_true(has_route(y, x->nets[i].id,
									      x->id,
									      &x->lndt[m].prefix));
				}
			}
		}
	}
	for (size_t i = 0; i < 3; i++)
		config_free(sites[i]);
}

static void test_authority(void **state)
{
	struct config *c = parse_good(
			      "[router]\nname = a\n" NETWORKS "[limited]\nmode = udp\n"
			      "[authority]\nurl = https://a.example, https://192.0.2.1:8464/,\n"
			      " https://[2001:db8::1]:1\n"),
		      *d = parse_good("[router]\nname = a\n" NETWORKS
				      "[authority]\nurl = https://b.example\n"),
		      *e = parse_good(HEAD);
	char *errors;
	size_t size;
	FILE *f = open_memstream(&errors, &size);

	(void)state;
	assert_int_equal(c->n_urls, 3);
	assert_string_equal(c->urls[0].text, "https://a.example");
	assert_int_equal(c->urls[0].port, 443);
	assert_string_equal(c->urls[1].text, "https://192.0.2.1:8464");
	assert_string_equal(c->urls[1].host, "192.0.2.1");
	assert_int_equal(c->urls[1].port, 8464);
	assert_string_equal(c->urls[2].host, "2001:db8::1");
	assert_string_equal(c->identity, "/var/lib/vine-router/identity");
	assert_string_equal(c->state, "/var/lib/vine-router");
	assert_null(e->identity);
	assert_false(config_can_reload(c, d, f));
	assert_false(config_can_reload(c, e, f));
	fclose(f);
	assert_non_null(strstr(errors, "f: [authority] url: can't change from https://a.example, "
				       "https://192.0.2.1:8464, https://[2001:db8::1]:1 to "
				       "https://b.example while the router runs"));
	free(errors);
	config_free(c);
	config_free(d);
	config_free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_authority),    cmocka_unit_test(test_sample),
		cmocka_unit_test(test_key_files),    cmocka_unit_test(test_load_nothing),
		cmocka_unit_test(test_directory),    cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_values),	     cmocka_unit_test(test_protection),
		cmocka_unit_test(test_rows),	     cmocka_unit_test(test_interfaces),
		cmocka_unit_test(test_methods),	     cmocka_unit_test(test_reload),
		cmocka_unit_test(test_each),	     cmocka_unit_test(test_each_round_trip),
		cmocka_unit_test(test_conf_samples), cmocka_unit_test(test_sites_agree),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, place_init, place_done);
}
