#!/bin/bash
# The dissertation's figures 3-10 and 5-2: networks vn1 (sites 1 and 2) and vn2 (sites 1
# and 3) are merged into vn3, split again, joined, left, undone and shut down, while hosts
# that stay together flood each other and every host calls every other one.
#
# Who watches is each host's kernel, before anything else sees the packet: what comes from
# a host that it may not reach at that version, or isn't for it, is counted. While a change
# is under way both what was and what will be is allowed; as soon as all routers run it,
# only what is. So every packet of the run is judged.
# alone: what the machine's queues drop would count too
. "$(dirname "$0")/lib.sh"
. "$here/authority.sh"
setup
internet
site 1 a1=10 a2=20 a3=30
site 2 b1=10 b2=20
site 3 c1=10 c2=20
hosts=(a1 a2 a3 b1 b2 c1 c2) # a3 never is in any network
declare -A at=([a1]=172.16.1.10 [a2]=172.16.1.20 [a3]=172.16.1.30 [b1]=172.16.2.10
	[b2]=172.16.2.20 [c1]=172.16.3.10 [c2]=172.16.3.20)
authority_node

# ---- Authority and routers ----------------------------------------------------

begin_site()
{
	local i=$1 h
	configure_given "$i"
	as admin site add "s$i" --admins admin && enroll "$i" &&
		as admin router block "r$i" "172.16.$i.0/24" || return
	for h in "${hosts[@]}"; do
		[[ ${at[$h]} != 172.16.$i.* ]] || as admin host add "$h" "r$i" "${at[$h]}" || return
	done
}

# ---- Who may reach whom ----------------------------------------------------------

# watch HOST: counts what comes to it, by source: $allowed in "seen", others in "crossed".
watch()
{
	on "$1" nft -f - <<- END
		table ip watch {
			set allowed { type ipv4_addr; }
			set seen { type ipv4_addr; size 256; flags dynamic; counter; }
			set crossed { type ipv4_addr . ipv4_addr; size 256; flags dynamic; counter; }
			chain in {
				type filter hook prerouting priority raw;
				iifname != eth0 return
				ip daddr ${at[$1]} ip saddr @allowed update @seen { ip saddr } return
				update @crossed { ip saddr . ip daddr }
			}
		}
	END
}

# allow NETWORK...: each a list of hosts that reach each other; at every host, at once there.
# A gateway may say that there is no way.
allow()
{
	local h network m
	for h in "${hosts[@]}"; do
		{
			echo "flush set ip watch allowed"
			echo "add element ip watch allowed { ${at[$h]%.*}.1 }"
			for network in "$@"; do
				[[ " $network " == *" $h "* ]] || continue
				for m in $network; do
					echo "add element ip watch allowed { ${at[$m]} }"
				done
			done
		} | on "$h" nft -f - || return
	done
}

# counted SET [FILTER]: packets at all hosts.
counted()
{
	local h
	for h in "${hosts[@]}"; do
		on "$h" nft -j list set ip watch "$1" | jq -r --arg h "$h" '.nftables[].set? // empty |
			.elem[]?.elem | [(.val | if type == "object" then .concat | join(" > ") else . end),
			$h, .counter.packets] | @tsv'
	done
}

crossed()
{
	counted crossed
}

# seen FROM TO: packets that came.
seen()
{
	on "$2" nft -j list set ip watch seen | jq --arg a "${at[$1]}" \
		'[.nftables[].set? // empty | .elem[]?.elem | select(.val == $a).counter.packets] | add // 0'
}

# come FROM TO...: packets of the one have been seen at each of the others, since now.
come()
{
	local from=$1 to before
	shift
	for to in "$@"; do
		before=$(seen "$from" "$to")
		wait_for 10 more_seen "$from" "$to" "$before" || { echo "$from to $to"; return 1; }
	done
}
more_seen()
{
	[ "$(seen "$1" "$2")" -gt "$3" ]
}

# call HOST: it calls all hosts of other sites, 50 times a second, and so is answered.
call()
{
	local h to=()
	for h in "${hosts[@]}"; do
		[ "${at[$h]%.*}" = "${at[$1]%.*}" ] || to+=("${at[$h]}")
	done
	spawn "call-$1" "$1" fping -l -q -p 20 -i 1 "${to[@]}"
}

# ---- Hosts that stay together -----------------------------------------------------

# again NAME NODE COMMAND...: again and again, until $WORK/stop is there. What it prints is
# in NAME.log; a round that has begun ends by itself, so that nothing is under way then.
# What fails comes again: iperf3's server resets who comes before it listens anew.
again()
{
	local name=$1 node=$2
	shift 2
	rm -f "$WORK/$name.log"
	# shellcheck disable=SC2016
	spawn "$name" "$node" bash -c 'while [ ! -e "$0" ]; do "$@" || sleep 0.2; done' "$WORK/stop" "$@"
	flows+=("$spawned")
}

flow()
{
	again "ping-$1-$2" "$1" ping -n -q -f -c 3000 -W 2 "${at[$2]}"
	iperf_server "$2" && again "udp-$1-$2" "$1" \
		iperf3 -J -c "${at[$2]}" -u -b 10M -l 1200 -t 3
	spawn "iperf-tcp-$2" "$2" iperf3 -s -p 5202
	wait_for 5 listening "$2" 5202 && again "tcp-$1-$2" "$1" \
		iperf3 -J -c "${at[$2]}" -p 5202 -b 20M -i 1 -t 6
}

begin_flows()
{
	flows=()
	rm -f "$WORK/stop"
	flow a1 b1 && flow a2 c1
}

end_flows()
{
	local p
	touch "$WORK/stop"
	for p in "${flows[@]}"; do
		wait_for 30 gone "$p" || return
	done
}

# pinged, datagrams, streams FROM-TO: what became of a flow, in one line.
pinged()
{
	awk '/packets transmitted/ { sent += $1; got += $4 }
		END { print sent - got " lost"; print "ping -f: " sent " sent" > "/dev/stderr" }' \
		"$WORK/ping-$1.log"
}
datagrams()
{
	jq -rs '([.[].end.sum.packets] | add) as $n | ([.[].end.sum.lost_packets] | add) as $lost |
		([.[] | select(.intervals | length > 0).error // empty] | join(" ")) as $error |
		("iperf3 -u: \($n) sent" | stderr | empty), "\($lost) lost\($error)"' "$WORK/udp-$1.log"
	echo >&2
}
streams()
{
	jq -rs '[.[] | select(.intervals | length > 0).error // empty] as $errors | [.[].intervals[].sum | select(.seconds > 0.5).bytes] as $s |
		("iperf3: \($s | length) s, \($s | add) bytes" | stderr | empty),
		"\([$s[] | select(. == 0)] | length) s without a byte\($errors | join(" "))"' \
		"$WORK/tcp-$1.log"
	echo >&2
}

flows_are_whole()
{
	local f
	for f in a1-b1 a2-c1; do
		is "$1: $f: ping -f" "$(pinged $f 2>> "$WORK/notes")" "0 lost"
		is "$1: $f: iperf3, datagrams" "$(datagrams $f 2>> "$WORK/notes")" "0 lost"
		is "$1: $f: iperf3, stream" "$(streams $f 2>> "$WORK/notes")" "0 s without a byte"
	done
	diagnose < "$WORK/notes"
	: > "$WORK/notes"
}

# ---- Changes ------------------------------------------------------------------------

VN1="a1 b1 b2" VN2="a2 c1 c2"
now=("")

# change NAME NETWORKS VERB...: by vinectl; and from when all routers run it nothing else.
change()
{
	local name=$1 then=$2 next
	shift 2
	IFS=/ read -ra next <<< "$then"
	check "$name" allow "${now[@]}" "${next[@]}" || return
	check "... is taken" as admin vn "$@"
	check "... is with all routers" wait_for 15 current
	now=("${next[@]}")
	check "... and nothing else is allowed" allow "${now[@]}"
}

check "init" authority_begin
check "serve" serve
for i in 1 2 3; do
	check "site $i" begin_site $i
done
check "routers start" start_routers
check "... and have their tables" wait_for 15 current
for h in "${hosts[@]}"; do
	check "$h is watched" watch "$h"
done
check "nobody may reach anybody" allow
for h in "${hosts[@]}"; do
	call "$h"
done

change "vn1" "$VN1" create vn1 a1 b1 b2
change "vn2" "$VN1/$VN2" create vn2 a2 c1 c2
check "members of vn1 reach each other" come a1 b1 b2
check "members of vn2 reach each other" come a2 c1 c2
check "floods begin" begin_flows
check "... and come" come a1 b1
change "merged" "$VN1 $VN2" merge vn1 vn2 vn3
check "... those of vn1 reach those of vn2" come a1 b1 b2 c1 c2
check "... and the other way round" come c1 a1 a2 b1 b2
change "split" "$VN1/$VN2" split vn3 "vn1=${VN1// /,}" "vn2=${VN2// /,}"
change "b2 leaves" "a1 b1/$VN2" leave vn1 b2
change "b2 joins the other" "a1 b1/$VN2 b2" join vn2 b2
check "... and reaches its members" come b2 a2 c1 c2
change "merged" "$VN1 $VN2" merge vn1 vn2 vn3
change "undone" "a1 b1/$VN2 b2" undo vn3
change "... once more" "$VN1 $VN2" undo vn1
change "split" "$VN1/$VN2" split vn3 "vn1=${VN1// /,}" "vn2=${VN2// /,}"
check "floods end" end_flows
flows_are_whole "changes"
is "nothing has crossed" "$(crossed)" ""
change "vn2 is shut down" "$VN1" shutdown vn2
check "... vn1 is not" come a1 b1 b2
change "vn2 is made again" "$VN1/$VN2" create vn2 a2 c1 c2
check "... and its members reach each other" come a2 c1 c2
is "nothing has crossed" "$(crossed)" ""

# ---- Killed while it changes --------------------------------------------------------------

# kill_while ROUND: between a change that begins and one that is with all routers.
kill_while()
{
	local verb=(merge vn1 vn2 vn3)
	[ $(($1 % 2)) = 1 ] || verb=(split vn3 "vn1=${VN1// /,}" "vn2=${VN2// /,}")
	as admin vn "${verb[@]}" > "$WORK/out" 2>&1 || { cat "$WORK/out"; return 1; }
	sleep "0.$((RANDOM % 9 + 1))"
	end "$authority" KILL
	serve && as admin vn show "$([ $(($1 % 2)) = 1 ] && echo vn3 || echo vn1)" && wait_for 20 current
}

check "all may come while it is killed" allow "$VN1 $VN2"
check "floods begin" begin_flows
check "... and come" come a2 c1
for i in 1 2 3 4 5 6; do
	check "killed in change $i: what was acknowledged is there, and gets to all" kill_while $i
done
check "floods end" end_flows
# The next process goes on in the step in which the one before was (docs/authority.md).
flows_are_whole "killed"
check "it is split" allow "$VN1" "$VN2"
check "... members reach each other" come a1 b1 b2
check "... of both" come a2 c1 c2
is "nothing has crossed" "$(crossed)" ""

# That the watch sees: what is allowed to nobody comes.
check "the watch is told that nobody may" allow
check "... and finds all that come" wait_for 10 eval '[ "$(crossed | wc -l)" -ge 8 ]'
note "$(counted seen | awk '{ n += $NF } END { print n }') packets were judged"
check "routers end" stop_routers
finish
