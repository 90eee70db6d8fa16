#!/bin/bash
# Links by TCP and TLS, through proxies, and the ladder from one to the other: site 1
# listens on all of them, the others come to it, each with a firewall of its own.
# takes 50 s
. "$(dirname "$0")/lib.sh"
. "$here/firewall.sh"
. "$here/flows.sh"
setup
NAME[1]=hub
WORKERS=2

# What is in each site's file of its own, beside lib.sh's: how it gets to the hub.
declare -A PROTOCOL PROXY
listen_of()
{
	echo "udp = 0.0.0.0:8463, [::]:8463"
	[ "$1" != 1 ] || printf 'tcp = 0.0.0.0:8463\ntls = 0.0.0.0:443\n'
}

peers_of()
{
	local j
	[ "$1" = 1 ] || echo 1
	for j in "${sites[@]}"; do [ "$1" != 1 ] || [ "$j" = 1 ] || echo "$j"; done
}

reach_of()
{
	[ "$2" != 1 ] ||
		printf 'endpoint = %s:8463\nprotocol = %s\n' "$(first_wan4 1)" "${PROTOCOL[$1]:-auto}"
}

configure_link()
{
	configure "$1" workers=$WORKERS more="${PROXY[$1]:+$'\n[proxy]\nurl = '${PROXY[$1]}}"
}

by() { [ "$(way_to "$1" 1)" = "direct $2" ] && [ "$(peer "$1" 1 .up)" = true ]; }

# drop_udp, pass_udp: in the Internet.
drop_udp()
{
	on net nft "add table inet no_udp;
		add chain inet no_udp through { type filter hook forward priority 0; };
		add rule inet no_udp through meta l4proto udp drop"
}
pass_udp() { on net nft delete table inet no_udp; }

# reset_streams GATEWAY: its TCP connections to the hub, at both ends.
reset_streams()
{
	on "$1" ss -K dst "$(first_wan4 1)" > /dev/null
}

# traffic NAME SITE: the first packets get through, ping -f loses nothing, iperf3 runs both
# ways in both families.
traffic()
{
	local name=$1 h=h$2 rate
	check "$name: ping" wait_for 5 pings "$h" "$(host4 1)" 20
	flood "flood$2" "$h" "$(host6 1)" 500
	wait "$spawned"
	check "$name: ping -f loses nothing" flood_result "flood$2"
	check "$name: iperf3 there" wait_for 10 iperf "$h" "$(host4 1)"
	check "$name: iperf3 back" wait_for 10 iperf "$h" "$(host6 1)" -R
}

# ---- The sites --------------------------------------------------------------------

internet
check "site 1" walled_site 1 public
i=2
for kind in public no-udp only-443 proxy proxy-auth; do
	check "site $i: $kind" walled_site $i $kind
	i=$((i + 1))
done
PROTOCOL[2]=tcp
PROXY[6]=$(proxy_url 6 "$PROXY_USER:wrong@")
ENVIRONMENT[5]="https_proxy=$(proxy_url 5)"
for i in 1 2 3 4 5 6; do
	check "site $i: router" eval "configure_link $i && start_router $i"
done
check "a server" iperf_server h1

# ---- Each rung --------------------------------------------------------------------

check "tcp: up" wait_for 5 by 2 tcp
traffic "tcp" 2
is "tcp: so says the other end" "$(way_to 1 2)" "direct tcp"

check "auto without UDP: up by tcp" wait_for 10 by 3 tcp
no_udp() { tried 3 1 | grep -qx "udp: failed: no answer in 3 s"; }
check "auto without UDP: why" wait_for 10 no_udp
traffic "auto without UDP" 3

check "auto with 443 alone: up by tls" wait_for 15 by 4 tls
is "auto with 443 alone: so says the other end" "$(way_to 1 4)" "direct tls"
is "auto with 443 alone: so says vinectl ping" \
	"$(ctl 4 ping -c 1 hub | jq -r '.frames[0].remote')" "tls $(first_wan4 1):443"
traffic "auto with 443 alone" 4

check "auto with a proxy of the environment: up by it" wait_for 20 by 5 proxy
traffic "auto with a proxy of the environment" 5

refused() { tried 6 1 | grep -q "^proxy: failed: proxy: 40[17]"; }
check "a proxy that wants another password: it says so" wait_for 20 refused
check "... which appears nowhere" eval "! ctl 6 show config | grep -q wrong &&
	! grep -q wrong $(log_of 6)"
PROXY[6]=$(proxy_url 6 "$PROXY_USER:$PROXY_PASSWORD@")
check "... the right one" eval "configure_link 6 && ctl 6 reload"
check "auto with a proxy and a password: up by it" wait_for 40 by 6 proxy
traffic "auto with a proxy and a password" 6

no_proxy_way() { tried 5 1 | grep -q "^tls: failed" && ! tried 5 1 | grep -q "^proxy:"; }
check "a hub that no_proxy names: its router anew" stop_router 5
ENVIRONMENT[5]+=" no_proxy=example.org,$(first_wan4 1)/32"
check "... starts" start_router 5
check "... is not looked for through the proxy" wait_for 20 no_proxy_way
ENVIRONMENT[5]=${ENVIRONMENT[5]% *}
check "... and again without that" eval "stop_router 5 && start_router 5"
check "... up by the proxy" wait_for 20 by 5 proxy

# ---- What others see ----------------------------------------------------------------

outsider crowd 0
status_of() { on crowd curl -ks -o "$WORK/page" -w '%{http_code}' --max-time 3 "$1"; }
is "a browser gets 404 by TLS" "$(status_of "https://$(first_wan4 1)/")" 404
is "... and by TCP" "$(status_of "http://$(first_wan4 1):8463/")" 404

# ---- Breaks ---------------------------------------------------------------------------

PROTOCOL[2]=tls
check "tls: reload" eval "configure_link 2 && ctl 2 reload"
check "tls: up" wait_for 10 by 2 tls
traffic "tls" 2

watch h2 "$(host4 1)" 60
for i in 1 2 3; do
	check "connections are reset" reset_streams gw2
	check "... and there again" wait_for 5 pings h2 "$(host4 1)" 10
done
check "ping ends" unwatch
at_most "no gap of more than 4 s, three of them within seconds" "$(gap)" 4000

spawn iperf-reset h2 iperf3 -J -c "$(host4 1)" -t 4 --connect-timeout 3000
running=$spawned
check "iperf3 runs" wait_for 5 eval "on h1 ss -Htn 'sport = :5201' | grep -q ESTAB"
check "its link is reset" reset_streams gw2
wait "$running"
check "iperf3 lives on" jq -e '.end.sum_received.bytes > 0' "$WORK/iperf-reset.log"

kill_router 1
check "the hub starts anew" start_router 1
for i in 2:tls 3:tcp 4:tls 5:proxy 6:proxy; do
	check "site ${i%:*}: is back by ${i#*:}" wait_for 40 by ${i%:*} ${i#*:}
	check "... ping" wait_for 5 pings "h${i%:*}" "$(host4 1)" 10
done
kill_router 2
check "site 2 starts anew" start_router 2
check "... is back" wait_for 5 by 2 tls
check "... ping" pings h2 "$(host4 1)" 10

# ---- Up and down ------------------------------------------------------------------------

PROTOCOL[2]=auto
check "auto: reload" eval "configure_link 2 && ctl 2 reload"
check "auto: goes up to UDP" wait_for 10 by 2 udp
check "... and the other end with it" wait_for 3 eval '[ "$(way_to 1 2)" = "direct udp" ]'
watch h2 "$(host4 1)" 60
check "it runs" wait_for 5 seen 1
drop_udp
check "UDP is dropped: goes on by TCP" wait_for 5 by 2 tcp
pass_udp
check "UDP passes: a reload has it tried at once" ctl 2 reload
check "... goes up again" wait_for 5 by 2 udp
check "ping ends" unwatch
at_most "no gap of more than 3 s" "$(gap)" 3000
traffic "up again" 2

# ---- Workers ------------------------------------------------------------------------------

for n in 1 3 2; do
	check "site 3: $n workers" eval "ctl 3 set workers $n && ctl 1 set workers $n"
	traffic "$n workers" 3
done
check "routers end" stop_routers
finish
