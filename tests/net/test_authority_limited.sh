#!/bin/bash
# Limited routers by what an authority says alone: their files have a name, [authority] and
# networks. Sites 1 and 2 have queue routers, 3 and 4 are behind NATs; they are given other
# queue routers while hosts talk. Site 5 lets nothing out but browsers, by a proxy that wants a
# password. Also: VNs with a protection of their own, another key of tables by SIGHUP.
# takes 50 s
. "$(dirname "$0")/lib.sh"
. "$here/firewall.sh"
. "$here/authority.sh"
PORT=443 URL=https://$AT:443 # which proxies let through
setup
internet
for site_kind in "1 public" "2 public" "3 nat" "4 nat" "5 proxy-auth"; do
	# shellcheck disable=SC2086
	check "site $site_kind" walled_site $site_kind
done
authority_node
check "init" authority_begin
check "serve" serve

# ---- Begun ------------------------------------------------------------------

queue_router()
{
	as admin site add "s$1" --admins admin && enroll "$1" --endpoint "$(wan4 "$1"):8463" --relay &&
		configure_given "$1" && sed -i '/^tcp =/a tls = 0.0.0.0:443' "$(conf "$1")"
}
limited_router()
{
	as admin site add "s$1" --admins admin && enroll "$1" --tls-port 4443 && configure_given "$1" &&
		as admin router change "r$1" --direct no &&
		as admin router block "r$1" "172.16.$1.0/24" &&
		as admin host add "h$1" "r$1" "172.16.$1.10" --owner admin
}
# Whoever registers it has https_proxy, its router [proxy].
proxied_router()
{
	local url
	url=$(proxy_url "$1" "$PROXY_USER:$PROXY_PASSWORD@")
	as admin site add "s$1" --admins admin &&
		on "gw$1" env https_proxy="$url" "$BUILD/vinectl" --authority "$URL" \
			--identity "$WORK/r$1/identity" register router "r$1" \
			--token "$(as admin token create router --site "s$1")" &&
		configure_given "$1" && printf '[proxy]\nurl = %s\n' "$url" >> "$(conf "$1")" &&
		as admin router block "r$1" "172.16.$1.0/24" &&
		as admin host add "h$1" "r$1" "172.16.$1.10" --owner admin
}
# uses I: its queue routers, by name, as the authority says.
uses()
{
	as admin --json router list | jq -r --arg n "r$1" \
		'.routers[] | select(.name == $n) | .uses | sort | join(" ")'
}
for i in 1 2; do
	check "queue router r$i" queue_router $i
done
for i in 3 4; do
	check "limited router r$i" limited_router $i
	is "... has queue routers" "$(uses $i)" "r1 r2"
done
check "they are named" eval 'as admin router change r3 --queue-routers r1 && as admin router change r4 --queue-routers r1'
is "... which the authority says" "$(uses 3)" "r1"
refused()
{
	as admin router change r3 --queue-routers "$1" 2>&1 | grep -q "$2"
}
check "a limited one can't be one" refused r4 "router 'r4' doesn't serve as queue router"
check "nor can be who isn't there" refused r9 "there is no router 'r9'"
check_fails "... nor say that it is" as admin router change r4 --relay yes
sites=(1 2 3 4)
check "routers start" start_routers
for i in 1 2 3 4; do
	check "r$i is connected" wait_for 15 says $i .connected true
done

# ---- By a queue router ----------------------------------------------------------

relays()
{
	[ "$(way_to 3 4) $(way_to 4 3)" = "relay $1 relay $1" ]
}
no_peers()
{
	[ "$(ctl "$1" show peers | jq '.peers | length')" = 0 ]
}
# One may have tables in which the other is while the other has none yet, and refuses: then TLS
# comes first, and TCP is tried anew after 37 s at most.
check "r3 keeps in touch with its queue router" wait_for 45 eval '[ "$(way_to 3 1)" = "direct tcp" ]'
check "a network" as admin vn create vn1 h3 h4
check "its hosts reach each other" wait_for 20 reach h3 172.16.4.10
check "... by the queue router" wait_for 10 relays r1
check "the other one has nothing to do with it" no_peers 2
check "ping" pings h3 172.16.4.10 100

spawn moving h3 fping -q -c 2000 -p 10 -t 2000 172.16.4.10
moving=$spawned
change_both()
{
	as admin router change r3 --queue-routers "$1" && as admin router change r4 --queue-routers "$1"
}
check "other queue routers while hosts talk" change_both r2
check "... are used" wait_for 15 relays r2
check "... the one before has nothing to do with it any more" wait_for 15 no_peers 1
check "the last answers" wait_for 30 gone "$moving"
check "... none lost" grep -q "= 2000/2000/0%" "$WORK/moving.log"
check "hosts reach each other" pings h4 172.16.3.10 100
check "a direct path, where it is let" eval \
	'as admin router change r3 --direct yes && as admin router change r4 --direct yes'
check "... is found" wait_for 40 goes_directly 3 4

# ---- Revoked --------------------------------------------------------------------

check "routers to be chosen from" eval \
	'as admin router change r3 --queue-routers "" && as admin router change r4 --queue-routers ""'
is "... are both" "$(uses 3) $(uses 4)" "r1 r2 r1 r2"
check "a queue router is revoked" as admin revoke router r2
check "... the other one serves" wait_for 15 reach h4 172.16.3.10
check "... by TCP" wait_for 45 eval '[ "$(way_to 4 1)" = "direct tcp" ]'
check "hosts reach each other" wait_for 10 reach h3 172.16.4.10

# ---- Protections ------------------------------------------------------------------

protected()
{
	[ "$(ctl 3 status | jq -r '[.networks[].protection] | sort | join(" ")')" = "$1" ]
}
check "another network" as admin vn create vn2
check "... merged into an encrypted one" as admin vn merge vn1 vn2 vn3 --encrypt chacha20-poly1305
check "... which r3 knows" wait_for 45 protected chacha20-poly1305
check "... and its hosts reach each other" wait_for 10 reach h3 172.16.4.10

# ---- The key of tables --------------------------------------------------------------

refuses_tables()
{
	of 3 .tables.refused | grep -q "has not signed"
}
another_key()
{
	mkdir "$WORK/key" && cp "$DIR"/tables.* "$WORK/key" &&
		openssl genpkey -algorithm ed25519 -out "$DIR/tables.key" &&
		openssl pkey -in "$DIR/tables.key" -pubout -out "$DIR/tables.pub" && kill -HUP "$authority"
}
check "another key of tables, by SIGHUP" another_key
check "... is read" wait_for 5 grep -q "the key of tables were read again" "$WORK/serve.log"
check "... and what that means is said" grep -q "the key of tables is another one" "$WORK/serve.log"
check "a host leaves" as admin vn leave vn3 h4
check "... what that key signs is refused" wait_for 15 refuses_tables
check "the right one again" eval 'cp "$WORK"/key/* "$DIR" && kill -HUP "$authority"'
check "... and tables are taken" wait_for 15 no_reach h3 172.16.4.10

# ---- Where a proxy is the only way out ------------------------------------------------

check "limited router r5" proxied_router 5
sites+=(5)
check "... starts" start_router 5
check "... is connected" wait_for 20 says 5 .connected true
is "... by the proxy, others directly" "$(of 5 .proxy) $(of 3 .proxy)" "true false"
check "... which status says" eval 'ctl_text 5 status | grep -q "^authority $URL, connected by the proxy"'
check "a network of its host" as admin vn create vn5 h3 h5
check "... reaches others" wait_for 20 reach h5 172.16.3.10
check "... by the proxy" eval '[ "$(way_to 5 1)" = "direct proxy" ]'
check "the authority is not spoken to otherwise" eval \
	'on gw5 ss -Htn state established dst "$AT" | wc -l | grep -qx 0'
finish
