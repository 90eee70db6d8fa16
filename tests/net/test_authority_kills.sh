#!/bin/bash
# kill -9 of the authority in a loop, under a load of changes; then of one of three processes
# and of one of three members of etcd, in turn and both at once. What was acknowledged is there,
# nothing that was refused is (changes.py), and the traffic of hosts that stay together goes on:
# no datagram is lost.
#   KILLS=20 ETCD_KILLS=9   how often
#   PARTS="sqlite etcd"     which of them
# alone: times have bounds, and datagrams are counted
. "$(dirname "$0")/lib.sh"
. "$here/authority.sh"
KILLS=${KILLS:-20} ETCD_KILLS=${ETCD_KILLS:-9}
CLIENTS=4 HOSTS=5 # of each
RATE=1000 # datagrams a second, each way
MEMBERS="1 2 3"
setup
internet
site 1
site 2
authority_node
declare -A member sender receiver

# ---- Authority, routers, clients ---------------------------------------------

# Each process has a directory of its own, as on a machine of its own; SQLite's file is in one.
configure_apart()
{
	cp -r "$DIR" "$DIR-$1" && configure_at "$1" &&
		sed -i "s|^directory.*|directory = $DIR-$1|" "$DIR/$1.conf"
}

begin_site()
{
	local i=$1 c k
	configure_given "$i" "url = ${URL//,/, }"
	as admin site add "s$i" --admins admin && enroll "$i" &&
		as admin router block "r$i" "172.16.$i.0/24" &&
		as admin host add "h$i" "r$i" "$(host4 "$i")" --owner admin || return
	for ((c = 0; c < CLIENTS; c++)); do
		for ((k = i - 1; k < HOSTS; k += 2)); do
			as admin host add "c${c}h$k" "r$i" "172.16.$i.$((100 + 10 * c + k))" \
				--owner admin || return
		done
	done
}

user()
{
	on a "$BUILD/vinectl" --authority "$URL" --identity "$WORK/id-$1" register user "$1" \
		--token "$(as admin token create user --roles eu)"
}

all_current()
{
	local port
	for port in "${ports[@]}"; do
		! URL=https://$AT:$port current || return 0
	done
	return 1
}

# world STORE PORT...: from nothing to hosts that flood each other, and clients.
world()
{
	local i port urls=()
	DIR=$WORK/authority-$1
	rm -rf "$WORK"/id-* "$WORK"/r[12]
	ports=("${@:2}")
	for port in "${ports[@]}"; do
		urls+=("https://$AT:$port")
	done
	URL=$(IFS=,; echo "${urls[*]}")
	check "$1: init" authority_begin "${init[@]}"
	for port in "${ports[@]}"; do
		check "$1: served at $port" eval "configure_apart $port && serve_at $port"
	done
	for i in 1 2; do
		check "$1: site $i" begin_site $i
	done
	check "$1: a stranger" user eve
	check "$1: routers start" start_routers
	check "$1: they are current" wait_for 15 all_current
	check "$1: a network that stays" as admin vn create stay h1 h2
	check "$1: its hosts reach each other" wait_for 15 reach h1 "$(host4 2)"
	begin_datagrams
	: > "$WORK/acked"
	rm -f "$WORK/changes.log"
	spawn changes a "$PYTHON" "$here/changes.py" "$WORK/id-admin" "$WORK/id-eve" \
		$CLIENTS $HOSTS "$WORK/acked" "${urls[@]}"
	changes=$spawned
}

# Datagrams both ways, each numbered, as long as all this lasts.
begin_datagrams()
{
	local i
	for i in 1 2; do
		rm -f "$WORK/receive$i.log" "$WORK/send$i.log"
		spawn "receive$i" "h$i" "$BUILD/bench/flood" receive 9000
		receiver[$i]=$spawned
	done
	for i in 1 2; do
		check "... which listens at h$i" wait_for 5 eval "on h$i ss -Hlun sport = :9000 | grep -q ."
	done
	for i in 1 2; do
		spawn "send$i" "h$i" "$BUILD/bench/flood" send -s 200 -t 100000 -r $RATE \
			"$(host4 $((3 - i)))" 9000
		sender[$i]=$spawned
	done
}

drained()
{
	[ "$(on "h$1" ss -Hlun 'sport = :9000' | awk '{ print $2 }')" = 0 ]
}

# What was sent last has come once a ping behind it has.
end_datagrams()
{
	local i to sent came lost=0
	for i in 1 2; do
		end "${sender[$i]}" INT
	done
	for i in 1 2; do
		to=$((3 - i))
		check "$1: h$i still reaches h$to" reach "h$i" "$(host4 "$to")"
		wait_for 10 drained "$to"
		end "${receiver[$to]}"
		sent=$(jq .sent "$WORK/send$i.log") came=$(jq '.received - .again' "$WORK/receive$to.log")
		is "$1: h$i could send all the time" "$(jq '.sent > 0, .errors' "$WORK/send$i.log")" $'true\n0'
		note "$sent sent, $came have come"
		lost=$((lost + sent - came))
	done
	at_most "$1: of which none are missing that the kernel hasn't lost" $lost "$(lost_on_cables)"
}

# figure FILTER: what the clients have to say.
figure()
{
	jq -rc "$1" "$WORK/changes.log"
}

world_ends()
{
	check "$1: clients end" eval "kill $changes && wait_for 60 gone $changes"
	is "$1: all that was acknowledged is there, and nothing that was refused" \
		"$(figure '.faults[:5][], (.faults | length)')" 0
	at_least "$1: changes were acknowledged" "$(figure .acknowledged)" "$((4 * $2))"
	check "$1: routers have them" wait_for 20 all_current
	end_datagrams "$1"
	note "$1: $(figure 'del(.faults, ."long pauses")')"
	note "$1: $2 kills, a cycle took $(sort -n "$WORK/cycles" | awk '{ a[NR] = $1 }
		END { print a[int((NR + 1) / 2)] " ms, at most " a[NR] " ms" }')"
	check "$1: routers end" stop_routers
	for port in "${ports[@]}"; do
		end "${process[$port]}"
		is "$1: $port ends well" "$ended" 0
	done
}

# ---- Kills ---------------------------------------------------------------------

more_than()
{
	[ "$(stat -c %s "$WORK/acked")" -gt "$1" ]
}

# go_on: until clients have been told of up to 16 more.
go_on()
{
	wait_for 20 more_than "$(($(stat -c %s "$WORK/acked") + RANDOM % 16))"
}

# cycle COMMAND...: its time goes to the figures.
cycle()
{
	local from to
	now_ms from
	"$@" || return
	now_ms to
	echo $((to - from)) >> "$WORK/cycles"
}

# Every fifth time once more, while it starts.
kill_process()
{
	end "${process[$1]}" KILL
	if [ $((RANDOM % 5)) = 0 ]; then
		spawn "serve-$1" a "$BUILD/vine-authority" serve --config "$DIR/$1.conf"
		process[$1]=$spawned
		sleep "0.0$((RANDOM % 10))"
		end "${process[$1]}" KILL
	fi
}

kill_and_serve()
{
	kill_process "$1" && serve_at "$1"
}

kill_alone()
{
	local i
	for ((i = 0; i < KILLS; i++)); do
		go_on && cycle kill_and_serve 8464 || return
	done
	go_on
}

begin_member()
{
	local m urls=()
	for m in $MEMBERS; do
		urls+=("m$m=http://127.0.0.1:$((2370 + 10 * m))")
	done
	spawn "etcd$1" a etcd --name "m$1" --data-dir "$WORK/etcd$1" --log-level error \
		--heartbeat-interval 50 --election-timeout 500 \
		--max-txn-ops 8192 --max-request-bytes 16777216 \
		--listen-client-urls "http://127.0.0.1:$((2369 + 10 * $1))" \
		--advertise-client-urls "http://127.0.0.1:$((2369 + 10 * $1))" \
		--listen-peer-urls "http://127.0.0.1:$((2370 + 10 * $1))" \
		--initial-advertise-peer-urls "http://127.0.0.1:$((2370 + 10 * $1))" \
		--initial-cluster "$(IFS=,; echo "${urls[*]}")"
	member[$1]=$spawned
}

healthy()
{
	on a curl -sf "http://127.0.0.1:$((2369 + 10 * $1))/health" | grep -q '"health":"true"'
}

# kill_one ROUND: a process, a member or one of each; clients go on without it; it comes back.
kill_one()
{
	local port=${ports[RANDOM % 3]} m=$((RANDOM % 3 + 1))
	[ $(($1 % 3)) = 1 ] || end "${process[$port]}" KILL
	[ $(($1 % 3)) = 0 ] || end "${member[$m]}" KILL
	go_on || return
	[ $(($1 % 3)) = 1 ] || serve_at "$port" || return
	[ $(($1 % 3)) = 0 ] || { begin_member "$m" && wait_for 20 healthy "$m"; }
}

kill_in_turn()
{
	local i
	for ((i = 0; i < ETCD_KILLS; i++)); do
		go_on && cycle kill_one "$i" || return
	done
	go_on
}

begin_members()
{
	local m
	for m in $MEMBERS; do
		begin_member "$m"
	done
	for m in $MEMBERS; do
		wait_for 30 healthy "$m" || return
	done
}

# ---- Parts ----------------------------------------------------------------------

sqlite_part()
{
	init=()
	world sqlite 8464
	: > "$WORK/cycles"
	check "sqlite: killed $KILLS times" kill_alone
	world_ends sqlite "$KILLS"
}

etcd_part()
{
	check "etcd: three members" begin_members
	init=(--store etcd:http://127.0.0.1:2379,http://127.0.0.1:2389,http://127.0.0.1:2399)
	world etcd 8464 8465 8466
	: > "$WORK/cycles"
	check "etcd: processes and members killed, $ETCD_KILLS times" kill_in_turn
	world_ends etcd "$ETCD_KILLS"
	at_most "etcd: clients went on within 3 s" "$(figure '."longest pause" * 1000 | floor')" 3000 ||
		figure '."long pauses"[]' | diagnose
}

for part in ${PARTS:-sqlite etcd}; do
	"${part}_part"
done
finish
