#!/bin/bash
# Limited routers and their queue routers on bad days: each mode, what it costs, direct
# paths, queue routers that die, firewalls that forget and move, peers that don't read,
# crowds of strangers.
# alone: times have bounds
#   PARTS="modes direct death rebinding slow crowd"   what is run (default: all)
#   CROWD=10000                                       connections of strangers
#   CROWDS="8463:drip 443:tls 8463:half-open"         what they do (all: every way there is)
. "$(dirname "$0")/lib.sh"
. "$here/firewall.sh"
. "$here/flows.sh"
setup
PARTS=${PARTS:-modes direct death rebinding slow crowd}
CROWD=${CROWD:-10000}
CROWDS=${CROWDS:-8463:drip 443:tls 8463:half-open}
[ "$CROWDS" != all ] || CROWDS="8463:silent 8463:drip 8463:get 443:silent 443:tls 8463:half-open"
NAME[1]=q1 NAME[2]=q2

# 1 and 2 are queue routers' sites, 7 is public too.
all_sites=(1 2 3 4 5 6 7)
internet
for site_kind in "1 public" "2 public" "3 nat" "4 nat" "5 symmetric" "6 symmetric" "7 public"; do
	# shellcheck disable=SC2086
	check "site $site_kind" walled_site $site_kind
done
for i in "${all_sites[@]}"; do
	check "server on h$i" iperf_server "h$i"
done

# begin NAME SITE...: routers of these sites, linked to their queue routers.
begin()
{
	local name=$1 i
	shift
	sites=("$@")
	for i in "${sites[@]}"; do
		check "$name: router $i starts" eval "configure_walled $i && start_router $i"
	done
	check "$name: all are linked to their queue routers" wait_for 30 all_linked
}

# over NAME
over()
{
	check "$1: routers end" stop_routers
}

# ---- Modes, and what they cost ------------------------------------------------------

# times NODE ADDRESS FILE: of forty pings, in microseconds.
times()
{
	on "$1" ping -n -c 40 -i 0.01 -W 2 "$2" |
		sed -nE 's/.*time=([0-9.]+) ms/\1/p' | awk '{ print int($1 * 1000) }' >> "$3"
}

median()
{
	sort -n "$1" | awk '{ v[NR] = $1 } END { print NR ? v[int((NR + 1) / 2)] : "none" }'
}

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
	check "nat and nat: iperf3 there" iperf h3 "$(host4 4)" -t 1
	check "nat and nat: iperf3 back" iperf h3 "$(host4 4)" -t 1 -R

	under_load "nat and nat, the direct path is cut" h3 "$(host4 4)" 10 3000 - cut_between 3 4
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

# ---- Mappings and addresses that change -----------------------------------------------

part_rebinding()
{
	local what
	for MODE in udp channel; do
		begin "$MODE" 1 3
		for what in forget rebind move readdress; do
			under_load "$MODE, nat: $what" h3 "$(host4 1)" 5 1000 1000 $what 3
		done
		over "$MODE"
	done
	MODE=
	begin "a public router moves" 1 7
	under_load "public" h7 "$(host4 1)" 5 1000 1000 move 7
	over "public"
	begin "a direct path's end moves" 1 3 4
	check "direct path" eval "answers h3 $(host4 4); wait_for 15 goes_directly 3 4"
	# Both NATs must be opened anew.
	for what in rebind move readdress; do
		under_load "direct path: $what" h3 "$(host4 4)" 5 1000 1000 $what 3
		check "direct path: $what: there is one again" wait_for 5 eval \
			"goes_directly 3 4 && goes_directly 4 3"
	done
	over "direct path"
}

# ---- Who does not read ---------------------------------------------------------------

resident()
{
	sed -n "s/^VmRSS:\s*\([0-9]*\) kB/\1/p" "/proc/${router_pid[$1]}/status"
}

# trickling: router 6's TCP goes by a reader that is as slow as $WORK/rate says.
trickling()
{
	local port=9463
	: > "$WORK/rate"
	on fw6 nft -f - <<- END || return
		insert rule ip firewall own iifname "inside" tcp dport $port accept
		table ip trickle {
			chain before {
				type nat hook prerouting priority -100;
				iifname "inside" tcp dport { 443, 8463 } redirect to :$port
			}
		}
	END
	spawn trickle fw6 "$PYTHON" "$here/trickle.py" $port "$WORK/rate"
	wait_for 5 listening fw6 $port
}

# burden: 40 Mbit/s to the slow one for 6 s, and meanwhile others: Mbit/s to rate, a
# round trip's median to trip, the most that router 1 had resident to peak.
burden()
{
	local load i r
	rm -f "$WORK/trips" "$WORK/burden.log"
	spawn burden h5 timeout 10 iperf3 -u -b 40M -l 1200 -t 6 -c "$(host4 6)"
	load=$spawned
	rate=$(iperf h3 "$(host4 1)" -t 3 -R)
	peak=0
	for i in 1 2 3 4 5; do
		times h3 "$(host4 1)" "$WORK/trips"
		r=$(resident 1)
		[ "$r" -le "$peak" ] || peak=$r
	done
	trip=$(median "$WORK/trips")
	lost_trips=$((200 - $(wc -l < "$WORK/trips")))
	end "$load"
}

part_slow()
{
	local how name rate trip peak lost_trips base_rate base_trip base_peak
	MODE=channel QUEUE_BYTES=1048576
	check "a slow reader before router 6" trickling
	begin slow 1 3 5 6
	check "slow: ping" wait_for 10 answers h5 "$(host4 6)"
	burden
	base_rate=$rate base_trip=$trip base_peak=$peak
	note "reading: others have $rate Mbit/s, $trip us; resident $peak KiB"
	for how in "0 bytes a second" "1 byte a second" "stopped"; do
		name="slow, $how"
		if [ "$how" = stopped ]; then
			check "$name: the router" kill -STOP "${router_pid[6]}"
		else
			echo "${how%% *}" > "$WORK/rate"
		fi
		burden
		note "$name: others have $rate Mbit/s, $trip us; resident $peak KiB"
		at_most "$name: the queue router's memory is within its bound, KiB more" \
			$((peak - base_peak)) $((QUEUE_BYTES / 1024 + 2048))
		at_least "$name: its queue was full" "$(($(dropped 1 frames-full) +
			$(dropped 1 frames-old)))" 1
		is "$name: nothing of others was lost" "$lost_trips" 0
		at_least "$name: others' rate" "${rate%.*}" $((${base_rate%.*} / 2))
		at_most "$name: others' round trip, us" "$trip" $((3 * base_trip + 5000))
		[ "$how" != stopped ] || kill -CONT "${router_pid[6]}"
		: > "$WORK/rate"
		check "$name: it comes back" wait_for 20 answers h5 "$(host4 6)"
	done
	over slow
	on fw6 nft delete table ip trickle
	MODE= QUEUE_BYTES=
}

# ---- Crowds --------------------------------------------------------------------------

# crowd PORT WAY: pid in $crowding. crowd_over: says how it went.
crowd()
{
	rm -f "$WORK/crowd.log"
	# shellcheck disable=SC2046
	spawn crowd crowd sh -c 'ulimit -n $(ulimit -H -n) && exec "$@"' - "$PYTHON" "$here/crowd.py" \
		--to "$(wan4 1):$1" --count "$CROWD" --way "$2" $(printf '192.0.2.%d ' {66..97})
	crowding=$spawned
	wait_for 60 grep -q reached "$WORK/crowd.log"
}

crowd_over()
{
	end "$crowding" && grep begun "$WORK/crowd.log"
}

descriptors()
{
	find "/proc/${router_pid[$1]}/fd" -type l | wc -l
}

few_descriptors()
{
	[ "$(descriptors 1)" -le $((before + 4)) ]
}

# half_open: what answers the crowd's SYNs is lost; and not any more.
half_open()
{
	on crowd nft -f - <<- 'END'
		table ip deaf {
			chain in {
				type filter hook input priority 0;
				tcp flags & (syn | ack) == syn | ack drop
			}
		}
	END
}

part_crowd()
{
	local turn port way name before resident
	MODE=channel
	check "a crowd" outsider crowd 1
	begin crowd 1 3 4
	check "crowd: ping" wait_for 10 answers h3 "$(host4 1)"
	before=$(descriptors 1) resident=$(resident 1)
	note "before: $before descriptors, $resident KiB"
	for turn in $CROWDS; do
		port=${turn%:*} way=${turn#*:} name="crowd, $turn"
		if [ "$way" = half-open ]; then
			check "$name: SYNs alone" half_open
			way=silent
		fi
		check "$name: $CROWD connections" crowd "$port" "$way"
		check "$name: others lose nothing" pings h3 "$(host4 1)" 200
		check "$name: nor does TCP stop" iperf h3 "$(host4 1)" -t 1
		check "$name: who comes now gets in" eval "stop_router 4 && start_router 4 &&
			wait_for 30 linked 4 1"
		check "$name: and is served" wait_for 10 answers h4 "$(host4 1)"
		note "$name: $(descriptors 1) descriptors, $(resident 1) KiB"
		at_most "$name: descriptors" "$(descriptors 1)" 1024
		at_most "$name: memory, KiB more" $(($(resident 1) - resident)) 65536
		check "$name: goes" crowd_over
		note "$name: $(grep begun "$WORK/crowd.log")"
		check "$name: and leaves nothing" wait_for 20 few_descriptors
	done
	over crowd
	MODE=
}

for part in $PARTS; do
	note "part $part"
	"part_$part"
	sites=("${all_sites[@]}")
done
finish
