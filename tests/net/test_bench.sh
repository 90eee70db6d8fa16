#!/bin/bash
# The bench without its measuring: the maths of its report, its charts, what its sender and
# receiver count, its lines' delay, rate and faults, its topologies, the authority with a few
# simulated routers; and that a run says what failed, goes on where it was ended, and leaves
# nothing behind. Of time there are bounds only that a busy machine keeps.
. "$(dirname "$0")/lib.sh"
setup

bench=$top/tests/bench
rounds=$top/tests/data/bench/rounds.jsonl
export BUILD BENCH_LOCK=$WORK/lock

# ---- Report -----------------------------------------------------------------

# cell HEADING ROW COLUMN: of the report's first table under a heading that begins so.
cell()
{
	awk -F ' *[|] *' -v heading="## $1" -v row="$2" -v column="$3" '
		index($0, "## ") == 1 { on = index($0, heading) == 1; at = 0 }
		!on || !/^[|]/ { next }
		!at { for (i = 2; i < NF; i++) if ($i == column) at = i; next }
		$2 == row { print $at; exit }' "$WORK/report"
}

check "the report of a file" eval '"$PYTHON" "$bench/report" "$rounds" > "$WORK/report"'
check "the reference is the fastest program but ours" grep -q '^## Ratios to fast$' "$WORK/report"
is "a ratio is the median of the rounds' own" "$(cell Ratios vine-x 'TCP, 1 stream')" 4.2
is "its spread is the least and the greatest" "$(cell Spread vine-x 'TCP, 1 stream')" "4 to 4.2"
is "a round that failed counts for nothing, and it says so" \
	"$(cell Ratios vine-x 'TCP, 4 streams')" "5 (2/3)"
is "less than one" "$(cell Ratios vine-x resident)" 0.05
is "what has no such figure has none" "$(cell Ratios kern resident)" -
is "what never worked is called failed" "$(cell Ratios dead 'TCP, 1 stream')" failed
is "a median" "$(cell 'Lost' fast 'UDP 64 B lost')" 62
is "a median of the speeds" "$(cell "This machine" fast 'TCP, 1 stream, Mbit/s')" 800
is "beside the dissertation, to our own physical network" \
	"$(cell 'Tables 4-2 and 4-3, on a line' '**vine-hmac**' TCP)" "0.95 [0.95 to 0.95]"
is "the dissertation, to its own" \
	"$(cell 'Tables 4-2 and 4-3, on a line' '*dissertation:* forwarder in C' TCP)" 0.976
is "equation 4-1" "$(cell 'Table 4-1' '**ViNe, 68 bytes** (equation 4-1)' TCP)" 0.897
is "by size" "$(cell 'Figure 4-4' vine-none:method=tun 128)" 0.6
is "by size, failed" "$(cell 'Figure 4-4' vine-none:method=tun 1428)" failed
is "by workers" "$(cell 'Figure 4-13' 'vine-hmac, TCP' 4)" "1.6 [1.6 to 1.6]"
is "by kind of link" "$(cell 'By kind of link' 'direct, TCP' 'TCP, 1 stream')" "0.75 [0.75 to 0.75]"
row="2: PU limited, by UF"
is "table 3-8, the dissertation's ratio" "$(cell 'Table 3-8' "$row" 'NWU to PU: theirs')" 0.19
is "and ours" "$(awk -F ' *[|] *' -v row="$row" '$2 == row { print $(NF == 12 ? 10 : 8) }' "$WORK/report")" "**0.25**
**7.5**"
is "a VM's direct traffic beside a tiny" \
	"$(cell 'Direct traffic' "a VM on the cloud's LAN, TCP" with/without)" "1 [0.98 to 1.02]"
is "... and what is noise" \
	"$(cell 'Direct traffic' "a VM on the cloud's LAN, TCP" without/without)" "0.96 [0.9 to 1.1]"
row="100 Mbit/s and 6.8 ms; one router"
is "the overlay's path: a ratio" "$(cell 'The overlay beside' "$row" 'TCP, to a VM')" \
	"0.96 [0.95 to 0.97]"
is "... what it adds" "$(cell 'The overlay beside' "$row" 'RTT p50, to a VM')" "150 [100 to 200]"
is "agents, to the fastest but ours" \
	"$(cell 'Other agents' 'vine-tiny, HMAC' 'TCP, 1 stream')" 3
is "a tiny beside a full router on the VM" \
	"$(cell 'Processor time on' HMAC 's/GB, tiny to router')" "0.75 [0.75 to 0.75]"
is "... and beside its own" "$(cell 'Processor time of' AES-GCM 'from the VM')" "0.9 [0.9 to 0.9]"
is "every failure is told" "$(grep -c '^- .*, round [123]: ' "$WORK/report")" 5
check "and what disturbed a round" grep -q '^Disturbed .*: vine-x/2$' "$WORK/report"
"$PYTHON" "$bench/report" --ratios --reference slow "$rounds" > "$WORK/report"
is "another reference" "$(cell 'Ratios to slow' vine-x 'UDP 64 B')" 3.8
check_fails "ratios alone" grep -q 'Mbit/s, \|^## This machine' "$WORK/report"
check_fails "a reference that nobody measured" "$PYTHON" "$bench/report" --reference x "$rounds"
check_fails "a file of something else" "$PYTHON" "$bench/report" "$top/Makefile"

# ---- Charts -----------------------------------------------------------------

mkdir "$WORK/turned"
tac "$rounds" > "$WORK/turned/rounds.jsonl"
check "charts" "$PYTHON" "$bench/chart" "$WORK/one" "$rounds"
check "again, of the same lines in another order" \
	"$PYTHON" "$bench/chart" "$WORK/two" "$WORK/turned/rounds.jsonl"
check "the same bytes" diff -r "$WORK/one" "$WORK/two"
is "a file for each kind" \
	"$(cd "$WORK/one" && echo *)" \
	"rounds-agents.svg rounds-gigabit.svg rounds-sizes.svg rounds-workers.svg rounds.svg"
check "each is well-formed" "$PYTHON" -c '
import sys, xml.dom.minidom
for f in sys.argv[1:]: xml.dom.minidom.parse(f)' "$WORK"/one/*.svg
check "it bears the ratio" grep -q '>4.2<' "$WORK/one/rounds.svg"
check "and what failed" grep -q '>failed<' "$WORK/one/rounds.svg"

# Into a document, twice.
printf 'before\n<!-- measured: rounds -->\nold\n<!-- end -->\nafter\n' > "$WORK/page.md"
cp "$rounds" "$WORK/one/"
check "a report is put into a document" \
	"$PYTHON" "$bench/report" --into "$WORK/page.md" "$WORK/one/rounds.jsonl"
is "in place of what was there" "$(grep -c '^old$\|^before$\|^after$' "$WORK/page.md")" 2
is "below its headings" "$(grep -c '^### Ratios to fast$' "$WORK/page.md")" 1
is "with the charts" "$(grep -c '^!\[.*](one/rounds.*\.svg)$' "$WORK/page.md")" 5
cp "$WORK/page.md" "$WORK/page2.md"
check "again" "$PYTHON" "$bench/report" --into "$WORK/page2.md" "$WORK/one/rounds.jsonl"
check "the same comes of it" cmp "$WORK/page.md" "$WORK/page2.md"
check_fails "a document without a place for it" \
	"$PYTHON" "$bench/report" --into "$top/README.md" "$rounds"

# ---- Flood ------------------------------------------------------------------

flood=$BUILD/bench/flood
node f || exit
bound()
{
	on f ss -Hlun 'sport = :7007' | grep -q .
}

spawn flood f "$flood" receive 7007
wait_for 5 bound
on f "$PYTHON" - << 'END'
import socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(("127.0.0.1", 7007))
for flow, number in (0, 0), (0, 1), (0, 3), (0, 2), (0, 3), (1, 0), (1, 5):
    s.send(struct.pack("!IIQ", 0x666c6f64, flow, number) + bytes(48))
for other in b"", b"flod", struct.pack("!IIQ", 0x666c6f64, 99, 0), bytes(64):
    s.send(other)
END
end "$spawned"
is "the receiver knows what is late, what came again, what is foreign" \
	"$(jq -c '[.received, .bytes, .late, .again, .foreign]' "$WORK/flood.log")" "[7,448,1,1,4]"

for g in 1 8; do
	rm -f "$WORK/flood.log"
	spawn flood f "$flood" receive -g 7007
	wait_for 5 bound
	on f "$flood" send -s 100 -t 0.2 -r 4000 -f 3 -g $g 127.0.0.1 7007 > "$WORK/sent"
	end "$spawned"
	is "all that is sent is received, in order, $g in one" \
		"$(jq -c '[.received, .late, .again, .foreign]' "$WORK/flood.log")" \
		"[$(jq .sent "$WORK/sent"),0,0,0]"
	at_most "at the rate asked for, $g in one" "$(jq .sent "$WORK/sent")" 840
done
check_fails "a size that no datagram has" "$flood" send -s 70000 127.0.0.1 7007

# ---- Impair -----------------------------------------------------------------

# left --- (left) line (right) --- right, and nothing but impair between.
impair=$BUILD/bench/impair
for n in left line right; do
	node $n || exit
done
for n in left right; do
	cable $n eth0 line $n || exit
	on $n ethtool -K eth0 tx off gso off tso off gro off tx-udp-segmentation off > /dev/null
done
address left eth0 10.9.0.1/24
address right eth0 10.9.0.2/24

# line SETTING...: of frames from left; others come back as they are. line_over: its counters.
line()
{
	rm -f "$WORK/line.log"
	spawn line line "$impair" left "$@" right
	line=$spawned
	wait_for 5 on left ping -n -q -c 1 -W 1 10.9.0.2
}

# line_over NAME: no frame is lost but by what it was told to do.
line_over()
{
	end "$line"
	check "$1: each frame is accounted for" jq -e 'all(.missed + .large + .unsent == 0 and
		.received == .sent + .lost + .full + .left)' "$WORK/line.log"
}

# of_line COUNTER: of frames from left.
of_line()
{
	jq ".[0]$1" "$WORK/line.log"
}

# across SECONDS RATE SIZE: a flood to the right; got COUNTER: of its receiver.
across()
{
	rm -f "$WORK/flood.log"
	spawn flood right "$flood" receive 7007
	wait_for 5 on right eval "ss -Hlun 'sport = :7007' | grep -q ."
	on left "$flood" send -s "$3" -t "$1" -r "$2" 10.9.0.2 7007 > "$WORK/sent"
	# What comes after the last one is none of the flood.
	pings left 10.9.0.2 1 > /dev/null
	end "$spawned"
}

got() { jq "$1" "$WORK/flood.log"; }

check "a line of 20 ms" line delay=20
pings left 10.9.0.2 20 -i 0.01 > /dev/null
read -r least < <(sed -nE 's|^rtt min/avg.* = ([0-9]+)\..*|\1|p' "$WORK/ping")
at_least "no ping takes less" "$least" 20
at_most "nor much more, if it can" "$least" 24
across 0.5 1000 1000
is "all that is sent comes through, in order" "$(jq -c '[.received, .late, .again]' \
	"$WORK/flood.log")" "[$(jq .sent "$WORK/sent"),0,0]"
line_over "a line of 20 ms"

check "a narrow line" line rate=8 queue=20
across 0.5 4000 1000
at_least "it carries its rate, Mbit/s" "$(got '.received * 1042 * 8 / .seconds / 1e6 | round')" 6
at_most "and no more" "$(got '.received * 1042 * 8 / .seconds / 1e6 | round')" 10
is "in order" "$(got .late)" 0
line_over "a narrow line"
is "what is more than its queue is dropped, and counted" "$(of_line .full)" \
	$(($(jq .sent "$WORK/sent") - $(got .received)))

check "a bad line" line delay=5 reorder=20 loss=10 seed=7
across 0.5 2000 100
line_over "a bad line"
lost=$(($(jq .sent "$WORK/sent") - $(got .received)))
at_least "some are lost" "$lost" 1
at_least "and counted, with what else there was" "$(of_line .lost)" "$lost"
at_least "some are overtaken" "$(got .late)" 1
at_least "and counted" "$(of_line .reordered)" "$(got .late)"

check "a line that marks" line mark=100
sniff marked right eth0 'icmp and dst 10.9.0.2 and ip[1] & 3 == 3'
check "what is marked arrives" pings left 10.9.0.2 5 -Q 2
check "and what can't be marked" pings left 10.9.0.2 5
end "$spawned"
line_over "a line that marks"
is "it is marked" "$(sniffed marked) $(of_line .marked)" "5 5"

check_fails "a loss of more than all" "$impair" left loss=101 right
check_fails "a rate that is none" "$impair" left rate=nan right
check_fails "no such setting" "$impair" left colour=3 right
check_fails "one device alone" "$impair" left delay=1
check_fails "no such device" "$impair" none1 none2

# ---- Topology ---------------------------------------------------------------

# in_topology COMMAND...: with the bench's functions in place of this file's.
in_topology()
{
	BENCH_PREFIX=vb$$ bash -c '. "$0/topology.sh"; WORK=$1; shift; "$@"' "$bench" "$WORK" "$@"
}

bench_left()
{
	ip netns list | grep -c "^vb$$-"
}

check "the topology comes up" in_topology topology_up
is "with five machines" "$(bench_left)" 5
check "each host reaches its gateway" in_topology eval \
	'on hosta ping -q -c 1 -W 2 10.1.0.1 && on hostb ping -q -c 1 -W 2 10.2.0.1'
check "the gateways reach each other" in_topology eval 'on gwa ping -q -c 1 -W 2 $WAN_B'
check_fails "without a tunnel the hosts don't" in_topology eval \
	'on hosta ping -q -c 1 -W 0.3 $HOST_B'
check "with one they do" in_topology eval \
	'. "$0/peers/forward.sh" && peer_start && on hosta ping -q -c 1 -W 2 $HOST_B'
in_topology daemon hostb tail -f /dev/null
check "it goes away, with what runs in it" in_topology topology_down
is "nothing of it is left" "$(bench_left)" 0

# The three sites of table 3-8.
export BENCH_IMPAIR=$impair
three()
{
	in_topology eval '. "$0/parts.sh" && . "$0/three.sh" && '"$1"
}

check "three sites come up, with their lines" three topology_up
is "with seven machines" "$(bench_left)" 7
check "without a tunnel two of their hosts don't reach each other" three \
	'! on hosta ping -q -c 1 -W 0.3 10.2.0.10'
check "with one they do, and as late as figure 3-18 says" three 'three_forward &&
	on hosta ping -n -c 5 -i 0.1 10.2.0.10 > $WORK/ping && on hostc ping -n -q -c 1 10.2.0.10'
read -r least < <(sed -nE 's|^rtt min/avg.* = ([0-9]+)\..*|\1|p' "$WORK/ping")
at_least "24.1 ms" "$least" 24
check "they go away" three topology_down
is "nothing of them is left either" "$(bench_left)" 0

# All files that its routers and tinies are given.
configured()
{
	local f
	for f in "$WORK"/vine?.conf; do
		"$BUILD/vine-router" --config "$f" --check || return
	done
	for f in "$WORK"/gw?.conf; do
		[ ! -e "$f" ] || "$BUILD/vine-tiny" --config "$f" --check || return
	done
	rm -f "$WORK"/vine?.conf "$WORK"/gw?.conf
}
for s in mode=channel mode=udp protocol=tls protocol=tcp; do
	check "routers of vine-hmac:$s are configured" in_topology eval \
		". \"\$0/vine-hmac.sh\" && vine_$s && vine_files"
	check "and that well" configured
done
for s in 1 2 3 4 5; do
	for direct in no yes; do
		check "case $s of table 3-8, direct paths: $direct" three ". \"\$0/vine-hmac.sh\" &&
			vine_case=$s vine_direct=$direct && three_case && vine_key &&
			for s in a b c; do three_conf \$s > \$WORK/vine\${ID[\$s]}.conf; done"
		check "routers are configured well" configured
	done
done

# Two clouds.
clouds()
{
	in_topology eval '. "$0/parts.sh"; peer_defaults; case='"$1"'; . "$0/cloud.sh" && '"$2"
}

check "two clouds come up, with a line" clouds forward 'BENCH_LINE=100mbit/6.8ms && topology_up'
is "with thirteen names of machines" "$(bench_left)" 13
check "a VM reaches its neighbour, its provider, the Internet, a VM of the other cloud" clouds forward '
	for a in $NEIGHBOUR $PROVIDER $IN_INTERNET $WAN_B; do
		on gwa ping -n -q -c 2 -i 0.1 -W 2 $a || exit
	done > $WORK/ping'
read -r least < <(sed -nE 's|^rtt min/avg.* = ([0-9]+)\..*|\1|p' "$WORK/ping" | tail -n 1)
at_least "... which is as far as it is to be, ms" "$least" 6
check_fails "nothing gets out under another address" clouds forward '
	ip -n "$(ns gwa)" addr add 10.8.0.7/32 dev eth0 &&
	on gwa ping -n -q -c 1 -W 0.3 -I 10.8.0.7 $NEIGHBOUR'
check "a site's host is reached where a route says so" clouds forward '
	cloud_forward && on gwa ping -n -q -c 1 -W 2 $HOST_C'
check "they go away" clouds forward topology_down
is "nothing of them is left either" "$(bench_left)" 0
for s in 1 2; do
	check "routers and tinies, routers=$s" clouds vine-hmac \
		". \"\$0/vine-hmac.sh\" && vine_routers=$s && tinies_conf"
	check "are configured well" configured
done

# ---- The authority at size ---------------------------------------------------

check "a few routers and a real authority" eval \
	'"$BUILD/bench/authority" "$BUILD/vine-authority" 20 2 > "$WORK/authority.jsonl"'
check "all of it is measured, and nothing failed" jq -e '.case == "20" and .failed == {} and
	(.figures | .verified > 0 and .spread_routers == 20 and
	 all(.cold_s, .create_s, .dense_s, .spread_s, .again_s, .most_mb; . > 0))' \
	"$WORK/authority.jsonl"
"$PYTHON" "$bench/report" "$WORK/authority.jsonl" > "$WORK/report"
is "the report has it" "$(cell 'Of a real' 'a merge of two of these: routers' 20)" 20
check_fails "too few of them" "$BUILD/bench/authority" "$BUILD/vine-authority" 10

# ---- Runs -------------------------------------------------------------------

cat > "$WORK/bad.sh" << 'END'
peer_start() { echo "no <luck> today" >&2; return 1; }
END
cat > "$WORK/absent.sh" << 'END'
peer_install() { need no-such-program no-such-package; }
END
cat > "$WORK/stuck.sh" << 'END'
peer_start() { daemon gwa tail -f /dev/null; tail -f /dev/null; }
END

# run_of RUN-OPTION...: status of a run into bench.jsonl; its output in $WORK/run.
run_of()
{
	"$bench/run" --out "$WORK/bench.jsonl" "$@" > "$WORK/run" 2>&1
	echo $?
}

nothing_left()
{
	! ip netns list | grep "^vb$1-" && ! ls -d /tmp/vb"$1".* 2> /dev/null
}

is "a peer that does not start is measured as that" \
	"$(run_of --rounds 2 "$WORK/bad.sh" "$WORK/absent.sh")" 0
check "one that is not installed is named" \
	grep -q 'not here: .*absent.sh (package no-such-package)' "$WORK/run"
is "a line for each round" \
	"$(jq -c '[.case, .round, .failed.start]' "$WORK/bench.jsonl" | sort -u)" \
	'["bad",1,"no way through: no <luck> today"]
["bad",2,"no way through: no <luck> today"]'
is "the same again measures nothing more" \
	"$(run_of --rounds 2 "$WORK/bad.sh") $(wc -l < "$WORK/bench.jsonl")" "0 2"
is "more rounds are added" \
	"$(run_of --rounds 3 "$WORK/bad.sh") $(wc -l < "$WORK/bench.jsonl")" "0 3"
is "other conditions are refused" "$(run_of --rounds 4 --seconds 3 "$WORK/bad.sh")" 1
check "and why" grep -q 'was measured with seconds and offload 5 on: name another file' "$WORK/run"
is "a wrong option" "$(run_of --bogus)" 2
is "no such peer" "$(run_of "$WORK/none.sh")" 1

rm "$WORK/bench.jsonl"
is "a peer that hangs is ended" "$(BENCH_LIMIT=4 run_of --rounds 1 "$WORK/stuck.sh")" 0
is "and told" "$(jq -r .failed.start "$WORK/bench.jsonl")" "did not end in time"

"$bench/run" --rounds 1 --out "$WORK/bench.jsonl" forward > "$WORK/run" 2>&1 &
pids+=($!)
run=$!
started()
{
	ip netns exec "vb$run-hosta" true
}
check "a run has begun" wait_for 20 started
is "no second one beside it" "$(run_of --rounds 1 forward)" 1
end "$run"
is "it can be ended" "$ended" 130
check "and leaves nothing" nothing_left "$run"
finish
