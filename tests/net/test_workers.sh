#!/bin/bash
# The number of workers changes while packets flow: none is lost, each worker that is
# there has its part, each flow stays where it is, and nothing is left behind by those
# that are not there any more.
# takes 60 s
. "$(dirname "$0")/lib.sh"
setup
internet
site 1
site 2

threads_of()
{
	cat "/proc/${router_pid[$1]}"/task/*/comm | grep -c '^worker'
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

# change N [M]: both at once, the second to M.
change()
{
	local first
	ctl_text 1 set workers "$1" >> "$WORK/changes" 2>&1 &
	first=$!
	ctl_text 2 set workers "${2:-$1}" >> "$WORK/changes" 2>&1 || wrong=$((wrong + 1))
	wait $first || wrong=$((wrong + 1))
	works 1 "$1" && works 2 "${2:-$1}" || wrong=$((wrong + 1))
}

# longest: how long packets waited, of all changes so far.
longest()
{
	sed -nE 's/.*waited ([0-9.]+) ms.*/\1/p' "$WORK/changes" | sort -n |
		awk '{ a[NR] = $1 } END { print "waited " a[int(NR / 2) + 1] " ms (median), " a[NR] " at most" }'
}

# udp NAME PORT SECONDS [OPTION...]: numbered datagrams from h1 to h2 beside the test.
udp()
{
	local name=$1 port=$2 seconds=$3
	shift 3
	rm -f "$WORK/$name.log"
	spawn "$name" h1 iperf3 -J -u -c "$(host4 2)" -p "$port" -l 500 -t "$seconds" \
		--connect-timeout 3000 "$@"
}

# no_room NODE: datagrams that its own sockets had no room for.
no_room()
{
	on "$1" nstat -asz UdpRcvbufErrors | awk '/^Udp/ { print $2 }'
}

# udp_whole NAME [in-order]: nothing was lost on the way to the hosts.
udp_whole()
{
	local sent lost late room=$(($(no_room h1) + $(no_room h2)))
	read -r sent lost late < <(jq -r '[([.end.streams[].udp.packets] | add),
		([.end.streams[].udp.lost_packets] | add),
		([.end.streams[].udp.out_of_order] | add)] | @tsv' "$WORK/$1.log")
	echo "UDP: ${sent:-nothing} sent, $lost lost, $late late; no room in sockets for $room"
	[ "${sent:-0}" -gt 1000 ] && [ "$lost" -le "$room" ] || { tail -n 30 "$WORK/$1.log"; false; } &&
		{ [ "${2:-}" != in-order ] || [ "$late" = 0 ]; }
}

# shares I in|out: packets that each of its workers carried, one a line.
shares()
{
	local key=sent
	[ "$2" = out ] || key=injected
	ctl "$1" show counters | jq -r ".workers[] | select(.works).$key"
}

# privileged I: listens on a port that only root may have.
privileged()
{
	sed -i 's/:8463/:443/g' "$(conf "$1")"
}

# Everything at once, while the workers change at both ends.
for set in "method=tun encrypt=aes-256-gcm" "method=nfqueue inject=raw" "method=packet"; do
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

	rm -f "$WORK/changes"
	n4=$(flood_count h1 "$(host4 2)" 3)
	n6=$(flood_count h2 "$(host6 1)" 3)
	flood echo4 h1 "$(host4 2)" $((n4 / 2))
	echo4=$spawned
	flood echo6 h2 "$(host6 1)" $((n6 / 2))
	echo6=$spawned
	udp udp 5202 8 -b 1M -P 4
	udp=$spawned
	rm -f "$WORK/tcp.log"
	spawn tcp h1 iperf3 -J -c "$(host6 2)" -t 6 -b 50M -P 2 --connect-timeout 3000
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
	note "$turns changes; $(longest)"
	at_least "$set: they changed, a round at least" "$turns" 6
	is "$set: each time" "$wrong" 0
	check "$set: ping -f lost nothing" flood_result echo4
	check "$set: nor with IPv6" flood_result echo6
	check "$set: nor did UDP" udp_whole udp
	check "$set: TCP ran on" jq -e '.end.sum_received.bits_per_second > 2e7' "$WORK/tcp.log"

	# What those had that are gone is kept for the next time, and no more than that.
	change 4
	before="$(descriptors 1) $(descriptors 2)"
	for n in 1 4 2 1 4 3 4; do change "$n"; done
	is "$set: no descriptors are left behind" "$(descriptors 1) $(descriptors 2)" "$before"
	carried=$(packets_out 1)
	change 1
	check "$set: one worker again" works 1 1
	at_least "$set: what the others carried is not forgotten" "$(packets_out 1)" "$carried"
	is "$set: and whose it was" "$(ctl 1 show counters | jq '.workers | length')" 4
	check "$set: ping with one" pings h1 "$(host4 2)" 20
	end "$server"
	end "$udp_server"
	check "$set: routers end" stop_routers
done

# busiest I: $worker, which of its workers has sent the most since the last call, and $sent,
# how many packets.
before=''
busiest()
{
	local now
	now=$(shares "$1" out)
	read -r worker sent < <(paste <(echo "$now") <(echo "$before") |
		awk '{ print NR - 1, $1 - $2 }' | sort -k 2nr)
	before=$now
}

# What is not TCP does not wait behind it: workers take turns.
configure_all workers=2
check "TCP apart: routers start" start_routers
check "TCP apart: ping" pings h1 "$(host4 2)" 20
check "TCP apart: a server" iperf_server h2
server=$spawned
if ctl 1 show config | jq -e .offloads.tun_steering > /dev/null; then
	busiest 1
	for h in "$(host4 2)" "$(host6 2)"; do
		flood echo h1 "$h" 1000
		wait "$spawned"
		busiest 1
		other=$worker
		at_least "TCP apart: $h: pings" "$sent" 900
		check "TCP apart: $h: a stream" iperf h1 "$h" -t 1
		busiest 1
		at_least "TCP apart: $h: its packets" "$sent" 900
		is "TCP apart: $h: the other worker's" $((worker + other)) 1
	done
	spawn tcp h1 iperf3 -J -c "$(host4 2)" -t 3 --connect-timeout 3000
	tcp=$spawned
	on h1 ping -n -i 0.002 -c 1000 "$(host4 2)" > "$WORK/beside" 2>&1
	wait "$tcp"
	is "TCP apart: pings beside a stream are answered" \
		"$(grep -c 'bytes from' "$WORK/beside")" 1000
	check "TCP apart: in their order" \
		sh -c "sed -n 's/.*icmp_seq=\([0-9]*\) .*/\1/p' '$WORK/beside' | sort -nc"
fi
end "$server"
check "TCP apart: routers end" stop_routers

# Of many flows both ways each worker has its part, however many there are at either end,
# and no flow goes from one to the other.
for set in "3 3" "4 4" "4 3" "2 4"; do
	read -r a b <<< "$set"
	configure 1 workers="$a"
	configure 2 workers="$b"
	check "$set: routers start" start_routers
	check "$set: ping" pings h1 "$(host4 2)" 20
	spawn udp-server h2 iperf3 -s -p 5202
	udp_server=$spawned
	check "$set: a server" wait_for 5 listening h2 5202
	check "$set: and another" iperf_server h2
	server=$spawned
	udp udp 5202 3 -b 500K -P 32 --bidir
	wait "$spawned"
	check "$set: nothing lost, nothing out of order" udp_whole udp in-order
	check "$set: TCP" on h1 iperf3 -c "$(host4 2)" -t 3 -b 500K -P 32 --bidir \
		--connect-timeout 3000
	for i in 1 2; do
		note "$set: r$i sent $(shares "$i" out | xargs), gave its hosts $(shares "$i" in | xargs)"
	done
	if [ "$a" = "$b" ]; then
		for i in 1 2; do
			at_least "$set: all of r$i send" "$(shares "$i" out | sort -n | head -n 1)" 500
			at_least "$set: all of r$i receive" "$(shares "$i" in | sort -n | head -n 1)" 500
		done
	fi
	end "$udp_server"
	end "$server"
	check "$set: routers end" stop_routers
done

# What is refused changes nothing. A port below 1024 is no hindrance.
configure_all workers=2
privileged 1
privileged 2
check "refused: routers start" start_routers
check "refused: ping" pings h1 "$(host4 2)" 20
for n in 0 33 -1 two auto; do
	ctl_text 1 set workers "$n" > "$WORK/refused" 2>&1
	is "refused: workers $n" "$? $(wc -l < "$WORK/refused")" "1 1"
done
ctl_text 1 set workers > "$WORK/refused" 2>&1
is "refused: workers without a number" $? 2
prlimit --pid "${router_pid[1]}" --nofile=$(($(descriptors 1) + 8)):
check_fails "refused: more than there are descriptors for" ctl_text 1 set workers 32
check "refused: there are two still" works 1 2
check "refused: ping" pings h1 "$(host4 2)" 20
prlimit --pid "${router_pid[1]}" --nofile=1024:
check "refused: as many as there can be" ctl_text 1 set workers 32
check "refused: they work" works 1 32
check "refused: ping with them" pings h1 "$(host4 2)" 20
configure 1 workers=3
privileged 1
check "refused: the file says three" ctl_text 1 reload
check "refused: there are three" works 1 3
ctl_text 1 set workers 2 > "$WORK/set" 2>&1
configure 1 workers=3 log=debug
privileged 1
check "refused: a file that says nothing new of it" ctl_text 1 reload
check "refused: leaves what was set" works 1 2
check "refused: ping at the end" pings h1 "$(host6 2)" 20
check "refused: routers end" stop_routers
finish
