#!/bin/bash
# Limited routers and their queue routers: each mode, what it costs, direct paths, queue routers
# that die.
#   PARTS="modes direct death"   what is run (default: all)
# takes 145 s
. "$(dirname "$0")/lib.sh"
. "$here/limited.sh"
setup
limited_sites

# ---- Modes, and what they cost ------------------------------------------------------

# cost: direct and relayed turn by turn, medians in microseconds.
cost()
{
	local round
	rm -f "$WORK/direct" "$WORK/relayed"
	for round in 1 2 3 4 5; do
		times h5 "$(host4 1)" "$WORK/direct"
		times h5 "$(host4 6)" "$WORK/relayed"
	done
	direct=$(median "$WORK/direct")
	relayed=$(median "$WORK/relayed")
}

part_modes()
{
	local base= bound direct relayed
	INTERVAL=20ms
	for MODE in udp channel poll-udp poll-tcp; do
		begin "$MODE" 1 5 6
		check "$MODE: the first packets get through" wait_for 10 answers h5 "$(host4 6)"
		check "$MODE: ping" pings h5 "$(host4 6)" 100
		check "$MODE: ping the other way, IPv6" pings h6 "$(host6 5)" 100
		check "$MODE: it goes by the queue router" eval \
			"goes_via 5 6 1 && goes_via 6 5 1"
		check "$MODE: iperf3 there" iperf h5 "$(host4 6)" -t 1
		check "$MODE: iperf3 back" iperf h5 "$(host6 6)" -t 1 -R
		check "$MODE: iperf3 with the queue router's site" iperf h5 "$(host4 1)" -t 1 -R
		cost
		[ -n "$base" ] || base=$direct
		note "$MODE: round trip to the queue router's site $direct us, through it to" \
			"another limited router's $relayed us (medians)"
		# Generous: other programs run on this machine.
		case $MODE in
		poll-*) bound=$((2 * 20000 + 3 * base + 5000)) ;;
		*) bound=$((3 * direct + 1000)) ;;
		esac
		at_most "$MODE: a round trip through the queue router, us" "$relayed" $bound
		over "$MODE"
	done
	MODE= INTERVAL=
}

# ---- Direct paths -----------------------------------------------------------------

# Router I has tried a direct path to J, and says that there is none.
says_why_not()
{
	tried "$1" "$2" | grep -qE '^udp: failed: [^-]'
}

# finds_nat I KIND: router I's netcheck; all that it says if that is wrong.
finds_nat()
{
	ctl "$1" netcheck > "$WORK/netcheck.json"
	is "netcheck, ${KIND[$1]}: NAT" "$(jq -r .nat.kind "$WORK/netcheck.json")" "$2" ||
		jq -c . "$WORK/netcheck.json" | diagnose
}

part_direct()
{
	local pair a b
	QUEUE_ROUTERS="1 2"
	begin direct 1 2 3 4 5 6 7
	# From the very first packet on.
	watch h3 "$(host4 4)" 8
	check "nat and nat: a direct path is found" wait_for 15 eval \
		"goes_directly 3 4 && goes_directly 4 3"
	check "nat and nat: show links says which" eval "tried 3 4 | grep '^udp: used'"
	wait "$watching"
	is "nat and nat: nothing was lost on the way there" "$(lost)" 0
	at_most "nat and nat: nor out of order, but for the change" "$(disordered)" 2
	check "nat and nat: iperf3 there" iperf h3 "$(host4 4)"
	check "nat and nat: iperf3 back" iperf h3 "$(host4 4)" -R

	under_load "nat and nat, the direct path is cut" h3 "$(host4 4)" 8 3000 - cut_between 3 4
	check "nat and nat, cut: it goes by the queue router" eval "goes_by_relay 3 4 &&
		goes_by_relay 4 3"
	check "nat and nat, cut: and says why" says_why_not 3 4
	watch h3 "$(host4 4)" 10
	check "nat and nat: the cut is mended" reconnect
	check "nat and nat: direct again" wait_for 60 eval \
		"goes_directly 3 4 && goes_directly 4 3"
	wait "$watching"
	is "nat and nat: nothing was lost on the way back" "$(lost)" 0

	for pair in "3 5" "5 6"; do
		a=${pair% *} b=${pair#* }
		check "$pair: the first packets" wait_for 10 answers "h$a" "$(host4 "$b")"
		check "${KIND[$a]} and ${KIND[$b]}: it says why there is no direct path" \
			wait_for 15 says_why_not "$a" "$b"
		check "${KIND[$a]} and ${KIND[$b]}: the relay is kept" goes_by_relay "$a" "$b"
		check "${KIND[$a]} and ${KIND[$b]}: ping" pings "h$a" "$(host4 "$b")" 100
	done
	finds_nat 3 endpoint-independent
	finds_nat 5 address-and-port-dependent
	finds_nat 7 none
	over direct
	QUEUE_ROUTERS=1
}

# ---- Queue routers that die -----------------------------------------------------------

part_death()
{
	local how mode name used other
	QUEUE_ROUTERS="1 2"
	for how in "kill_router channel" "cut_off channel"; do # by UDP: test_relay.sh
		MODE=${how#* } how=${how% *}
		name="queue router, $how, $MODE"
		begin "$name" 1 2 5 6
		check "$name: ping" wait_for 10 answers h5 "$(host4 6)"
		used=1 other=2
		! goes_via 5 6 2 || used=2 other=1
		under_load "$name" h5 "$(host4 6)" 8 3000 - "$how" $used
		check "$name: it goes by the other one" eval "goes_via 5 6 $other &&
			goes_via 6 5 $other"
		if [ "$how" = cut_off ]; then
			check "$name: connected again" reconnect
		else
			check "$name: started again" start_router $used
		fi
		check "$name: it is found again" wait_for 60 all_linked
		check "$name: ping, nothing lost" pings h5 "$(host4 6)" 100
		over "$name"
	done
	QUEUE_ROUTERS=1 MODE=
}

run_parts modes direct death
finish
