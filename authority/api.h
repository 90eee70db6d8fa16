/*
 * The JSON API under /v1: what a request of HTTP asks of the service, and how its answer
 * is said. Errors are RFC 7807 (application/problem+json).
 */
#ifndef AUTHORITY_API_H
#define AUTHORITY_API_H

#include "authority/ca.h"
#include "authority/download.h"
#include "authority/health.h"
#include "authority/http.h"
#include "authority/push.h"
#include "authority/roles.h"
#include "authority/service.h"

/* A path's segments in braces are arguments of the operation. Ends with one whose path is
 * NULL. The API, its description and the tests are of this one table. */
struct route {
	const char *method, *path;
	enum operation operation;
	const char *summary;
};
extern const struct route api_routes[];

struct api {
	struct service *service;
	struct push *push;
	struct health *health;
	struct lobby *lobby;	   /* NULL: this process is the only one */
	struct download *download; /* NULL: none */
	struct http *http;	   /* whose requests these are; NULL: not known */
	struct ca *ca;
	char *url;	     /* where routers reach this process */
	char *pin;	     /* of the server's key, as curl has them; NULL: not known */
	long users, routers; /* seconds that their certificates are good */
};

/* An http_fn, whose argument is the struct api. */
http_fn api_handle;

/* The OpenAPI 3 document that describes it. */
json_t *api_description(void);

#endif
