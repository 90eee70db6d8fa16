#!/bin/bash
# Limited routers where times and rates have bounds: firewalls that forget mappings or give others,
# addresses that change, also of public routers and of direct paths' ends; peers of a queue router
# that don't read; crowds of strangers.
# alone: times have bounds, rates are compared
#   PARTS="nat direct slow crowd"                     what is run (default: all)
#   CROWD=10000                                       connections of strangers
#   CROWDS="8463:drip 443:tls 8463:half-open"         what they do (all: every way there is)
. "$(dirname "$0")/lib.sh"
. "$here/limited.sh"
setup
CROWD=${CROWD:-10000}
CROWDS=${CROWDS:-8463:drip 443:tls 8463:half-open}
[ "$CROWDS" != all ] || CROWDS="8463:silent 8463:drip 8463:get 443:silent 443:tls 8463:half-open"
limited_sites

resident()
{
	sed -n "s/^VmRSS:\s*\([0-9]*\) kB/\1/p" "/proc/${router_pid[$1]}/status"
}

# ---- Mappings and addresses that change -----------------------------------------------

part_nat()
{
	local what
	for MODE in udp channel; do
		begin "$MODE" 1 3
		for what in forget rebind move readdress; do
			under_load "$MODE, nat: $what" h3 "$(host4 1)" 3 1000 1000 $what 3
		done
		over "$MODE"
	done
	MODE=
	begin "a public router moves" 1 7
	under_load "public" h7 "$(host4 1)" 3 1000 1000 move 7
	over "public"
}

part_direct()
{
	local what
	begin "a direct path's end moves" 1 3 4
	check "direct path" eval "answers h3 $(host4 4); wait_for 15 goes_directly 3 4"
	# Both NATs must be opened anew.
	for what in rebind move readdress; do
		under_load "direct path: $what" h3 "$(host4 4)" 3 1000 1000 $what 3
		check "direct path: $what: there is one again" wait_for 5 eval \
			"goes_directly 3 4 && goes_directly 4 3"
	done
	over "direct path"
}

# ---- Who does not read ---------------------------------------------------------------

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

run_parts nat direct slow crowd
finish
