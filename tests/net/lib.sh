# Sourced by the tests in this directory, by scripts/demo: machines as network
# namespaces, routers between them, and TAP.
#
#   h1 --- gw1 ---+          +--- gw2 --- h2
#   (LAN bridge)  +--- net ---+
#   h3 --- gw3 ---+   (the Internet)
#
# Site I has its LAN at 172.16.I.0/24 and fd00:76:0:I::/64, the gateway being .1 and
# ::1 and its first host .10 and ::10; to the Internet it is 198.51.100.(4I+2)/30 and
# 2001:db8:0:I::2/64, which knows no LAN. Everything has a prefix of this run's own,
# and the machine's own network is never touched. Nothing sleeps: wait_for polls.
#
# A test sources this file, calls what it needs, and ends with "finish". However it
# ends, what it made is taken down again and then counted, which is its last test.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
BUILD=${BUILD:-build}
[[ $BUILD == /* ]] || BUILD=$top/$BUILD
PYTHON=python3
[ -x /usr/bin/python3 ] && PYTHON=/usr/bin/python3
NETWORK=8000 # the network of the tables that nobody gave otherwise

WORK=
NET_PREFIX=vt$$
nodes=()   # names of machines
inodes=()  # of their namespaces
pids=()    # of what runs beside the test
sites=()   # numbers, in the order made
# The environment of whoever runs the tests is not that of a site.
unset http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY
declare -A NAME LAN4 LAN6 LNDT GNDT ENVIRONMENT router_pid

# ---- Waiting ----------------------------------------------------------------

# now_ms VARIABLE
now_ms()
{
	printf -v "$1" '%s' $((${EPOCHREALTIME/[.,]/} / 1000))
}

# wait_for SECONDS COMMAND...: until it succeeds; fails if it does not in time.
wait_for()
{
	local seconds=$1 from now
	shift
	now_ms from
	until "$@" > /dev/null 2>&1; do
		now_ms now
		[ $((now - from)) -lt $((seconds * 1000)) ] || return 1
		sleep 0.05
	done
}

alive()
{
	kill -0 "$1" 2> /dev/null
}

gone()
{
	! alive "$1"
}

# ---- Machines ---------------------------------------------------------------

ns()
{
	echo "$NET_PREFIX-$1"
}

# on NODE COMMAND...
on()
{
	local node=$1
	shift
	ip netns exec "$NET_PREFIX-$node" "$@"
}

# node NAME [forward]: a machine; one that forwards is a router.
node()
{
	local n=$NET_PREFIX-$1 forward=0
	[ "${2:-}" = forward ] && forward=1
	ip netns add "$n" || return
	nodes+=("$1")
	inodes+=("$(stat -L -c %i "/run/netns/$n")")
	# No duplicate address detection and no router discovery: addresses are usable
	# at once. The errors of ping and traceroute are not rate-limited.
	on "$1" sysctl -qw net.ipv4.ip_forward=$forward net.ipv6.conf.all.forwarding=$forward \
		net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 \
		net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 \
		net.ipv6.conf.default.accept_ra=0 net.ipv6.conf.default.router_solicitations=0 \
		net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0 &&
		ip -n "$n" link set lo up
}

# cable NODE1 DEVICE1 NODE2 DEVICE2: both ends up.
cable()
{
	ip link add "$2" netns "$(ns "$1")" type veth peer name "$4" netns "$(ns "$3")" &&
		ip -n "$(ns "$1")" link set "$2" up && ip -n "$(ns "$3")" link set "$4" up
}

# address NODE DEVICE ADDRESS/LENGTH...
address()
{
	local n=$1 device=$2 a
	shift 2
	for a in "$@"; do
		ip -n "$(ns "$n")" addr add "$a" dev "$device" || return
	done
}

# default_route NODE IPV4 IPV6
default_route()
{
	ip -n "$(ns "$1")" route add default via "$2" && ip -n "$(ns "$1")" -6 route add default via "$3"
}

name_of() { echo "${NAME[$1]:-r$1}"; }                # the router's
lan4() { echo "${LAN4[$1]:-172.16.$1}"; }            # without the last byte
lan6() { echo "${LAN6[$1]:-fd00:76:0:$1}"; }         # without the ::
host4() { echo "$(lan4 "$1").10"; }
host6() { echo "$(lan6 "$1")::10"; }
wan4() { echo "198.51.100.$((4 * $1 + 2))"; }
wan6() { echo "2001:db8:0:$1::2"; }

# The site's host, the router's end of the path outside, by family.
host_at() { "host$2" "$1"; }
wan_at() { "wan$2" "$1"; }

internet()
{
	node net forward
}

# host NAME SITE NUMBER: one more machine at a site.
host()
{
	node "$1" && cable "$1" eth0 "gw$2" "p-$1" &&
		ip -n "$(ns "gw$2")" link set "p-$1" master lan &&
		address "$1" eth0 "$(lan4 "$2").$3/24" "$(lan6 "$2")::$3/64" &&
		default_route "$1" "$(lan4 "$2").1" "$(lan6 "$2")::1"
}

# site I [HOST=NUMBER...]: a gateway and hosts (default: one, hI=10) behind it.
site()
{
	local i=$1
	shift
	sites+=("$i")
	node "gw$i" forward && cable "gw$i" wan net "to$i" &&
		address "gw$i" wan "$(wan4 "$i")/30" "$(wan6 "$i")/64" &&
		address net "to$i" "198.51.100.$((4 * i + 1))/30" "2001:db8:0:$i::1/64" &&
		default_route "gw$i" "198.51.100.$((4 * i + 1))" "2001:db8:0:$i::1" &&
		lan "$i" "$@"
}

# lan I [HOST=NUMBER...]: what is behind a site's gateway.
lan()
{
	local i=$1 h gw
	gw=$(ns "gw$1")
	shift
	[ $# -gt 0 ] || set -- "h$i=10"
	ip -n "$gw" link add lan type bridge && ip -n "$gw" link set lan up &&
		address "gw$i" lan "$(lan4 "$i").1/24" "$(lan6 "$i")::1/64" || return
	for h in "$@"; do
		host "${h%%=*}" "$i" "${h##*=}" || return
	done
}

# wan_mtu I BYTES: of the link between site and Internet; both ends know.
wan_mtu()
{
	ip -n "$(ns "gw$1")" link set wan mtu "$2" && ip -n "$(ns net)" link set "to$1" mtu "$2"
}

# black_hole I BYTES: the Internet loses what is larger on that link, and says nothing.
# no_black_hole: not any more. Meanwhile datagrams cross the wire one by one: what left
# merged would be measured as a whole.
black_hole()
{
	merging off || return
	on net nft -f - <<- END
		table inet hole {
			chain through {
				type filter hook forward priority 0;
				iifname "to$1" meta length > $2 drop
				oifname "to$1" meta length > $2 drop
			}
		}
	END
}

no_black_hole()
{
	merging on && on net nft delete table inet hole
}

merging()
{
	local i
	for i in "${sites[@]}"; do
		on "gw$i" ethtool -K wan tx-udp-segmentation "$1" > /dev/null || return
	done
}

# ---- Programs beside the test -----------------------------------------------

# spawn LOG NODE COMMAND...: runs on; its pid is in $spawned, its output in LOG.log.
spawn()
{
	local log=$WORK/$1.log node=$2
	shift 2
	ip netns exec "$NET_PREFIX-$node" "$@" < /dev/null >> "$log" 2>&1 &
	spawned=$!
	pids+=("$spawned")
}

# end PID [SIGNAL]: ends it; its status is in $ended. Fails if it had to be killed.
end()
{
	local result=0
	{
		kill -s "${2:-TERM}" "$1"
		if ! wait_for 5 gone "$1"; then
			kill -9 "$1"
			result=1
		fi
		wait "$1"
		ended=$?
	} 2> /dev/null # where the shell says "Killed"
	return $result
}

# sniff NAME NODE DEVICE FILTER...: captures to NAME.pcap; pid in $spawned.
sniff()
{
	local name=$1 node=$2 device=$3
	shift 3
	rm -f "$WORK/$name.log" "$WORK/$name.pcap"
	spawn "$name" "$node" tcpdump -Z root -nn -i "$device" -U -s 0 --immediate-mode \
		-w "$WORK/$name.pcap" "$@"
	wait_for 5 grep -q 'listening on' "$WORK/$name.log"
}

# sniffed NAME: how many packets.
sniffed()
{
	tcpdump -nn -r "$WORK/$1.pcap" 2> /dev/null | wc -l
}

# hops NODE ADDRESS: as traceroute sees them.
hops()
{
	local family=-4
	[[ $2 != *:* ]] || family=-6
	on "$1" traceroute $family -n -q 1 -w 2 -m 6 "$2" | awk 'NR > 1 { print $2 }' | xargs
}

# path_mtu NODE ADDRESS: as tracepath finds it.
path_mtu()
{
	local family=-4
	[[ $2 != *:* ]] || family=-6
	on "$1" timeout 20 tracepath $family -n -m 6 "$2" | sed -n 's/.*Resume: pmtu \([0-9]*\).*/\1/p'
}

# listening NODE PORT
listening()
{
	on "$1" ss -Hltn "sport = :$2" | grep -q .
}

# iperf_server NODE
iperf_server()
{
	spawn "iperf-$1" "$1" iperf3 -s
	wait_for 5 listening "$1" 5201
}

# http_server NODE DIRECTORY [PORT]: both families.
http_server()
{
	spawn "http-$1" "$1" "$PYTHON" -m http.server --bind :: --directory "$2" "${3:-80}"
	wait_for 10 listening "$1" "${3:-80}"
}

# ---- Routers ----------------------------------------------------------------

conf() { echo "$WORK/r$1/router.conf"; }
log_of() { echo "$WORK/r$1.log"; }

# key A B: the name of the file of the key that two routers share, made if need be.
key()
{
	local file
	if [ "$1" -lt "$2" ]; then file=$WORK/$1-$2.key; else file=$WORK/$2-$1.key; fi
	[ -s "$file" ] || (umask 077 && head -c 32 /dev/urandom | base64 > "$file")
	echo "$file"
}

# What firewall.sh has its own answers to. peers_of I: the sites whose routers it knows.
# listen_of I: its part of the file. reach_of I J 4|6: how it gets to J, of [peer].
peers_of()
{
	local j
	for j in "${sites[@]}"; do
		[ "$j" = "$1" ] || echo "$j"
	done
}

listen_of()
{
	echo "udp = 0.0.0.0:8463, [::]:8463"
}

reach_of()
{
	local endpoint
	endpoint=$(wan_at "$2" "$3")
	[ "$3" = 4 ] || endpoint="[$endpoint]"
	echo "endpoint = $endpoint:8463"
}

# lndt_of I, gndt_of I: the tables as text of the file. LNDT[I] and GNDT[I] go first.
lndt_of()
{
	echo "${LNDT[$1]:-$NETWORK = $(lan4 "$1").0/24, $(lan6 "$1")::/64}"
}

gndt_of()
{
	local j
	if [ -n "${GNDT[$1]:-}" ]; then
		echo "${GNDT[$1]}"
		return
	fi
	echo "[gndt $NETWORK]"
	for j in $(peers_of "$1"); do
		echo "$(name_of "$j") = $(lan4 "$j").0/24, $(lan6 "$j")::/64"
	done
}

# configure I [KEY=VALUE...]: writes the site's router.conf. Keys: outside=4|6, method,
# inject, workers, sign, encrypt, rekey, fail, log; more=TEXT goes to the end.
configure()
{
	local i=$1 j
	local outside=4 method=tun inject=tun workers=1 sign=hmac-sha256 encrypt=none rekey=120s
	local fail=closed log=info more='' metrics=off
	shift
	[ $# -eq 0 ] || local -- "$@"
	mkdir -p "$WORK/r$i"
	{
		cat <<- END
			[router]
			name = $(name_of "$i")
			id = $i
			workers = $workers
			control = $WORK/r$i/sock
			address = $(lan4 "$i").1, $(lan6 "$i")::1
			metrics = $metrics
			log = $log

			[intercept]
			method = $method
			networks = 172.16.0.0/12, fd00:76::/32
			fail = $fail

			[inject]
			method = $inject

			[listen]
			$(listen_of "$i")

			[security]
			sign = $sign
			encrypt = $encrypt
			rekey-after = $rekey

			[lndt]
			$(lndt_of "$i")

			$(gndt_of "$i")
		END
		for j in $(peers_of "$i"); do
			printf '\n[peer %s]\nid = %s\n%s\nkey-file = %s\n' "$(name_of "$j")" "$j" \
				"$(reach_of "$i" "$j" "$outside")" "$(key "$i" "$j")"
		done
		printf '%s\n' "$more"
	} > "$WORK/r$i/new.conf"
	mv "$WORK/r$i/new.conf" "$(conf "$i")"
}

# configure_all [KEY=VALUE...]
configure_all()
{
	local i
	for i in "${sites[@]}"; do
		configure "$i" "$@" || return
	done
}

# ctl I VERB...: JSON; ctl_text I VERB...: for people.
ctl()
{
	local i=$1
	shift
	on "gw$i" "$BUILD/vinectl" --json --control "$WORK/r$i/sock" "$@"
}

ctl_text()
{
	local i=$1
	shift
	on "gw$i" "$BUILD/vinectl" --control "$WORK/r$i/sock" "$@"
}

router_ready()
{
	gone "${router_pid[$1]}" || ctl "$1" status
}

# start_router I: returns once it answers; fails if it ended instead. ENVIRONMENT[I] is
# what it finds there, as words NAME=VALUE.
start_router()
{
	# shellcheck disable=SC2086
	spawn "r$1" "gw$1" env ${ENVIRONMENT[$1]:-} "$BUILD/vine-router" --config "$(conf "$1")"
	router_pid[$1]=$spawned
	wait_for 10 router_ready "$1" && alive "$spawned"
}

# stop_router I: as a service manager would; fails if it did not end well.
stop_router()
{
	local pid=${router_pid[$1]:-}
	[ -n "$pid" ] || return 0
	router_pid[$1]=
	end "$pid" && [ "$ended" = 0 ]
}

# kill_router I: as the worst day would.
kill_router()
{
	end "${router_pid[$1]}" KILL
	router_pid[$1]=
}

start_routers()
{
	local i
	for i in "${sites[@]}"; do
		start_router "$i" || return
	done
}

stop_routers()
{
	local i result=0
	for i in "${sites[@]}"; do
		stop_router "$i" || result=1
	done
	return $result
}

# dropped I REASON, packets_in I, packets_out I: counters of a router.
dropped()
{
	ctl "$1" show counters | jq -r --arg r "$2" '.drops[] | select(.reason == $r).packets'
}

packets_in()
{
	ctl "$1" show counters | jq -r .traffic.in.packets
}

packets_out()
{
	ctl "$1" show counters | jq -r .traffic.out.packets
}

# peer I J FILTER: what router I says of its peer J, through jq.
peer()
{
	ctl "$1" show peers | jq -r --arg n "$(name_of "$2")" '.peers[] | select(.name == $n) | '"$3"
}

# keyed I J: has router I keys with its peer J?
keyed()
{
	[ "$(peer "$1" "$2" .keys.ready)" = true ]
}

# settled I J: is the MTU of the path known?
settled()
{
	[ "$(peer "$1" "$2" .path.mtu_settled)" = true ]
}

# ---- Clients ----------------------------------------------------------------

# pings NODE ADDRESS COUNT [PING-OPTION...]: no loss. (ping waits for its last answer for
# its interval, or twice the longest round trip so far: too little on a busy machine.)
pings()
{
	local node=$1 to=$2 n=$3
	shift 3
	if [ $# = 0 ]; then
		none_lost "$node" "$to" "$n" 10
		return
	fi
	on "$node" ping -n -q -c "$n" -i 0.1 -W 2 "$@" "$to" > "$WORK/ping" 2>&1
	cat "$WORK/ping"
	grep -q "^$n packets transmitted, $n received,.* 0% packet loss" "$WORK/ping"
}

# flooded NODE ADDRESS COUNT: the same, a millisecond apart, whatever comes back.
flooded()
{
	none_lost "$@" 1
}

# none_lost NODE ADDRESS COUNT MS
none_lost()
{
	local before got
	before=$(lost_so_far)
	on "$1" fping -q -c "$3" -p "$4" -t 2000 "$2" > "$WORK/ping" 2>&1
	cat "$WORK/ping"
	got=$(sed -nE "s|.* = $3/([0-9]+)/.*|\1|p" "$WORK/ping")
	# shellcheck disable=SC2086
	[ -n "$got" ] && no_fault_of_routers $(($3 - got)) "$3" $before
}

# backlog_drops: packets that this computer's processors had no room for, so far. All machines of
# all tests share these queues, into which a cable leads.
backlog_drops()
{
	local drops n=0
	while read -r _ drops _; do
		n=$((n + 16#$drops))
	done < /proc/net/softnet_stat
	echo $n
}

# lost_on_cables: what the kernel lost where one machine's cable goes into the next one.
lost_on_cables()
{
	local n
	for n in "${nodes[@]}"; do
		ip -n "$(ns "$n")" -s -j link show type veth
	done | jq '.[].stats64.tx.dropped' | awk '{ n += $1 } END { print n + 0 }'
}

# lost_so_far: both. Where no other test runs beside this one, nothing is excused by them.
lost_so_far()
{
	[ -n "${BESIDE:-}" ] || { echo 0 0; return; }
	echo "$(backlog_drops) $(lost_on_cables)"
}

# no_fault_of_routers LOST SENT MACHINE CABLES: none, or, beside other tests, no more than both the
# backlogs and the cables of this test dropped since lost_so_far said MACHINE CABLES; and at most
# one in a hundred, or three.
no_fault_of_routers()
{
	local machine cables most=$(($2 / 100))
	[ "$1" != 0 ] || return 0
	[ -n "${BESIDE:-}" ] || { echo "$1 lost, and no other test is to blame"; return 1; }
	read -r machine cables < <(lost_so_far)
	machine=$((machine - $3)) cables=$((cables - $4))
	[ $most -ge 3 ] || most=3
	echo "$1 lost; the machine's queues dropped $machine meanwhile, cables $cables; at most $most may be"
	[ "$1" -gt 0 ] && [ "$1" -le "$machine" ] && [ "$1" -le "$cables" ] && [ "$1" -le $most ]
}

# answers NODE ADDRESS: one ping.
answers()
{
	on "$1" ping -n -q -c 1 -W 0.5 "$2"
}

# unreachable NODE ADDRESS COUNT [PING-OPTION...]: none of them comes back.
unreachable()
{
	local node=$1 to=$2 n=$3
	shift 3
	on "$node" ping -n -q -c "$n" -i 0.01 -W 0.3 "$@" "$to" > "$WORK/ping" 2>&1
	cat "$WORK/ping"
	grep -q "^$n packets transmitted, 0 received" "$WORK/ping"
}

# flood NAME NODE ADDRESS COUNT: ping -f beside the test, a known number of packets, so
# that none is on its way when it ends; pid in $spawned. flood_result NAME: all back?
flood()
{
	rm -f "$WORK/$1.log"
	lost_so_far > "$WORK/$1.before"
	spawn "$1" "$2" ping -n -q -f -c "$4" -W 2 "$3"
}

flood_result()
{
	local sent received
	read -r sent received < <(sed -nE \
		's/^([0-9]+) packets transmitted, ([0-9]+) received.*/\1 \2/p' "$WORK/$1.log")
	echo "ping -f: ${sent:-nothing} sent, ${received:-nothing} received"
	grep -v '^$' "$WORK/$1.log"
	# shellcheck disable=SC2046
	[ -n "$sent" ] && no_fault_of_routers $((sent - received)) "$sent" $(cat "$WORK/$1.before")
}

# flood_count NODE ADDRESS SECONDS: how many packets ping -f sends in that time here.
flood_count()
{
	local from now
	now_ms from
	on "$1" ping -n -q -f -c 5000 -W 2 "$2" > /dev/null 2>&1
	now_ms now
	echo $((5000 * 1000 * $3 / (now - from + 1)))
}

# iperf NODE ADDRESS [OPTION...]: Mbit/s as received, on success, of 30 MB or as long as -t says.
# Between two clients the server listens anew, and resets who has come just before: that one comes
# again.
iperf()
{
	local node=$1 to=$2 try
	shift 2
	[[ " $* " == *" -t "* ]] || set -- -n 30M "$@"
	for try in 1 2 3; do
		on "$node" timeout 30 iperf3 -J -c "$to" --connect-timeout 3000 "$@" \
			> "$WORK/iperf.json" 2>&1
		jq -re '.end.sum_received.bits_per_second / 1e6 | if . > 0 then . else null end' \
			"$WORK/iperf.json" 2> /dev/null && return
		grep -q "unable to receive control message: Connection reset" "$WORK/iperf.json" ||
			break
	done
	jq -r '.error // "no result"' "$WORK/iperf.json" 2> /dev/null || cat "$WORK/iperf.json"
	return 1
}

# ---- TAP --------------------------------------------------------------------

tests=0 failures=0 finished=no processes_left=

# diagnose: standard input as TAP diagnostics.
diagnose()
{
	sed 's/^/#   /'
}

ok()
{
	tests=$((tests + 1))
	echo "ok $tests - $1"
}

# skip NAME WHY
skip()
{
	ok "$1 # SKIP $2"
}

# sanitized: are the programs? Then they are large, and not static.
sanitized()
{
	nm -D "$BUILD/vine-tiny" 2> /dev/null | grep -q __asan
}

# not_ok NAME: with the ends of the routers' logs.
not_ok()
{
	local i
	tests=$((tests + 1))
	failures=$((failures + 1))
	echo "not ok $tests - $1"
	for i in "${sites[@]}"; do
		[ -s "$(log_of "$i")" ] || continue
		echo "#   log of r$i:"
		tail -n 15 "$(log_of "$i")" | diagnose
		ctl "$i" show counters 2> /dev/null |
			jq -c '{workers, drops: ([.drops[] | select(.packets != "0") |
				{(.reason): .packets}] | add)}' | diagnose
	done
}

# check NAME COMMAND...: succeeds? Its output is shown if not.
check()
{
	local name=$1
	shift
	if "$@" > "$WORK/check" 2>&1; then
		ok "$name"
	else
		not_ok "$name"
		echo "#   failed: $*"
		tail -n 30 "$WORK/check" | diagnose
		return 1
	fi
}

# check_fails NAME COMMAND...
check_fails()
{
	local name=$1
	shift
	check "$name" refuses "$@"
}

refuses()
{
	! "$@"
}

# is NAME GOT EXPECTED
is()
{
	if [ "$2" = "$3" ]; then
		ok "$1"
	else
		not_ok "$1"
		printf 'got: %s\nexpected: %s\n' "$2" "$3" | diagnose
		return 1
	fi
}

# at_least NAME GOT BOUND, at_most NAME GOT BOUND: whole numbers.
at_least()
{
	if [ "${2:-x}" -ge "$3" ] 2> /dev/null; then
		ok "$1"
	else
		not_ok "$1"
		echo "got: $2, expected $3 or more" | diagnose
		return 1
	fi
}

at_most()
{
	if [ "${2:-x}" -le "$3" ] 2> /dev/null; then
		ok "$1"
	else
		not_ok "$1"
		echo "got: $2, expected $3 or less" | diagnose
		return 1
	fi
}

note()
{
	echo "# $*"
}

# ---- The end ----------------------------------------------------------------

# What still runs in a namespace of this run.
left_processes()
{
	local inode link
	for link in /proc/[0-9]*/ns/net; do
		inode=$(readlink "$link" 2> /dev/null) || continue
		inode=${inode#net:[}
		[[ " ${inodes[*]} " != *" ${inode%]} "* ]] || echo "${link//[!0-9]/}"
	done
}

left_namespaces()
{
	ip netns list | grep -c "^$NET_PREFIX-"
}

no_processes_left()
{
	[ -z "$(left_processes)" ]
}

take_down()
{
	local p n
	# All at once, then one by one until each is reaped.
	for p in "${pids[@]}"; do kill "$p" 2> /dev/null; done
	for p in "${pids[@]}"; do end "$p"; done
	pids=()
	# What those have started themselves, like the sessions of sshd.
	for p in $(left_processes); do kill "$p" 2> /dev/null; done
	wait_for 2 no_processes_left || for p in $(left_processes); do kill -9 "$p" 2> /dev/null; done
	wait_for 2 no_processes_left
	# Counted now: once a namespace is gone, its number may be that of a neighbour's.
	processes_left=$(left_processes | wc -l)
	for n in "${nodes[@]}"; do ip netns del "$(ns "$n")" 2> /dev/null; done
}

# setup: once, before anything else; what else there was is the caller's to end.
setup()
{
	if [ "$(id -u)" != 0 ]; then
		echo "1..0 # SKIP network namespaces need root"
		exit 0
	fi
	if [ ! -x "$BUILD/vine-router" ] || [ ! -x "$BUILD/vinectl" ]; then
		echo "Bail out! no vine-router and vinectl in $BUILD" >&2
		exit 1
	fi
	WORK=$(mktemp -d "/tmp/$NET_PREFIX.XXXXXX") || exit 1
	trap on_exit EXIT
	trap 'exit 1' INT TERM HUP
}

on_exit()
{
	local n p=
	trap '' INT TERM HUP
	[ $finished = yes ] || not_ok "ran to its end"
	take_down > /dev/null 2>&1
	n=$(left_namespaces)
	p=$processes_left
	if [ -n "${KEEP:-}" ]; then
		note "kept: $WORK"
	else
		rm -rf "$WORK"
	fi
	sites=()
	is "nothing is left: namespaces, processes, files" "$n $p $([ -n "${KEEP:-}" ] || ls -d "$WORK" 2> /dev/null)" "0 0 "
	echo "1..$tests"
	trap - EXIT
	exit $((failures > 0))
}

finish()
{
	finished=yes
	exit 0
}
