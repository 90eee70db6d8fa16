# Sourced by measure: the parts of the bench, each a function of its own that calls figure
# and failed, and the tests that they are made of. Everything that waits has a bound.
#
#   peers      a tunnel as its hosts see it: TCP, UDP, round trips; what it costs
#   table      what the dissertation's tables 4-2 and 4-3 have: UDP, TCP, rtt(min), rtt(MTU)
#   intercept  packets a second that a router takes in and drops, by size: figure 4-4
#   inject     packets a second that a router gives back, by size: figure 4-5
#   workers    TCP and UDP in four flows: figure 4-13
#   links      TCP, UDP, round trips by one kind of link, or by a queue router
#   firewalls  TCP and round trips between three sites, some of them limited: table 3-8
#   beside, paths, agents, cost    about a VM in a cloud: in cloud.sh
#   profile    one TCP stream, for tests/bench/profile

SIZES=(64 128 256 512 1024 1428) # of IP packets, in bytes
IP_UDP=28                        # of them, headers
FLOOD_PORT=7007

# Whose round trips and TCP are measured: a node, and the address of another one.
from=hosta to=$HOST_B

# ---- Helpers ----------------------------------------------------------------

# ticks_of PID...: of the processors, all threads and those that have ended.
ticks_of()
{
	local p line sum=0
	for p in "$@"; do
		# The name, in brackets, may have blanks in it.
		read -r line 2> /dev/null < "/proc/$p/stat" || continue
		read -ra line <<< "${line##*) }"
		sum=$((sum + line[11] + line[12]))
	done
	echo $sum
}

tunnel_ticks()
{
	# shellcheck disable=SC2046
	ticks_of $(peer_pids)
}

# busy and stolen ticks of the whole machine
machine_ticks()
{
	awk '$1 == "cpu" { print $2 + $3 + $4 + $7 + $8, $9 }' /proc/stat
}

# The largest of the tunnel's processes at its largest, in MB.
resident()
{
	local p
	for p in $(peer_pids); do
		awk '$1 == "VmHWM:" { print $2 / 1000 * 1.024 }' "/proc/$p/status" 2> /dev/null
	done | sort -n | tail -n 1
}

listening() # NODE PROTOCOL PORT
{
	on "$1" ss -Hln"$2" "sport = :$3" | grep -q .
}

# divided A B DIGITS
divided()
{
	awk -v a="$1" -v b="$2" -v d="${3:-6}" 'BEGIN { if (b > 0) printf "%.*f\n", d, a / b }'
}

# ---- Round trips ------------------------------------------------------------

# rtt NAME COUNT INTERVAL SIZE: figures NAME_p50, NAME_p99 in microseconds and NAME_lost.
# The p-th of n: the smallest that p percent of them do not exceed.
rtt()
{
	local p50 p99 lost
	on "$from" timeout --foreground -k 1 $((BENCH_SECONDS + 20)) ping -n -c "$2" -i "$3" -s "$4" -W 1 \
		"$to" > "$WORK/ping" 2>&1
	read -r p50 p99 lost < <(sed -nE 's/.*time=([0-9.]+) ms$/\1/p' "$WORK/ping" | sort -n |
		awk -v sent="$2" '{ t[NR] = $1 * 1000 }
			function rank(q, r) { r = int(q * NR); return t[r < q * NR ? r + 1 : r] }
			END { if (NR) print rank(.5), rank(.99), sent - NR }')
	if [ -z "$p50" ]; then
		failed "$1" "no answer to $2 pings"
		return
	fi
	figure "$1_p50_us" "$p50"
	figure "$1_p99_us" "$p99"
	figure "$1_lost" "$lost"
}

# ---- TCP --------------------------------------------------------------------

# tcp_server [NODE]
tcp_server()
{
	ip netns exec "$(ns "${1:-hostb}")" iperf3 -s > /dev/null 2>&1 < /dev/null &
	servers+=($!)
	wait_for 5 listening "${1:-hostb}" t 5201
}

# tcp NAME [IPERF-OPTION...]: figure NAME_mbps, as received; the bytes are in $tcp_bytes.
tcp()
{
	local name=$1 why mbps
	shift
	tcp_bytes=0
	on "$from" timeout --foreground -k 1 $((BENCH_SECONDS + 15)) iperf3 -J -c "$to" -C cubic \
		--connect-timeout 5000 -t "$BENCH_SECONDS" "$@" > "$WORK/$name.json" 2>&1
	read -r tcp_bytes mbps < <(jq -r '.end.sum_received |
		select(.bytes > 0) | "\(.bytes) \(.bits_per_second / 1e6)"' "$WORK/$name.json" 2> /dev/null)
	if [ -z "${mbps:-}" ]; then
		why=$(jq -r '.error // empty' "$WORK/$name.json" 2> /dev/null)
		failed "$name" "${why:-iperf3 did not end in time}"
		tcp_bytes=0
		return 1
	fi
	figure "${name}_mbps" "$mbps"
}

# cost NAME TICKS: what the bytes of the last stream took of a processor's time.
cost()
{
	figure "$1" "$(divided $(($2 * 10000000)) $((tcp_bytes * $(getconf CLK_TCK) / 100)))"
}

# The same with what it costs: CPU seconds a gigabyte, of the tunnel and of the machine.
tcp_and_cost()
{
	local ticks busy stolen ticks2 busy2 stolen2
	ticks=$(tunnel_ticks)
	read -r busy stolen < <(machine_ticks)
	tcp "$1" || return
	read -r busy2 stolen2 < <(machine_ticks)
	ticks2=$(tunnel_ticks)
	# A kernel's tunnel has no processes: its cost is in the machine's alone.
	[ "$kind" != user ] && [ "$kind" != vine ] ||
		cost cpu_s_per_gb $((ticks2 - ticks))
	cost machine_s_per_gb $((busy2 - busy))
	figure stolen_s "$(divided $((stolen2 - stolen)) "$(getconf CLK_TCK)")"
}

# Figures rtt_loaded_*: round trips beside one TCP stream.
rtt_beside_tcp()
{
	local load before
	before=$(arrived)
	(tcp load > /dev/null 2>&1) &
	load=$!
	wait_for 2 arrived $((before + 1000000))
	rtt rtt_loaded $(((BENCH_SECONDS - 1) * 200)) 0.005 56
	if ! wait $load; then
		sed -i '/\trtt_loaded/d' "$WORK/result"
		failed rtt_loaded "the TCP stream beside it failed"
	fi
	sed -i '/\tload/d' "$WORK/result"
}

# ---- UDP --------------------------------------------------------------------

# flood NAME SIZE SECONDS [SEND-OPTION...]: a flood to hostb. Figures NAME_pps and NAME_mbps
# as received, NAME_offered_pps, NAME_loss and NAME_late in percent. The rate is by the
# longer of sending and receiving. The receiver takes datagrams one by one, as programs do.
merged=() # -g: it takes super-packets
flood()
{
	local name=$1 size=$2 seconds=$3 receiver
	shift 3
	ip netns exec "$(ns hostb)" "$BENCH_FLOOD" receive "${merged[@]}" $FLOOD_PORT \
		> "$WORK/received" 2>> "$WORK/log" &
	receiver=$!
	wait_for 5 listening hostb u $FLOOD_PORT
	on hosta timeout --foreground -k 1 $((${seconds%.*} + 10)) \
		"$BENCH_FLOOD" send -s "$size" -t "$seconds" "$@" "$HOST_B" $FLOOD_PORT > "$WORK/sent" 2> "$WORK/why"
	drained
	kill $receiver 2> /dev/null
	wait $receiver 2> /dev/null
	jq -rs --arg name "$name" --argjson size "$size" '
		.[0] as $s | .[1] as $r | ($r.received - $r.again) as $got |
		([$s.seconds, $r.seconds] | max) as $t |
		if ($s.sent // 0) > 0 and $got > 0 then
			"\($name)_pps\t\($got / $t)",
			"\($name)_mbps\t\($got * $size * 8 / 1e6 / $t)",
			"\($name)_offered_pps\t\($s.sent / $s.seconds)",
			"\($name)_loss\t\((1 - $got / $s.sent) * 100)",
			"\($name)_late\t\($r.late / $got * 100)"
		else empty end' "$WORK/sent" "$WORK/received" > "$WORK/flood" 2>> "$WORK/log"
	if [ ! -s "$WORK/flood" ]; then
		failed "$name" "$(head -n 1 "$WORK/why" | grep . || echo "nothing arrived")"
		return 1
	fi
	sed 's/^/figure\t/' "$WORK/flood" >> "$WORK/result"
}

# The sender makes super-packets and its interface cuts them, so that single packets reach
# the gateway, at twice the rate at which they leave one by one.
single_packets()
{
	on hosta ethtool -K eth0 tx-udp-segmentation off > /dev/null
}

# arrived [BYTES]: how many have come in at hostb, or whether so many have.
arrived()
{
	local bytes
	bytes=$(on hostb cat /sys/class/net/eth0/statistics/rx_bytes)
	if [ $# -gt 0 ]; then [ "$bytes" -ge "$1" ]; else echo "$bytes"; fi
}

# Until nothing more comes in at hostb, for two seconds at most.
drained()
{
	local before=-1 now i
	for ((i = 0; i < 20; i++)); do
		now=$(on hostb cat /sys/class/net/eth0/statistics/rx_packets)
		[ "$now" != "$before" ] || return 0
		before=$now
		sleep 0.1
	done
}

# clean NAME SIZE MAX: figure NAME_pps, the highest rate found by halving at which no more
# than one datagram of a hundred is lost (a throughput in the sense of RFC 1242, which
# demands that none is: this machine's scheduler does not allow it).
clean()
{
	local low=0 high=${3%.*} rate i loss
	for ((i = 0; i < 6; i++)); do
		rate=$(((low + high) / 2))
		flood trial "$2" 1 -r "$rate" -g 16 || break
		loss=$(sed -n 's/^trial_loss\t//p' "$WORK/flood")
		if awk -v l="$loss" 'BEGIN { exit !(l <= 1) }'; then low=$rate; else high=$rate; fi
	done
	sed -i '/\ttrial/d' "$WORK/result"
	if [ "$low" -gt 0 ]; then
		figure "$1_pps" "$low"
	else
		failed "$1" "more than 1 % lost at the lowest rate tried"
	fi
}

# ---- The parts --------------------------------------------------------------

part_peers()
{
	local busy busy2
	read -r busy _ < <(machine_ticks)
	sleep 0.5
	read -r busy2 _ < <(machine_ticks)
	figure noise_cpus "$(divided $(((busy2 - busy) * 2)) "$(getconf CLK_TCK)")"

	on hosta ping -q -c 2 -i 0.2 -W 1 -M do -s 1400 "$HOST_B" > /dev/null 2>&1 ||
		failed mtu "packets of 1,428 bytes do not come through whole"
	rtt rtt_idle 500 0.002 56
	if tcp_server; then
		tcp_and_cost tcp1
		tcp tcp4 -P 4
		tcp tcp_back -R
		rtt_beside_tcp
	else
		failed tcp1 "iperf3 does not start"
	fi
	single_packets
	flood udp1400 1400 "$BENCH_SECONDS" -g 40
	flood udp64 64 "$BENCH_SECONDS" -g 40 && clean udp64_clean 64 \
		"$(sed -n 's/^udp64_offered_pps\t//p' "$WORK/flood")"
	wait_for 5 on hosta ping -q -c 1 -W 1 "$HOST_B" || failed alive "no answer after the floods"
	[ -z "$(peer_pids)" ] || figure rss_mb "$(resident)"
}

part_table()
{
	local card=()
	# The dissertation's sender has a gigabit card too: 1,466 bytes a datagram on the wire.
	[ -z "$BENCH_LINE" ] || card=(-r $((1000000000 / 8 / 1466)))
	# 16 bytes: the least that ping takes the time by.
	rtt rtt_min 500 0.002 16
	rtt rtt_mtu 500 0.002 1400
	if tcp_server; then tcp tcp1; else failed tcp1 "iperf3 does not start"; fi
	single_packets
	flood udp 1400 "$BENCH_SECONDS" -g 16 "${card[@]}"
}

# vine_ctl SITE COMMAND...: JSON of the router there.
vine_ctl()
{
	local site=$1
	shift
	"$vine_build/vinectl" --json --control "$WORK/vine$site.sock" "$@"
}

# What the far side of the interception has counted: packets dropped by the router, or
# forwarded by the kernel.
taken_in()
{
	if [ "$kind" = vine ]; then
		vine_ctl 1 show counters | jq '[.drops[] | select(.reason == "no-route").packets | tonumber] | add // 0'
	else
		on gwa cat /sys/class/net/wan/statistics/tx_packets
	fi
}

# To an address that the overlay has no site for: the router does all until it looks up the
# way, and drops. Without one, the kernel forwards it to the Internet, which drops.
part_intercept()
{
	local size before after
	single_packets
	ip -n "$(ns wan)" route add blackhole 10.3.0.0/16
	for size in "${SIZES[@]}"; do
		before=$(taken_in)
		if ! on hosta timeout --foreground -k 1 $((BENCH_SECONDS + 10)) "$BENCH_FLOOD" send \
			-s $((size - IP_UDP)) -g 40 -t "$BENCH_SECONDS" 10.3.0.10 $FLOOD_PORT \
			> "$WORK/sent" 2> "$WORK/why"; then
			failed "$size" "$(head -n 1 "$WORK/why")"
			continue
		fi
		after=$(taken_in)
		figure "$size" "$(divided $((after - before)) "$(jq .seconds "$WORK/sent")")"
		figure "offered_$size" "$(jq '.sent / .seconds' "$WORK/sent")"
	done
}

# The first router is fed with super-packets, so that the second is what is busy.
part_inject()
{
	local size segments
	merged=(-g)
	for size in "${SIZES[@]}"; do
		segments=$((64000 / size))
		[ $segments -le 40 ] || segments=40
		if flood trial $((size - IP_UDP)) "$BENCH_SECONDS" -g $segments; then
			figure "$size" "$(sed -n 's/^trial_pps\t//p' "$WORK/flood")"
			figure "offered_$size" "$(sed -n 's/^trial_offered_pps\t//p' "$WORK/flood")"
		else
			sed -i "s/\ttrial\t/\t$size\t/" "$WORK/result"
		fi
	done
	sed -i '/\ttrial/d' "$WORK/result"
}

part_workers()
{
	if tcp_server; then tcp tcp4 -P 4; else failed tcp4 "iperf3 does not start"; fi
	single_packets
	flood udp1400 1400 "$BENCH_SECONDS" -f 4 -g 40
}

# goes_by SITE PEER TRANSPORT: does the router there send to that peer so?
goes_by()
{
	[ "$(vine_ctl "$1" show links | jq -r --arg n "vine$2" \
		'.links[] | select(.peer == $n).paths[0].transport')" = "$3" ]
}

part_links()
{
	local way=$vine_protocol
	[ -z "$vine_mode" ] || way=relay
	wait_for 10 goes_by 1 2 "$way" || { failed start "it does not go by $way"; return; }
	rtt rtt_idle 500 0.002 56
	if tcp_server; then tcp_and_cost tcp1; else failed tcp1 "iperf3 does not start"; fi
	single_packets
	flood udp 1400 "$BENCH_SECONDS" -g 16
	goes_by 1 2 "$way" || failed way "it went on by another way than $way"
}

# What table 3-8 has, and the same with windows of 64 KB.
part_firewalls()
{
	local p name a b
	tcp_server hostb && tcp_server hostc || { failed start "iperf3 does not start"; return; }
	for p in "${PAIRS[@]}"; do
		read -r name a b _ <<< "$p"
		from=host$a to=${LAN[$b]}.10
		if [ "$kind" = vine ] && ! wait_for 30 goes_by "${ID[$a]}" "${ID[$b]}" "$(way_of "$a" "$b")"; then
			failed "$name" "it does not go by $(way_of "$a" "$b")"
			continue
		fi
		rtt "${name}_rtt" 50 0.02 56
		tcp "${name}_tcp"
	done
	small_windows
	for p in "${PAIRS[@]}"; do
		read -r name a b _ <<< "$p"
		from=host$a to=${LAN[$b]}.10
		tcp "${name}_tcp64k"
	done
	lines_over || failed lines "a line did not keep up"
}

# For tests/bench/profile: what the threads of each router are at, one stack a sample, in
# BENCH_PROFILE/out (where the stream comes in) and in.
part_profile()
{
	local load n ways=(out in)
	tcp_server || { failed profile "iperf3 does not start"; return; }
	BENCH_SECONDS=$((BENCH_SECONDS + 3))
	(tcp load > /dev/null 2>&1) &
	load=$!
	wait_for 2 arrived 100000000
	perf record -q -F 1999 -g -o "$WORK/perf" -p "${daemons[0]},${daemons[1]}" \
		sleep $((BENCH_SECONDS - 3)) >> "$WORK/log" 2>&1
	wait $load || failed profile "the TCP stream failed"
	for n in 0 1; do
		perf script -i "$WORK/perf" --pid "${daemons[n]}" -F ip,sym,dso \
			> "$BENCH_PROFILE/${ways[n]}" 2>> "$WORK/log"
		[ -s "$BENCH_PROFILE/${ways[n]}" ] || failed profile "perf has no samples"
	done
}
