/*
 * A request of the API, before anybody looks at who asks: which route it is of, and its
 * arguments out of path and body. Pure: everything in it is a stranger's.
 */
#ifndef AUTHORITY_API_REQUEST_H
#define AUTHORITY_API_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "authority/api.h"

/* NULL: there is none; *ret_path: but the path has one by another method. */
const struct route *api_route(const char *method, const char *path, bool *ret_path);
/* Always a value, the caller's: an object of what body and path say, or no object where the
 * body is none. The path is the route's. */
json_t *api_arguments(const struct route *, const char *path, const char *body, size_t len);
/* null where it isn't UTF-8, which no operation takes. */
void api_set_text(json_t *arguments, const char *name, const char *value);
/* Whether what stands behind the '?' (or NULL) asks for a dry run. */
bool api_dry_run(const char *query);

#endif
