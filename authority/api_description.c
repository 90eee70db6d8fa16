/*
 * The API's description (OpenAPI 3.0), made of the route table, the operations' table of
 * arguments, and what form each argument has, which is here.
 */
#include "authority/api_private.h"

#include <string.h>

#include "authority/memory.h"

enum form { TEXT, NUMBER, TRUTH, NAME, NAMES, TEXTS, VN, VNS, GROUPS, ROLE_NAMES };

static const struct {
	const char *name;
	enum form form;
	const char *text;
} forms[] = {
	{ "address", TEXT, "An IP address" },
	{ "addresses", TEXTS, "IP addresses" },
	{ "admins", NAMES, "Users that administer it" },
	{ "anywhere", TRUTH, "Of a token for tinies: whether VMs may be outside of all ranges" },
	{ "block", TEXT, "A prefix" },
	{ "blocks", TEXTS, "Prefixes" },
	{ "contact", TEXT, "Whom to ask" },
	{ "count", NUMBER, "How often it may be used" },
	{ "creators", NAMES, "Of VNs: users, or *" },
	{ "direct", TRUTH, "Whether direct paths to it are looked for, past queue routers" },
	{ "disabled", TRUTH, "Whether it carries nothing" },
	{ "effect", TEXT, "permit or forbid" },
	{ "encrypt", TEXT, "aes-256-gcm, chacha20-poly1305 or none; what is encrypted is signed" },
	{ "endpoint", TEXT, "HOST:PORT where others reach it" },
	{ "expires", NUMBER, "Milliseconds since 1970, UTC" },
	{ "from", NUMBER, "Minute of the day, UTC" },
	{ "groups", GROUPS, "The two groups of a split" },
	{ "hash", NAME, "SHA-256 of the secret: the first 60 hexadecimal digits" },
	{ "host", NAME, "A host" },
	{ "hosts", NAMES, "Hosts" },
	{ "id", NUMBER, "The ID that it shall have" },
	{ "kind", TEXT, "What it is about: site, user, router, host; tiny, token, credential" },
	{ "key", TEXT, "A public key, base64 of its DER; with csr it is that of the request" },
	{ "length", NUMBER, "Length of the prefix" },
	{ "limited", TEXT,
	  "Whether nobody can connect to it, and how it keeps in touch with its queue routers: "
	  "auto (it is if it has no endpoint), no, channel, udp, poll-udp, poll-tcp" },
	{ "location", TEXT, "Where it is" },
	{ "name", NAME, "The name that it has, or shall have" },
	{ "operations", NAMES, "Operations that it is good for" },
	{ "owner", NAME, "The user whose host it is" },
	{ "queue_routers", NAMES,
	  "Routers by which it is reached if it is limited, the first choice first; none: chosen "
	  "of all that serve so" },
	{ "registers", TEXT, "user, router, host or tiny" },
	{ "relay", TRUTH, "Whether it serves limited routers as queue router" },
	{ "roles", ROLE_NAMES, "Roles" },
	{ "router", NAME, "A router" },
	{ "sign", TEXT, "hmac-sha256 or none" },
	{ "site", NAME, "A site" },
	{ "subnets", TEXTS, "Prefixes of the physical network" },
	{ "tiny", NAME, "A VM with vine-tiny" },
	{ "tls_port", NUMBER, "Where it listens for TLS" },
	{ "to", NUMBER, "Minute of the day, UTC; not included" },
	{ "user", NAME, "A user" },
	{ "users", NAMES, "Users who may have hosts of theirs join, or *" },
	{ "vn", VN, "A VN: its name, or its network ID" },
	{ "vns", VNS, "VNs" },
};

static json_t *schema(enum form form)
{
	switch (form) {
	case TEXT: return json_pack("{s:s}", "type", "string");
	case NUMBER:
		return json_pack("{s:s,s:s,s:i}", "type", "integer", "format", "int64", "minimum",
				 0);
	case TRUTH: return json_pack("{s:s}", "type", "boolean");
	case NAME:
		return json_pack("{s:s,s:s,s:i}", "type", "string", "pattern",
				 "^[a-z0-9][a-z0-9.-]*$", "maxLength", RECORD_NAME);
	case VN: return json_pack("{s:[o,o]}", "oneOf", schema(NAME), schema(NUMBER));
	case NAMES: return json_pack("{s:s,s:o}", "type", "array", "items", schema(TEXT));
	case TEXTS: return json_pack("{s:s,s:o}", "type", "array", "items", schema(TEXT));
	case VNS: return json_pack("{s:s,s:o}", "type", "array", "items", schema(VN));
	case ROLE_NAMES:
		return json_pack("{s:s,s:{s:s,s:[s,s,s,s]}}", "type", "array", "items", "type",
				 "string", "enum", "adm", "sa", "vna", "eu");
	case GROUPS: break;
	}
	return json_pack("{s:s,s:i,s:i,s:{s:s,s:[s,s],s:{s:o,s:o,s:o}}}", "type", "array",
			 "minItems", 2, "maxItems", 2, "items", "type", "object", "required",
			 "name", "hosts", "properties", "name", schema(NAME), "id", schema(NUMBER),
			 "hosts", schema(NAMES));
}

/* NULL: an argument that has no form here, which the test refuses. */
static json_t *argument_schema(const char *name)
{
	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
		json_t *s;

		if (strcmp(forms[i].name, name))
			continue;
		s = mem_json(schema(forms[i].form));
		json_object_set_new(s, "description", mem_json(json_string(forms[i].text)));
		return s;
	}
	return NULL;
}

static json_t *parameter(const char *name, const char *in, bool required, json_t *s)
{
	return mem_json(json_pack("{s:s,s:s,s:b,s:o}", "name", name, "in", in, "required", required,
				  "schema", s ? s : json_null()));
}

static bool is_stream(const struct route *r)
{
	return r->operation == OPERATION_GET_TABLES && strstr(r->path, "/stream");
}

/* What hosts ask for by way of their router. */
static bool is_for_host(enum operation o)
{
	return o == OPERATION_REGISTER || o == OPERATION_LIST_HOSTS ||
	       o == OPERATION_ADDRESS_ASSIGN || o == OPERATION_VN_JOIN || o == OPERATION_VN_LEAVE;
}

static json_t *version_schema(void)
{
	return mem_json(json_pack("{s:s,s:s,s:s}", "type", "string", "pattern", "^[0-9]+[.][0-9]+$",
				  "description", "A version of tables: generation, number"));
}

/* Those of the path. */
static json_t *parameters_of(const struct route *r)
{
	json_t *list = mem_json(json_array());

	for (const char *p = r->path; (p = strchr(p, '{')); p++) {
		char *name = strndup(p + 1, strcspn(p, "}") - 1);

		json_array_append_new(list, parameter(name, "path", true, argument_schema(name)));
		free(name);
	}
	if (r->operation == OPERATION_AUDIT || r->operation == OPERATION_VN_LOG) {
		json_array_append_new(list, parameter("after", "query", false, schema(TEXT)));
		json_array_append_new(list, parameter("since", "query", false, schema(NUMBER)));
		json_array_append_new(list, parameter("limit", "query", false, schema(NUMBER)));
	}
	if (r->operation == OPERATION_GET_METRICS) {
		json_array_append_new(list, parameter("router", "query", false,
						      argument_schema("router")));
		json_array_append_new(list, parameter("links", "query", false, schema(TRUTH)));
	}
	if (r->operation == OPERATION_LIST_TINIES)
		json_array_append_new(list,
				      parameter("tiny", "query", false, argument_schema("tiny")));
	if (is_for_host(r->operation))
		json_array_append_new(
			list,
			parameter("Vine-Host", "header", false,
				  json_pack("{s:s,s:s,s:s}", "type", "string", "pattern",
					    "^[a-z0-9][a-z0-9.-]*:[0-9a-f]{60}$", "description",
					    "Of a router: the host for which it asks, and "
					    "the hash of that host's secret")));
	if (is_stream(r)) {
		json_array_append_new(list, parameter("have", "query", false, version_schema()));
		json_array_append_new(
			list, parameter("without", "query", false,
					json_pack("{s:s,s:s}", "type", "string", "description",
						  "The URL of a process that can't be reached: it "
						  "isn't sent there while that may have died")));
	}
	if (strcmp(r->method, "GET") && !api_is_tables(r))
		json_array_append_new(list, parameter("dry_run", "query", false, schema(TRUTH)));
	return list;
}

/* Arguments that are not in the path. */
static json_t *body_of(const struct route *r)
{
	json_t *properties = mem_json(json_object());
	char *all = mem_text(operation_rules[r->operation].arguments), *rest = all, *name;
	char braces[40];

	while ((name = strsep(&rest, " "))) {
		json_t *s = argument_schema(name);

		snprintf(braces, sizeof(braces), "{%s}", name);
		if (*name && strcmp(r->method, "GET") && !strstr(r->path, braces))
			json_object_set_new(properties, name, s ? s : json_null());
		else
			json_decref(s);
	}
	free(all);
	if (r->operation == OPERATION_UPDATE_TABLES) {
		json_object_set_new(properties, "version", version_schema());
		json_object_set_new(properties, "error",
				    mem_json(json_pack("{s:s,s:s}", "type", "string", "description",
						       "Why it doesn't run what it was given")));
	}
	if (r->operation == OPERATION_REGISTER)
		json_object_set_new(properties, "token", schema(TEXT));
	if (r->operation == OPERATION_RENEW) {
		json_object_set_new(properties, "kind", argument_schema("kind"));
		json_object_set_new(properties, "name", argument_schema("name"));
	}
	if (r->operation == OPERATION_REGISTER || r->operation == OPERATION_RENEW)
		json_object_set_new(properties, "csr",
				    mem_json(json_pack("{s:s,s:s}", "type", "string", "description",
						       "A certificate request (PKCS #10, PEM)")));
	return properties;
}

static json_t *describe(const struct route *r)
{
	json_t *roles = roles_json(operation_rules[r->operation].paper |
				   operation_rules[r->operation].ours);
	json_t *o = mem_json(
		json_pack("{s:s,s:s,s:o,s:o,s:{s:{s:s,s:{s:{s:{s:s}}}},s:{s:s}}}", "operationId",
			  is_stream(r) ? "stream-tables" : operation_rules[r->operation].name,
			  "summary", r->summary, "x-roles", roles, "parameters", parameters_of(r),
			  "responses", "200", "description", "Done", "content",
			  is_stream(r) ? "application/x-ndjson" : "application/json", "schema",
			  "type", "object", "default", "$ref", "#/components/responses/problem"));
	json_t *body = body_of(r);

	if (json_object_size(body))
		json_object_set_new(o, "requestBody",
				    mem_json(json_pack("{s:{s:{s:{s:s,s:b,s:O}}}}", "content",
						       "application/json", "schema", "type",
						       "object", "additionalProperties", 0,
						       "properties", body)));
	json_decref(body);
	return o;
}

json_t *api_description(void)
{
	json_t *paths = mem_json(json_object());

	for (const struct route *r = api_routes; r->path; r++) {
		json_t *path = json_object_get(paths, r->path);
		char method[8] = "";

		for (size_t i = 0; r->method[i]; i++)
			method[i] = (char)(r->method[i] | 0x20);
		if (!path) {
			path = mem_json(json_object());
			json_object_set_new(paths, r->path, path);
		}
		json_object_set_new(path, method, describe(r));
	}
	return mem_json(json_pack(
		"{s:s,s:{s:s,s:s,s:s},s:o,s:[{s:[]},{s:[]}],s:{s:o,s:o}}", "openapi", "3.0.3",
		"info", "title", "ViNe authority", "version", "1", "description",
		"Virtual networks: who may do what is in the authority's documentation", "paths",
		paths, "security", "certificate", "credential", "components", "securitySchemes",
		json_pack("{s:{s:s,s:s},s:{s:s,s:s}}", "certificate", "type", "mutualTLS",
			  "description", "A certificate of the authority", "credential", "type",
			  "http", "scheme", "bearer"),
		"responses",
		json_pack(
			"{s:{s:s,s:{s:{s:{s:s,s:{s:{s:s},s:{s:s},s:{s:s},s:{s:s}}}}}}}", "problem",
			"description",
			"RFC 7807. 400 wrong arguments, 401 who are you, 403 not allowed, 404 there "
			"is no such thing, 409 not as things are, 503 the store doesn't answer",
			"content", "application/problem+json", "schema", "type", "object",
			"properties", "type", "type", "string", "title", "type", "string", "status",
			"type", "integer", "detail", "type", "string")));
}
