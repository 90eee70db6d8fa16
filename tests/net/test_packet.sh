#!/bin/bash
# Packets taken by AF_PACKET rings: what hosts see is what they see with the device,
# whatever they and the gateway do for packets by offloads; each packet goes one way; and a
# change of the method or of the workers loses none and doubles none.
# takes 65 s
. "$(dirname "$0")/lib.sh"
setup
internet
site 1
site 2

# by_device I: packets that the kernel has given to the router's device.
by_device()
{
	on "gw$1" cat /proc/net/dev | sed -n 's/^ *vine0: *//p' | awk '{ print $10 }'
}

# pings_once NODE ADDRESS COUNT [PING-OPTION...]: no loss, and no answer comes twice. Large
# ones one by one: a few fill ping's own socket.
pings_once()
{
	pings "$1" "$2" "$3" && refuses grep -qi dup "$WORK/ping"
}

once()
{
	flood_result "$1" && refuses grep -qi dup "$WORK/$1.log"
}

# balanced I: every packet of the router is accounted for.
balanced()
{
	ctl "$1" show counters | jq -e '
		def sum(f): [.workers[] | f | tonumber] | add;
		(sum(.intercepted) + sum(.received) + sum(.made)) ==
		(sum(.sent) + sum(.injected) + sum(.consumed) +
			([.drops[].packets | tonumber] | add))'
}

# udp_arrives NODE ADDRESS: all of a modest stream.
udp_arrives()
{
	on "$1" timeout 30 iperf3 -J -u -c "$2" -b 2M -l 64 -t 1 > "$WORK/udp.json" &&
		jq -e '.end.sum | .packets > 1000 and .lost_packets == 0' "$WORK/udp.json"
}

# offloads KIND on|off: at every end of the cables inside.
offloads()
{
	local i
	for i in 1 2; do
		on "h$i" ethtool -K eth0 "$1" "$2" && on "gw$i" ethtool -K "p-h$i" "$1" "$2" || return
	done > "$WORK/ethtool" 2>&1
}

inside_mtu()
{
	local i
	for i in 1 2; do
		ip -n "$(ns "h$i")" link set eth0 mtu "$1" &&
			ip -n "$(ns "gw$i")" link set "p-h$i" mtu "$1" &&
			ip -n "$(ns "gw$i")" link set lan mtu "$1" || return
	done
}

# seen: datagrams that the server at h2 was sent.
seen()
{
	on h2 nft -j list chain inet seen datagrams |
		jq '.nftables[].rule.expr[]?.counter.packets | select(. != null)'
}

# seen_once NODE ADDRESS OPTION...: each of its datagrams comes to h2, once.
seen_once()
{
	local sent
	{
		on h2 nft delete table inet seen
		on h2 nft 'add table inet seen
			add chain inet seen datagrams { type filter hook prerouting priority -400; }
			add rule inet seen datagrams udp dport 5201 counter'
	} 2> "$WORK/nft"
	on "$1" timeout 30 iperf3 -J -u -c "${@:2}" > "$WORK/udp.json" || return
	sent=$(($(jq .end.sum.packets "$WORK/udp.json") + 1)) # with the one that it begins with
	wait_for 3 eval '[ "$(seen)" -ge "$sent" ]'
	echo "$sent sent, $(seen) seen"
	[ "$sent" -gt 1000 ] && [ "$(seen)" = "$sent" ]
}

# same_bytes NODE URL: what is fetched is what is there.
same_bytes()
{
	on "$1" timeout 30 curl -s -g -o "$WORK/fetched" "$2" && cmp "$WORK/fetched" "$WORK/www/file"
}

from_lan()
{
	[ "$(ctl "$1" status | jq -c '[.intercept, .taken_from]')" = '["packet",["lan"]]' ]
}

said()
{
	grep -qF "$2" "$(log_of "$1")"
}

check "a server" iperf_server h2
# One in the Internet that knows the way to site 1, and claims to live there.
address net lo "$(host4 1)/32"
ip -n "$(ns net)" route add "$(host4 2)" via "$(wan4 1)"

for workers in 1 2; do
	name="packet, workers=$workers"
	configure_all method=packet workers=$workers
	check "$name: routers start" start_routers
	check "$name: status says whence packets are taken" from_lan 1
	check "$name: so it does to people" \
		eval 'ctl_text 1 status | grep -q "intercepted by packet from lan, injected by tun"'
	check "$name: the router's own rule does it" \
		eval 'on gw1 nft list table netdev vine-vine0 | grep -q "device \"lan\""'
	for inside in 4 6; do
		to=$(host_at 2 $inside)
		check "$name, IPv$inside: ping, the first packets included, none twice" \
			pings_once h1 "$to" 50
		check "$name, IPv$inside: iperf3 there" iperf h1 "$to"
		check "$name, IPv$inside: iperf3 back" iperf h1 "$to" -R
		check "$name, IPv$inside: four streams" iperf h1 "$to" -P 4
		check "$name, IPv$inside: small UDP packets all arrive" udp_arrives h1 "$to"
		check "$name, IPv$inside: ping of fragments" pings_once h1 "$to" 5 -s 4000 -i 0.1
	done
	at_most "$name: hosts' packets did not come by the device" "$(by_device 1)" 20
	at_least "$name: but by the rings" \
		"$(ctl 1 show counters | jq '[.workers[].intercepted | tonumber] | add')" 1000
	is "$name: traceroute shows both routers" "$(hops h1 "$(host4 2)")" \
		"$(lan4 1).1 $(lan4 2).1 $(host4 2)"
	is "$name: traceroute -6 shows both routers" "$(hops h1 "$(host6 2)")" \
		"$(lan6 1)::1 $(lan6 2)::1 $(host6 2)"
	check "$name: the MTU of the path is found" wait_for 15 settled 1 2
	is "$name: tracepath finds the overlay's MTU" "$(path_mtu h1 "$(host4 2)")" 1432
	is "$name: tracepath -6 finds the overlay's MTU" "$(path_mtu h1 "$(host6 2)")" 1432
	check "$name: what has options goes by the kernel" pings_once h1 "$(host4 2)" 3 -T tsonly
	check "$name: the gateway itself is not left out" pings_once gw1 "$(host4 2)" 5
	before=$(packets_out 1)
	check "$name: the Internet forges a host's address" \
		unreachable net "$(host4 2)" 5 -I "$(host4 1)"
	is "$name: none of that left" "$(packets_out 1)" "$before"
	check "$name: all packets are accounted for" balanced 1
	check "$name: routers end" stop_routers
	is "$name: no rule is left" "$(on gw1 nft list ruleset)" ""
done

# Whatever the hosts and the gateway's interfaces do for packets: each arrives, once.
mkdir -p "$WORK/www"
head -c 20000000 /dev/urandom > "$WORK/www/file"
check "a web server" http_server h2 "$WORK/www"
configure_all method=packet workers=2
check "offloads: routers start" start_routers
check "offloads: ping" pings_once h1 "$(host4 2)" 10
for kind in tso tx-udp-segmentation; do
	check "offloads: hosts send packets one by one, $kind" offloads $kind off
done
for gro in off on; do
	check "GRO $gro: so it is" offloads gro $gro
	for inside in 4 6; do
		to=$(host_at 2 $inside)
		url=$to
		[ $inside = 4 ] || url="[$to]"
		check "GRO $gro, IPv$inside: each datagram is seen once" \
			seen_once h1 "$to" -b 4M -l 200 -t 1
		check "GRO $gro, IPv$inside: what is fetched is what was there" \
			same_bytes h1 "http://$url/file"
	done
done
for kind in tso tx-udp-segmentation; do
	check "offloads: as before, $kind" offloads $kind on
done
check "whole: what is fetched is what was there" same_bytes h1 "http://$(host4 2)/file"

check "offloads: as before, GRO" offloads gro off

# Larger than a frame of the rings, and no super-packets: the router cuts, or says no.
check "jumbo: packets of 8 kB inside" inside_mtu 9000
on h1 ip route flush cache # of what was found before
on h1 ip -6 route flush cache
check "jumbo: ping of 8 kB" pings_once h1 "$(host4 2)" 10 -s 8000 -i 0.1 -M dont
check "jumbo: the MTU is said" eval \
	'on h1 ping -n -c 1 -W 1 -s 8000 -M do "$(host4 2)" 2>&1 | grep -qE "(mtu|MTU)[ =]*1432"'
check "jumbo: with IPv6 as well" eval \
	'on h1 ping -n -c 1 -W 1 -s 8000 -M do "$(host6 2)" 2>&1 | grep -qE "(mtu|MTU)[ =]*1432"'
check "jumbo: so it arrives" pings_once h1 "$(host6 2)" 10 -s 8000 -i 0.1
check "jumbo: iperf3" iperf h1 "$(host4 2)"
check "jumbo: as before" inside_mtu 1500

# What is the gateway's own goes to it, among what is not.
n=$(flood_count h1 "$(host4 2)" 1)
flood far h1 "$(host4 2)" "$n"
far=$spawned
flood own h1 "$(lan4 1).1" "$n"
own=$spawned
flood theirs h1 "$(lan6 2)::1" "$n"
theirs=$spawned
wait "$far" "$own" "$theirs"
check "gateways: hosts beyond lost nothing" once far
check "gateways: the own one lost nothing" once own
check "gateways: the other one lost nothing" once theirs
check "gateways: all packets are accounted for" balanced 1
check "gateways: routers end" stop_routers

# Interfaces come and go: what the rings don't get comes by the device.
configure_all method=packet
check "interfaces: routers start" start_routers
check "interfaces: ping" pings_once h1 "$(host4 2)" 10
ip -n "$(ns gw1)" link add eth9 type dummy 2> /dev/null ||
	ip -n "$(ns gw1)" link add eth9 type veth peer name eth9p
sed -i 's/^networks = .*/&\ninterfaces = eth8, eth9/' "$(conf 1)"
check "interfaces: reload with others" ctl_text 1 reload
check "interfaces: one line says what is wrong with them" said 1 \
	'packets are taken from no interface, and come by the device (eth8 is not there, eth9 is down)'
before=$(by_device 1)
check "interfaces: ping goes on" pings_once h1 "$(host4 2)" 10
at_least "interfaces: by the device" "$(by_device 1)" $((before + 10))
sed -i 's/^interfaces = .*/interfaces = lan/' "$(conf 1)"
check "interfaces: reload with the right one" ctl_text 1 reload
before=$(by_device 1)
check "interfaces: ping by the rings" pings_once h1 "$(host4 2)" 10
at_most "interfaces: not by the device" "$(by_device 1)" $((before + 3))
ip -n "$(ns gw1)" link set lan down
check "interfaces: going down is said" wait_for 15 said 1 '(lan is down)'
ip -n "$(ns gw1)" link set lan up
address gw1 lan "$(lan6 1)::1/64"
check "interfaces: ping works at once" wait_for 2 pings_once h1 "$(host4 2)" 3
check "interfaces: it is taken up again" wait_for 15 from_lan 1
check "interfaces: all packets are accounted for" balanced 1
check "interfaces: routers end" stop_routers

# A killed router hides nothing.
configure_all method=packet
check "kill: routers start" start_routers
check "kill: ping" pings_once h1 "$(host4 2)" 10
kill_router 1
is "kill -9: the rules went with it" "$(on gw1 nft list ruleset)" ""
check "kill -9: hosts are told" eval \
	'on h1 ping -n -c 2 -W 1 "$(host4 2)" | grep -qi unreachable'
check "kill -9: it starts again" start_router 1
check "kill -9: ping" wait_for 10 pings_once h1 "$(host4 2)" 10
check "kill -9: routers end" stop_routers

# All methods in turn under ping -f and TCP, with one worker and while their number changes.
for workers in "1" "2 1 3"; do
	name="switch, workers $workers"
	configure_all
	check "$name: routers start" start_routers
	check "$name: ping" pings_once h1 "$(host4 2)" 20
	n=$(flood_count h1 "$(host4 2)" 4)
	flood echo4 h1 "$(host4 2)" "$n"
	echo4=$spawned
	flood echo6 h1 "$(host6 2)" "$n"
	echo6=$spawned
	turns=0 wrong=0
	while alive "$echo4" || alive "$echo6"; do
		for method in packet nfqueue packet tun nfqueue tun; do
			turns=$((turns + 1))
			ctl_text 1 set intercept $method > /dev/null 2>&1 || wrong=$((wrong + 1))
			[ "$(ctl 1 status | jq -r .intercept)" = $method ] || wrong=$((wrong + 1))
			for n in $workers; do
				ctl_text 1 set workers "$n" > /dev/null 2>&1 || wrong=$((wrong + 1))
			done
		done
	done
	wait "$echo4" "$echo6"
	note "$turns switches"
	check "$name: ping -f lost nothing, and nothing came twice" once echo4
	check "$name: ping -6 -f lost nothing, and nothing came twice" once echo6
	at_least "$name: it was switched often" $turns 6
	is "$name: each time" $wrong 0

	rm -f "$WORK/stream.log"
	spawn stream h1 timeout 30 iperf3 -J -c "$(host4 2)" -t 4
	stream=$spawned
	while alive "$stream"; do
		for method in packet tun; do
			ctl_text 1 set intercept $method > /dev/null 2>&1 || wrong=$((wrong + 1))
			for n in $workers; do
				ctl_text 1 set workers "$n" > /dev/null 2>&1 || wrong=$((wrong + 1))
			done
		done
	done
	wait "$stream"
	is "$name: iperf3 goes on" "$(jq '[.intervals[] | .sum.bytes > 0] | all' "$WORK/stream.log")" true
	is "$name: each time" $wrong 0
	check "$name: all packets are accounted for" balanced 1
	check "$name: routers end" stop_routers
done
finish
