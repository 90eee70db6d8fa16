#!/bin/bash
# How a tiny gets to its router: by UDP, TCP or TLS, whatever its cloud lets out; by name, when
# the router moves; and to the next router of its list when its own dies.
# alone: how long a change of router takes is measured
. "$(dirname "$0")/lib.sh"
. "$here/cloud.sh"
setup
NAME[1]=hub
internet
check "two sites and a cloud" eval "site 1 && site 2 && cloud 1 && vm 1 5"

listen_of()
{
	printf 'udp = 0.0.0.0:8463, [::]:8463\ntcp = 0.0.0.0:8463\ntls = 0.0.0.0:443\n'
}

overlay=$'[intercept]\nnetworks = 10.0.0.0/8\n'
for i in 1 2; do
	configure $i "more=$overlay$(tiny_section 1 5)"
done
check "routers start" start_routers

# by WAY: is the tiny at router 1 by it?
by()
{
	ctl 1 show peers | jq -e --arg w "$1" '.peers[] | select(.name == "vm15") |
		.up and .path.transport == $w' > /dev/null
}

# wall [STATEMENT...]: what the cloud does not let out, from now on.
wall()
{
	on cl1 nft "add table inet walls; delete table inet walls; add table inet walls;
		add chain inet walls out { type filter hook forward priority 0; }"
	while [ $# -gt 0 ]; do
		on cl1 nft add rule inet walls out oifname wan "$1" drop
		shift
	done
}

# carries NAME: ping and iperf3, both ways.
carries()
{
	listening h1 5201 || iperf_server h1
	check "$1: ping" pings vm15 "$(host4 1)" 20
	check "$1: iperf3 there" iperf vm15 "$(host4 1)"
	check "$1: iperf3 back" iperf vm15 "$(host4 1)" -R
}

# ---- What gets out ---------------------------------------------------------------

for protocol in udp tcp tls; do
	configure_tiny 1 5 1 protocol=$protocol
	check "$protocol: starts" start_tiny 1 5
	check "$protocol: is up" wait_for 10 by $protocol
	carries $protocol
	check "$protocol: ends" stop_tiny 1 5
done

configure_tiny 1 5 1 protocol=auto
for way in udp tcp tls; do
	case $way in
	udp) wall ;;
	tcp) wall "meta l4proto udp" ;;
	tls) wall "meta l4proto udp" "tcp dport != 443" ;;
	esac
	check "auto: starts where $way is let out" start_tiny 1 5
	check "auto: finds $way" wait_for 15 by $way
	carries "auto by $way"
	check "auto: ends" stop_tiny 1 5
done

# What worked is taken away: the next one is found.
wall
check "auto: starts in the open" eval "start_tiny 1 5 && wait_for 10 by udp"
wall "meta l4proto udp"
check "auto: UDP is lost: TCP is found" eval "on vm15 ping -n -c 30 -i 0.2 -W 1 $(host4 1) > /dev/null; wait_for 15 by tcp"
check "auto: and carries" pings vm15 "$(host4 1)" 10
wall
check "auto: ends" stop_tiny 1 5

# ---- The next router -------------------------------------------------------------------

configure_tiny 1 5 1 2 protocol=udp
check "two routers: starts" start_tiny 1 5
check "two routers: the first one is used" wait_for 10 answers vm15 "$(host4 1)"
rm -f "$WORK/beside.log"
spawn beside vm15 ping -n -D -i 0.05 -W 1 "$(host4 2)"
beside=$spawned
kill_router 1
now_ms from
check "two routers: the first one is killed: the next one carries" wait_for 10 answers vm15 "$(host4 2)"
now_ms until
note "after $((until - from)) ms"
at_most "two routers: within 3 s" $((until - from)) 3000
end "$beside"
check "two routers: it stays there when the first one is back" eval \
	"start_router 1 && pings vm15 $(host4 2) 20"
check "two routers: the second one says goodbye: the first one carries" eval \
	"stop_router 2 && wait_for 3 answers vm15 $(host4 1)"
check "two routers: ends" stop_tiny 1 5

# ---- IPv6 inside ------------------------------------------------------------------------

# A VM that has an address of it too: its own there as well.
vm6=fd00:77:1::5
address vm15 eth0 "$vm6/128"
configure 1 "more=$overlay$(tiny_section 1 5 | sed "s/^address = .*/&, $vm6/")
" && sed -i 's/^networks = 10.0.0.0\/8$/networks = 10.0.0.0\/8, fd00:76::\/31/' "$(conf 1)"
check "IPv6: the router knows the address" ctl_text 1 reload
configure_tiny 1 5 1 protocol=udp
sed -i 's/^networks = .*/&, fd00:76::\/31/' "$WORK/vm15.conf"
check "IPv6: starts" start_tiny 1 5
check "IPv6: to a site" wait_for 10 answers vm15 "$(host6 1)"
check "IPv6: from a site" pings h1 "$vm6" 10
check "IPv6: and IPv4 beside it" pings vm15 "$(host4 1)" 10
check "IPv6: iperf3" eval "listening h1 5201 || iperf_server h1; iperf vm15 $(host6 1)"
check "IPv6: ends" stop_tiny 1 5

# ---- A router that moves ------------------------------------------------------------------

# Its name leads to another address from now on, and it has left the old one. The VM has a
# hosts file of its own: a program for start_tiny.
moved=203.0.113.6
echo "$(wan4 1) hub.example" > "$WORK/hosts"
cat > "$WORK/with-hosts" <<- END
	#!/bin/sh
	mount --bind "$WORK/hosts" /etc/hosts && exec "$BUILD/vine-tiny" "\$@"
END
chmod +x "$WORK/with-hosts"
configure_tiny 1 5 1 protocol=udp
sed -i "s/^router = .*/router = hub.example:8463/" "$WORK/vm15.conf"
check "by name: starts" start_tiny 1 5 "$WORK/with-hosts"
check "by name: is up" wait_for 10 answers vm15 "$(host4 1)"
check "the router moves to another address" eval "address gw1 wan $moved/32 &&
	ip -n $(ns gw1) addr del $(wan4 1)/30 dev wan &&
	ip -n $(ns gw1) route add 198.51.100.5 dev wan &&
	ip -n $(ns gw1) route replace default via 198.51.100.5 &&
	ip -n $(ns net) route add $moved dev to1"
echo "$moved hub.example" > "$WORK/hosts"
now_ms from
check "the tiny follows" wait_for 20 answers vm15 "$(host4 1)"
now_ms until
note "after $((until - from)) ms"
check "to the new address" grep -qE "hub.example: (up by|moved to) $moved:8463" "$WORK/vm15.log"
check "by name: ends" stop_tiny 1 5

check "routers end" stop_routers
finish
