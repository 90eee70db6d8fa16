#!/bin/bash
# vinectl netcheck behind each kind of firewall: what it lets out is found, by the peer's own
# answers, and said; nothing that runs is disturbed by it.
# takes 45 s
. "$(dirname "$0")/lib.sh"
. "$here/firewall.sh"
setup
NAME[1]=q1 NAME[2]=q2
QUEUE_ROUTERS="1 2"

declare -A nats=([public]=none [nat]=endpoint-independent
	[symmetric]=address-and-port-dependent [no-udp]=blocked [only-443]=blocked
	[proxy]=blocked [proxy-auth]=blocked)

# check_of I: asked once, kept. fact I FILTER: of it.
check_of()
{
	ctl "$1" netcheck > "$WORK/netcheck-$1.json"
}
fact() { jq -r "$2" "$WORK/netcheck-$1.json"; }
works() { fact "$1" '[("udp", "tcp", "tls", "proxy") as $k | select(.[$k].works) | $k] | join(" ")'; }
# The first of two, unless the second's round trip is half as long, and by 5 ms.
BEST='.routers | map(.rtt_seconds) as [$a, $b] |
	if $b < $a / 2 and $b + 0.005 < $a then .[1].name else .[0].name end'
# all_measured: has each router its links to its queue routers, and their round trips?
all_measured()
{
	local i q
	all_linked || return
	for i in "${sites[@]}"; do
		for q in $QUEUE_ROUTERS; do
			[ "$i" = "$q" ] || [ "$(peer "$i" "$q" .rtt_seconds)" != null ] || return
		done
	done
}
# To the queue routers; the others are still looking for each other.
path_of()
{
	ctl "$1" show links | jq -c '[.links[] | select(.peer | test("^q")) |
		[.peer, .paths[0].transport, .paths[0].remote]]'
}

roams() { ctl "$1" show counters | jq -r .events.roams; }

internet
i=1
for kind in public $KINDS; do
	check "site $i: $kind" walled_site $i "$kind"
	i=$((i + 1))
done
for i in "${sites[@]}"; do
	check "site $i, ${KIND[$i]}: router" eval "configure_walled $i && start_router $i"
done
check "all are linked to their queue routers" wait_for 30 all_measured

# ---- What is found -------------------------------------------------------------------

for i in "${sites[@]:2}"; do
	k=${KIND[$i]} before=$(path_of "$i") roamed=$(roams 1)
	check "$k: netcheck: every queue router can be reached" check_of "$i"
	is "$k: what gets out" "$(works "$i")" "${LETS_OUT[$k]}"
	is "$k: NAT" "$(fact "$i" .nat.kind)" "${nats[$k]}"
	is "$k: the best queue router" "$(fact "$i" .best_queue_router)" "$(fact "$i" "$BEST")"
	is "$k: both have been asked" "$(fact "$i" '[.routers[].name] | join(" ")')" "q1 q2"
	is "$k: none without a round trip" "$(fact "$i" '[.routers[] | .name as $n |
		(select(.rtt_seconds > 0 | not) | "\($n) link"),
		(.ways[] | select(.works and (.rtt_seconds > 0 | not)) | "\($n) \(.way)")] |
		join(", ")')" ""
	at_most "$k: in ms" "$(fact "$i" '.seconds * 1000 | floor')" 11500
	is "$k: its paths are as before" "$(path_of "$i")" "$before"
	is "$k: nor has the queue router moved any" "$(roams 1)" "$roamed"
	ctl_text "$i" netcheck > "$WORK/page" 2>&1
	at_most "$k: lines on the page" "$(wc -l < "$WORK/page")" 24
	at_most "$k: the widest" "$(wc -L < "$WORK/page")" 100
	diagnose < "$WORK/page"
done
check "the first site's own" check_of 1
is "... which has the other one's to look at" "$(works 1)" "udp tcp tls"

# ---- In words -------------------------------------------------------------------------

says() { ctl_text "$1" netcheck | grep -q "$2"; }
for i in "${sites[@]:2}"; do
	case ${KIND[$i]} in
	no-udp) check "no-udp: it says what to ask for" says "$i" \
		"UDP is blocked: links run over TCP. Ask for UDP to port 8463" ;;
	symmetric) check "symmetric: so it is called" says "$i" '"symmetric" one' ;;
	esac
done
is "a proxy that nobody has named" "$(fact 3 .proxy.reason)" "no proxy is configured"

# ---- Two at once, and nobody -----------------------------------------------------------

ctl 6 netcheck > "$WORK/first.json" & first=$!
ctl 6 netcheck > "$WORK/second.json" & second=$!
check "two ask at once" eval "wait $first && wait $second"
is "... and have one result" "$(jq -r .seconds "$WORK/first.json")" \
	"$(jq -r .seconds "$WORK/second.json")"

kill_router 2
ctl 3 netcheck > "$WORK/netcheck-3.json"
is "one queue router is dead: exit code" $? 1
is "... which" "$(fact 3 '[.routers[] | select(.reachable | not) | .name] | join(" ")')" q2
is "... the other one is the best" "$(fact 3 .best_queue_router)" q1
is "... and the ways work" "$(works 3)" "udp tcp tls"
check "... it says so in words" says 3 "No way leads to the queue router q2"
check "routers end" stop_routers
finish
