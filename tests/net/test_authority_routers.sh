#!/bin/bash
# Routers that have their tables from an authority: what it takes to begin, networks made by
# vinectl between hosts of two sites, the authority gone, a router started without it, tables
# that are not to be taken, a router that is revoked, certificates that renew themselves.
# takes 50 s
. "$(dirname "$0")/lib.sh"
. "$here/authority.sh"
setup
internet
site 1
site 2
site 3
authority_node

# newer I VERSION: tables of another number than that.
newer()
{
	[ "$(of "$1" .tables.version)" != "$2" ]
}

# ---- Begun ------------------------------------------------------------------

check "init" authority_begin
check "serve" serve

configure_given 1
on gw1 "$BUILD/vine-router" --config "$(conf 1)" --check 2> "$WORK/err"
is "--check without an identity says what is missing" \
	"$? $(grep -c 'r1/identity/authority.json: No such file.*vinectl register router' "$WORK/err")" "2 1"

sites_and_routers()
{
	local i
	for i in 1 2; do
		as admin site add "s$i" --admins admin && enroll "$i" &&
			as admin router block "r$i" "172.16.$i.0/24" &&
			as admin host add "h$i" "r$i" "172.16.$i.10" --owner admin || return
	done
}
check "two sites, routers and hosts" sites_and_routers
# the first of these places is nobody's
configure_given 2 "url = https://203.0.113.6:$PORT, $URL"
check "--check" on gw1 "$BUILD/vine-router" --config "$(conf 1)" --check
configure_given 1 "" "id = 77"
on gw1 "$BUILD/vine-router" --config "$(conf 1)" --check 2> "$WORK/err"
is "an ID that is not the authority's" "$? $(grep -c '\[router\] id: 77 is not' "$WORK/err")" "2 1"
configure_given 1
printf '[lndt]\n1 = 172.16.1.0/24\n' >> "$(conf 1)"
on gw1 "$BUILD/vine-router" --config "$(conf 1)" --check 2> "$WORK/err"
is "tables of one's own" "$? $(grep -c '\[lndt\]: is there; expected no such section' "$WORK/err")" "2 1"
configure_given 1

sites=(1 2)
check "routers start" start_routers
check "r1 is connected" wait_for 10 says 1 .connected true
check "r2 is, by the place that answers" wait_for 15 says 2 .connected true
check "a host reaches nothing yet" no_reach h1 172.16.2.10

# ---- A network --------------------------------------------------------------

check "a network" as admin vn create vn1 h1 h2
check "its hosts reach each other" wait_for 10 reach h1 172.16.2.10
check "ping" pings h1 172.16.2.10 50
stored()
{
	[ "$(of 1 .tables.version)" = "$(of 1 .tables.stored)" ]
}
check "its tables are on disk" wait_for 5 stored
check "the router knows its own address in the site" \
	eval 'on gw1 ip route show 172.16.0.0/12 | grep -q "src 172.16.1.1"'
check "status says it" eval 'ctl_text 1 status | grep -q "^authority $URL, connected"'
check "... and of the certificate" eval 'ctl_text 1 show authority | grep -q "^identity  certificate good until"'
metrics()
{
	on gw1 curl -s http://127.0.0.1:9463/metrics > "$WORK/metrics" &&
		grep -qx "vine_authority_up 1" "$WORK/metrics" &&
		grep -qx "vine_table_version $(of 1 .tables.version | cut -d. -f2)" "$WORK/metrics" &&
		grep -qx "vine_table_generation 1" "$WORK/metrics" &&
		grep -qE "^vine_certificate_expiry_seconds 77[0-9]{5}$" "$WORK/metrics"
}
check "metrics say it" metrics
is "keys are for the owner" "$(stat -c %a "$WORK/r1/tables" "$WORK/r1/identity/key.pem" | sort -u)" 600
cp -r "$DIR" "$WORK/early"

# ---- The authority gone -------------------------------------------------------

flood before h1 172.16.2.10 3000
end "$authority" KILL
check "the authority is killed: the routers see it" wait_for 5 says 1 .connected false
flood_ended()
{
	grep -q "packets transmitted" "$WORK/before.log"
}
check "traffic goes on" wait_for 30 flood_ended
check "... without loss" flood_result before
check "a router ends without the authority" stop_router 1
check "... and starts" start_router 1
check "its hosts reach others, from disk" wait_for 10 reach h1 172.16.2.10
kill_router 1
head -c -1 "$WORK/r1/tables" > "$WORK/r1/cut" && cp "$WORK/r1/cut" "$WORK/r1/tables"
check "it is killed, and the last of its tables cut: it starts" start_router 1
check "... and says so" grep -q "authority: $WORK/r1/tables:" "$(log_of 1)"
check "the authority is back" serve
check "r1 is connected" wait_for 20 says 1 .connected true
check "r2 is connected" wait_for 20 says 2 .connected true
check "its hosts reach others again" wait_for 10 reach h1 172.16.2.10
check "what was cut is whole again" wait_for 40 stored

# Hosts come and go.
check "a host leaves" as admin vn leave vn1 h2
check "... and is reached no more" wait_for 10 no_reach h1 172.16.2.10
stop_router 2
version=$(of 1 .tables.version)
check "it joins while its router is away" as admin vn join vn1 h2
check "r1 has newer tables" wait_for 25 newer 1 "$version"
check "r2 starts" start_router 2
check "... and gets what it has missed" wait_for 25 reach h1 172.16.2.10

# Many changes are appended to the file, until a whole one takes its place.
many()
{
	local i
	for i in {1..6}; do
		as admin vn leave vn1 h2 && as admin vn join vn1 h2 || return
	done
}
check "many changes" many
check "... end where they should" wait_for 25 reach h1 172.16.2.10
check "... on disk" wait_for 10 stored

# ---- What is not taken --------------------------------------------------------

refused()
{
	of 1 .tables.refused | grep -q "$1"
}
events()
{
	ctl "$1" show counters | jq -r ".events.$2"
}
# other_authority: the same CA, another key that signs tables.
other_authority()
{
	cp -r "$DIR" "$WORK/other" && rm "$WORK"/other/tables.* &&
		openssl genpkey -algorithm ed25519 -out "$WORK/other/tables.key" &&
		openssl pkey -in "$WORK/other/tables.key" -pubout -out "$WORK/other/tables.pub" &&
		chmod 600 "$WORK/other/tables.key" &&
		sed -i "s|$DIR|$WORK/other|g" "$WORK/other/authority.conf"
}
version=$(of 1 .tables.version)
end "$authority"
check "another one that signs with another key" other_authority
check "... serves" serve "$WORK/other/authority.conf"
check "r1 is connected" wait_for 20 says 1 .connected true
as admin vn create vn2 > "$WORK/out" 2>&1
as admin vn leave vn1 h2 > "$WORK/out" 2>&1
check "its tables are refused" wait_for 20 refused "has not signed"
is "... and what ran runs" "$(of 1 .tables.version)" "$version"
check "... which hosts see" reach h1 172.16.2.10
at_least "... is counted" "$(events 1 tables_refused)" 1
check "... and told" wait_for 10 grep -q "router 'r1' refuses its tables: tables that this router" \
	"$WORK/serve.log"

end "$authority"
sed -i "s|$DIR|$WORK/early|g" "$WORK/early/authority.conf"
check "an early copy of the authority" serve "$WORK/early/authority.conf"
check "its tables are refused" wait_for 20 refused "older"
is "... and what ran runs" "$(of 1 .tables.version)" "$version"
check "... which hosts see" reach h1 172.16.2.10
end "$authority"
check "the right one" serve
check "r1 is connected, and nothing is refused" wait_for 20 says 1 .tables.refused null

# ---- Revoked --------------------------------------------------------------------

check "r2 is revoked" as admin revoke router r2
check "... and cut off" wait_for 10 no_reach h1 172.16.2.10
cut_off()
{
	[ "$(ctl 1 show peers | jq '.peers | length')" = 0 ]
}
check "... by keys" wait_for 10 cut_off
check "... and told why" wait_for 20 eval 'of 2 .error | grep -q revoked'

# ---- Certificates ----------------------------------------------------------------

end "$authority"
printf '\n[certificates]\nrouters = 12s\n' >> "$DIR/authority.conf"
check "certificates of 12 seconds" serve
third()
{
	as admin site add s3 --admins admin && enroll 3 && configure_given 3
}
check "a third router" third
sites+=(3)
check "... starts" start_router 3
check "... is connected" wait_for 10 says 3 .connected true
end_of()
{
	of 3 .certificate.end
}
first=$(end_of)
renewed()
{
	[ "$(end_of)" != "$first" ]
}
check "it renews its certificate by itself" wait_for 20 renewed
check "... and keeps it" wait_for 5 eval \
	'[ "$(openssl x509 -noout -enddate -in $WORK/r3/identity/certificate.pem | cut -d= -f2 |
		date -u -f - +%FT%TZ)" = "$(end_of)" ]'
end "$authority" KILL
expired()
{
	[ "$(date -u +%FT%TZ)" \> "$(end_of)" ]
}
check "without the authority it runs out" wait_for 20 expired
check "the authority is back" serve
first=$(end_of)
check "it is renewed all the same" wait_for 20 renewed
check "... and the router connected" wait_for 20 says 3 .connected true

check "routers end" stop_routers
finish
