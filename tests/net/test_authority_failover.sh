#!/bin/bash
# Two processes of one authority on one etcd: the one that has the routers is killed, then its
# machine dies without a word, then it hangs; users and routers go on with the other, while hosts' traffic
# has not noticed.
# alone: times have bounds
. "$(dirname "$0")/lib.sh"
. "$here/authority.sh"
setup
internet
site 1
site 2
authority_node
URL=https://$AT:8464,https://$AT:8465

begin_site()
{
	local i=$1
	configure_given "$i" "url = ${URL/,/, }"
	as admin site add "s$i" --admins admin &&
		enroll "$i" --endpoint "$(wan4 "$i"):8463" --block "172.16.$i.0/24" &&
		as admin host add "h$i" "r$i" "172.16.$i.10" --owner admin
}

url_of()
{
	of "$1" .url
}
flood_ended()
{
	grep -q "packets transmitted" "$WORK/flood.log"
}
# Pings again and again, until $WORK/stop is there: a round that has begun ends by itself.
again()
{
	# shellcheck disable=SC2016
	spawn "$1" h1 bash -c 'while [ ! -e "$0" ]; do ping -n -q -f -c 3000 -W 2 172.16.2.10; done' \
		"$WORK/stop"
	again=$spawned
}
lost()
{
	awk '/packets transmitted/ { lost += $1 - $4 } END { print lost + 0 }' "$WORK/ping.log"
}
since()
{
	local t
	now_ms t
	echo $((t - $1))
}

check "etcd is up" serve_etcd
check "init" authority_begin --store etcd:http://127.0.0.1:2379
check "one process" eval "configure_at 8464 && serve_at 8464"
check "another one" eval "configure_at 8465 && serve_at 8465"
check "site 1" begin_site 1
check "site 2" begin_site 2
check "routers start" start_routers
check "r1 is connected" wait_for 15 says 1 .connected true
check "r2 is connected" wait_for 15 says 2 .connected true
is "... by the same process" "$(url_of 1)" "$(url_of 2)"
check "a network" as admin vn create vn1 h1 h2
check "its hosts reach each other" wait_for 15 reach h1 172.16.2.10
flood flood h1 172.16.2.10 20000

port=$(url_of 1)
port=${port##*:}
now_ms begun
end "${process[$port]}" KILL
check "the process that has the routers is killed: a user is served" wait_for 10 as admin vn list
at_most "... within 2 s" "$(since "$begun")" 2000
note "$(since "$begun") ms"
check "... the other one has the routers" wait_for 10 grep -q "this process has the routers now" \
	"$WORK/serve-$((8464 + 8465 - port)).log"
note "$(since "$begun") ms"
on_other()
{
	[ "$(url_of "$1")" != "https://$AT:$port" ] && says "$1" .connected true
}
check "r1 has the other one" wait_for 30 on_other 1
note "$(since "$begun") ms after the end of the first"
check "r2 too" wait_for 30 on_other 2
routers=$(since "$begun")
note "$routers ms"
at_most "... within 2 s: no beat for 1.2" "$routers" 2000
check "hosts' traffic has not noticed" eval 'wait_for 60 flood_ended && flood_result flood'
check "a host leaves" as admin vn leave vn1 h2
check "... and is not reached any more" wait_for 5 no_reach h1 172.16.2.10
check "the first is served again" serve_at "$port"
check "... and changes go by either" as admin vn join vn1 h2
check "... to the routers" wait_for 5 reach h1 172.16.2.10

# ---- Killed in the middle of changes -----------------------------------------------------

# Killed while a change goes through its steps: the other process goes on in the same.
all_current()
{
	URL=$(url_of 1) current
}
# kill_while VERB...: whoever has the routers, somewhen after the change was acknowledged.
kill_while()
{
	as admin vn "$@" || return
	sleep "0.$((RANDOM % 9 + 1))"
	port=$(url_of 1)
	port=${port##*:}
	end "${process[$port]}" KILL
	wait_for 30 on_other 1 && wait_for 30 on_other 2 && wait_for 20 all_current && serve_at "$port"
}
check "one more host" as admin host add h3 r1 172.16.1.30 --owner admin
check "... in a network of its own" as admin vn create vn2 h3
check "all have their tables" wait_for 20 all_current
check "a flood begins" again ping
for i in 1 2 3; do
	check "killed in a merge: the other one ends it" kill_while merge vn1 vn2 vn3
	check "killed in a split: the other one ends it" kill_while split vn3 vn1=h1,h2 vn2=h3
done
touch "$WORK/stop"
check "the flood ends" wait_for 30 gone "$again"
is "nothing was lost" "$(lost)" 0

# ---- A machine that says nothing any more ----------------------------------------------

# fall_silent PORT: nothing of the process gets in or out, so nobody is told of its end.
fall_silent()
{
	on a nft -f - <<- END && end "${process[$1]}" KILL
		table ip silent {
			chain in { type filter hook input priority 0; tcp dport $1 drop; }
			chain out { type filter hook output priority 0; tcp sport $1 drop; }
		}
	END
}
port=$(url_of 1)
port=${port##*:}
check "both routers have one process" [ "$(url_of 2)" = "https://$AT:$port" ]
flood flood h1 172.16.2.10 10000
now_ms begun
check "its machine falls silent" fall_silent "$port"
check "r1 has the other one" wait_for 30 on_other 1
note "$(since "$begun") ms after"
check "r2 too" wait_for 30 on_other 2
routers=$(since "$begun")
note "$routers ms"
at_most "... within 2.7 s: 2 until TCP is found dead" "$routers" 2700
check "hosts' traffic has not noticed" eval 'wait_for 60 flood_ended && flood_result flood'

# ---- A process that hangs, while its machine answers -----------------------------------

check "its machine speaks again" on a nft delete table ip silent
check "... and it is served" serve_at "$port"
port=$((8464 + 8465 - port))
now_ms begun
check "the other one hangs" kill -STOP "${process[$port]}"
check "r1 has the first" wait_for 30 on_other 1
check "r2 too" wait_for 30 on_other 2
routers=$(since "$begun")
note "$routers ms"
at_most "... within 5 s: 2.5 without a sign of life" "$routers" 5000
kill -CONT "${process[$port]}"
check "it goes on, without the routers" wait_for 10 grep -q "another process has the routers now" \
	"$WORK/serve-$port.log"
check "... which stay where they are" eval 'on_other 1 && on_other 2'
check "... and changes go by it" eval \
	'URL=https://$AT:$port as admin vn shutdown vn2 && wait_for 10 all_current'
check "routers end" stop_routers
finish
