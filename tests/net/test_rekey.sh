#!/bin/bash
# New keys every second, under load, both ways: nothing is lost.
# REKEY_SECONDS: how long each turn lasts (default 10; a minute by hand).
# takes 45 s
. "$(dirname "$0")/lib.sh"
setup
SECONDS_EACH=${REKEY_SECONDS:-10}
internet
site 1
site 2
check "server" iperf_server h2
# Datagrams that the router gives back merged reach the host one by one, to be counted.
check "single datagrams" on gw2 ethtool -K lan tx-udp-segmentation off

# event NAME: of router 1.
event()
{
	ctl 1 show counters | jq -r ".events.$1"
}

# tally NODE HOOK: counts the datagrams of iperf3 from now on. The receiving program may
# be too slow for its socket on a busy machine, so its own count says nothing of the way.
tally()
{
	on "$1" nft -f - <<- END
		table inet tally
		delete table inet tally
		table inet tally {
			chain counts {
				type filter hook $2 priority 0;
				udp dport 5201 counter
			}
		}
	END
}

tallied()
{
	on "$1" nft -j list table inet tally | jq '[.. | .counter? // empty | .packets] | add'
}

# Small enough for two cores that do other things as well: what is lost then is lost
# for want of keys.
for set in "workers=1 encrypt=none" "workers=2 encrypt=aes-256-gcm method=nfqueue"; do
	# shellcheck disable=SC2086
	configure_all $set rekey=1s
	check "$set: routers start" start_routers
	check "$set: ping" pings h1 "$(host4 2)" 20
	check "$set: ping, IPv6" pings h1 "$(host6 2)" 20
	n=$(flood_count h1 "$(host4 2)" "$SECONDS_EACH")
	before=$(event rekeys)
	rm -f "$WORK/udp.log"
	check "$set: counting" eval "tally h1 output && tally h2 input"
	spawn udp h1 iperf3 -J -u -b 10M -l 1200 -t "$SECONDS_EACH" -c "$(host6 2)"
	udp=$spawned
	flood echo h1 "$(host4 2)" "$n"
	wait "$spawned"
	wait "$udp"
	check "$set: ping -f lost nothing" flood_result echo
	at_least "$set: iperf3 sent" "$(tallied h1)" $((SECONDS_EACH * 900))
	is "$set: iperf3 lost nothing on the way" "$(tallied h2)" "$(tallied h1)"
	at_least "$set: keys were replaced" $(($(event rekeys) - before)) $((SECONDS_EACH / 2))
	note "$(($(event rekeys) - before)) rekeys, $n packets of ping -f"
	check "$set: a stream at full speed goes on" iperf h1 "$(host4 2)" -t 2
	is "$set: no handshake failed" "$(event handshake_failures)" 0
	check "$set: routers end" stop_routers
done
finish
