#!/bin/bash
# tinies.sh NUMBER [OUT]: what so many tinies cost their router, and how long they take to come:
# all at once to a fresh one; after it was killed, or ended, and started again under them; and,
# while it stays away for a while. With real tinies' code and handshakes (tinies.c). A line of
# the bench's JSON is added to OUT.
. "$(dirname "$0")/../net/lib.sh"
. "$here/cloud.sh"
setup
number=$1
out=${2:-}
AWAY=${AWAY:-15}  # seconds, of a router that stays away
IDLE=${IDLE:-10}  # over which idle costs are measured
NAME[1]=hub
hz=$(getconf CLK_TCK)
declare -A figure

sections()
{
	local i file
	file=$(tiny_key 1)
	printf '[intercept]\nnetworks = 10.0.0.0/8\n'
	for ((i = 0; i < number; i++)); do
		printf '[tiny v%s]\nid = %s\nkey-file = %s\nnetwork = %s\naddress = 10.%s.%s.%s\n' $i \
			$((10001 + i)) "$file" "$NETWORK" $((1 + (i + 1) / 65536)) $(((i + 1) / 256 % 256)) \
			$(((i + 1) % 256))
	done
}

memory() { awk -v f="$1:" '$1 == f { print $2 }' "/proc/${router_pid[1]}/status"; }
ticks() { awk '{ sum += $14 + $15 } END { print sum + 0 }' "${@/%//stat}" < /dev/null; }
tinies_ticks() { ticks $(pgrep -P "$tinies" | sed 's,^,/proc/,'); }
# over TICKS: milliseconds of processor time for each tiny
each_ms() { jq -n "$1 * 1000 / $hz / $number"; }
all_back() { grep -q "\"event\": \"$1\"" "$WORK/tinies.log"; }
quantile() { jq -r "select(.event == \"$1\").$2" "$WORK/tinies.log"; }

# over SECONDS: sleeps they are not, but what is measured
over()
{
	local begun at
	now_ms begun
	has_passed() { now_ms at; [ $((at - begun)) -ge $(($1 * 1000)) ]; }
	wait_for $(($1 + 5)) has_passed "$1"
}

# idles NAME: what it costs to keep them.
idles()
{
	local hub=$(ticks "/proc/${router_pid[1]}") own=$(tinies_ticks)
	over "$IDLE"
	figure[$1_percent]=$(jq -n "($(ticks "/proc/${router_pid[1]}") - $hub) * 100 / $hz / $IDLE")
	figure[$1_own_percent]=$(jq -n "($(tinies_ticks) - $own) * 100 / $hz / $IDLE")
}

# measured NAME: all are there, and what came of it.
measured()
{
	check "$1: all are there, and a host answers each" wait_for ${PATIENCE:-60} all_back "$1" || return
	figure[$1_ms_each]=$(each_ms "$(ticks "/proc/${router_pid[1]}")")
	local q
	for q in p50 p90 p99 last; do
		figure[$1_$q]=$(quantile "$1" "back.$q")
	done
	figure[$1_left_p50]=$(quantile "$1" left.p50)
	figure[$1_left_last]=$(quantile "$1" left.last)
	note "$1: $(jq -c "select(.event == \"$1\")" "$WORK/tinies.log")"
	note "$1: $(ctl 1 show counters | jq -c '[.drops[] | select(.packets != "0")
		| {(.reason): .packets}] | add')"
}

internet
site 1
configure 1
check "a router without tinies" start_router 1
alone=$(memory VmRSS)
check "ends" stop_router 1
configure 1 "more=$(sections)"
check "a router with $number tinies" start_router 1
known=$(memory VmRSS)
check "ends" stop_router 1
node box
cable box eth0 net tobox
address box eth0 203.0.113.2/30
address net tobox 203.0.113.1/30
ip -n "$(ns box)" route add default via 203.0.113.1
mkfifo "$WORK/events"
exec 7<> "$WORK/events"
ip netns exec "$(ns box)" "$BUILD/bench/tinies" "$(wan4 1):8463" 1 "$(tiny_key 1)" 10001 "$number" \
	"$(host4 1)" < "$WORK/events" > "$WORK/tinies.log" 2> "$WORK/tinies.err" &
tinies=$!
pids+=("$tinies")
check "all are open, without a router" wait_for 60 grep -q open "$WORK/tinies.log"
echo first >&7
check "a router for them" start_router 1
note "pid ${router_pid[1]}"
measured first || [ -z "${FIRST_ONLY:-}" ] || finish
idles idle
peak=$(memory VmHWM)
now=$(memory VmRSS)

[ -z "${FIRST_ONLY:-}" ] || finish
echo killed >&7
check "killed" kill_router 1
check "and started again" start_router 1
measured killed
echo ended >&7
check "ended" stop_router 1
check "and started again" start_router 1
measured ended
idles settled
echo away >&7
check "killed" kill_router 1
over "$AWAY"
check "and started again after $AWAY s" start_router 1
measured away
check "the tinies ran to the end" alive "$tinies"
end "$tinies" || true
figure[configured_kb]=$(jq -n "($known - $alone) / $number")
figure[connected_kb]=$(jq -n "($now - $alone) / $number")
figure[most_kb]=$(jq -n "($peak - $alone) / $number")
for f in "${!figure[@]}"; do
	echo "\"$f\": ${figure[$f]}"
done | sort | paste -sd, | sed 's/.*/{&}/' | jq -c --arg case "$number" --arg kernel "$(uname -r)" \
	--arg version "$("$BUILD/vine-router" --version | cut -d' ' -f2)" --argjson cpus "$(nproc)" \
	--argjson seconds "$IDLE" '{
		part: "tinies", case: $case, kind: "vine", round: 1, version: $version, seconds: $seconds,
		offload: "", line: "", kernel: $kernel, cpus: $cpus, time: (now | floor), figures: .,
		failed: {}}' > "$WORK/line"
note "$(jq . "$WORK/line")"
[ -z "$out" ] || cat "$WORK/line" >> "$out"
finish
