/*
 * A NAT in front of a site, for UDP over IPv4. See net.h.
 *
 * An entry is what a connection tracker keeps: whom the router has written to, and from
 * which port outside. It dies when nothing has passed by it for as long as the NAT
 * remembers.
 */
#include "tests/sim/net.h"

static struct nat_entry *find(struct nat *nat, const struct endpoint *remote, mono_t now)
{
	for (unsigned i = 0; i < NAT_ENTRIES; i++) {
		struct nat_entry *e = &nat->entries[i];

		if (e->port && nat->life && mono_since(now, e->used) > nat->life)
			e->port = 0;
		if (e->port && (!remote || endpoint_equal(&e->remote, remote)))
			return e;
	}
	return NULL;
}

static struct nat_entry *room(struct nat *nat)
{
	struct nat_entry *oldest = &nat->entries[0];

	for (unsigned i = 0; i < NAT_ENTRIES; i++) {
		if (!nat->entries[i].port)
			return &nat->entries[i];
		if (mono_before(nat->entries[i].used, oldest->used))
			oldest = &nat->entries[i];
	}
	return oldest;
}

struct endpoint nat_out(struct nat *nat, const struct endpoint *remote, mono_t now)
{
	struct nat_entry *e = find(nat, remote, now);
	const struct nat_entry *any;

	if (!e) {
		any = nat->kind == NAT_SYMMETRIC ? NULL : find(nat, NULL, now);
		e = room(nat);
		e->remote = *remote;
		e->port = any ? any->port : (uint16_t)(20000 + 7 * ++nat->made);
	}
	e->used = now;
	return (struct endpoint){ nat->outside, e->port };
}

bool nat_in(struct nat *nat, const struct endpoint *from, uint16_t port, mono_t now)
{
	struct nat_entry *e = find(nat, from, now);

	if (!e || e->port != port) {
		nat->refused++;
		return false;
	}
	e->used = now;
	return true;
}

void nat_forget(struct nat *nat)
{
	for (unsigned i = 0; i < NAT_ENTRIES; i++)
		nat->entries[i].port = 0;
}
