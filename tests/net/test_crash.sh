#!/bin/bash
# A router that is killed leaks nothing to the Internet and comes back by itself; one
# that is stopped leaves its machine as it found it.
# takes 40 s
. "$(dirname "$0")/lib.sh"
setup
internet
site 1
site 2
INNER="net 172.16.0.0/12 or net fd00:76::/32"

# state NODE: everything that a router might have changed on its machine.
state()
{
	local n
	n=$(ns "$1")
	echo "addresses"
	ip -n "$n" -o addr | sed 's/ valid_lft.*//; s/\\.*//'
	ip -n "$n" -o link | sed 's/ state [A-Z]* / /; s/ qlen.*//'
	echo "routes"
	ip -n "$n" route show table all
	ip -n "$n" -6 route show table all | sed 's/ expires.*//'
	ip -n "$n" rule
	ip -n "$n" -6 rule
	echo "netfilter"
	on "$1" nft list ruleset
	echo "sysctl"
	on "$1" sysctl -a 2> /dev/null | grep '^net\.' |
		grep -vE 'nf_conntrack_count|\.(tcp_fastopen_key|stable_secret)|\.neigh\..*stat' | sort
}

# same_state BEFORE AFTER
same_state()
{
	diff -U 1 "$WORK/state-$1" "$WORK/state-$2"
}

# Watches the Internet for packets of hosts in clear.
leak_begin()
{
	sniff leak net to1 "$INNER"
	leak=$spawned
}

# leak_none NAME: there was none.
leak_none()
{
	end "$leak" INT
	is "$1" "$(sniffed leak)" 0
}

# That a leak would be seen at all: without a router, there is one.
leak_begin
check "without a router: no answer" unreachable h1 "$(host4 2)" 5
check "without a router: the Internet sees the packets" wait_for 3 eval '[ "$(sniffed leak)" -ge 5 ]'
end "$leak" INT

for set in "method=tun inject=tun workers=1" "method=nfqueue inject=raw workers=2"; do
	state gw1 > "$WORK/state-before"
	# shellcheck disable=SC2086
	configure_all $set
	check "$set: routers start" start_routers
	check "$set: ping" pings h1 "$(host4 2)" 20
	check "$set: ping, IPv6" pings h1 "$(host6 2)" 20
	slowest=0
	for turn in 1 2 3 4 5; do
		leak_begin
		kill_router 1
		unreachable h1 "$(host4 2)" 20 > /dev/null || not_ok "$set: dead, yet it answers"
		unreachable h1 "$(host6 2)" 20 > /dev/null || not_ok "$set: dead, yet it answers (IPv6)"
		now_ms from
		check "$set: start after kill -9, turn $turn" start_router 1
		check "$set: the way is back" wait_for 5 answers h1 "$(host4 2)"
		now_ms to
		[ $((to - from)) -le $slowest ] || slowest=$((to - from))
		check "$set: no packet is lost then" pings h1 "$(host6 2)" 20
		leak_none "$set: nothing leaked to the Internet, turn $turn"
	done
	at_most "$set: back within two seconds, milliseconds" $slowest 2000
	note "slowest return: $slowest ms"

	# The other end, which is told nothing: what wants through makes it happen.
	for turn in 1 2 3; do
		kill_router 2
		start_router 2
		now_ms from
		check "$set: the far router killed and back: the way too, turn $turn" \
			wait_for 5 answers h1 "$(host4 2)"
		now_ms to
		at_most "$set: within two seconds, milliseconds" $((to - from)) 2000
	done

	# Killed again and stopped well at last.
	kill_router 1
	check "$set: start after kill -9" start_router 1
	check "$set: ping" wait_for 5 pings h1 "$(host4 2)" 5
	check "$set: routers end" stop_routers
	state gw1 > "$WORK/state-after"
	check "$set: addresses, routes, rules and sysctls are what they were" same_state before after
done

# A device that is taken away under a running router.
configure_all
check "device taken away: routers start" start_routers
check "device taken away: ping" pings h1 "$(host4 2)" 5
pid=${router_pid[1]}
ip -n "$(ns gw1)" link del vine0
check "device taken away: the router ends, to be started again" wait_for 5 gone "$pid"
wait "$pid" 2> /dev/null
is "device taken away: with a failure" $? 1
check "device taken away: and says so" grep -q 'device vine0 is gone' "$(log_of 1)"
check "device taken away: it starts" start_router 1
check "device taken away: and works" wait_for 5 pings h1 "$(host4 2)" 5
check "device taken away: routers end" stop_routers
state gw1 > "$WORK/state-after"
check "device taken away: nothing is left on the machine" same_state before after

# fail = open is what it says: the site's own routes take over.
configure_all fail=open
check "fail = open: routers start" start_routers
check "fail = open: ping" pings h1 "$(host4 2)" 5
kill_router 1
leak_begin
unreachable h1 "$(host4 2)" 5 > /dev/null
check "fail = open: packets go where the machine's routes say" \
	wait_for 3 eval '[ "$(sniffed leak)" -ge 5 ]'
end "$leak" INT
check "fail = open: it starts again" start_router 1
check "fail = open: routers end" stop_routers
state gw1 > "$WORK/state-after"
check "fail = open: nothing is left on the machine" same_state before after
finish
