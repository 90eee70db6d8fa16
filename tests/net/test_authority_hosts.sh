#!/bin/bash
# Hosts that ask their router: for addresses, two at once; to join a network, and to leave it;
# what is refused to them, and in which words; and the authority gone.
. "$(dirname "$0")/lib.sh"
. "$here/authority.sh"
AUTHORITY=auth # a is a host
OVERLAY="172.16.0.0/12, fd00:76::/32"
setup
internet
site 1 a=11 b=12 c=13
site 2 d=11
authority_node

# The hosts of lib.sh have virtual addresses already: these have physical ones alone, at both
# sites the same, and their gateways both.
physical()
{
	local h
	address gw1 lan 10.0.0.1/24 && address gw2 lan 10.0.0.1/24 || return
	for h in a:11 b:12 c:13 d:11; do
		on "${h%:*}" ip address flush dev eth0 scope global &&
			address "${h%:*}" eth0 "10.0.0.${h#*:}/24" &&
			on "${h%:*}" ip route add default via 10.0.0.1 || return
	done
}
check "hosts with physical addresses" physical

# vine HOST ARGUMENT...: the script on that host, with a state of its own.
vine()
{
	local host=$1
	shift
	on "$host" env VINE_HOST_STATE="$WORK/state-$host" "$top/scripts/vine-host" "$@"
}

# told TEXT HOST ARGUMENT...: fails with one line that has this text.
told()
{
	local text=$1
	shift
	! vine "$@" > "$WORK/out" 2>&1 && cat "$WORK/out" && [ "$(wc -l < "$WORK/out")" = 1 ] &&
		grep -q -e "^vine-host: .*$text" "$WORK/out"
}

# asks HOST METHOD PATH SECRET [FIELD]: the status of HTTP.
asks()
{
	on "$1" curl -s -o "$WORK/answer" -w '%{http_code}' -X "$2" -H "Authorization: Bearer $4" \
		-H "${5:-X: x}" "http://10.0.0.1:8465$3"
}

# ---- Begun ------------------------------------------------------------------

check "init" authority_begin
check "serve" serve

# The block of site 1 has room for two hosts.
site_and_router()
{
	local i=$1
	configure_given "$i" && printf '[hosts]\nlisten = 10.0.0.1:8465\n' >> "$(conf "$i")" &&
		as admin site add "s$i" --admins admin && enroll "$i" &&
		as admin router block "r$i" "172.16.$i.$2"
}
check "a site and its router, with a block of two addresses" site_and_router 1 8/30
check "another" site_and_router 2 0/24
check "routers start" start_routers
check "... and are connected" wait_for 10 says 1 .connected true
check "... both" wait_for 10 says 2 .connected true

# ---- Addresses --------------------------------------------------------------

is "nobody has registered: said in one line" \
	"$(vine a address 2>&1; echo $?)" "vine-host: not registered, or not root: vine-host register TOKEN
1"
many=$(as admin token create host --site s1 --count 5)
check "a wrong token" told 'there is no such token' a register "${many//[0-9]/f}"
check "a token of another site" told "for site 's2'" a register \
	"$(as admin token create host --site s2)" a

# Two at once: each has its own.
vine a register "$many" a > "$WORK/address-a" 2>&1 &
first=$!
vine b register "$many" b > "$WORK/address-b" 2>&1 &
second=$!
wait $first && wait $second
is "two hosts register at once" "$?" 0
is "... and have different addresses" "$(sort -V "$WORK/address-a" "$WORK/address-b" | xargs)" \
	"172.16.1.9 172.16.1.10"
A=$(cat "$WORK/address-a")
B=$(cat "$WORK/address-b")
is "who asks again has the same" "$(vine a address) $(vine b address)" "$A $B"
is "... also who registers again" "$(vine a register "$many" a)" "$A"
is "... which costs no token" \
	"$(as admin --json audit | jq '[.audit[] | select(.operation == "register" and .allowed and
		(.caller | startswith("router/r1")))] | length')" 3
check "the block is used up" told "router 'r1' has no free address: assign it a block" c register \
	"$many" c
check "another name is another host" told 'registered as a already' a register "$many" z
is "secrets are the owner's alone" "$(stat -c %a "$WORK/state-a/host")" 600

check "a user's host" as admin host add d r2 172.16.2.9
check "... is not known by a token of the site" told 'vinectl host token' d register \
	"$(as admin token create host --site s2)" d
is "... but by its own" "$(vine d register "$(as admin host token d)")" 172.16.2.9
D=172.16.2.9

# ---- Up ---------------------------------------------------------------------

for h in a b d; do
	check "$h is up" vine $h up
	check "... again" vine $h up
done
is "its address" "$(on a ip -o -4 address show dev eth0 | grep -c " $A/32 ")" 1
is "its route" "$(on a ip route show 172.16.0.0/12)" "172.16.0.0/12 via 10.0.0.1 dev eth0 src $A "

# ---- Networks ---------------------------------------------------------------

check "a network" as admin vn create vn1
check "nothing is reached" no_reach a "$D"
check "a joins" vine a join vn1
check "d joins" vine d join vn1
check "they reach each other" wait_for 10 reach a "$D"
check "... without loss" pings a "$D" 50
is "status" "$(vine a status)" "host a
router r1
address $A
vn vn1
gateway 10.0.0.1
network 172.16.0.0/12"
check "b reaches nobody" no_reach b "$D"
check "no such network" told "there is no VN 'vn9'" b join vn9
check "not a member" told "is not in VN 'vn1'" b leave vn1
check "d leaves" vine d leave vn1
check "... and is reached no more" wait_for 10 no_reach a "$D"
is "the audit log has whose wish it was" \
	"$(as admin --json audit | jq -r '[.audit[] | select(.operation == "vn-leave")][-1].caller')" \
	"router/r2 (host d)"

# ---- Who it is --------------------------------------------------------------

secret=$(cat "$WORK/state-a/host")
is "with the secret" "$(asks a GET /v1/host "$secret")" 200
is "another secret" "$(asks a GET /v1/host "${secret//[0-9]/f}")" 403
is "... in words" "$(cat "$WORK/answer")" "host 'a' is registered, and this is not its secret"
is "another's name" "$(asks a POST /v1/host/leave/vn1 "b:${secret#*:}")" 403
is "none" "$(asks a GET /v1/host '')" 401
is "another router's host" "$(asks d GET /v1/host "$secret")" 403
is "registering in its name" "$(asks b POST /v1/host "a:$(printf 'a%.0s' {1..64})" \
	"Vine-Token: ${many%.*}")" 403
is "refusals are in the audit log" "$(as admin --json audit | jq '[.audit[] | select(
	.allowed == false and .caller == "router/r1" and (.detail | test("not its secret")))] | length')" 3
as admin host token a > "$WORK/token"
check "a new token ends the old secret" told 'not its secret' a status
check "... and is a new one" vine a register "$(cat "$WORK/token")"
check "a network of others" as admin vn create theirs
many_requests()
{
	on b curl -s -o "$WORK/answer" -w '%{http_code}\n' -H "Authorization: Bearer x" \
		"http://10.0.0.1:8465/v1/host#[1-100]" | grep -q 429
}
check "too many requests" many_requests
check "... do the others no harm" vine a status

# ---- Physical addresses -------------------------------------------------------

check "c is known by its physical address" vine c register "$many" c --physical
is "... which is where it asks from" "$(as admin --json host list |
	jq -r '.hosts[] | select(.name == "c").addresses[]')" 10.0.0.13
check "a has one beside its virtual one, but not in a network" told "has to leave first" a \
	address --physical
check "a leaves" vine a leave vn1
is "... then" "$(vine a address --physical | xargs)" "$A 10.0.0.11"
is "the same address at another site" "$(vine d address --physical | xargs)" "$D 10.0.0.11"
check "a joins" vine a join vn1
check "... but not both" told 'both have 10.0.0.11: they cannot be in one VN' d join vn1
check "c joins by its physical address" vine c join vn1

# ---- Without the authority ---------------------------------------------------

end "$authority" KILL
check "the authority is gone" wait_for 10 says 1 .connected false
check "that is said" told "can't be asked now" a join vn1
is "... with a status" "$(asks c GET /v1/host "$(cat "$WORK/state-c/host")")" 503
on a ip address del "$A/32" dev eth0
check "what a host was given it has all the same" vine a up
is "... with its address" "$(on a ip -o -4 address show dev eth0 | grep -c " $A/32 ")" 1
check "down" vine a down
is "... takes away what is the overlay's" "$(on a ip -o -4 address show dev eth0 | grep -c '172\.16\.')$(
	on a ip route show 172.16.0.0/12)$(on a ip -o -4 address show dev eth0 | grep -c 10.0.0.11/24)" 01
check "the router is gone as well" stop_router 1
check "... that is said, too" told "doesn't answer: Failed to connect" a status

check "routers end" stop_routers
finish
