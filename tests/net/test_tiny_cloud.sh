#!/bin/bash
# Two clouds and a plain site in one VN: on each VM nothing but the one command that
# `vinectl tiny invite` prints, with the real program, from a real authority. All reach all, by
# ping, TCP, ssh, and with MPI; a key that was stolen is noticed; who is revoked is out; the router of
# a VM dies, and another one of its site has it.
# takes 45 s
. "$(dirname "$0")/lib.sh"
. "$here/authority.sh"
. "$here/cloud.sh"
setup
OVERLAY="172.16.0.0/12, 10.1.0.0/16, 10.2.0.0/16"
SITE=172.16.3.10
declare -A at=([vm15]=10.1.0.5 [vm16]=10.1.0.6 [vm25]=10.2.0.5 [h3]=$SITE)
vms="vm15 vm16 vm25"
all="$vms h3"

internet
authority_node
# gw4 is one more gateway of the authority's site s1.
check "three sites" eval "site 1 && site 2 && site 3 && site 4"
check "two clouds" eval "cloud 1 && cloud 2 && vm 1 5 && vm 1 6 && vm 2 5 && vm 2 6"
for v in $all vm26; do
	vm_files "$v"
done

ranges()
{
	mkdir -p "$WORK/binaries" && cp "$BUILD/vine-tiny" "$WORK/binaries/vine-tiny-$(uname -m)" &&
		printf '[download]\nranges = %s\nbinaries = %s\n' "$WORK/ranges.conf" "$WORK/binaries" \
			>> "$DIR/authority.conf" &&
		cat > "$WORK/ranges.conf" <<- END
			[range east]
			provider = one
			routers = r1
			prefixes = 198.51.101.6/32
			addresses = 10.1.0.0/16
			[range west]
			provider = another
			site = s2
			prefixes = 198.51.101.10/32
			addresses = 10.2.0.0/16
		END
}
check "an authority with a download server" eval "authority_begin && ranges && serve"

routers()
{
	local i
	for i in 1 2 3; do
		as admin site add "s$i" --admins admin && enroll "$i" && configure_given "$i" || return
	done
	on gw4 "$BUILD/vinectl" --authority "$URL" --identity "$WORK/r4/identity" register router r4 \
		--token "$(as admin token create router --site s1)" --endpoint "$(wan4 4):8463" &&
		configure_given 4 && as admin router block r3 172.16.3.0/24 && as admin host add h3 r3 $SITE --owner admin &&
		as admin vn create science h3
}
check "routers, a host, a VN" routers
check "routers start" start_routers

# ---- One command ---------------------------------------------------------------

for v in $vms; do
	network_state "$v" | grep -v vine > "$WORK/before-$v"
done
as admin tiny invite --vn science --count 4 > "$WORK/invitation"
line=$(sed -n '1s/| sudo sh/| sh/p' "$WORK/invitation")
note "$line"
joins()
{
	local v jobs=() failed=0
	for v in "$@"; do
		inside "$v" sh -c "$line" > "$WORK/$v.out" 2>&1 &
		jobs+=($!)
	done
	for v in "${jobs[@]}"; do
		wait "$v" || failed=1
	done
	return $failed
}
check "the command, on three VMs" joins $vms
diagnose tail -n 5 "$WORK"/vm*.out
tinies()
{
	as admin --json tiny list | jq -r "$1"
}
status_of_vm()
{
	inside "$1" vine-tiny --status | sed -n "s/^$2: //p"
}
is "each is at the router that is near" \
	"$(tinies '[.tinies | sort_by(.addresses[0])[] | "\(.name) \(.addresses[0]) \(.router)"] | join(", ")')" \
	"vm15 10.1.0.5 r1, vm16 10.1.0.6 r1, vm25 10.2.0.5 r2"
for v in $vms; do
	is "$v: --status" "$(status_of_vm "$v" state) $(status_of_vm "$v" address)" "up ${at[$v]}"
done
check_fails "--status where there is none" inside vm26 "$WORK/vm15/sbin/vine-tiny" --status
seen()
{
	[ "$(tinies '[.tinies[] | select(.up and .at == .router)] | length')" = "$1" ]
}
check "the authority sees them" wait_for 20 seen 3
keys()
{
	cat "$WORK"/vm*/etc/vine/*.key | sha256sum
}
before=$(keys)
check "the command again" joins vm15
check "... it is there already" grep -q "here already and up" "$WORK/vm15.out"
is "... and nothing was changed" "$(keys)" "$before"

# ---- Everybody to everybody -----------------------------------------------------

for from in $all; do
	for to in $all; do
		[ "$from" = "$to" ] || check "$from to $to" eval \
			"wait_for 10 answers $from ${at[$to]} && pings $from ${at[$to]} 10"
	done
done
for v in $all; do
	iperf_server "$v"
done
for from in $all; do
	for to in $all; do
		[ "$from" = "$to" ] ||
			check "iperf3 $from to $to" iperf "$from" "${at[$to]}" -n 4M
	done
done

ssh_servers()
{
	local v
	mkdir -p "$WORK/ssh" && ssh-keygen -qt ed25519 -N '' -f "$WORK/ssh/host" &&
		ssh-keygen -qt ed25519 -N '' -f "$WORK/ssh/user" &&
		cp "$WORK/ssh/user.pub" "$WORK/ssh/authorized" &&
		printf '%s\n' "IdentityFile $WORK/ssh/user" 'IdentitiesOnly yes' 'BatchMode yes' \
			'StrictHostKeyChecking no' 'UserKnownHostsFile /dev/null' 'LogLevel ERROR' \
			'ConnectTimeout 5' 'User root' > "$WORK/ssh/config" || return
	for v in $all; do
		inside "$v" /usr/sbin/sshd -D -e -f /dev/null -h "$WORK/ssh/host" -o PidFile=none \
			-o AuthorizedKeysFile="$WORK/ssh/authorized" -o StrictModes=no \
			< /dev/null > "$WORK/sshd-$v.log" 2>&1 &
		pids+=($!)
	done
	for v in $all; do
		wait_for 5 listening "$v" 22 || return
	done
}
# ssh_says FROM TO: who it is that answers, and whom it sees.
ssh_says()
{
	[ "$(on "$1" ssh -F "$WORK/ssh/config" "${at[$2]}" \
		'echo "$(hostname) ${SSH_CONNECTION%% *}"')" = "$2 ${at[$1]}" ]
}
check "sshd" ssh_servers
for pair in "vm15 vm25" "vm25 vm16" "vm16 h3" "h3 vm25"; do
	check "ssh ${pair/ / to }" ssh_says ${pair}
done

# mpi FROM: one rank on each machine, each saying something to each other one.
mpi()
{
	local hosts="${at[*]}"
	mkdir -p "$WORK/tmp"
	inside "$1" env TMPDIR="$WORK/tmp" timeout 40 mpirun --allow-run-as-root -np ${#at[@]} \
		--map-by node --host "${hosts// /,}" --mca plm_rsh_agent "ssh -F $WORK/ssh/config" \
		--mca pml ob1 --mca btl self,tcp "$WORK/all" > "$WORK/mpi.out" 2>&1
}
check "an MPI program" mpicc -O1 -Wall -o "$WORK/all" "$here/mpi/all.c"
for from in vm15 h3; do
	check "mpirun from $from" mpi "$from"
	diagnose tail -n 20 "$WORK/mpi.out"
	is "... over all of them" "$(grep ranks "$WORK/mpi.out")" "4 ranks on 4 machines"
done

# ---- What is not the overlay's ------------------------------------------------------

for v in $vms; do
	i=${v:2:1}
	is "$v: the metadata service" "$(on "$v" curl -s --max-time 3 http://169.254.169.254/meta-data)" \
		"i-am-cloud-$i"
	check "$v: the Internet" answers "$v" $AT
	check "$v: the default route, addresses, Netfilter are as before" eval \
		"network_state $v | grep -v -e vine -e 5118 > $WORK/after-$v;
		! diff <(sort $WORK/before-$v) <(sort $WORK/after-$v) | grep '^<'"
done
is "the providers' filters have seen nothing else" "$(filtered 1) $(filtered 2)" "0 0"

# ---- A stolen key -------------------------------------------------------------------

check_fails "nobody is suspected" eval \
	'as admin --json check | jq -e ".findings[] | select(.kind == \"tiny-stolen\")"'
cp -a "$WORK/vm15/etc/vine" "$WORK/vm26/etc/vine"
cp "$WORK/vm15/sbin/vine-tiny" "$WORK/vm26/sbin/"
inside vm26 vine-tiny < /dev/null > "$WORK/thief.log" 2>&1 &
pids+=($!)
now_ms from
stolen()
{
	as admin --json check | jq -e '.findings[] | select(.kind == "tiny-stolen" and .subject == "vm15")'
}
check "a stolen key is noticed" wait_for 45 stolen
now_ms now
note "after $(((now - from) / 1000)) s"
check "... nobody else's" eval \
	'[ "$(as admin --json check | jq "[.findings[] | select(.kind == \"tiny-stolen\")] | length")" = 1 ]'

# ---- Out ----------------------------------------------------------------------------

now_ms from
check "revoked" as admin tiny revoke vm15
peers_gone()
{
	! ctl 1 show peers | grep -q vm15 && ! ctl 2 show peers | grep -q vm15
}
check "... its routers don't know it any more" wait_for 5 peers_gone
check "... it reaches nobody" eval '! answers vm15 $SITE && ! answers vm15 ${at[vm16]}'
now_ms now
at_most "... within so many ms" $((now - from)) 9000
check "... the thief neither" eval '! answers vm26 $SITE'
check "the others go on" eval 'pings vm16 ${at[vm25]} 10 && pings h3 ${at[vm16]} 10'

# ---- Its router dies --------------------------------------------------------------------

is "a VM's list: its router, another one of its site, one elsewhere" \
	"$(tinies '.tinies[] | select(.name == "vm16") | .routers[:2] | join(" ")')" "r1 r4"
check "... is what it has" eval \
	'grep -q "^router = $(wan4 1):8463, $(wan4 4):8463, " "$WORK/vm16/etc/vine/tiny.conf"'
kill_router 1
now_ms from
check "its router is killed: it reaches others again" wait_for 30 answers vm16 $SITE
now_ms now
note "after $((now - from)) ms"
check "... and they it" eval 'pings h3 ${at[vm16]} 10 && pings vm16 ${at[vm25]} 10'
is "by the other one of its site" "$(tinies '.tinies[] | select(.name == "vm16") | "\(.router) \(.at)"')" \
	"r4 r4"
for v in vm25 vm16; do
	check "$v: --uninstall" inside "$v" vine-tiny --uninstall
	is "$v: all is as it was" "$(network_state "$v" | sort | diff - <(sort "$WORK/before-$v"))" ""
done

finish
