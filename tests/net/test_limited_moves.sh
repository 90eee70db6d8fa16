#!/bin/bash
# Firewalls that forget limited routers' mappings, or give them others, and addresses that change,
# also those of direct paths and public routers: flows go on within a second.
# alone: a second is little on a machine that does something else
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
begin "a direct path's end moves" 1 3 4
check "direct path" eval "answers h3 $(host4 4); wait_for 15 goes_directly 3 4"
# Both NATs must be opened anew.
for what in rebind move readdress; do
	under_load "direct path: $what" h3 "$(host4 4)" 4 1000 1000 $what 3
	check "direct path: $what: there is one again" wait_for 5 eval \
		"goes_directly 3 4 && goes_directly 4 3"
done
over "direct path"
finish
