#!/bin/bash
# Two processes of one authority on one etcd: the one that has the routers is killed, then its
# machine dies without a word, then it hangs; users and routers go on with the other, while hosts' traffic
# has not noticed.
# alone: times have bounds
. "$(dirname "$0")/lib.sh"
setup
internet
site 1
site 2
AT=203.0.113.2
DIR=$WORK/authority
declare -A authority
URLS=https://$AT:8464,https://$AT:8465
node a && cable a wan net toa && address a wan $AT/30 && address net toa 203.0.113.1/30 &&
	ip -n "$(ns a)" route add default via 203.0.113.1

# serve PORT
serve()
{
	local from
	touch "$WORK/serve-$1.log"
	from=$(($(wc -l < "$WORK/serve-$1.log") + 1))
	sed "s/^listen.*/listen = $AT:$1/" "$DIR/authority.conf" > "$DIR/$1.conf"
	spawn "serve-$1" a "$BUILD/vine-authority" serve --config "$DIR/$1.conf"
	authority[$1]=$spawned
	wait_for 20 eval "gone $spawned || tail -n +$from $WORK/serve-$1.log | grep -q ' is up: '" &&
		alive "$spawned"
}

admin()
{
	on a "$BUILD/vinectl" --authority "$URLS" --identity "$DIR/admin" "$@"
}

begin_site()
{
	local i=$1
	mkdir -p "$WORK/r$i"
	cat > "$(conf "$i")" <<- END
		[router]
		name = r$i
		control = $WORK/r$i/sock
		workers = 1
		[intercept]
		networks = 172.16.0.0/12
		[authority]
		url = ${URLS/,/, }
		identity = $WORK/r$i/identity
		state = $WORK/r$i
	END
	on "gw$i" "$BUILD/vinectl" --authority "$URLS" --identity "$WORK/r$i/identity" register \
		router "r$i" --token "$(admin token create router)" --endpoint "$(wan4 "$i"):8463" \
		--block "172.16.$i.0/24" && admin host add "h$i" "r$i" "172.16.$i.10" --owner admin
}

connected()
{
	[ "$(ctl "$1" show authority | jq .connected)" = true ]
}
url_of()
{
	ctl "$1" show authority | jq -r .url
}
reach()
{
	on h1 ping -n -q -c 1 -W 0.2 172.16.2.10
}
no_reach()
{
	! reach
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

spawn etcd a etcd --data-dir "$WORK/etcd" --log-level error \
	--max-txn-ops 8192 --max-request-bytes 16777216 \
	--listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
	--listen-peer-urls http://127.0.0.1:2380
check "etcd is up" wait_for 30 on a curl -sf http://127.0.0.1:2379/health
check "init" on a "$BUILD/vine-authority" init --name $AT --directory "$DIR" \
	--store etcd:http://127.0.0.1:2379
check "one process" serve 8464
check "another one" serve 8465
check "site 1" begin_site 1
check "site 2" begin_site 2
check "routers start" start_routers
check "r1 is connected" wait_for 15 connected 1
check "r2 is connected" wait_for 15 connected 2
is "... by the same process" "$(url_of 1)" "$(url_of 2)"
check "a network" admin vn create vn1 h1 h2
check "its hosts reach each other" wait_for 15 reach
flood flood h1 172.16.2.10 20000

port=$(url_of 1)
port=${port##*:}
now_ms begun
end "${authority[$port]}" KILL
check "the process that has the routers is killed: a user is served" wait_for 10 admin vn list
at_most "... within 2 s" "$(since "$begun")" 2000
note "$(since "$begun") ms"
check "... the other one has the routers" wait_for 10 grep -q "this process has the routers now" \
	"$WORK/serve-$((8464 + 8465 - port)).log"
note "$(since "$begun") ms"
on_other()
{
	[ "$(url_of "$1")" != "https://$AT:$port" ] && connected "$1"
}
check "r1 has the other one" wait_for 30 on_other 1
note "$(since "$begun") ms after the end of the first"
check "r2 too" wait_for 30 on_other 2
routers=$(since "$begun")
note "$routers ms"
at_most "... within 2 s: no beat for 1.2" "$routers" 2000
check "hosts' traffic has not noticed" eval 'wait_for 60 flood_ended && flood_result flood'
check "a host leaves" admin vn leave vn1 h2
check "... and is not reached any more" wait_for 5 no_reach
check "the first is served again" serve "$port"
check "... and changes go by either" admin vn join vn1 h2
check "... to the routers" wait_for 5 reach

# ---- Killed in the middle of changes -----------------------------------------------------

# Killed while a change goes through its steps: the other process goes on in the same.
# Who has the routers knows what they run.
current()
{
	[ "$(URLS=$(url_of 1) admin --json router list | jq -r '[.routers[].state] | unique | join(" ")')" = current ]
}
# kill_while VERB...: whoever has the routers, somewhen after the change was acknowledged.
kill_while()
{
	admin vn "$@" || return
	sleep "0.$((RANDOM % 9 + 1))"
	port=$(url_of 1)
	port=${port##*:}
	end "${authority[$port]}" KILL
	wait_for 30 on_other 1 && wait_for 30 on_other 2 && wait_for 20 current && serve "$port"
}
check "one more host" admin host add h3 r1 172.16.1.30 --owner admin
check "... in a network of its own" admin vn create vn2 h3
check "all have their tables" wait_for 20 current
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
	on a nft -f - <<- END && end "${authority[$1]}" KILL
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
check "... and it is served" serve "$port"
port=$((8464 + 8465 - port))
now_ms begun
check "the other one hangs" kill -STOP "${authority[$port]}"
check "r1 has the first" wait_for 30 on_other 1
check "r2 too" wait_for 30 on_other 2
routers=$(since "$begun")
note "$routers ms"
at_most "... within 5 s: 2.5 without a sign of life" "$routers" 5000
kill -CONT "${authority[$port]}"
check "it goes on, without the routers" wait_for 10 grep -q "another process has the routers now" \
	"$WORK/serve-$port.log"
check "... which stay where they are" eval 'on_other 1 && on_other 2'
check "... and changes go by it" eval \
	'URLS=https://$AT:$port admin vn shutdown vn2 && wait_for 10 current'
check "routers end" stop_routers
finish
