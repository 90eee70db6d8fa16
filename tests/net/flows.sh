# Sourced after lib.sh: flows that are watched while something happens: how long were they
# interrupted, what was lost?

PING_MS=10 # between two pings of a watch
RATE=50M   # of a stream
STEP=100   # ms, of what is looked at in a stream

# watch NODE ADDRESS SECONDS: a ping each PING_MS beside the test; pid in $watching.
# unwatch: it ends now. seen N: have so many come back? Of a watch that is over: lost and
# disordered, packets; gap, ms, the longest time without any answer, that to its end included.
watch()
{
	local n=$(($3 * 1000 / PING_MS))
	rm -f "$WORK/watch.log"
	watched=$n
	spawn watch "$1" ping -D -n -i 0.0$PING_MS -c $n -W 1 "$2"
	watching=$spawned
}

unwatch()
{
	end "$watching" INT
	watched=$(sed -nE 's/^([0-9]+) packets transmitted.*/\1/p' "$WORK/watch.log")
}

seen()
{
	[ "$(grep -c icmp_seq "$WORK/watch.log")" -ge "$1" ]
}

answers_of_watch()
{
	sed -nE 's/^\[([0-9.]+)\] .*icmp_seq=([0-9]+) ttl.*/\1 \2/p' "$WORK/watch.log"
}

gap()
{
	answers_of_watch | awk -v n="$watched" -v ms=$PING_MS '
		NR > 1 && $1 - last > max { max = $1 - last }
		{ last = $1; if ($2 > seq) seq = $2 }
		END {
			if ((n - seq) * ms / 1000 > max) max = (n - seq) * ms / 1000
			printf "%d\n", max * 1000
		}'
}

lost()
{
	answers_of_watch | awk -v n="$watched" '!seen[$2]++ { k++ } END { print n - k }'
}

disordered()
{
	answers_of_watch | awk '$2 < last { n++ } { last = $2 } END { print n + 0 }'
}

# stream NODE ADDRESS SECONDS: TCP to NODE from there at RATE, beside; pid in $streaming.
# moving: has it begun? stall: the longest time, in ms, in which nothing arrived. lives: no
# error, and bytes in its last half second.
stream()
{
	rm -f "$WORK/stream.log"
	spawn stream "$1" timeout $(($3 + 20)) iperf3 -J -R -c "$2" -t "$3" -b $RATE \
		-i 0.$((STEP / 100)) --connect-timeout 3000
	streaming=$spawned
}

stall()
{
	jq --argjson step $STEP 'reduce .intervals[].sum.bytes as $b ([0, 0];
		(if $b == 0 then .[0] + $step else 0 end) as $n | [$n, ([.[1], $n] | max)]) | .[1]' \
		"$WORK/stream.log"
}

lives()
{
	jq -c '[.error, [.intervals[].sum.bytes]]' "$WORK/stream.log"
	jq -e '.error == null and ([.intervals[-5:][].sum.bytes] | add > 0)' "$WORK/stream.log"
}

# under_load NAME NODE ADDRESS SECONDS GAP STALL COMMAND...: a watch and a stream; after 1 s
# the command; no longer gaps than that, and the stream lives on.
under_load()
{
	local name=$1 node=$2 to=$3 seconds=$4 gap=$5 stall=$6 g s
	shift 6
	check "$name: ping" wait_for 10 answers "$node" "$to"
	watch "$node" "$to" "$seconds"
	stream "$node" "$to" "$seconds"
	check "$name: flows are under way" wait_for 10 seen $((1000 / PING_MS))
	check "$name: $1" "$@"
	wait "$watching"
	wait "$streaming"
	g=$(gap)
	s=$(stall)
	note "$name: no ping for $g ms, nothing of the stream for $s ms; $(lost) pings lost"
	at_most "$name: pings are back within $gap ms" "$g" "$gap"
	check "$name: the TCP flow lives on" lives
	[ "$stall" = - ] || at_most "$name: it goes on within $stall ms" "$s" "$stall"
}
