#!/bin/bash
# Looking after an authority, with real programs: routers that are heard and fall silent, what
# is told of it (log, webhook, figures, check, top), backups under a load of changes, and what
# is restored from them elsewhere.
# takes 35 s
. "$(dirname "$0")/lib.sh"
. "$here/authority.sh"
setup
authority_alone

# configure: authority.conf becomes test.conf.
configure()
{
	sed "s/^listen.*/&\nmetrics = 127.0.0.1:9464/" "$DIR/authority.conf" > "$DIR/test.conf" &&
		printf '[routers]\nsilence = 6s\ndisable = 9s\n[alerts]\nwebhook = http://127.0.0.1:9999/\n' \
			>> "$DIR/test.conf"
}

check "init" authority_begin
check "a configuration" configure
spawn webhook a "$PYTHON" "$here/webhook.py" 9999 "$WORK/alerts"
authority_check()
{
	"$BUILD/vine-authority" check --config "$DIR/test.conf" > "$WORK/check"
	echo "$? $(head -1 "$WORK/check")"
}
is "check: nobody serves" "$(authority_check | cut -d : -f 1)" "2 CRITICAL"
check "serve" serve "$DIR/test.conf"
is "check: all is well" "$(authority_check)" "0 OK: 0 alerts"
is "... by vinectl" "$(as admin check; echo $?)" "OK: 0 alerts
0"

let_in()
{
	local i
	for i in 1 2; do
		as admin site add "site$i" --admins admin &&
			as "r$i" register router "r$i" \
				--token "$(as admin token create router --site "site$i")" || return
	done > /dev/null
	as jane register user jane --token "$(as admin token create user --roles sa,vna)" > /dev/null &&
		as admin site change site2 --admins jane > /dev/null
}
check "two routers, and the administrator of one" let_in

# ---- Heard -------------------------------------------------------------------

BEAT='{"version":"1.8","uptime":5,"load":0.5,"rss":1000000,"workers":2,"packets":{"in":1,"out":2},
"bytes":{"in":BYTES,"out":0},"drops":0,"peers":[{"id":2,"up":true,"rtt":0.012,"tx_bytes":BYTES,
"rx_bytes":0,"lost":0.01,"way":"udp"}]}'
beat()
{
	status "$1" POST "/v1/routers/$1/heartbeat" "${BEAT//BYTES/${2:-0}}"
}
is "a heartbeat" "$(beat r1)" "200 application/json"
is "one that is wrong" "$(status r1 POST /v1/routers/r1/heartbeat '{"load":-1}')" "400 $PROBLEM"
is "... is told why" "$(jq -r .detail "$WORK/answer")" "'load' is not a number from 0 to 1e+06"
figure()
{
	as admin --json top | jq -c ".routers[] | select(.name == \"$1\") | $2"
}
is "it is known" "$(figure r1 '[.state,.load,.workers,.version]')" '["ok",0.5,2,"1.8"]'
is "the other one is not heard yet" "$(figure r2 .state)" '"unseen"'
# Rates come of two heartbeats, a second apart.
bytes=0
has_rate()
{
	bytes=$((bytes + 1000000))
	beat r1 $bytes > /dev/null
	[ "$(figure r1 '.bytes_in > 1000')" = true ]
}
check "bandwidth is what its counters differ by" wait_for 10 has_rate
is "links" "$(as admin --json top | jq -c '[.links[] | [.router,.peer,.up,.way,.rtt > 0.01]]')" \
	'[["r1","r2",true,"udp",true]]'
check "for people" eval 'as admin top --once | grep -Eq "^r1 +site1 +ok "'
check "... one router" eval 'as admin router show r1 | grep -Eq "^r1 +r2 +yes +udp +12.0 ms +1 % "'
is "the administrator of a site sees its routers" \
	"$(as jane --json top | jq -c '[.routers[].name]')" '["r2"]'
is "... and no other" "$(status jane GET '/v1/metrics?router=r1')" "403 $PROBLEM"
is "a router itself" "$(status r1 GET /v1/metrics; jq -c '[.routers[].name]' "$WORK/answer")" \
	'200 application/json["r1"]'

# ---- Silent ------------------------------------------------------------------

silent()
{
	[ "$(as admin --json check | jq -c '[.findings[] | [.kind,.subject,.severity]]')" = "$1" ]
}
check "both fall silent" wait_for 30 silent \
	'[["router-silent","r1","critical"],["router-silent","r2","critical"]]'
is "check says so" "$(authority_check)" "2 CRITICAL: 2 alerts"
is "... by vinectl" "$(as admin check > "$WORK/out"; echo $?)" 2
is "... of one's own routers" "$(as jane --json check | jq -c '[.findings[].subject]')" '["r2"]'
check "... in the log" grep -q "router 'r1' has been silent for" "$WORK/serve.log"
told()
{
	grep -qx "$1" "$WORK/alerts"
}
check "... to the webhook, which refused once" wait_for 15 told "raised router-silent r1 critical"
metric()
{
	on a curl -sS http://127.0.0.1:9464/metrics | grep -qxF "$1"
}
check "... in figures" metric 'vine_authority_alerts{kind="router-silent",severity="critical"} 2'
check "... of the router" metric 'vine_authority_router_up{router="r1",site="site1"} 0'
beat r1 > /dev/null
check "it is heard again" wait_for 10 told "cleared router-silent r1 critical"
is "check: nobody has such a configuration" \
	"$("$BUILD/vine-authority" check --config /nowhere 2> /dev/null; echo $?)" 2

# ---- Another one takes over -----------------------------------------------------

as admin token create router --site site1 > "$WORK/token"
check "another router of the first one's site" as r3 register router r3 --token "$(cat "$WORK/token")"
check "... with the same block" eval 'as admin router block r1 172.16.1.0/24 > /dev/null &&
	as admin router block r3 172.16.1.0/24 > /dev/null'
check "a host of the first" as admin host add h1 r1 --owner admin
# while_heard VALUE ROUTER...: whether the first is marked as silent, once these were heard again.
while_heard()
{
	local value=$1 r
	shift
	for r in "$@"; do
		status "$r" POST "/v1/routers/$r/heartbeat" '{}' > /dev/null
	done
	[ "$(as admin --json router list | jq '.routers[] | select(.name == "r1") | .silent')" = "$value" ]
}
check "the first is silent: the other one takes over" wait_for 40 while_heard true r2 r3
is "... as the audit log says" "$(as admin --json audit |
	jq -c '[.audit[] | select(.operation == "steer") | [.caller, .target, .allowed]] | last')" \
	'["authority","\"r1\"",true]'
check "it is heard for a while: it gets it back" wait_for 40 while_heard false r1 r2 r3

# ---- Backups -----------------------------------------------------------------

load()
{
	local n=0
	: > "$WORK/acked"
	while [ ! -e "$WORK/stop" ]; do
		n=$((n + 1))
		as admin vn create "vn-$n" > /dev/null 2>&1 && echo "vn-$n" >> "$WORK/acked"
	done
}
more_than()
{
	[ "$(wc -l < "$WORK/acked")" -gt "$1" ]
}
load &
loading=$!
check "changes" wait_for 20 more_than 3
backup()
{
	local i
	for i in 1 2 3; do
		cp "$WORK/acked" "$WORK/before"
		on a "$BUILD/vine-authority" backup "$WORK/backup" --config "$DIR/test.conf" \
			> /dev/null || return
	done
}
check "backups, while it serves and changes" backup
is "... for their owner only" "$(stat -c %a "$WORK/backup")" 600
is "... and nothing else is left" "$(echo "$WORK"/backup*)" "$WORK/backup"
touch "$WORK/stop"
wait "$loading"
check_fails "nowhere" on a "$BUILD/vine-authority" backup /nowhere/backup --config "$DIR/test.conf"
end "$authority"
is "it ends well" "$ended" 0
check "a backup of one that doesn't serve" on a "$BUILD/vine-authority" backup "$WORK/last" \
	--config "$DIR/test.conf"

OTHER=$WORK/other
restore()
{
	on a "$BUILD/vine-authority" restore "$1" --config "$OTHER/test.conf" > "$WORK/out" 2>&1
}
mkdir "$OTHER"
sed "s|$DIR|$OTHER|" "$DIR/test.conf" > "$OTHER/test.conf"
head -c -100 "$WORK/backup" > "$WORK/cut"
check_fails "one that is cut is refused" restore "$WORK/cut"
sed '3s/BEGIN/BEGUN/' "$WORK/backup" > "$WORK/altered"
check_fails "one that is altered is refused" restore "$WORK/altered"
is "... and nothing is touched" "$(ls "$OTHER")" test.conf
check "restored elsewhere" restore "$WORK/backup"
check_fails "... not twice" restore "$WORK/last"
check "served" serve "$OTHER/test.conf" serve-other
lost()
{
	as admin --json vn list | jq -r '.vns[].name' | sort > "$WORK/there"
	sort "$WORK/before" | comm -23 - "$WORK/there"
}
is "all that was acknowledged before the backup is there" "$(lost)" ""
is "keys are the same" "$(cat "$DIR"/*.key | sha256sum)" "$(cat "$OTHER"/*.key | sha256sum)"
is "tables are of a later generation" "$(status r1 GET /v1/routers/r1/tables > /dev/null
	jq -r .version "$WORK/answer" | grep -Ec '^[0-9]{10}[.]')" 1
end "$authority"
check "of a configuration that isn't there" eval 'rm -r "$DIR" && mkdir "$DIR" &&
	on a "$BUILD/vine-authority" restore "$WORK/last" --config "$DIR/test.conf" > /dev/null'
check "... it is the backup's" serve "$DIR/test.conf" serve-again
check "... with all" as admin vn list
end "$authority"
finish
