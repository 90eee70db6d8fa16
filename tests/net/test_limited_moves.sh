#!/bin/bash
# Firewalls that forget limited routers' mappings, or give them others, and addresses that change,
# also those of public routers: flows go on within a second.
# takes 75 s
. "$(dirname "$0")/lib.sh"
. "$here/limited.sh"
setup
limited_sites

for MODE in udp channel; do
	begin "$MODE" 1 3
	for what in forget rebind move readdress; do
		under_load "$MODE, nat: $what" h3 "$(host4 1)" 4 1000 1000 $what 3
	done
	over "$MODE"
done
MODE=
begin "a public router moves" 1 7
under_load "public" h7 "$(host4 1)" 4 1000 1000 move 7
over "public"
finish
