#!/bin/bash
# Limited routers behind NAT and their queue routers by UDP: reached at all, with how many
# workers, at which speed; asking at intervals; a queue router that dies under load.
# takes 70 s
. "$(dirname "$0")/lib.sh"
. "$here/firewall.sh"
. "$here/flows.sh"
setup
NAME[1]=q1 NAME[2]=q2
QUEUE_ROUTERS="1 2"
internet
for site_kind in "1 public" "2 public" "3 nat" "4 symmetric"; do
	# shellcheck disable=SC2086
	check "site $site_kind" walled_site $site_kind
done
for i in 1 3 4; do
	check "server on h$i" iperf_server "h$i"
done

# By UDP alone.
listen_of()
{
	echo "udp = 0.0.0.0:8463, [::]:8463"
}

reach_of()
{
	is_limited "$2" || printf 'endpoint = %s:8463\n' "$(first_wan4 "$2")"
	! is_queue_router "$1" || echo "relay = yes"
}

everyone_linked() { all_linked && linked 3 4 && linked 4 3; }

# begin NAME [KEY=VALUE...]
begin()
{
	local name=$1 i
	shift
	for i in "${sites[@]}"; do
		check "$name: router $i starts" eval "configure_walled $i $* && start_router $i"
	done
	check "$name: all are linked" wait_for 30 everyone_linked
	check "$name: the path's MTU is found" wait_for 10 settled 3 4
}

for MODE in udp poll-udp; do
	[ "$MODE" = udp ] || INTERVAL=20ms
	for workers in 1 2; do
		name="$MODE, $workers workers"
		begin "$name" workers=$workers
		check "$name: by the queue router" eval "goes_by_relay 3 4 && goes_by_relay 4 3"
		check "$name: ping" pings h3 "$(host4 4)" 200
		check "$name: ping, IPv6, back" pings h4 "$(host6 3)" 200
		[ "$MODE" != udp ] || {
			check "$name: ping -f" eval "flood flood h3 $(host4 4) 5000 &&
				wait \$spawned; flood_result flood"
			is "$name: MTU inside" "$(peer 3 4 .path.inner_mtu)" 1392
			check "$name: packets of that size" pings h3 "$(host4 4)" 20 -s 1364 -M do
		}
		there=$(iperf h3 "$(host4 4)" -t 2)
		back=$(iperf h3 "$(host6 4)" -t 2 -R)
		direct=$(iperf h3 "$(host4 1)" -t 2)
		note "$name: $there and back $back Mbit/s, with the queue router's site $direct"
		at_least "$name: iperf3 there, Mbit/s" "${there%.*}" 5
		at_least "$name: iperf3 back, Mbit/s" "${back%.*}" 5
		check "$name: routers end" stop_routers
	done
done
MODE=udp INTERVAL=

for how in kill_router cut_off; do
	begin "$how"
	used=1 other=2
	! goes_via 3 4 2 || used=2 other=1
	under_load "$how" h3 "$(host4 4)" 8 3000 3000 "$how" $used
	check "$how: by the other one" eval "goes_via 3 4 $other && goes_via 4 3 $other"
	if [ "$how" = cut_off ]; then
		check "$how: connected again" reconnect
	else
		check "$how: started again" start_router $used
	fi
	check "$how: it is found again" wait_for 60 everyone_linked
	check "$how: nothing is lost" pings h3 "$(host4 4)" 200
	check "$how: routers end" stop_routers
done

# Who may not has nothing relayed.
for i in "${sites[@]}"; do
	check "router $i" configure_walled "$i"
done
check "not for these" sed -i 's/relay = yes/relay = no/' "$(conf 1)" "$(conf 2)"
check "routers start" start_routers
check "they are linked to their queue routers" wait_for 20 eval "linked 3 1 && linked 4 2"
check_fails "but not with each other" wait_for 5 linked 3 4
at_least "and that is counted" $(($(dropped 1 not-a-relay) + $(dropped 2 not-a-relay))) 1
check "routers end" stop_routers
finish
