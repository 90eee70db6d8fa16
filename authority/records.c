/*
 * Records to JSON and back, by a table of fields for each kind.
 *
 * What comes out of the store is checked as if a stranger had written it: every field
 * is there, has its type and its bounds, and there is no other. So the rest of the
 * authority works with records that are well-formed; whether what they refer to exists
 * is the registry's matter.
 */
#include "authority/records.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authority/memory.h"

enum field_type {
	FIELD_END,
	FIELD_NAME,
	FIELD_TEXT, /* up to max bytes */
	FIELD_U32,
	FIELD_U64,
	FIELD_BOOL,
	FIELD_CHOICE, /* one of words, an enum */
	FIELD_ROLES,
	FIELD_NAMES,	/* up to max */
	FIELD_PATTERNS, /* names, or "*" alone */
	FIELD_ORDERED,	/* names, in any order */
	FIELD_ADDRESSES,
	FIELD_BLOCKS,
	FIELD_JSON, /* an object */
};

struct field {
	const char *name;
	enum field_type type;
	size_t offset;
	uint64_t min, max;
	const char *const *words;
	unsigned since;	 /* version in which it came; 0: it was always there */
	uint64_t absent; /* what it is in records of before: a number, a truth; else empty */
};

#define FIELD(kind, member, type_, ...) \
	{ \
		.name = #member, .type = FIELD_##type_, \
		.offset = offsetof(struct record, kind.member), __VA_ARGS__ \
	}

enum {
	LIST = 256,	 /* longest list, of anything but members */
	TEXT = 256,	 /* longest text */
	KEY_TEXT = 1024, /* ... of a public key */
	DAY = 24 * 60,
};

const char *const role_names[ROLES + 1] = { "vr", "adm", "sa", "vna", "eu", NULL };
const char *const router_limited_names[ROUTER_LIMITED_WORDS + 1] = { "auto", "no",	 "channel",
								     "udp",  "poll-udp", "poll-tcp",
								     NULL };
const char *const vn_protection_names[VN_PROTECTIONS + 1] = { "default",	   "none",
							      "hmac-sha256",	   "aes-256-gcm",
							      "chacha20-poly1305", NULL };
static const char *const effects[] = { "permit", "forbid", NULL };
static const char *const registers[] = { "user", "router", "host", "tiny", NULL };

static const struct field order_fields[] = {
	FIELD(order, n, U64, .max = INT64_MAX),
	FIELD(order, next_vn, U32, .max = UINT32_MAX),
	FIELD(order, next_router, U32, .max = UINT32_MAX),
	FIELD(order, generation, U64, .max = INT64_MAX, .since = 2, .absent = 1),
	FIELD(order, space, BLOCKS, .max = LIST),
	{ 0 },
};

static const struct field user_fields[] = {
	FIELD(user, roles, ROLES),
	FIELD(user, key, TEXT, .max = KEY_TEXT),
	FIELD(user, revoked, BOOL),
	FIELD(user, created, U64, .max = INT64_MAX),
	FIELD(user, expires, U64, .max = INT64_MAX, .since = 2),
	{ 0 },
};

static const struct field site_fields[] = {
	FIELD(site, admins, NAMES, .max = LIST),     FIELD(site, subnets, BLOCKS, .max = LIST),
	FIELD(site, location, TEXT, .max = TEXT),    FIELD(site, contact, TEXT, .max = TEXT),
	FIELD(site, created, U64, .max = INT64_MAX), { 0 },
};

static const struct field router_fields[] = {
	FIELD(router, id, U32, .max = UINT32_MAX),
	FIELD(router, site, NAME),
	FIELD(router, key, TEXT, .max = KEY_TEXT),
	FIELD(router, endpoint, TEXT, .max = TEXT),
	FIELD(router, tls_port, U32, .min = 1, .max = UINT16_MAX, .since = 2, .absent = 443),
	FIELD(router, limited, CHOICE, .words = router_limited_names, .since = 2),
	FIELD(router, queue_routers, ORDERED, .max = RECORD_QUEUE_ROUTERS),
	FIELD(router, queue_order, TEXT, .max = RECORD_QUEUE_ROUTERS * (RECORD_NAME + 1),
	      .since = 2),
	FIELD(router, relay, BOOL, .since = 2),
	FIELD(router, direct, BOOL, .since = 2, .absent = true),
	FIELD(router, blocks, BLOCKS, .max = LIST),
	FIELD(router, disabled, BOOL),
	FIELD(router, silent, BOOL, .since = 2),
	FIELD(router, revoked, BOOL),
	FIELD(router, created, U64, .max = INT64_MAX),
	{ 0 },
};

static const struct field host_fields[] = {
	FIELD(host, router, NAME),
	FIELD(host, owner, NAME),
	FIELD(host, addresses, ADDRESSES, .max = 8),
	FIELD(host, key, TEXT, .max = RECORD_NAME, .since = 2),
	FIELD(host, created, U64, .max = INT64_MAX),
	{ 0 },
};

static const struct field tiny_fields[] = {
	FIELD(tiny, id, U32, .min = 1, .max = UINT32_MAX),
	FIELD(tiny, key, TEXT, .max = KEY_TEXT),
	FIELD(tiny, routers, ORDERED, .max = RECORD_TINY_ROUTERS),
	FIELD(tiny, addresses, ADDRESSES, .max = RECORD_TINY_ADDRESSES),
	FIELD(tiny, vn, U32, .max = UINT32_MAX),
	FIELD(tiny, owner, NAME),
	FIELD(tiny, source, TEXT, .max = IP_TEXT),
	FIELD(tiny, range, TEXT, .max = RECORD_NAME),
	FIELD(tiny, token, TEXT, .max = RECORD_NAME),
	FIELD(tiny, nonce, TEXT, .max = RECORD_NAME),
	FIELD(tiny, revoked, BOOL),
	FIELD(tiny, created, U64, .max = INT64_MAX),
	{ 0 },
};

static const struct field vn_fields[] = {
	FIELD(vn, name, NAME),
	FIELD(vn, protection, CHOICE, .words = vn_protection_names, .since = 2),
	FIELD(vn, creator, NAME),
	FIELD(vn, admins, NAMES, .max = LIST),
	FIELD(vn, users, PATTERNS, .max = 10000),
	FIELD(vn, members, NAMES, .max = RECORD_MEMBERS),
	FIELD(vn, created, U64, .max = INT64_MAX),
	FIELD(vn, change, NAME),
	{ 0 },
};

static const struct field policy_fields[] = {
	FIELD(policy, effect, CHOICE, .words = effects),
	FIELD(policy, hosts, PATTERNS, .max = 10000),
	FIELD(policy, vns, PATTERNS, .max = 10000),
	FIELD(policy, creators, PATTERNS, .max = 10000),
	FIELD(policy, from, U32, .max = DAY - 1),
	FIELD(policy, to, U32, .max = DAY - 1),
	{ 0 },
};

static const struct field token_fields[] = {
	FIELD(token, registers, CHOICE, .words = registers),
	FIELD(token, site, TEXT, .max = RECORD_NAME),
	FIELD(token, roles, ROLES),
	FIELD(token, vn, U32, .max = UINT32_MAX, .since = 3),
	FIELD(token, anywhere, BOOL, .since = 3),
	FIELD(token, issuer, NAME),
	FIELD(token, count, U32, .max = 100000),
	FIELD(token, used, U32, .max = 100000),
	FIELD(token, expires, U64, .max = INT64_MAX),
	{ 0 },
};

static const struct field credential_fields[] = {
	FIELD(credential, user, NAME),
	FIELD(credential, operations, NAMES, .max = LIST),
	FIELD(credential, vns, PATTERNS, .max = LIST),
	FIELD(credential, expires, U64, .max = INT64_MAX),
	{ 0 },
};

static const struct field change_fields[] = {
	FIELD(change, time, U64, .max = INT64_MAX),
	FIELD(change, caller, TEXT, .max = TEXT),
	FIELD(change, operation, NAME),
	FIELD(change, before, JSON),
	FIELD(change, after, JSON),
	{ 0 },
};

static const struct field log_fields[] = {
	FIELD(log, time, U64, .max = INT64_MAX),
	{ 0 },
};

static const struct field audit_fields[] = {
	FIELD(audit, time, U64, .max = INT64_MAX),
	FIELD(audit, caller, TEXT, .max = TEXT),
	FIELD(audit, operation, TEXT, .max = TEXT),
	FIELD(audit, target, TEXT, .max = 2 * TEXT),
	FIELD(audit, allowed, BOOL),
	FIELD(audit, detail, TEXT, .max = 4 * TEXT),
	{ 0 },
};

/* The IDs of a key, after its kind. */
enum id_form { ID_NONE, ID_NAME, ID_NUMBER, ID_NAME_NAME, ID_NUMBER_NAME };

static const struct {
	const char *name;
	enum id_form id;
	const struct field *fields;
} kinds[RECORD_KINDS] = {
	[RECORD_ORDER] = { "order", ID_NONE, order_fields },
	[RECORD_USER] = { "user", ID_NAME, user_fields },
	[RECORD_SITE] = { "site", ID_NAME, site_fields },
	[RECORD_ROUTER] = { "router", ID_NAME, router_fields },
	[RECORD_HOST] = { "host", ID_NAME, host_fields },
	[RECORD_TINY] = { "tiny", ID_NAME, tiny_fields },
	[RECORD_VN] = { "vn", ID_NUMBER, vn_fields },
	[RECORD_POLICY] = { "policy", ID_NAME_NAME, policy_fields },
	[RECORD_TOKEN] = { "token", ID_NAME, token_fields },
	[RECORD_CREDENTIAL] = { "credential", ID_NAME, credential_fields },
	[RECORD_CHANGE] = { "change", ID_NAME, change_fields },
	[RECORD_LOG] = { "log", ID_NUMBER_NAME, log_fields },
	[RECORD_AUDIT] = { "audit", ID_NAME, audit_fields },
};

/* ---- names --------------------------------------------------------------------- */

/* The length of the name at the beginning, 0: there is none. */
static size_t name_span(const char *text)
{
	size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-.");

	return n > RECORD_NAME || text[0] == '-' || text[0] == '.' ? 0 : n;
}

bool name_valid(const char *text)
{
	size_t n = name_span(text);

	return n && !text[n];
}

/* Where the name is or would be. */
static size_t names_place(const struct names *l, const char *name, bool *ret_there)
{
	size_t low = 0, high = l->n;

	*ret_there = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(l->at[middle], name);

		if (!order) {
			*ret_there = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool names_have(const struct names *l, const char *name)
{
	bool there;

	names_place(l, name, &there);
	return there;
}

bool names_match(const struct names *l, const char *name)
{
	return (l->n == 1 && !strcmp(l->at[0], "*")) || names_have(l, name);
}

void names_insert(struct names *l, const char *name)
{
	bool there;
	size_t at = names_place(l, name, &there);

	if (there)
		return;
	l->at = mem_grow(l->at, l->n + 1, sizeof(*l->at));
	memmove(l->at + at + 1, l->at + at, (l->n - at) * sizeof(*l->at));
	l->at[at] = mem_text(name);
	l->n++;
}

void names_remove(struct names *l, const char *name)
{
	bool there;
	size_t at = names_place(l, name, &there);

	if (!there)
		return;
	free(l->at[at]);
	l->n--;
	memmove(l->at + at, l->at + at + 1, (l->n - at) * sizeof(*l->at));
}

void names_copy(struct names *l, const struct names *from)
{
	*l = (struct names){ .n = from->n, .at = mem_new(from->n, sizeof(*l->at)) };
	for (size_t i = 0; i < from->n; i++)
		l->at[i] = mem_text(from->at[i]);
}

void names_done(struct names *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->at[i]);
	free(l->at);
	*l = (struct names){ 0 };
}

json_t *names_json(const struct names *l)
{
	json_t *list = mem_json(json_array());

	for (size_t i = 0; i < l->n; i++)
		json_array_append_new(list, mem_json(json_string(l->at[i])));
	return list;
}

json_t *roles_json(uint32_t roles)
{
	json_t *list = mem_json(json_array());

	for (unsigned i = 0; i < ROLES; i++)
		if (roles & 1u << i)
			json_array_append_new(list, mem_json(json_string(role_names[i])));
	return list;
}

/* The place of a word among others, -1: it isn't there. */
static int word_place(const char *const *words, const json_t *value)
{
	for (int i = 0; json_is_string(value) && words[i]; i++)
		if (!strcmp(words[i], json_string_value(value)))
			return i;
	return -1;
}

bool roles_parse(const json_t *list, uint32_t *ret)
{
	uint32_t roles = 0;

	if (!json_is_array(list) || json_array_size(list) > ROLES)
		return false;
	for (size_t i = 0; i < json_array_size(list); i++) {
		int bit = word_place(role_names, json_array_get(list, i));

		if (bit < 0 || roles & 1u << bit)
			return false;
		roles |= 1u << bit;
	}
	*ret = roles;
	return true;
}

/* ---- keys ---------------------------------------------------------------------- */

/* The length of a decimal number of 32 bits, without zeros in front. */
static size_t number_span(const char *text)
{
	size_t n = strspn(text, "0123456789");

	if (!n || n > 10 || (text[0] == '0' && n > 1) || strtoull(text, NULL, 10) > UINT32_MAX)
		return 0;
	return n;
}

static bool id_valid(enum id_form form, const char *id)
{
	bool two = form == ID_NAME_NAME || form == ID_NUMBER_NAME;
	size_t n = form == ID_NUMBER || form == ID_NUMBER_NAME ? number_span(id) : name_span(id);

	if (!n)
		return false;
	return two ? id[n] == '/' && name_valid(id + n + 1) : !id[n];
}

enum record_kind record_key(const char *key, const char **ret_id)
{
	for (enum record_kind k = 0; k < RECORD_KINDS; k++) {
		size_t n = strlen(kinds[k].name);
		const char *id;

		if (strncmp(key, kinds[k].name, n))
			continue;
		if (kinds[k].id == ID_NONE ? key[n] : key[n] != '/')
			continue;
		id = kinds[k].id == ID_NONE ? key + n : key + n + 1;
		if (kinds[k].id != ID_NONE && !id_valid(kinds[k].id, id))
			return RECORD_KINDS;
		if (ret_id)
			*ret_id = id;
		return k;
	}
	return RECORD_KINDS;
}

/* ---- decode -------------------------------------------------------------------- */

static bool decode_text(const json_t *value, size_t max, char **ret)
{
	const char *text = json_string_value(value);

	/* What JSON escapes may hold: no zero, no control characters. */
	if (!text || json_string_length(value) > max || strlen(text) != json_string_length(value))
		return false;
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return false;
	*ret = mem_text(text);
	return true;
}

/* Whether a name may stand behind those that are there. */
static bool may_follow(const struct names *l, enum field_type type, const char *name)
{
	if (type != FIELD_ORDERED)
		return !l->n || strcmp(l->at[l->n - 1], name) < 0;
	for (size_t i = 0; i < l->n; i++)
		if (!strcmp(l->at[i], name))
			return false;
	return true;
}

static bool decode_names(const json_t *list, const struct field *f, struct names *ret)
{
	size_t n = json_array_size(list);
	bool any = f->type == FIELD_PATTERNS && n == 1;

	if (!json_is_array(list) || n > f->max)
		return false;
	ret->at = mem_new(n, sizeof(*ret->at));
	for (size_t i = 0; i < n; i++) {
		const json_t *value = json_array_get(list, i);
		const char *text = json_string_value(value);

		if (!text || strlen(text) != json_string_length(value) ||
		    (!name_valid(text) && !(any && !strcmp(text, "*"))) ||
		    !may_follow(ret, f->type, text))
			return false;
		ret->at[ret->n++] = mem_text(text);
	}
	return true;
}

static bool decode_addresses(const json_t *list, size_t max, struct addresses *ret)
{
	size_t n = json_array_size(list);

	if (!json_is_array(list) || n > max)
		return false;
	ret->at = mem_new(n, sizeof(*ret->at));
	for (; ret->n < n; ret->n++) {
		const char *text = json_string_value(json_array_get(list, ret->n));

		if (!text || ip_parse(text, &ret->at[ret->n]))
			return false;
		for (size_t i = 0; i < ret->n; i++)
			if (ip_equal(&ret->at[i], &ret->at[ret->n]))
				return false;
	}
	return true;
}

static bool decode_blocks(const json_t *list, size_t max, struct blocks *ret)
{
	size_t n = json_array_size(list);

	if (!json_is_array(list) || n > max)
		return false;
	ret->at = mem_new(n, sizeof(*ret->at));
	for (; ret->n < n; ret->n++) {
		const char *text = json_string_value(json_array_get(list, ret->n));

		if (!text || prefix_parse(text, &ret->at[ret->n]))
			return false;
		for (size_t i = 0; i < ret->n; i++)
			if (prefix_equal(&ret->at[i], &ret->at[ret->n]))
				return false;
	}
	return true;
}

static bool decode_field(const struct field *f, const json_t *value, void *to)
{
	json_int_t number = json_integer_value(value);
	int word;

	switch (f->type) {
	case FIELD_NAME: return decode_text(value, RECORD_NAME, to) && name_valid(*(char **)to);
	case FIELD_TEXT: return decode_text(value, f->max, to);
	case FIELD_U32:
		*(uint32_t *)to = (uint32_t)number;
		return json_is_integer(value) && number >= (json_int_t)f->min &&
		       (uint64_t)number <= f->max;
	case FIELD_U64:
		*(uint64_t *)to = (uint64_t)number;
		return json_is_integer(value) && number >= 0 && (uint64_t)number <= f->max;
	case FIELD_BOOL: *(bool *)to = json_is_true(value); return json_is_boolean(value);
	case FIELD_CHOICE:
		word = word_place(f->words, value);
		*(unsigned *)to = (unsigned)(word < 0 ? 0 : word);
		return word >= 0;
	case FIELD_ROLES: return roles_parse(value, to);
	case FIELD_NAMES:
	case FIELD_ORDERED:
	case FIELD_PATTERNS: return decode_names(value, f, to);
	case FIELD_ADDRESSES: return decode_addresses(value, f->max, to);
	case FIELD_BLOCKS: return decode_blocks(value, f->max, to);
	case FIELD_JSON:
		if (!json_is_object(value))
			return false;
		*(json_t **)to = json_incref((json_t *)value);
		return true;
	case FIELD_END: break;
	}
	return false;
}

int record_decode(const char *key, const json_t *value, struct record *ret,
		  char error[static RECORD_ERROR])
{
	struct record r = { 0 };
	size_t n = 0;
	const char *id;

	r.kind = record_key(key, &id);
	if (r.kind == RECORD_KINDS || strlen(id) >= sizeof(r.id)) {
		snprintf(error, RECORD_ERROR, "%.100s: not the key of a record", key);
		return -EINVAL;
	}
	strcpy(r.id, id);
	if (!json_is_object(value)) {
		snprintf(error, RECORD_ERROR, "%.100s: not an object", key);
		return -EINVAL;
	}
	for (const struct field *f = kinds[r.kind].fields; f->type; f++, n++) {
		const json_t *v = json_object_get(value, f->name);

		if (v && decode_field(f, v, (char *)&r + f->offset))
			continue;
		snprintf(error, RECORD_ERROR, "%.100s: the field '%s' is %s", key, f->name,
			 v ? "not what it should be" : "missing");
		record_done(&r);
		return -EINVAL;
	}
	if (json_object_size(value) != n) {
		snprintf(error, RECORD_ERROR, "%.100s: a field that nobody knows", key);
		record_done(&r);
		return -EINVAL;
	}
	*ret = r;
	return 0;
}

/* ---- encode -------------------------------------------------------------------- */

static json_t *encode_addresses(const struct addresses *l)
{
	json_t *list = mem_json(json_array());
	char text[IP_TEXT];

	for (size_t i = 0; i < l->n; i++)
		json_array_append_new(list, mem_json(json_string(ip_format(&l->at[i], text))));
	return list;
}

static json_t *encode_blocks(const struct blocks *l)
{
	json_t *list = mem_json(json_array());
	char text[PREFIX_TEXT];

	for (size_t i = 0; i < l->n; i++)
		json_array_append_new(list, mem_json(json_string(prefix_format(&l->at[i], text))));
	return list;
}

static json_t *encode_field(const struct field *f, const void *from)
{
	const char *text;

	switch (f->type) {
	case FIELD_NAME:
	case FIELD_TEXT: text = *(char *const *)from; return json_string(text ? text : "");
	case FIELD_U32: return json_integer(*(const uint32_t *)from);
	case FIELD_U64: return json_integer((json_int_t) * (const uint64_t *)from);
	case FIELD_BOOL: return json_boolean(*(const bool *)from);
	case FIELD_CHOICE: return json_string(f->words[*(const unsigned *)from]);
	case FIELD_ROLES: return roles_json(*(const uint32_t *)from);
	case FIELD_NAMES:
	case FIELD_ORDERED:
	case FIELD_PATTERNS: return names_json(from);
	case FIELD_ADDRESSES: return encode_addresses(from);
	case FIELD_BLOCKS: return encode_blocks(from);
	case FIELD_JSON: return json_incref(*(json_t *const *)from);
	case FIELD_END: break;
	}
	return NULL;
}

json_t *record_encode(const struct record *r)
{
	json_t *value = mem_json(json_object());

	for (const struct field *f = kinds[r->kind].fields; f->type; f++)
		json_object_set_new(value, f->name,
				    mem_json(encode_field(f, (const char *)r + f->offset)));
	return value;
}

/* ---- earlier versions ---------------------------------------------------------- */

static json_t *absent_field(const struct field *f)
{
	switch (f->type) {
	case FIELD_U32:
	case FIELD_U64: return json_integer((json_int_t)f->absent);
	case FIELD_BOOL: return json_boolean(f->absent);
	case FIELD_CHOICE: return json_string(f->words[0]);
	case FIELD_TEXT: return json_string("");
	default: return json_array();
	}
}

bool record_upgrade(enum record_kind kind, json_t *value, unsigned from)
{
	static const char *const states[] = { "before", "after" };
	bool changed = false;
	const char *key;
	json_t *vn;

	if (!json_is_object(value))
		return false;
	for (const struct field *f = kinds[kind].fields; f->type; f++)
		if (f->since > from && !json_object_get(value, f->name)) {
			json_object_set_new(value, f->name, mem_json(absent_field(f)));
			changed = true;
		}
	/* VNs as they were and became. */
	for (int i = 0; kind == RECORD_CHANGE && i < 2; i++)
		json_object_foreach(json_object_get(value, states[i]), key, vn) changed |=
			record_upgrade(RECORD_VN, vn, from);
	return changed;
}

void record_done(struct record *r)
{
	for (const struct field *f = kinds[r->kind].fields; f->type; f++) {
		void *at = (char *)r + f->offset;

		switch (f->type) {
		case FIELD_NAME:
		case FIELD_TEXT: free(*(char **)at); break;
		case FIELD_NAMES:
		case FIELD_ORDERED:
		case FIELD_PATTERNS: names_done(at); break;
		case FIELD_ADDRESSES: free(((struct addresses *)at)->at); break;
		case FIELD_BLOCKS: free(((struct blocks *)at)->at); break;
		case FIELD_JSON: json_decref(*(json_t **)at); break;
		default: break;
		}
	}
	*r = (struct record){ .kind = r->kind };
}
