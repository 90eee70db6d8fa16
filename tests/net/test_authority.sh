#!/bin/bash
# The authority with real programs: begun, served, users and routers let in by tokens,
# virtual networks made, merged and split by vinectl; what is refused, and with which
# status; killed under a load of changes; and two processes on one etcd.
# takes 55 s
. "$(dirname "$0")/lib.sh"
. "$here/authority.sh"
setup
authority_alone

# configure PORT [LIFE-OF-USERS]
configure()
{
	configure_at "$1" && sed -i "s/^listen.*/&\nmetrics = 127.0.0.1:$((1000 + $1))/" "$DIR/$1.conf" &&
		echo "users = ${2:-2160h}" >> "$DIR/$1.conf"
}

# begin [OPTION...]
begin()
{
	authority_begin --name localhost "$@" && configure "$PORT"
}

# refused TEXT WHO VERB...: fails, in words with this text.
refused()
{
	local text=$1
	shift
	! as "$@" > "$WORK/out" 2>&1 && cat "$WORK/out" && grep -q -e "$text" "$WORK/out"
}

# token ARGUMENT...: of the administrator's.
token()
{
	as admin token create "$@"
}

# enroll KIND NAME TOKEN [OPTION...]
enroll()
{
	local kind=$1 name=$2 secret=$3
	shift 3
	as "$name" register "$kind" "$name" --token "$secret" "$@"
}

# ---- Begun ------------------------------------------------------------------

is "vine-authority --version" "$("$BUILD/vine-authority" --version)" \
	"vine-authority $(cat "$top/VERSION")"
check "vine-authority --help" eval '"$BUILD/vine-authority" --help | grep -q usage'
"$BUILD/vine-authority" --bogus 2> /dev/null
is "vine-authority: wrong usage" $? 2
"$BUILD/vine-authority" init --name 'a b' --admin X --directory "$DIR" 2> "$WORK/err"
is "init refuses wrong names" "$? $(grep -c . "$WORK/err")" "2 2"
check "the description of the API is the one in docs" \
	eval '"$BUILD/vine-authority" openapi | cmp - "$top/docs/openapi.json"'

check "init" begin
check "init says what to do next" grep -q 'vine-authority serve --config' "$WORK/init"
is "keys are the owner's alone" "$(stat -c %a "$DIR"/*.key "$DIR/admin/key.pem" | sort -u)" 600
check_fails "init begins nothing twice" begin
printf '[server]\nlisten = nowhere\ncolour = blue\n[store]\nurl = mysql:x\n' > "$WORK/bad.conf"
"$BUILD/vine-authority" serve --config "$WORK/bad.conf" 2> "$WORK/err"
is "a wrong configuration: all errors at once" "$? $(grep -c "^$WORK/bad.conf:" "$WORK/err")" "2 5"
check "serve" serve_at "$PORT"
is "nobody has registered yet" "$(as admin --json router list | jq -c .)" '{"routers":[]}'

# ---- Let in -----------------------------------------------------------------

let_in()
{
	local i
	for i in 1 2 3; do
		as admin site add "site$i" --admins admin &&
			enroll router "r$i" "$(token router --site "site$i")" \
				--endpoint "198.51.100.$i:8463" &&
			as admin router block "r$i" "172.16.$i.0/24" || return
	done
}
check "three sites, with a router each" let_in
for user in jane joe; do
	check "$user registers with a token" enroll user "$user" "$(token user --roles eu)"
done
hosts()
{
	local i
	for i in 1 2 3; do
		as admin host add "jane$i" "r$i" --owner jane &&
			as admin host add "joe$i" "r$i" "172.16.$i.77" --owner joe || return
	done
}
check "hosts get addresses" hosts
is "... out of their router's block" \
	"$(as jane --json host list | jq -c '[.hosts[].addresses[0]]')" \
	'["172.16.1.2","172.16.2.2","172.16.3.2"]'

# ---- Virtual networks --------------------------------------------------------
check "a user has a host registered with a token" \
	as jane host add jane4 r1 --token "$(token host --site site1)"
check "... and none without" refused 'administrators' jane host add jane5 r1

members()
{
	as "$1" --json vn show "$2" | jq -c '[.hosts[].name]'
}
check "create" as jane vn create vn1 jane1 jane2
check "create, by another" as joe vn create vn2 joe2 joe3
check "a join" as jane vn join vn1 jane3
is "members" "$(members jane vn1)" '["jane1","jane2","jane3"]'
check "vn1 is administered by both" as jane vn change vn1 --admins jane,joe
check "a merge says beforehand who will reach whom" \
	eval 'as joe vn merge vn1 vn2 vn3 --dry-run | grep -q "jane1, jane2, jane3 would reach joe2, joe3"'
is "... and does nothing" "$(as joe --json vn list | jq -c '[.vns[].name]')" '["vn1","vn2"]'
check "a merge" as joe vn merge vn1 vn2 vn3
is "its members" "$(members joe vn3)" '["jane1","jane2","jane3","joe2","joe3"]'
check "a split" as joe vn split vn3 vn1=jane1,jane2,jane3 vn2=joe2,joe3
is "the members of the one" "$(members jane vn1)" '["jane1","jane2","jane3"]'
check "undo: together again" as joe vn undo vn1
is "its members are back" "$(members joe vn3)" '["jane1","jane2","jane3","joe2","joe3"]'
is "the log" "$(as joe --json vn log vn3 | jq -c '[.log[].operation]')" \
	'["vn-merge","vn-split","vn-undo"]'
check "tables for people" eval 'as joe vn list | grep -Eq "^vn3 +[0-9]+ +5 +default +joe "'

# ---- Refused ----------------------------------------------------------------

is "no certificate" "$(status - GET /v1/vns)" "401 $PROBLEM"
is "... in words" "$(jq -c '[.status,.title]' "$WORK/answer")" '[401,"Unauthorized"]'
is "the wrong role" "$(status jane GET /v1/users)" "403 $PROBLEM"
is "a router is no user" "$(status r1 POST /v1/vns '{"name":"x"}')" "403 $PROBLEM"
is "not its own" "$(status jane POST /v1/vns '{"name":"x","hosts":["joe1"]}')" "403 $PROBLEM"
is "no JSON" "$(status jane POST /v1/vns '{"name":')" "400 $PROBLEM"
is "an argument that there isn't" "$(status jane POST /v1/vns '{"name":"x","y":1}')" "400 $PROBLEM"
is "no such VN" "$(status joe DELETE /v1/vns/none)" "404 $PROBLEM"
is "no such path" "$(status joe GET /v1/none)" "404 $PROBLEM"
is "another method" "$(status joe PATCH /v1/vns)" "405 $PROBLEM"
is "a name that is taken" "$(status joe POST /v1/vns '{"name":"vn3"}')" "409 $PROBLEM"
head -c 3000000 /dev/zero | tr '\0' ' ' > "$WORK/large"
is "a body that is too large" "$(status joe POST /v1/vns "@$WORK/large" | cut -c 1-3)" 413
is "TLS 1.2" "$(on a curl -sS --tls-max 1.2 --cacert "$WORK/id-admin/ca.pem" "$URL/v1/vns" \
	2> /dev/null; echo $?)" 35
once=$(token user --roles eu)
check "a token" enroll user once "$once"
check "... is good once" refused 'used up' twice register user twice --token "$once"
check "... is for a user" refused 'is for a user' r9 register router r9 --token "$(token user --roles eu)"
check "a token of another CA" refused "isn't the authority of this identity or token" other \
	register user other --token "${once%.*}.$(printf '0%.0s' {1..64})"
on a openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 \
	-subj '/OU=user/CN=admin' -keyout "$WORK/key" -out "$WORK/crt" 2> /dev/null
mkdir "$WORK/id-forger" && mv "$WORK/key" "$WORK/id-forger/key.pem" &&
	mv "$WORK/crt" "$WORK/id-forger/certificate.pem"
is "a certificate of one's own" "$(status forger GET /v1/users)" "401 $PROBLEM"
check "a user is revoked" as admin revoke user once
is "... at once" "$(status once GET /v1/vns)" "403 $PROBLEM"
check "... and gets no new certificate" refused revoked once renew
is "refusals are in the audit log" "$(as admin --json audit | jq -c '[.audit[] |
	select(.allowed == false and (.caller == "user/once" or .operation == "list-users"))] |
	length')" 4

# Middleware acts for a user, in what it was given.
export VINE_CREDENTIAL
VINE_CREDENTIAL=$(as jane credential create list-vns)
check "a delegated credential" as admin vn list
check "... is for no more" refused 'not for the operation' admin vn create x
unset VINE_CREDENTIAL

# Requests with bytes turned, cut, or left without waiting for the answer.
check "hostile requests" on a "$PYTHON" "$here/hostile.py" "$PORT" "$WORK/id-admin" 400
is "... and it serves on" "$(status joe GET /v1/vns)" "200 application/json"

# ---- Tables --------------------------------------------------------------------

# listen ROUTER [PORT]: it has a stream, and says in $WORK/listen-ROUTER.log what comes.
listen()
{
	spawn "listen-$1" a "$PYTHON" "$here/listen.py" "https://127.0.0.1:${2:-$PORT}" \
		"$WORK/id-$1" "$1" "$WORK/control-$1" "$WORK/image-$1"
	listener[$1]=$spawned
}
declare -A listener

# said ROUTER PATTERN [LINE]: in its log, from that line on.
said()
{
	tail -n +"${3:-1}" "$WORK/listen-$1.log" | grep -Eq "$2"
}
lines()
{
	echo $(($(wc -l < "$WORK/listen-$1.log") + 1))
}

# states [VN]: of its routers, or of all.
states()
{
	if [ $# -gt 0 ]; then
		as joe --json vn show "$1"
	else
		as admin --json router list
	fi | jq -c '[.routers[].state]'
}
are()
{
	[ "$(states)" = "$1" ]
}
CURRENT='["current","current","current"]'

is "routers without a stream are away" "$(states vn3)" '["away","away","away"]'
# Ten seconds are given to each: who comes earlier gets tables of a step between.
settled()
{
	on a curl -sS "http://127.0.0.1:$((1000 + PORT))/metrics" | grep -qx "vine_authority_rounds 0"
}
check "... and not waited for any more" wait_for 30 settled
for i in 1 2 3; do
	listen "r$i"
done
check "three routers get their tables" wait_for 10 are "$CURRENT"
is "... whole, since they had none" "$(grep -c ' 3 tables$' "$WORK/listen-r1.log")" 1
is "a VN's routers are shown with it" "$(states vn3)" "$CURRENT"
check "... for people too" eval 'as joe vn show vn3 | grep -Eq "^r2 +1\.[0-9]+ +1\.[0-9]+ +current "'
signed()
{
	head -c -64 "$WORK/image-$1" > "$WORK/bytes" && tail -c 64 "$WORK/image-$1" > "$WORK/signature" &&
		base64 -d "$WORK/id-$1/tables.pub" > "$WORK/public" &&
		openssl pkeyutl -verify -pubin -keyform DER -inkey "$WORK/public" -rawin \
			-in "$WORK/bytes" -sigfile "$WORK/signature"
}
check "tables are signed" signed r1
is "they can be had whole" "$(status r1 GET /v1/routers/r1/tables)" "200 application/json"
is "... the same" "$(jq -r .image "$WORK/answer" | base64 -d | cmp - "$WORK/image-r1" && jq -r .type \
	"$WORK/answer")" tables
is "not by another router" "$(status r2 GET /v1/routers/r1/tables)" "403 $PROBLEM"
is "... nor its stream" "$(status r2 GET /v1/routers/r1/stream)" "403 $PROBLEM"
is "... nor by a user" "$(status admin GET /v1/routers/r1/stream)" "403 $PROBLEM"
is "... nor by nobody" "$(status - GET /v1/routers/r1/stream)" "401 $PROBLEM"
is "a confirmation for another" "$(status r2 POST /v1/routers/r1/confirm '{"version":"1.1"}')" \
	"403 $PROBLEM"
is "one that is none" "$(status r1 POST /v1/routers/r1/confirm '{}')" "400 $PROBLEM"
is "a heartbeat that is none" "$(status r1 POST /v1/routers/r1/heartbeat '[]')" "400 $PROBLEM"
is "no version" "$(status r1 GET '/v1/routers/r1/stream?have=x')" "400 $PROBLEM"
at1=$(lines r1) at2=$(lines r2)
check "a VN of one router" as jane vn create vn4 jane4
check "... changes its tables" wait_for 10 said r1 ' 3 change$' "$at1"
check "... and nobody else's" eval '! said r2 . "$at2"'
at1=$(lines r1) at3=$(lines r3)
check "a split" as joe vn split vn3 vn1=jane1,jane2,jane3 vn2=joe2,joe3
check "... comes in three steps" wait_for 10 said r3 ' 3 change$' "$at3"
is "... one after the other" "$(tail -n +"$at3" "$WORK/listen-r3.log" | cut -d ' ' -f 2,3 | paste -sd ,)" \
	"1 change,2 change,3 change"
check "... at each" wait_for 10 said r1 ' 3 change$' "$at1"

# Who doesn't answer, or doesn't take it, holds up nobody for long.
echo mute > "$WORK/control-r2"
at1=$(lines r1)
check "a change at a router that doesn't answer" as joe vn merge vn1 vn2 vn3
check "... goes on without it" wait_for 20 said r1 ' 3 change$' "$at1"
is "... which is late" "$(states)" '["current","late","current"]'
check "... and reported" grep -q 'router r2: it has not confirmed' "$WORK/serve-$PORT.log"
echo refuse no room > "$WORK/control-r2"
refuses_it()
{
	as joe vn show vn3 | grep -Eq '^r2 .* late .* no room$'
}
check "why a router refuses its tables is shown" wait_for 30 refuses_it
rm "$WORK/control-r2"
check "it catches up" wait_for 40 are "$CURRENT"
at1=$(lines r1)
is "another stream of a router" "$(on a curl -sS --max-time 1 --cacert "$WORK/id-r1/ca.pem" \
	--cert "$WORK/id-r1/certificate.pem" --key "$WORK/id-r1/key.pem" -o "$WORK/answer" \
	-w '%{http_code} %{content_type}' "$URL/v1/routers/r1/stream" 2> /dev/null)" \
	"200 application/x-ndjson"
check "... is in the place of the one before" said r1 '^ended 200' "$at1"
check "... and the other way round" wait_for 40 are "$CURRENT"

at1=$(lines r1)
end "${process[$PORT]}" KILL
check "the authority is killed, and up again" serve_at "$PORT"
check "... its routers come back" wait_for 20 are "$CURRENT"
end "${process[$PORT]}"
check "of a store from a backup" "$BUILD/vine-authority" restored --config "$DIR/$PORT.conf"
check "... served" serve_at "$PORT"
check "... all is newer" wait_for 20 said r1 '^[0-9]{10}\.[0-9]+ 3 tables$' "$at1"
check "... and taken" wait_for 20 are "$CURRENT"
at3=$(lines r3)
check "a router is revoked" as admin revoke router r3
check "... its stream ends" wait_for 5 said r3 '^ended 200' "$at3"
check "... and there is no other" wait_for 5 said r3 '^ended 403' "$at3"
check "... the others' tables change" wait_for 20 are '["current","current","away"]'
for i in 1 2 3; do
	end "${listener[r$i]}"
done

# ---- Certificates end --------------------------------------------------------

end "${process[$PORT]}"
is "SIGTERM ends it well" "$ended" 0
configure "$PORT" 1s
check "served with certificates of one second" serve_at "$PORT"
check "a user registers" enroll user brief "$(token user --roles eu)"
ended_now()
{
	[ "$(status brief GET /v1/vns)" = "401 $PROBLEM" ] && grep -q expired "$WORK/answer"
}
check "its certificate runs out" wait_for 10 ended_now
end "${process[$PORT]}"
configure "$PORT"
check "served again" serve_at "$PORT"
check "who has the key gets another one, by itself" as brief vn list
is "... which is good" "$(status brief GET /v1/vns)" "200 application/json"

# One CA takes the place of the other, and nobody is shut out.
ca_step()
{
	"$BUILD/vine-authority" ca "$1" --config "$DIR/$PORT.conf" > /dev/null &&
		kill -HUP "${process[$PORT]}" &&
		wait_for 5 eval "[ \$(grep -c 'the CA and the key of tables were read' $WORK/serve-$PORT.log) = $2 ]"
}
check "the next CA is trusted" ca_step next 1
check "clients learn of it" as brief renew
cp "$WORK/id-brief/ca.pem" "$WORK/id-admin/ca.pem"
check "the next CA issues" ca_step promote 2
is "who has not renewed is still known" "$(status jane GET /v1/vns)" "200 application/json"
check "who knows both renews" as brief renew
check "the old CA is dropped" ca_step drop 3
check "who has renewed goes on" as brief vn list
cp "$WORK/id-brief/ca.pem" "$WORK/id-admin/ca.pem"
is "who has not is told" "$(status jane GET /v1/vns)" "401 $PROBLEM"
for who in admin jane joe; do
	cp "$WORK/id-brief/ca.pem" "$WORK/id-$who/ca.pem"
	check "... and $who renews" as "$who" renew
done

# ---- Killed under load --------------------------------------------------------

# load NAME WHO: creates VNs, one after the other; NAME.acked has what was acknowledged.
load()
{
	local n=0
	: > "$WORK/$1.acked"
	while [ ! -e "$WORK/stop" ]; do
		n=$((n + 1))
		as "$2" vn create "$1-$n" > /dev/null 2>&1 && echo "$1-$n" >> "$WORK/$1.acked"
	done
}
acked()
{
	cat "$WORK"/load[12].acked | wc -l
}
more_than()
{
	[ "$(acked)" -gt "$1" ]
}
kill_under_load()
{
	local round
	for round in {1..20}; do
		wait_for 20 more_than "$(($(acked) + 3))" || return
		end "${process[$PORT]}" KILL
		serve_at "$PORT" || return
	done
}
load load1 jane &
loads=($!)
load load2 joe &
loads+=($!)
check "killed 20 times under load, and up again" kill_under_load
touch "$WORK/stop"
wait "${loads[@]}"
note "$(acked) changes acknowledged"
lost()
{
	{ as jane --json vn list; as joe --json vn list; } | jq -r '.vns[].name' | sort > "$WORK/there"
	sort "$WORK"/load[12].acked | comm -23 - "$WORK/there"
}
is "nothing that was acknowledged is lost" "$(lost)" ""
check "... VNs of before are there" eval 'grep -qx vn3 "$WORK/there"'
end "${process[$PORT]}"
is "it ends well" "$ended" 0

# ---- Two processes on one etcd -------------------------------------------------

check "etcd is up" serve_etcd
DIR=$WORK/authority2
rm -rf "$WORK"/id-*
check "init on etcd" begin --store etcd:http://127.0.0.1:2379
configure 8465
check "one process" serve_at 8464
check "another one" serve_at 8465
check "a change at the one" as admin vn create e1
there()
{
	URL=https://127.0.0.1:$1 as admin --json vn list | jq -e ".vns[] | select(.name == \"$2\")"
}
check "... is soon at the other" wait_for 3 there 8465 e1
both()
{
	local i p q
	for i in {1..10}; do
		as admin vn create "p-$i" & p=$!
		URL=https://127.0.0.1:8465 as admin vn create "q-$i" & q=$!
		wait $p && wait $q || return
	done
}
figures_at()
{
	[ "$(URL=https://127.0.0.1:$1 as admin --json top | jq -c .links)" = "[]" ] &&
		URL=https://127.0.0.1:$1 as admin check
}
check "either says how routers are" wait_for 10 eval "figures_at 8464 && figures_at 8465"
check "changes at both at once" both
same()
{
	[ "$(as admin --json vn list)" = "$(URL=https://127.0.0.1:8465 as admin --json vn list)" ]
}
check "both have all" wait_for 3 same
let_in_one()
{
	as admin site add site1 --admins admin &&
		enroll router r1 "$(token router --site site1)" --endpoint 198.51.100.1:8463 &&
		as admin router block r1 172.16.1.0/24 && as admin host add h1 r1 && as admin host add h2 r1
}
check "a router" let_in_one
at1=$(lines r1)
listen r1 8465
check "... has a stream, by whichever has the routers" wait_for 10 said r1 ' [03] tables$' "$at1"
check "... at the other it is sent on" said r1 '^ended 307' "$at1"
is "one process has them" "$(status r1 GET /v1/routers/r1/tables | cut -c 1-3)" 200
is "... and the other says which" "$(URL=https://127.0.0.1:8465 status r1 GET /v1/routers/r1/tables)" \
	"307 $PROBLEM"
is "no ID was given twice" "$(as admin --json vn list | jq '[.vns[].id] | length, (unique | length)' |
	sort -u)" 21
end "${process[8464]}" KILL
URL=https://127.0.0.1:8465
at1=$(lines r1)
check "one is killed: the other serves" as admin vn create e2 h1
check "... and has the routers" wait_for 10 said r1 '^stream https://127.0.0.1:8465' "$at1"
check "... with what is new" wait_for 10 said r1 ' 3 (tables|change)$' "$at1"
finish
