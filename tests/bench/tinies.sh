#!/bin/bash
# tinies.sh NUMBER: what so many tinies cost their router. All come at once, as after its
# restart, with real handshakes (tinies.c); memory and processor time of the router.
. "$(dirname "$0")/../net/lib.sh"
. "$here/cloud.sh"
setup
number=$1
NAME[1]=hub

sections()
{
	local i file
	file=$(tiny_key 1)
	printf '[intercept]\nnetworks = 10.0.0.0/8\n'
	for ((i = 1; i <= number; i++)); do
		printf '[tiny v%s]\nid = %s\nkey-file = %s\nnetwork = %s\naddress = 10.%s.%s.%s\n' $i \
			$((10000 + i)) "$file" "$NETWORK" $((1 + i / 62500)) $((i / 250 % 250)) $((i % 250 + 1))
	done
}

memory() { awk -v f="$1:" '$1 == f { print $2 }' "/proc/${router_pid[1]}/status"; }
ticks() { awk '{ print $14 + $15 }' "/proc/${router_pid[1]}/stat"; }

internet
site 1
configure 1
check "a router without tinies" start_router 1
alone=$(memory VmRSS)
check "ends" stop_router 1
configure 1 "more=$(sections)"
check "a router with $number tinies" start_router 1
known=$(memory VmRSS)
node box
cable box eth0 net tobox
address box eth0 203.0.113.2/30
address net tobox 203.0.113.1/30
ip -n "$(ns box)" route add default via 203.0.113.1
before=$(ticks)
spawn tinies box "$BUILD/bench/tinies" "$(wan4 1):8463" 1 "$(tiny_key 1)" 10001 "$number" 12
pid=$spawned
check "all have keys" wait_for 120 grep -q seconds "$WORK/tinies.log"
keyed=$(ticks)
peak=$(memory VmHWM)
check "they stay for a while" wait_for 30 gone "$pid"
later=$(ticks)
is "all are asked how they are" "$(jq -r 'select(.pinged).pinged' "$WORK/tinies.log")" "$number"
hz=$(getconf CLK_TCK)
jq -n --argjson n "$number" --argjson alone "$alone" --argjson known "$known" --argjson peak "$peak" \
	--argjson now "$(memory VmRSS)" --argjson seconds "$(jq -r 'select(.seconds).seconds' "$WORK/tinies.log")" \
	--argjson came "$((keyed - before))" --argjson idle "$((later - keyed))" --argjson hz "$hz" '{
		tinies: $n, all_back_seconds: $seconds,
		kilobytes_each: {configured: (($known - $alone) / $n), connected: (($now - $alone) / $n),
			at_most: (($peak - $alone) / $n)},
		cpu_ms_each_to_come: ($came * 1000 / $hz / $n),
		cpu_percent_idle: ($idle * 100 / $hz / 12)}' | sed 's/^/# /'
finish
