#!/bin/bash
# The number of workers changes while packets flow: none is lost, each worker that is
# there has its part, and nothing is left behind by those that are not.
. "$(dirname "$0")/lib.sh"
setup
internet
site 1
site 2

threads_of()
{
	# shellcheck disable=SC2126 # names, not lines
	cat "/proc/${router_pid[$1]}"/task/*/comm | grep '^worker' | wc -l
}

descriptors()
{
	find "/proc/${router_pid[$1]}/fd" -mindepth 1 | wc -l
}

# works I N: it says so, and has the threads.
works()
{
	[ "$(ctl "$1" status | jq .workers)" = "$2" ] && [ "$(threads_of "$1")" = "$2" ]
}

# change N [M]: both at once, the other to M.
change()
{
	ctl_text 1 set workers "$1" >> "$WORK/changes" 2>&1 &
	local first=$!
	ctl_text 2 set workers "${2:-$1}" >> "$WORK/changes" 2>&1 || wrong=$((wrong + 1))
	wait $first || wrong=$((wrong + 1))
	works 1 "$1" && works 2 "${2:-$1}" || wrong=$((wrong + 1))
}

# udp NAME NODE ADDRESS SECONDS [OPTION...]: beside the test; udp_result NAME: nothing
# lost, and of each flow few out of order: when it moves to another worker.
udp()
{
	local name=$1 node=$2 to=$3 seconds=$4
	shift 4
	spawn "$name" "$node" iperf3 -J -u -c "$to" -b 10M -l 1000 -t "$seconds" \
		--connect-timeout 3000 "$@"
}

udp_result()
{
	jq -e '[.end.sum.packets, .end.sum.lost_packets, ([.end.streams[].udp.out_of_order] | add)] |
		. as [$n, $lost, $late] | "\($n) sent, \($lost) lost, \($late) late" |
		(stderr | empty), ($n > 1000 and $lost == 0 and $late <= '"$2"')' "$WORK/$1.log" ||
		{ tail -c 2000 "$WORK/$1.log"; false; }
}

# Everything at once, while workers change: 1 2 4 1 3, both ends, and each alone.
for set in "method=tun encrypt=aes-256-gcm" "method=nfqueue inject=raw"; do
	# shellcheck disable=SC2086
	configure_all $set
	check "$set: routers start" start_routers
	check "$set: ping" pings h1 "$(host4 2)" 20
	check "$set: ping, IPv6" pings h1 "$(host6 2)" 20
	check "$set: a server" iperf_server h2
	server=$spawned
	spawn udp-server h2 iperf3 -s -p 5202
	udp_server=$spawned
	check "$set: and another" wait_for 5 listening h2 5202
	is "$set: one worker" "$(threads_of 1)" 1

	n4=$(flood_count h1 "$(host4 2)" 6)
	n6=$(flood_count h2 "$(host6 1)" 6)
	flood echo4 h1 "$(host4 2)" $((n4 / 4))
	echo4=$spawned
	flood echo6 h2 "$(host6 1)" $((n6 / 4))
	echo6=$spawned
	udp udp h1 "$(host4 2)" 10 -p 5202 -P 4
	udp=$spawned
	spawn tcp h1 iperf3 -J -c "$(host6 2)" -t 8 -b 100M -P 2 --connect-timeout 3000
	tcp=$spawned
	wrong=0 turns=0
	while alive "$echo4" || alive "$echo6" || alive "$tcp"; do
		for n in 2 4 1 3 "4 2" 1; do
			# shellcheck disable=SC2086
			change $n
			turns=$((turns + 1))
		done
	done
	wait "$echo4" "$echo6" "$tcp"
	wait "$udp"
	note "$turns changes; $(sort -n -k 8 "$WORK/changes" | tail -n 1)"
	at_least "$set: they changed often" "$turns" 12
	is "$set: each time" "$wrong" 0
	check "$set: ping -f lost nothing" flood_result echo4
	check "$set: nor with IPv6" flood_result echo6
	check "$set: nor did UDP" udp_result udp 100000
	check "$set: TCP ran on" jq -e '.end.sum_received.bits_per_second > 2e7' "$WORK/tcp.log"

	# What those had who are gone is kept for the next time, and no more than that.
	change 4
	before="$(descriptors 1) $(descriptors 2)"
	for n in 1 4 2 1 4 3 4; do change "$n"; done
	is "$set: no descriptors are left behind" "$(descriptors 1) $(descriptors 2)" "$before"
	change 1
	check "$set: one worker again" works 1 1
	ctl 1 show counters > "$WORK/one"
	check "$set: the others' counts are kept" jq -e '.workers | length == 4' "$WORK/one"
	check "$set: ping with one" pings h1 "$(host4 2)" 20
	check "$set: still nothing was lost" udp_result udp 100000
	end "$server"
	end "$udp_server"
	check "$set: routers end" stop_routers
done
finish
