#!/bin/bash
# Somebody on the Internet sees every frame between two routers and can send whatever
# it likes under whatever address: nothing gets through, nothing moves, nothing answers.
. "$(dirname "$0")/lib.sh"
setup
internet
site 1
site 2
ATTACKER=203.0.113.2
node attacker
cable attacker eth0 net toattacker
address attacker eth0 $ATTACKER/24 2001:db8:ff::2/64
address net toattacker 203.0.113.1/24 2001:db8:ff::1/64
default_route attacker 203.0.113.1 2001:db8:ff::1
RIGHT=$(wan4 2):8463
WRONG=$ATTACKER:4000
TARGET=$(wan4 1):8463

# wire NODE ARGUMENT...: wire.py on a machine.
wire()
{
	local node=$1
	shift
	on "$node" "$PYTHON" "$here/wire.py" "$@"
}

# cut_off: the Internet loses what router 2 sends to router 1; the attacker has it.
cut_off()
{
	on net nft -f - <<- END
		table ip cut {
			chain through {
				type filter hook forward priority 0;
				ip saddr $(wan4 2) ip daddr $(wan4 1) drop
			}
		}
	END
}

reconnect()
{
	on net nft delete table ip cut
}

all_drops()
{
	ctl 1 show counters | jq '[.drops[].packets | tonumber] | add'
}

# ends_up NAME SENT: as many drops more as frames were sent since begin, and nothing got
# through, by the router's word and by the host's.
begin()
{
	packets=$(packets_in 1)
	drops=$(all_drops)
	remote=$(peer 1 2 .path.remote)
}

drops_rose()
{
	[ "$(all_drops)" -ge $((drops + $1)) ]
}

nothing_through()
{
	at_least "$1: there were frames" "$2" 1
	check "$1: each was dropped and counted" wait_for 15 drops_rose "$2"
	is "$1: nothing got through" "$(packets_in 1)" "$packets"
	is "$1: the endpoint is where it was" "$(peer 1 2 .path.remote)" "$remote"
}

# captured NAME N: so many frames in the file?
captured()
{
	[ "$(sniffed "$1")" -ge "$2" ]
}

for protection in sign=hmac-sha256 encrypt=aes-256-gcm; do
	configure_all $protection workers=2
	check "$protection: routers start" start_routers
	check "$protection: ping" pings h1 "$(host4 2)" 20
	check "$protection: ping back" pings h2 "$(host4 1)" 20
	check "$protection: the MTU of the path is found" wait_for 15 settled 1 2

	# Seen once, sent again.
	sniff seen net to2 "udp src port 8463 and src host $(wan4 2) and udp[8] & 15 = 0"
	capture=$spawned
	check "$protection: ping while it is watched" pings h2 "$(host4 1)" 20
	check "$protection: frames are captured" wait_for 15 captured seen 20
	end "$capture" INT
	sniff answers attacker eth0 "ip and dst host $ATTACKER"
	answers=$spawned
	begin
	nothing_through "$protection: replayed" "$(wire net replay "$WORK/seen.pcap")"
	begin
	nothing_through "$protection: replayed from another address" \
		"$(wire attacker --from $WRONG replay "$WORK/seen.pcap")"

	# Captured before it arrived: only what was done to it can be the reason.
	sniff fresh net to2 "udp src port 8463 and src host $(wan4 2) and udp[8] & 15 = 0"
	capture=$spawned
	cut_off
	check "$protection: frames are held up" unreachable h2 "$(host4 1)" 20
	check "$protection: and captured" wait_for 15 captured fresh 20
	end "$capture" INT
	sniff inner h1 eth0 "src host $(host4 2)"
	inner=$spawned
	begin
	nothing_through "$protection: each single bit turned" "$(wire net flip "$WORK/fresh.pcap")"
	begin
	nothing_through "$protection: each bit turned, from another address" \
		"$(wire attacker --from $WRONG flip "$WORK/fresh.pcap")"
	begin
	nothing_through "$protection: cut and padded" "$(wire net cut "$WORK/fresh.pcap")"
	begin
	nothing_through "$protection: cut and padded, from another address" \
		"$(wire attacker --from $WRONG cut "$WORK/fresh.pcap")"
	begin
	nothing_through "$protection: invented" "$(wire net --from "$RIGHT" --to "$TARGET" invent 2 1 2000)"
	begin
	nothing_through "$protection: invented, from another address" \
		"$(wire attacker --from $WRONG --to "$TARGET" invent 2 1 2000)"
	begin
	nothing_through "$protection: invented, of an unknown router" \
		"$(wire attacker --from $WRONG --to "$TARGET" invent 77 1 500)"
	at_least "$protection: unprotected frames were among them" "$(dropped 1 unprotected)" 1
	end "$inner" INT
	is "$protection: the host saw nothing of all that" "$(sniffed inner)" 0
	end "$answers" INT
	is "$protection: no answer at all to the attacker" "$(sniffed answers)" 0

	# As it was made it still gets through; first from elsewhere, it moves nothing.
	before=$(packets_in 1)
	check "$protection: the frame as it was made" wire net replay "$WORK/fresh.pcap" 0 1
	check "$protection: gets through" wait_for 3 eval "[ \$(packets_in 1) = $((before + 1)) ]"
	remote=$(peer 1 2 .path.remote)
	sniff answers attacker eth0 "ip and dst host $ATTACKER"
	answers=$spawned
	check "$protection: frames sent first from another address" \
		wire attacker --from $WRONG replay "$WORK/fresh.pcap" 1 19
	check "$protection: arrive" wait_for 3 eval "[ \$(packets_in 1) -gt $((before + 1)) ]"
	out=$(packets_out 1)
	on h1 ping -q -n -c 30 -i 0.05 -W 0.1 "$(host4 2)" > /dev/null 2>&1
	is "$protection: and move no endpoint" "$(peer 1 2 .path.remote)" "$remote"
	is "$protection: the router goes on to send" $(($(packets_out 1) - out >= 30)) 1
	end "$answers" INT
	check_fails "$protection: no host's packet went to the attacker" \
		grep -q ' 0:' <<< "$(wire attacker count "$WORK/answers.pcap")"
	reconnect
	check "$protection: ping after it all" wait_for 5 pings h1 "$(host4 2)" 20
	check "$protection: routers end" stop_routers
done

# Thousands of malformed frames a second cost an established flow nothing.
configure_all
check "flood: routers start" start_routers
check "flood: ping before" pings h1 "$(host4 2)" 20
for from in "attacker $WRONG" "net $RIGHT"; do
	read -r node source <<< "$from"
	drops=$(all_drops)
	spawn "flood-$node" "$node" "$PYTHON" "$here/wire.py" --from "$source" --to "$TARGET" \
		flood 5000 60
	flood=$spawned
	check "flood: it has begun, from $node" wait_for 5 drops_rose 100
	drops=$(all_drops)
	now_ms began
	check "flood: ping during it, from $node" pings h1 "$(host4 2)" 250
	now_ms ended_at
	check "flood: it was still going on, from $node" alive $flood
	at_least "flood: malformed frames a second, from $node" \
		$((($(all_drops) - drops) * 1000 / (ended_at - began))) 3000
	end $flood
done
check "flood: routers end" stop_routers

# One side protects, the other does not: nothing passes, and both say so, once.
stopped_lines()
{
	grep -c "network $NETWORK is stopped with peer" "$(log_of "$1")"
}

both_said()
{
	[ "$(stopped_lines 1)" -ge 1 ] && [ "$(stopped_lines 2)" -ge 1 ]
}

configure 1 sign=none
configure 2 sign=hmac-sha256
check "mismatch: routers start" start_routers
sniff inner h2 eth0 "src host $(host4 1)"
inner=$spawned
on h1 ping -q -n -c 3 -i 0.05 -W 0.2 "$(host4 2)" > /dev/null 2>&1
check "mismatch: both say that the network is stopped" wait_for 5 both_said
check "mismatch: nothing passes" unreachable h1 "$(host4 2)" 30
check "mismatch: nothing passes the other way" unreachable h2 "$(host4 1)" 30
end "$inner" INT
is "mismatch: nothing reached the host" "$(sniffed inner)" 0
is "mismatch: one line at router 1" "$(stopped_lines 1)" 1
is "mismatch: one line at router 2" "$(stopped_lines 2)" 1
check "mismatch: routers end" stop_routers
finish
