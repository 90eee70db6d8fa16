#!/bin/bash
# Two networks, the same addresses in both: whoever is a member of one reaches its
# hosts and never the other's; and what fails a check is counted under its name.
. "$(dirname "$0")/lib.sh"
setup
RED=8001 BLUE=8002

# Sites 1 (red) and 2 (blue) both hold 172.16.50.0/24; site 3 has members of either,
# and one host that is a member of none.
LAN4[1]=172.16.50 LAN6[1]=fd00:76:0:50
LAN4[2]=172.16.50 LAN6[2]=fd00:76:0:50
internet
site 1
site 2
site 3 h3red=10 h3blue=20 h3none=30

LNDT[1]="$RED = 172.16.50.0/24, 172.16.60.0/24, fd00:76:0:50::/64"
LNDT[2]="$BLUE = 172.16.50.0/24, fd00:76:0:50::/64"
LNDT[3]="$RED = 172.16.3.10, fd00:76:0:3::10
$BLUE = 172.16.3.20, fd00:76:0:3::20"
GNDT[1]="[gndt $RED]
r3 = 172.16.3.0/24, fd00:76:0:3::/64"
GNDT[2]="[gndt $BLUE]
r3 = 172.16.3.0/24, fd00:76:0:3::/64"
GNDT[3]="[gndt $RED]
r1 = 172.16.50.0/24, fd00:76:0:50::/64
[gndt $BLUE]
r2 = 172.16.50.0/24, fd00:76:0:50::/64"

# names NODE ADDRESS N: who answers, asked N times, each name once.
names()
{
	local i host=$2
	[[ $host != *:* ]] || host="[$host]"
	for ((i = 0; i < $3; i++)); do
		on "$1" curl -sS -g --max-time 5 "http://$host/name" 2>&1
	done | sort -u | xargs
}

# both_at_once ADDRESS: red and blue ask the same address at the same time.
both_at_once()
{
	names h3red "$1" 20 > "$WORK/red" &
	local red=$!
	names h3blue "$1" 20 > "$WORK/blue"
	wait $red
}

# drops_under NAME ROUTER REASON NODE ADDRESS: nothing arrives, and 5 are counted.
drops_under()
{
	local name=$1 router=$2 reason=$3 before
	before=$(dropped "$router" "$reason")
	check "$name: nothing comes back" unreachable "$4" "$5" 5
	is "$name: counted as $reason" "$(($(dropped "$router" "$reason") - before))" 5
}

for i in 1 2; do
	mkdir "$WORK/www$i"
	[ $i = 1 ] && echo red > "$WORK/www$i/name" || echo blue > "$WORK/www$i/name"
	check "server h$i" http_server h$i "$WORK/www$i"
done

for set in "method=tun workers=1" "method=nfqueue inject=raw workers=2" \
	"method=tun inject=raw encrypt=aes-256-gcm"; do
	# shellcheck disable=SC2086
	configure_all $set
	check "$set: routers start" start_routers
	for to in 172.16.50.10 fd00:76:0:50::10; do
		both_at_once $to
		is "$set: red asks $to" "$(cat "$WORK/red")" red
		is "$set: blue asks $to at the same time" "$(cat "$WORK/blue")" blue
	done
	check "$set: red's host reaches red's" pings h1 172.16.3.10 5
	check "$set: blue's host reaches blue's" pings h2 172.16.3.20 5
	check "$set: red's host reaches red's, IPv6" pings h1 fd00:76:0:3::10 5

	drops_under "$set: from red to a host of blue" 3 not-member h1 172.16.3.20
	drops_under "$set: from blue to a host of red" 3 not-member h2 172.16.3.10
	drops_under "$set: from blue to a host of red, IPv6" 3 not-member h2 fd00:76:0:3::10
	drops_under "$set: to a host of no network" 3 not-member h1 172.16.3.30
	drops_under "$set: a source of no network" 3 unknown-source h3none 172.16.50.10
	drops_under "$set: a source of no network, IPv6" 3 unknown-source h3none fd00:76:0:50::10
	drops_under "$set: a destination that nobody has" 3 no-route h3red 172.16.99.1
	drops_under "$set: a destination that nobody has, IPv6" 3 no-route h3blue fd00:76:0:99::1

	# Router 1 takes 172.16.60.0/24 for its own, which the others' table doesn't say.
	address h1 eth0 172.16.60.10/24
	ip -n "$(ns gw1)" route add 172.16.60.0/24 dev lan
	before=$(dropped 3 forged-source)
	check_fails "$set: a forged inner source behind a known router" \
		on h1 ping -q -n -c 5 -i 0.01 -W 0.3 -I 172.16.60.10 172.16.3.10
	is "$set: counted as forged-source" "$(($(dropped 3 forged-source) - before))" 5
	ip -n "$(ns gw1)" route del 172.16.60.0/24 dev lan
	ip -n "$(ns h1)" addr del 172.16.60.10/24 dev eth0

	check "$set: the routers agree that nothing else was dropped" eval '
		[ "$(ctl 3 show counters | jq -r "[.drops[] | select(.packets != \"0\").reason] | sort | join(\" \")")" = \
			"forged-source no-route not-member unknown-source" ]'
	check "$set: routers end" stop_routers
done

# A packet from the Internet with a member's source never gets into a network.
configure_all
check "routers start" start_routers
check "red's host reaches red's" pings h3red 172.16.50.10 5
ip -n "$(ns net)" route add 172.16.50.0/24 via "$(wan4 3)"
ip -n "$(ns net)" addr add 172.16.3.10/32 dev lo
sniff leak h1 eth0 icmp
capture=$spawned
on net ping -q -n -c 5 -i 0.01 -W 0.3 -I 172.16.3.10 172.16.50.10 > /dev/null 2>&1
check "red's host reaches red's still" pings h3red 172.16.50.10 5
end "$capture" INT
is "from the Internet with a member's source: nothing gets in" "$(sniffed leak)" 10
check "routers end" stop_routers
finish
