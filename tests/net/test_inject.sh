#!/bin/bash
# Packets given back past the kernel's routing: straight to the interface, with what is
# known of neighbours, routes and links kept up to date; and the method changed while
# packets flow.
# takes 45 s
. "$(dirname "$0")/lib.sh"
setup
internet
site 1
site 2 h2=10 lr=20

# A second router in the LAN of site 2, and a host behind it.
host_behind()
{
	on lr sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 &&
		node far && cable lr back far eth0 &&
		address lr back 172.16.22.1/24 fd00:76:0:22::1/64 &&
		address far eth0 172.16.22.10/24 fd00:76:0:22::10/64 &&
		default_route far 172.16.22.1 fd00:76:0:22::1 &&
		ip -n "$(ns gw2)" route add 172.16.22.0/24 via 172.16.2.20 &&
		ip -n "$(ns gw2)" -6 route add fd00:76:0:22::/64 via fd00:76:0:2::20
}
check "a host behind a second router" host_behind
LNDT[2]="8000 = 172.16.2.0/24, fd00:76:0:2::/64, 172.16.22.0/24, fd00:76:0:22::/64"
GNDT[1]="[gndt 8000]
r2 = 172.16.2.0/24, fd00:76:0:2::/64, 172.16.22.0/24, fd00:76:0:22::/64"

event()
{
	ctl "$1" show counters | jq -r ".events.$2"
}

# direct NAME SITE NODE ADDRESS: packets from the node to that address leave the site's
# gateway straight by the interface, once its MAC is known.
all_direct()
{
	local before
	pings "$2" "$3" 3 || return
	before=$(event "$1" packets_by_raw_socket)
	pings "$2" "$3" 20 || return
	[ "$(event "$1" packets_by_raw_socket)" = "$before" ]
}

direct()
{
	check "$1: past the kernel" wait_for 5 all_direct "$2" "$3" "$4"
}

told()
{
	on "$1" tracepath -n "$2" > "$WORK/path" 2>&1
	cat "$WORK/path"
	grep -q "Resume: pmtu $3 " "$WORK/path"
}

for set in "workers=1" "workers=2 encrypt=aes-256-gcm method=nfqueue"; do
	# shellcheck disable=SC2086
	configure_all inject=packet $set
	check "$set: routers start" start_routers
	is "$set: so they say" "$(ctl 1 status | jq -r .inject)" packet
	for family in 4 6; do
		direct "$set, IPv$family" 2 h1 "$(host_at 2 $family)"
		direct "$set, IPv$family, other way" 1 h2 "$(host_at 1 $family)"
	done
	direct "$set, behind a router" 2 h1 172.16.22.10
	direct "$set, behind a router, IPv6" 2 h1 fd00:76:0:22::10
	check "$set: the gateway itself" pings h1 172.16.2.1 5
	check "$set: the gateway itself, IPv6" pings h1 fd00:76:0:2::1 5

	iperf_server h2
	server=$spawned
	for family in 4 6; do
		failed=$(dropped 2 inject-failed)
		for options in "" "-R" "-P 4" "-u -b 50M -l 64 -t 1" \
			"-u -b 200M -l 1200 -t 1" "-u -b 50M -l 1200 -t 1 -R"; do
			# shellcheck disable=SC2086
			check "$set, IPv$family: iperf3 $options" iperf h1 "$(host_at 2 $family)" $options
			note "$(jq -r '.end | .sum_received // .sum |
				"\(.bits_per_second / 1e6 | floor) Mbit/s, \(.lost_percent // 0) % lost"' \
				"$WORK/iperf.json")"
		done
		is "$set, IPv$family: the interface took everything" \
			"$(dropped 2 inject-failed)" "$failed"
	done
	end "$server"
	check "$set: routers end" stop_routers
done

# Neighbours that change.
configure_all inject=packet
check "neighbours: routers start" start_routers
direct "neighbours" 2 h1 "$(host4 2)"
check "another MAC address" ip -n "$(ns h2)" link set eth0 address 02:00:00:00:22:01
check "another MAC address: found again" wait_for 15 answers h1 "$(host4 2)"
direct "another MAC address" 2 h1 "$(host4 2)"

received()
{
	on h2 cat /proc/net/snmp | awk '/^Udp:/ { n++; if (n == 2) print $2 + $3 }'
}

received_more()
{
	on h1 bash -c "echo x > /dev/udp/$(host4 2)/9"
	[ "$(received)" -gt "$1" ]
}

# It says nothing of its new address by itself.
check "one that only receives" wait_for 5 received_more "$(received)"
on h2 sysctl -qw net.ipv4.icmp_ratelimit=1000000 # hardly an error is answered
on h2 ip link set eth0 address 02:00:00:00:22:02
check "one that only receives: found again" wait_for 15 received_more "$(received)"
on h2 sysctl -qw net.ipv4.icmp_ratelimit=0

ip -n "$(ns gw2)" link set lan address 02:00:00:00:22:99
check "the gateway's own MAC address" wait_for 5 answers h1 "$(host4 2)"
direct "the gateway's own MAC address" 2 h1 "$(host4 2)"

ip -n "$(ns h2)" link set eth0 down
check "a host that is gone: unreachable" wait_for 20 unreachable h1 "$(host4 2)" 3
check "a host that is gone: the others are there" pings h1 172.16.2.20 5
ip -n "$(ns h2)" link set eth0 up
address h2 eth0 "$(host6 2)/64"
default_route h2 172.16.2.1 fd00:76:0:2::1
check "a host that is back" wait_for 15 answers h1 "$(host4 2)"
direct "a host that is back" 2 h1 "$(host4 2)"

ip -n "$(ns gw2)" route del 172.16.22.0/24
check "a route that is gone" wait_for 5 unreachable h1 172.16.22.10 3
ip -n "$(ns gw2)" route add 172.16.22.0/24 via 172.16.2.20
direct "a route that is back" 2 h1 172.16.22.10

ip -n "$(ns gw2)" link set lan down
check "an interface that is down" wait_for 5 unreachable h1 "$(host4 2)" 3
ip -n "$(ns gw2)" link set lan up
address gw2 lan fd00:76:0:2::1/64
check "an interface that is back" wait_for 10 answers h1 "$(host4 2)"
direct "an interface that is back" 2 h1 "$(host4 2)"
ip -n "$(ns gw2)" route replace 172.16.22.0/24 via 172.16.2.20
ip -n "$(ns gw2)" -6 route replace fd00:76:0:22::/64 via fd00:76:0:2::20

# The site's routing rules are the kernel's to follow.
ip -n "$(ns gw2)" rule add from 192.0.2.0/24 lookup main pref 100
by_kernel()
{
	local before
	before=$(event 2 packets_by_raw_socket)
	pings h1 "$(host4 2)" 5 && [ "$(event 2 packets_by_raw_socket)" -ge $((before + 5)) ]
}
check "a routing rule: by the kernel" wait_for 5 by_kernel
direct "a routing rule, of the other family" 2 h1 "$(host6 2)"
ip -n "$(ns gw2)" rule del pref 100
direct "no routing rule" 2 h1 "$(host4 2)"
check "neighbours: routers end" stop_routers

# A LAN that takes less than the overlay carries: the sender is told, through it.
ip -n "$(ns gw2)" link set lan mtu 1300
for p in "$(ns gw2) p-h2" "$(ns h2) eth0"; do
	ip -n "${p% *}" link set "${p#* }" mtu 1300
done
for inject in tun raw packet; do
	configure 1
	configure 2 inject=$inject
	check "MTU of the LAN, $inject: routers start" start_routers
	check "MTU of the LAN, $inject: path known" wait_for 10 settled 1 2
	check "MTU of the LAN, $inject: h1 is told" told h1 "$(host4 2)" 1300
	check "MTU of the LAN, $inject: h1 is told, IPv6" told h1 "$(host6 2)" 1300
	on h1 ip route flush cache
	on h1 ip -6 route flush cache
	check "MTU of the LAN, $inject: fragments" pings h1 "$(host4 2)" 5 -s 1350 -M dont
	iperf_server h2
	check "MTU of the LAN, $inject: TCP" iperf h1 "$(host4 2)"
	end "$spawned"
	check "MTU of the LAN, $inject: routers end" stop_routers
	on h1 ip route flush cache
	on h1 ip -6 route flush cache
done
for p in "$(ns gw2) lan" "$(ns gw2) p-h2" "$(ns h2) eth0"; do
	ip -n "${p% *}" link set "${p#* }" mtu 1500
done

# The method, changed by reload.
for workers in 1 2; do
	configure_all workers=$workers
	check "switch, workers=$workers: routers start" start_routers
	check "switch, workers=$workers: ping" pings h1 "$(host4 2)" 20
	n=$(flood_count h1 "$(host4 2)" 4)
	flood echo h1 "$(host4 2)" "$n"
	echo=$spawned
	turns=0 wrong=0
	while alive "$echo"; do
		for inject in raw packet tun; do
			turns=$((turns + 1))
			configure_all workers=$workers inject=$inject
			ctl_text 1 reload > /dev/null 2>&1 || wrong=$((wrong + 1))
			ctl_text 2 reload > /dev/null 2>&1 || wrong=$((wrong + 1))
			[ "$(ctl 2 status | jq -r .inject)" = $inject ] || wrong=$((wrong + 1))
		done
	done
	wait "$echo"
	note "$turns changes"
	check "switch, workers=$workers: ping -f lost nothing" flood_result echo
	at_least "switch, workers=$workers: it was changed often" $turns 3
	is "switch, workers=$workers: each time" $wrong 0
	check "switch, workers=$workers: routers end" stop_routers
done
finish
