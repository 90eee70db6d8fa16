/*
 * How routers are, and what is not as it should be: answered by the process that has the
 * routers, about those that the caller may see: ADM all, SA those of its sites, a router
 * itself.
 */
#include "authority/api_private.h"

#include <string.h>

#include "authority/memory.h"

struct scope {
	const char *router; /* NULL: a user asks */
	const struct user *user;
};

static bool may(const void *arg, const struct router *r)
{
	const struct scope *s = arg;

	if (s->router)
		return !strcmp(s->router, r->object.name);
	if (!s->user)
		return false;
	return s->user->record.roles & ROLE_ADM ||
	       (s->user->record.roles & ROLE_SA &&
		names_have(&r->site->record.admins, s->user->object.name));
}

bool api_is_health(const struct route *r)
{
	return r->operation == OPERATION_GET_METRICS || r->operation == OPERATION_CHECK;
}

void api_health(struct api *api, const struct route *route, struct evhttp_request *q,
		const struct request *request)
{
	const struct caller *c = &request->caller;
	const struct registry *registry = service_registry(api->service);
	const struct scope scope = { .router = c->kind == CALLER_ROUTER ? c->name : NULL,
				     .user = c->kind == CALLER_USER
						     ? registry_user(registry, c->name)
						     : NULL };
	const char *router = json_string_value(json_object_get(request->arguments, "router"));
	bool all = scope.user && scope.user->record.roles & ROLE_ADM;
	char text[8];

	if (!push_publishes(api->push))
		api_send_on(api, q);
	else if (route->operation == OPERATION_CHECK)
		api_answer(q, 200, health_check(api->health, all, may, &scope));
	else
		api_answer(q, 200,
			   health_figures(api->health, router,
					  router || api_query(q, "links", text, sizeof(text)), may,
					  &scope));
}
