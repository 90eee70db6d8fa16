#!/bin/bash
# NFQUEUE with super-packets: whatever size a host's segments have, whoever made it so,
# they arrive at that size, with their bytes, and no connection hangs; the method
# changes under load without loss.
. "$(dirname "$0")/lib.sh"
setup
internet
site 1
site 2

bytes=30000000

# fetch NODE ADDRESS SECONDS: what the server there has, whole and in time.
fetch()
{
	local host=$2
	[[ $host != *:* ]] || host="[$host]"
	on "$1" curl -fsS -g --max-time "$3" "http://$host/data" | sha256sum |
		cmp - "$WORK/sum"
}

# counted I EVENT
counted()
{
	ctl "$1" show counters | jq -r ".events.$2"
}

# counter NODE NAME: of the machine's kernel.
counter()
{
	on "$1" nstat -asz "$2" | awk -v n="$2" '$1 == n { print $2 }'
}

# nothing_lost I: no drop of a host's packet.
nothing_lost()
{
	ctl "$1" show counters | jq -c '[.drops[] | select(.packets != "0" and
		.reason != "unknown-source")]' | tee "$WORK/lost"
	[ "$(cat "$WORK/lost")" = "[]" ]
}

# announces NODE BYTES: the largest segments that it says it takes (0: as usual).
announces()
{
	ip -n "$(ns "$1")" route change default via "$(lan4 2).1" advmss "$2" &&
		ip -n "$(ns "$1")" -6 route change default via "$(lan6 2)::1" advmss "$2"
}

# narrow_lan BYTES: beyond gateway 2, on its side only: its kernel tells who sends more.
narrow_lan()
{
	ip -n "$(ns gw2)" link set p-h2 mtu "$1" && ip -n "$(ns gw2)" link set lan mtu "$1"
}

forget_paths()
{
	ip -n "$(ns h1)" route flush cache && ip -n "$(ns h1)" -6 route flush cache
}

mkdir "$WORK/www"
head -c $bytes /dev/urandom > "$WORK/www/data"
sha256sum < "$WORK/www/data" > "$WORK/sum"
check "servers" eval "http_server h1 $WORK/www && http_server h2 $WORK/www"

# ---- Sizes ------------------------------------------------------------------

# Segments come to h2 one by one, with finished checksums, and are looked at there.
configure 1 method=nfqueue
configure 2 method=nfqueue inject=raw
check "routers start" start_routers
check "the MTU of the path is found" wait_for 15 settled 1 2
check "a query for the whole configuration" eval 'ctl 1 show config > "$WORK/json"'
check "show config says that super-packets are taken" jq -e '.offloads.nfqueue_gso' "$WORK/json"
for inside in 4 6; do
	here1=$(host_at 1 $inside)
	check "IPv$inside: a transfer" fetch h2 "$here1" 20
	for mss in 1000 536; do
		# There is no IPv6 host that takes less than 1,280 bytes.
		[ $inside$mss != 6536 ] || continue
		announces h2 $mss
		header=$((inside == 4 ? 40 : 60))
		sniff large h2 eth0 "tcp and greater $((14 + header + mss + 1)) and dst host $(host_at 2 $inside)"
		check "IPv$inside: a far host that takes segments of $mss bytes" fetch h2 "$here1" 30
		check "sniffing ends" end "$spawned" INT
		is "IPv$inside: and gets no larger ones" "$(sniffed large)" 0
	done
	announces h2 0
done
at_least "super-packets were taken whole" "$(($(packets_out 1) / ($(ctl 1 show counters |
	jq '[.workers[].intercepted | tonumber] | add') + 1)))" 2
is "no checksum was wrong at the receiver" "$(counter h2 TcpInCsumErrors)" 0
check "IPv4 without DF, larger than the path" pings h1 "$(host4 2)" 20 -M dont -s 1450
check "IPv4 without DF, in fragments already" pings h1 "$(host4 2)" 20 -M dont -s 4000
check "nothing was dropped on the way out" nothing_lost 1
check "routers end" stop_routers

# ---- Paths that get narrow behind the overlay --------------------------------

configure_all method=nfqueue
check "injected by the device: routers start" start_routers
check "injected by the device: the MTU is found" wait_for 15 settled 1 2
for inside in 4 6; do
	narrow_lan 1300
	check "IPv$inside: a far LAN of 1,300 bytes" fetch h2 "$(host_at 1 $inside)" 20
	narrow_lan 1500
	forget_paths
	# In the middle of a transfer, which is slow enough for that.
	before=$(packets_out 1)
	host=$(host_at 1 $inside)
	[ $inside = 4 ] || host="[$host]"
	spawn middle h2 sh -c "curl -fsS -g --max-time 40 --limit-rate 15M http://$host/data |
		sha256sum > $WORK/middle.sum"
	client=$spawned
	check "IPv$inside: a transfer goes" wait_for 10 \
		eval '[ "$(packets_out 1)" -gt $((before + 2000)) ]'
	narrow_lan 1300
	check "IPv$inside: it ends after a far LAN got narrow" wait_for 40 gone "$client"
	check "IPv$inside: and is whole" cmp "$WORK/middle.sum" "$WORK/sum"
	narrow_lan 1500
	forget_paths
done

# Nobody is told, and h1 finds out by its own probing (RFC 4821): all that shows the
# router its new size is the packets themselves. For h2 to look at they must be single.
on h1 sysctl -qw net.ipv4.tcp_mtu_probing=1 net.ipv4.tcp_retries1=1
check "raw: routers end" stop_routers
configure 2 method=nfqueue inject=raw
check "raw: routers start" start_routers
check "raw: the MTU is found" wait_for 15 settled 1 2
on h2 nft -f - << END
table inet silent {
	chain in {
		type filter hook input priority 0;
		meta l4proto tcp meta length > 1200 drop
	}
}
END
check "a sender that finds the size out by itself" fetch h2 "$(host4 1)" 40
on h2 nft delete table inet silent
on h1 sysctl -qw net.ipv4.tcp_mtu_probing=0 net.ipv4.tcp_retries1=3
check "raw: routers end" stop_routers

# ---- Changing the method ----------------------------------------------------

configure_all workers=2
check "two workers: routers start" start_routers
check "two workers: the MTU is found" wait_for 15 settled 1 2
flood ping h1 "$(host4 2)" "$(flood_count h1 "$(host4 2)" 3)"
pinging=$spawned
loads=()
for inside in 4 6; do
	host=$(host_at 1 $inside)
	[ $inside = 4 ] || host="[$host]"
	spawn load$inside h2 sh -c "for i in 1 2 3 4 5 6 7 8; do
		curl -fsS -g --max-time 30 http://$host/data | sha256sum; done > $WORK/load$inside"
	loads+=("$spawned")
done

changes=0
while alive "${loads[0]}" || alive "${loads[1]}"; do
	ctl 1 set intercept nfqueue > "$WORK/set" && ctl 1 set intercept tun > "$WORK/set" || break
	changes=$((changes + 2))
done
note "$changes changes"
at_least "the method changed under load" $changes 10
for inside in 4 6; do
	for i in 1 2 3 4 5 6 7 8; do cat "$WORK/sum"; done > "$WORK/sums"
	check "IPv$inside: all transfers were whole" cmp "$WORK/load$inside" "$WORK/sums"
done
check "ping ends" wait_for 30 gone "$pinging"
check "ping lost nothing" flood_result ping
check "nothing was dropped by the router" nothing_lost 1
is "no packet is left in a queue" \
	"$(on gw1 awk '{ n += $3 } END { print n }' /proc/net/netfilter/nfnetlink_queue)" 0
check "two workers: routers end" stop_routers
finish
