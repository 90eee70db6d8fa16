#!/bin/bash
# The firewalls of firewall.sh themselves, without routers: does each let through what
# its name says, and nothing else? Do their mappings behave as those of such NATs?
. "$(dirname "$0")/lib.sh"
. "$here/firewall.sh"
setup
internet
outsider srv 0
SRV=192.0.2.2 SRV2=192.0.2.3
TCP_PORTS="80 443 8463" UDP_PORTS="443 7000 7001"
LOCAL=5000 # the sites' port

declare -A site_of expected=([proxy]='' [proxy-auth]='')
i=1
for kind in $KINDS; do
	check "site $i: $kind" walled_site $i "$kind"
	site_of[$kind]=$i
	i=$((i + 1))
done
NAT2=$i # a second one
check "site $NAT2: nat" walled_site $NAT2 nat

# Outward: ping, UDP, TCP. Inward: what nobody asked for.
all="ping udp:443 udp:7000 udp:7001 tcp:80 tcp:443 tcp:8463"
expected[public]="$all in-ping in-udp in-tcp"
expected[nat]=$all
expected[symmetric]=$all
expected[no-udp]="ping tcp:80 tcp:443 tcp:8463"
expected[only-443]="tcp:443"

# ---- Servers and clients ------------------------------------------------------

# Each datagram is answered with the address and port that it came from.
udp_server() # ADDRESS PORT
{
	spawn "udp-$1-$2" srv socat "UDP4-RECVFROM:$2,bind=$1,reuseaddr,fork" \
		'SYSTEM:read x; echo $SOCAT_PEERADDR\:$SOCAT_PEERPORT'
	wait_for 5 bound srv "$1:$2"
}

# bound NODE [ADDRESS]:PORT: a UDP socket.
bound()
{
	on "$1" ss -Hlun "src = $2" | grep -q .
}

# udp_ask NODE PORT ADDRESS PORT: the answer.
udp_ask()
{
	on "$1" socat -T 1 -t 0 "UDP4-DATAGRAM:$3:$4,bind=:$2,reuseaddr" \
		'SYSTEM:echo hello; read x; echo $x >&2' 2>&1
}

# http NODE URL [OPTION...]: the page.
http()
{
	local node=$1 url=$2
	shift 2
	on "$node" curl -fsS --max-time 2 "$@" "$url"
}

# page_is_right NODE URL [OPTION...]
page_is_right()
{
	http "$@" | cmp - "$WORK/www/page"
}

pinged() { on "$1" ping -n -q -c 1 -W 1 "$2"; }

# try NAME COMMAND...: beside, for lets_through.
try()
{
	local name=$1
	shift
	{ "$@" > /dev/null 2>&1 && touch "$WORK/through/$name"; } &
	trying+=($!)
}

udp_answered() { [ -n "$(udp_ask "$@")" ]; }

tcp_in()
{
	echo hello | on srv timeout 1 socat -u - "TCP4:$1:8463,connect-timeout=1"
}

udp_in()
{
	local word=in-$RANDOM$RANDOM
	echo $word | on srv socat -u - "UDP4-DATAGRAM:$1:8463" &&
		wait_for 1 grep -q $word "$WORK/in-$2.log"
}

# lets_through I: what does, of all that is tried.
lets_through()
{
	local i=$1 p list=
	trying=()
	rm -rf "$WORK/through" && mkdir "$WORK/through"
	try ping pinged "gw$i" $SRV
	for p in $UDP_PORTS; do try "udp:$p" udp_answered "gw$i" $((LOCAL + p)) $SRV "$p"; done
	for p in $TCP_PORTS; do try "tcp:$p" page_is_right "gw$i" "http://$SRV:$p/page"; done
	try in-ping pinged srv "$(wan4 "$i")"
	try in-udp udp_in "$(wan4 "$i")" "$i"
	try in-tcp tcp_in "$(wan4 "$i")"
	wait "${trying[@]}"
	for p in $all in-ping in-udp in-tcp; do
		[ ! -e "$WORK/through/$p" ] || list+="${list:+ }$p"
	done
	echo "$list"
}

# speak I TO: a program at site I's gateway, at port LOCAL, that says hello there and
# hears whatever comes, from anywhere. heard I TEXT.
speak()
{
	rm -f "$WORK/heard-$1.log"
	spawn "heard-$1" "gw$1" socat -t 60 "OPEN:$WORK/hello,rdonly!!STDOUT" \
		"UDP4-DATAGRAM:$2,bind=:$LOCAL,reuseaddr"
}

# mapped_at I ADDRESS: has its firewall seen UDP to there?
mapped_at()
{
	on "fw$1" conntrack -L -p udp -d "$2" 2> /dev/null | grep -q "dport=$LOCAL"
}

heard()
{
	grep -q "$2" "$WORK/heard-$1.log"
}

# say FROM TO TEXT: a datagram of the server's.
say()
{
	echo "$3" | on srv socat -u - "UDP4-DATAGRAM:$2,bind=$1,reuseaddr"
}

mkdir "$WORK/www"
head -c 4000000 /dev/urandom > "$WORK/www/large"
echo "a page" > "$WORK/www/page"
echo hello > "$WORK/hello"
for p in $TCP_PORTS; do
	check "a server for TCP port $p" http_server srv "$WORK/www" "$p"
done
for p in $UDP_PORTS; do
	check "a server for UDP port $p" udp_server $SRV "$p"
done
check "another address, UDP" udp_server $SRV2 7000

# ---- What gets through --------------------------------------------------------

for kind in $KINDS; do
	i=${site_of[$kind]}
	spawn "in-$i" "gw$i" socat -u UDP4-RECV:8463 STDOUT
	spawn "in-tcp-$i" "gw$i" socat -u TCP4-LISTEN:8463,fork OPEN:/dev/null
	check "$kind: listeners at the gateway" wait_for 5 eval \
		"bound gw$i :8463 && listening gw$i 8463"
	is "$kind: what gets through" "$(lets_through "$i")" "${expected[$kind]}"
done

# ---- Proxies ------------------------------------------------------------------

# code NODE URL OPTION...: the status of the proxy's answer to CONNECT.
code()
{
	local node=$1 url=$2
	shift 2
	on "$node" curl -s -o /dev/null --max-time 5 -w '%{http_connect}' "$@" "$url"
}

for kind in proxy proxy-auth; do
	i=${site_of[$kind]}
	url=$(proxy_url "$i")
	if [ $kind = proxy-auth ]; then
		is "$kind: without a password" "$(code "gw$i" http://$SRV:443/page -p -x "$url")" 407
		is "$kind: with a wrong one" "$(code "gw$i" http://$SRV:443/page -p \
			-x "$(proxy_url "$i" $PROXY_USER:wrong@)")" 401 # as this proxy says it
		url=$(proxy_url "$i" "$PROXY_USER:$PROXY_PASSWORD@")
	fi
	check "$kind: CONNECT to 443" page_is_right "gw$i" http://$SRV:443/page -p -x "$url"
	check "$kind: the same by the environment" eval \
		"http_proxy=$url page_is_right gw$i http://$SRV:443/page -p"
	is "$kind: CONNECT to 8463" "$(code "gw$i" http://$SRV:8463/page -p -x "$url")" 403
	check_fails "$kind: not from outside" http srv "http://$(wan4 "$i"):$PROXY_PORT/"
done

# ---- Mappings -----------------------------------------------------------------

# mappings I: of one port, for two ports and two addresses of the server's.
mappings()
{
	udp_ask "gw$1" $LOCAL $SRV 7000
	udp_ask "gw$1" $LOCAL $SRV 7001
	udp_ask "gw$1" $LOCAL $SRV2 7000
}

# same_mapping NAME I ADDRESS:PORT...
same_mapping()
{
	is "$1: one mapping for all destinations" "$(mappings "$2" | sort -u | xargs)" "$3"
}

for kind in public nat; do
	i=${site_of[$kind]}
	same_mapping $kind $i "$(wan4 $i):$LOCAL"
done
i=${site_of[symmetric]}
mappings $i > "$WORK/mappings"
is "symmetric: the firewall's address" "$(sed 's/:.*//' "$WORK/mappings" | sort -u)" "$(wan4 $i)"
is "symmetric: each destination has a port of its own" \
	"$({ cat "$WORK/mappings"; echo ":$LOCAL"; } | sed 's/.*://' | sort -u | wc -l)" 4
for kind in no-udp only-443; do
	check "$kind: TCP comes from the firewall's address" grep -q \
		"$(wan4 "${site_of[$kind]}") -.* /page" "$WORK/http-srv.log"
done

# Who may answer: an address and port that was written to, no other. That the last one
# arrives says that the others have had their time.
for kind in public nat symmetric; do
	i=${site_of[$kind]}
	speak $i $SRV:7000
	check "$kind: a server is asked" wait_for 5 heard $i :
	mapped=$(head -n 1 "$WORK/heard-$i.log")
	say $SRV:7002 "$mapped" other-port
	say $SRV2:7002 "$mapped" other-address
	say $SRV:7000 "$mapped" the-same
	check "$kind: the one that was asked may answer" wait_for 5 heard $i the-same
	if [ $kind = public ]; then
		check "public: so may others" eval "heard $i other-port && heard $i other-address"
	else
		check_fails "$kind: another port of it may not" heard $i other-port
		check_fails "$kind: another address may not" heard $i other-address
	fi
	end "$spawned"
done

# Through two of them: who speaks first is not heard, the answer is.
a=${site_of[nat]} b=$NAT2 s=${site_of[symmetric]}
speak $a "$(wan4 $b):$LOCAL"
first=$spawned
check "nat and nat: the first one has spoken" wait_for 5 mapped_at $a "$(wan4 $b)"
speak $b "$(wan4 $a):$LOCAL"
check "nat and nat: a direct way is found, after a packet that came too early" \
	wait_for 5 heard $a hello
end "$spawned"
end "$first"
check "forgetting" eval "forget $a && forget $b"
speak $a "$(wan4 $s):$LOCAL"
first=$spawned
check "nat and symmetric: the first one has spoken" wait_for 5 mapped_at $a "$(wan4 $s)"
speak $s "$(wan4 $a):$LOCAL"
check "nat and symmetric: the second one has spoken" wait_for 5 mapped_at $s "$(wan4 $a)"
check_fails "nat and symmetric: neither hears the other" wait_for 1 eval \
	"heard $a hello || heard $s hello"
end "$spawned"
end "$first"

# ---- What happens to them -------------------------------------------------------

i=${site_of[nat]}
check "forgetting" forget $i
is "nat: nothing is left" "$(on "fw$i" conntrack -C)" 0
same_mapping "nat, forgotten" $i "$(wan4 $i):$LOCAL"
seen=$LOCAL
for turn in 1 2 3; do
	check "rebinding" rebind $i
	mappings $i > "$WORK/mappings"
	is "nat, rebinding $turn: one mapping for all destinations" \
		"$(sort -u "$WORK/mappings" | wc -l)" 1
	port=$(sed -n '1s/.*://p' "$WORK/mappings")
	check_fails "nat, rebinding $turn: it is another one" [ "$port" = "$seen" ]
	seen=$port
done
PORTS[$i]=
check "nat, as before" wall $i

for kind in nat public; do
	i=${site_of[$kind]}
	check "$kind: another address" move $i
	same_mapping "$kind, moved" $i "$(other_wan4 $i):$LOCAL"
	check "$kind, moved: TCP too" page_is_right "gw$i" http://$SRV/page
	check_fails "$kind, moved: the old one is gone" pinged srv "$(first_wan4 $i)"
	check "$kind: the first address again" move $i
	same_mapping "$kind, moved back" $i "$(first_wan4 $i):$LOCAL"
done

# A cut is silent: TCP waits, and goes on afterwards.
i=${site_of[nat]}
rm -f "$WORK/fetched"
spawn fetch "gw$i" curl -fsS --max-time 60 --limit-rate 500K -o "$WORK/fetched" http://$SRV/large
fetch=$spawned
check "a transfer begins" wait_for 5 [ -s "$WORK/fetched" ]
check "cut off" cut_off $i
check_fails "cut off: no ping" pinged "gw$i" $SRV
check_fails "cut off: no TCP" page_is_right "gw$i" http://$SRV/page
check "cut off: the transfer waits" alive "$fetch"
check "connected again" reconnect
check "connected again: it goes on" wait_for 20 gone "$fetch"
check "... and is right" cmp "$WORK/fetched" "$WORK/www/large"

a=${site_of[public]} b=${site_of[nat]}
check "gateways reach each other" pinged "gw$b" "$(wan4 $a)"
check "cut between two" cut_between $a $b
check_fails "cut between: no ping" pinged "gw$b" "$(wan4 $a)"
check "cut between: others are reached" eval "pinged gw$a $SRV && pinged gw$b $SRV"
check "connected again" reconnect
check "gateways reach each other again" pinged "gw$b" "$(wan4 $a)"
finish
