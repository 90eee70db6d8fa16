/*
 * The table of roles and operations: see roles.h.
 */
#include "authority/roles.h"

#include <string.h>

const struct operation_rule operation_rules[OPERATIONS] = {
#define X(id, name, paper, ours, arguments) { name, paper, ours, arguments },
	OPERATION_LIST(X)
#undef X
};

enum operation operation_named(const char *name)
{
	enum operation o = 0;

	while (o < OPERATIONS && strcmp(operation_rules[o].name, name))
		o++;
	return o;
}

bool role_may(enum operation o, uint32_t roles)
{
	return roles & (operation_rules[o].paper | operation_rules[o].ours);
}
