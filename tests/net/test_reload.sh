#!/bin/bash
# What can be changed while the router runs is changed without losing a packet: tables
# by SIGHUP and by vinectl, the interception by vinectl. A bad file changes nothing.
# takes 40 s
. "$(dirname "$0")/lib.sh"
setup
internet
site 1
site 2

version()
{
	ctl 1 status | jq -r .table_version
}

reloaded()
{
	[ "$(version)" -gt "$1" ]
}

routed()
{
	ctl 1 why "$(host4 1)" 172.16.77.1 | jq -e '.reason != "no-route"'
}

for set in "method=tun inject=tun workers=1" "method=nfqueue inject=raw workers=2"; do
	# shellcheck disable=SC2086
	configure_all $set
	check "$set: routers start" start_routers
	check "$set: ping" pings h1 "$(host4 2)" 20
	plain=$(gndt_of 1)

	# A table that changes all the time, with what the flow needs always in it.
	n=$(flood_count h1 "$(host4 2)" 4)
	flood echo h1 "$(host4 2)" "$n"
	echo=$spawned
	turns=0 wrong=0
	while alive "$echo"; do
		turns=$((turns + 1))
		if [ $((turns % 2)) = 1 ]; then
			GNDT[1]="$plain
r2 = 172.16.77.0/24, 172.16.2.10, fd00:76:0:77::/64"
		else
			GNDT[1]=$plain
		fi
		before=$(version)
		# shellcheck disable=SC2086
		configure 1 $set
		if [ $((turns % 3)) = 0 ]; then
			kill -HUP "${router_pid[1]}"
		else
			ctl_text 1 reload > "$WORK/reload" 2>&1 || wrong=$((wrong + 1))
		fi
		wait_for 5 reloaded "$before" || wrong=$((wrong + 1))
		if [ $((turns % 2)) = 1 ]; then routed; else refuses routed; fi > /dev/null ||
			wrong=$((wrong + 1))
	done
	wait "$echo"
	note "$turns reloads"
	check "$set: ping -f lost nothing while the table changed" flood_result echo
	at_least "$set: the table changed often" $turns 3
	is "$set: each change was applied" $wrong 0
	GNDT[1]=$plain

	# A bad file.
	before=$(version)
	# shellcheck disable=SC2086
	configure 1 $set "more=[gndt 8000]
nobody = 172.16.88.0/24
[router]
color = blue"
	check_fails "$set: a bad file is refused" ctl_text 1 reload
	kill -HUP "${router_pid[1]}"
	check "$set: and said to be, with file and line" \
		wait_for 5 eval "grep -q '$(conf 1):[0-9]*: .*color' '$(log_of 1)'"
	is "$set: the old one stays" "$(version)" "$before"
	check "$set: and works" pings h1 "$(host4 2)" 20
	# shellcheck disable=SC2086
	configure 1 $set "more=[intercept]
device = other0"
	check_fails "$set: what can't change in a running router is refused" ctl_text 1 reload
	check "$set: it works on" pings h1 "$(host4 2)" 20
	# shellcheck disable=SC2086
	configure 1 $set
	check "$set: a good file again" ctl_text 1 reload
	check "$set: routers end" stop_routers
	unset 'GNDT[1]'
done

# The interception, there and back.
for workers in 1 2; do
	configure_all workers=$workers
	check "switch, workers=$workers: routers start" start_routers
	check "switch, workers=$workers: ping" pings h1 "$(host4 2)" 20
	n=$(flood_count h1 "$(host4 2)" 4)
	flood echo h1 "$(host4 2)" "$n"
	echo=$spawned
	turns=0 wrong=0
	while alive "$echo"; do
		turns=$((turns + 1))
		if [ $((turns % 2)) = 1 ]; then method=nfqueue; else method=tun; fi
		ctl_text 1 set intercept $method > /dev/null 2>&1 || wrong=$((wrong + 1))
		[ "$(ctl 1 status | jq -r .intercept)" = $method ] || wrong=$((wrong + 1))
	done
	wait "$echo"
	note "$turns switches"
	check "switch, workers=$workers: ping -f lost nothing" flood_result echo
	at_least "switch, workers=$workers: it was switched often" $turns 3
	is "switch, workers=$workers: each time" $wrong 0
	check_fails "switch, workers=$workers: to a method that is none" ctl_text 1 set intercept teleport
	check "switch, workers=$workers: ping after it" pings h1 "$(host6 2)" 20
	check "switch, workers=$workers: routers end" stop_routers
done
finish
