#!/bin/bash
# The commands as a user has them: what they print, what they return, and that --json
# and the metrics say what the tables say.
. "$(dirname "$0")/lib.sh"
setup
internet
site 1
site 2

# status_of COMMAND...: its exit status, its output in $WORK/stdout and $WORK/stderr.
status_of()
{
	"$@" > "$WORK/stdout" 2> "$WORK/stderr" < /dev/null
	echo $?
}

# ---- Without a router -------------------------------------------------------

for program in vine-router vinectl vine-tiny; do
	is "$program --version" "$(status_of "$BUILD/$program" --version)" 0
	is "$program --version names itself" "$(cat "$WORK/stdout")" "$program $(cat "$top/VERSION")"
	is "$program --help" "$(status_of "$BUILD/$program" --help)" 0
	check "$program --help shows the usage" grep -qi usage "$WORK/stdout"
	is "$program: a wrong option" "$(status_of "$BUILD/$program" --bogus)" 2
	is "$program: prints nothing for it" "$(cat "$WORK/stdout")" ""
done
if sanitized; then
	skip "vine-tiny: its size, and that it is static" "sanitizers"
else
	at_most "vine-tiny: at most 5 MiB" "$(stat -c %s "$BUILD/vine-tiny")" $((5 * 1024 * 1024))
	at_most "... and 2.3 MiB compressed" \
		"$(gzip -9 < "$BUILD/vine-tiny" | wc -c)" $((23 * 1024 * 1024 / 10))
	check "... static" eval '! readelf -lW "$BUILD/vine-tiny" | grep -q INTERP'
fi
is "vinectl without a command" "$(status_of "$BUILD/vinectl")" 2
is "vinectl: no such command" "$(status_of "$BUILD/vinectl" dance)" 2
is "vinectl: too little" "$(status_of "$BUILD/vinectl" why 172.16.1.1)" 2
is "vinectl: nobody answers" "$(status_of "$BUILD/vinectl" --control "$WORK/none" status)" 1
check "vinectl: one line about it" eval '[ "$(grep -c . "$WORK/stderr")" = 1 ]'
is "vine-router: no such file" "$(status_of "$BUILD/vine-router" --config "$WORK/none" --check)" 2

configure_all metrics=127.0.0.1:9463
is "--check of a good file" "$(status_of "$BUILD/vine-router" --config "$(conf 1)" --check)" 0
is "--check of a good file says nothing" "$(cat "$WORK/stdout" "$WORK/stderr")" ""

bad=$WORK/bad.conf
cat > "$bad" << END
[router]
name = bad
id = zero
control = $WORK/bad.sock
color = blue

[intercept]
method = teleport
networks = 172.16.0.0/12

[lndt]
8000 = 172.16.1.0/24
8001 = 172.16.1.300

[gndt 8000]
r2 = 172.16.2.0/33
nobody = 172.16.3.0/24

[peer r2]
id = 2
endpoint = 198.51.100.10
key-file = $WORK/missing.key
END
is "--check of a bad file" "$(status_of "$BUILD/vine-router" --config "$bad" --check)" 2
for line in "3 id" "5 color" "8 method" "13 8001" "16 r2" "17 nobody" "21 endpoint" "22 key-file"; do
	read -r number key <<< "$line"
	check "--check names line $number and key $key" \
		grep -qE "^([a-z-]+: )?$bad:$number: \[[^]]*\] $key: .*" "$WORK/stderr"
done
check "--check says what was expected" grep -q "expected" "$WORK/stderr"
is "a bad file does not start a router" "$(status_of "$BUILD/vine-router" --config "$bad")" 2
file=$(key 1 2)
chmod 644 "$file"
is "a key that others can read" "$(status_of "$BUILD/vine-router" --config "$(conf 1)" --check)" 2
check "a key that others can read: named" grep -q "key-file" "$WORK/stderr"
chmod 600 "$file"

cat > "$WORK/two.conf" << END
[router]
name = two
id = 1
[intercept]
networks = 172.16.0.0/12
[lndt]
8000 = 172.16.1.0/24
8001 = 172.16.1.20
[gndt 8000]
r2 = 172.16.2.0/24
[gndt 8001]
r2 = 172.16.2.0/24
[peer r2]
id = 2
endpoint = 198.51.100.10:8463
key-file = $file
END
is "--check of two networks that route a host's packet equally well" \
	"$(status_of "$BUILD/vine-router" --config "$WORK/two.conf" --check)" 2
check "--check names both lines" eval 'grep -q "two.conf:1[02]:" "$WORK/stderr" &&
	grep -qE "(:|line )10" "$WORK/stderr" && grep -qE "(:|line )12" "$WORK/stderr"'
for sample in "$top"/conf/*.conf; do
	[ -e "$sample" ] || continue
	# The sample's keys and addresses are those of its README; here only its grammar.
	program=vine-router
	[ "${sample##*/}" != tiny.conf ] || program=vine-tiny
	"$BUILD/$program" --config "$sample" --check > "$WORK/stderr" 2>&1
	check "${sample##*/}: nothing is wrong but the keys' files" eval '
		! grep -v "key-file" "$WORK/stderr" | grep -q .'
done

mkdir "$WORK/keys"
is "keygen" "$(status_of "$BUILD/vinectl" --json keygen --directory "$WORK/keys" florida chicago)" 0
mapfile -t files < <(jq -r '.files[].file' "$WORK/stdout")
is "keygen: two files" ${#files[@]} 2
is "keygen: with one key" "$(cat "${files[@]}" | sort -u | grep -c .)" 1
is "keygen: of 32 bytes" "$(base64 -d "${files[0]}" | wc -c)" 32
is "keygen: that nobody else reads" "$(stat -c %a "${files[@]}" | sort -u)" 600
is "keygen: never overwrites" \
	"$(status_of "$BUILD/vinectl" keygen --directory "$WORK/keys" florida chicago)" 1

# ---- Installing -------------------------------------------------------------

# Nothing is built here ("-o all"): what is tested is what BUILD has.
install_root=$WORK/root
mkdir "$install_root"
unit=$install_root/usr/lib/systemd/system/vine-router.service
installing()
{
	env -u MAKEFLAGS -u MAKELEVEL make -s -C "$top" -o all BUILD="$BUILD" "$1" PREFIX=/usr \
		DESTDIR="$install_root"
}
check "make install" installing install
for part in sbin/vine-router bin/vinectl share/man/man8/vine-router.8 share/man/man1/vinectl.1 \
	bin/vine-host sbin/vine-tiny "lib/vine/vine-tiny-$(uname -m)" share/man/man1/vine-host.1 lib/systemd/system/vine-host.service \
	share/man/man5/vine-router.conf.5 share/doc/vine/router.conf; do
	check "make install: $part" test -s "$install_root/usr/$part"
done
check "what is installed runs" "$install_root/usr/sbin/vine-router" --version
if command -v systemd-analyze > /dev/null; then
	# As if the root of this machine were where it is installed.
	mkdir "$WORK/unit"
	sed "s|/usr/sbin/vine-router|$install_root&|" "$unit" > "$WORK/unit/vine-router.service"
	is "systemd-analyze verify" \
		"$(status_of systemd-analyze verify --man=no "$WORK/unit/vine-router.service")" 0
	is "systemd-analyze verify says nothing" "$(cat "$WORK/stdout" "$WORK/stderr")" ""
	figure=$(systemd-analyze security --offline=true "$unit" |
		sed -n 's/.*Overall exposure level.*: \([0-9.]*\) .*/\1/p')
	check "systemd-analyze security: $figure, as in docs/operations.md" \
		grep -qF "**$figure OK**" "$top/docs/operations.md"
fi
check "make uninstall" installing uninstall
is "make uninstall leaves nothing, no directory either" \
	"$(find "$install_root" -mindepth 1)" ""

# ---- With routers -----------------------------------------------------------

check "routers start" start_routers
at_most "after the start, one worker: below 10 MiB resident, KiB" \
	"$(sed -n 's/^VmRSS:\s*\([0-9]*\) kB/\1/p' "/proc/${router_pid[1]}/status")" 10239
check "ping" pings h1 "$(host4 2)" 20
check "ping, IPv6" pings h1 "$(host6 2)" 20
check "the MTU of the path is found" wait_for 15 settled 1 2

for verb in "status" "show peers" "show lndt" "show gndt" "show links" "show counters" "show config" \
	"why $(host4 1) $(host4 2)" "ping -c 3 -i 0.05 r2" "trace r2" "reload"; do
	# shellcheck disable=SC2086
	is "vinectl $verb" "$(status_of ctl_text 1 $verb)" 0
	check "vinectl $verb: something for people" grep -q . "$WORK/stdout"
	# shellcheck disable=SC2086
	is "vinectl --json $verb" "$(status_of ctl 1 $verb)" 0
	check "vinectl --json $verb: one JSON object" jq -se 'length == 1 and (.[0] | type == "object")' \
		"$WORK/stdout"
done

# facts NAME FILTER VERB...: true of the JSON?
facts()
{
	local name=$1 filter=$2
	shift 2
	ctl 1 "$@" > "$WORK/json" 2>&1
	check "$name" jq -e "$filter" "$WORK/json"
}

facts "status: itself" '.name == "r1" and .id == 1 and .intercept == "tun" and .workers == 1' status
facts "status: RFC 3339 times" '.started | test("^[0-9-]{10}T[0-9:.]+Z$")' status
facts "status: 64-bit numbers as strings" '.traffic.out.packets | type == "string"' status
facts "peers: up, round trip, keys" '.peers | length == 1 and (.[0] | .name == "r2" and .id == 2 and
	.up and .keys.ready and .rtt_seconds > 0 and .path.remote == "198.51.100.10:8463")' show peers
facts "lndt" '[.entries[] | select(.network == 8000).prefix] | index("172.16.1.0/24") != null' show lndt
facts "gndt" '[.entries[] | select(.routers[0].name == "r2").prefix] |
	index("172.16.2.0/24") != null and index("fd00:76:0:2::/64") != null' show gndt
facts "counters: every reason is there" '[.drops[].reason] | index("forged-source") != null and
	index("unknown-source") != null and length > 20' show counters
facts "config: defaults filled in" '[.settings[] | select(.section == "intercept" and .key == "device").value] ==
	["vine0"]' show config
facts "config: which offloads are on" '.offloads | .tun_csum and .tun_tso4 and .udp_segment and
	(.nfqueue_gso | not) and all(type == "boolean")' show config
facts "config: whose code runs the frames" '.crypto["hmac-sha256"] | . == "libipsec-mb" or . == "OpenSSL"' show config
check "config: the same for people" eval \
	'ctl_text 1 show config | grep -qx "; offload tun_csum: on" && ctl_text 1 show config | grep -q "^; hmac-sha256 by "'
check "config: no key is shown" refuses grep -qF "$(cat "$file")" "$WORK/json"
facts "why: it goes" '.goes and .network == 8000 and .prefix == "172.16.2.0/24" and .router.name == "r2"' \
	why "$(host4 1)" "$(host4 2)"
facts "why: unknown source" '(.goes | not) and .reason == "unknown-source"' why 172.16.9.9 "$(host4 2)"
facts "why: no route" '(.goes | not) and .reason == "no-route"' why "$(host4 1)" 172.16.9.9
facts "why: IPv6" '.goes and .prefix == "fd00:76:0:2::/64"' why "$(host6 1)" "$(host6 2)"
facts "ping" '.sent == .received and (.received | tonumber) == 3 or .received == 3' ping -c 3 -i 0.05 r2
facts "trace" '.hops | length == 1 and .[0].answered' trace r2
is "why: no addresses" "$(status_of ctl_text 1 why here there)" 1
is "ping of nobody" "$(status_of ctl_text 1 ping nobody)" 1
is "show of nothing" "$(status_of ctl_text 1 show nothing)" 2
is "set intercept nfqueue" "$(status_of ctl_text 1 set intercept nfqueue)" 0
facts "set: it is so" '.intercept == "nfqueue"' status
facts "set: with super-packets" '.offloads.nfqueue_gso' show config
check "set: it works" pings h1 "$(host4 2)" 20
is "set intercept of what is none" "$(status_of ctl_text 1 set intercept teleport)" 1
is "set intercept tun" "$(status_of ctl_text 1 set intercept tun)" 0

# ---- Metrics ----------------------------------------------------------------

on gw1 curl -fsS -D "$WORK/head" http://127.0.0.1:9463/metrics > "$WORK/metrics"
check "metrics: Prometheus' text format" grep -qi '^content-type: text/plain; *version=0.0.4' "$WORK/head"
check "metrics: each line is well-formed" awk '
	/^# (HELP|TYPE) vine_[a-z0-9_]+ ./ { next }
	/^vine_[a-z0-9_]+(\{([a-z]+="[^"]*",?)+\})? -?[0-9.e+-]+$/ { next }
	{ print; bad = 1 }
	END { exit bad }' "$WORK/metrics"
check "metrics: each family has one TYPE, before its samples" awk '
	$1 == "#" && $2 == "TYPE" { if ($3 in type) bad = 1; type[$3] = $4 }
	/^vine_/ { name = $1; sub(/\{.*/, "", name); if (!(name in type)) { print; bad = 1 } }
	END { exit bad }' "$WORK/metrics"
for sample in 'vine_packets_total{direction="in"}' 'vine_packets_total{direction="out"}' \
	'vine_bytes_total{direction="out",network="8000"}' 'vine_drops_total{reason="forged-source"}' \
	'vine_peer_rtt_seconds{peer="r2"}' 'vine_peer_up{peer="r2"}' vine_table_version; do
	check "metrics: $sample" grep -qF "$sample " "$WORK/metrics"
done
is "metrics: counts what vinectl counts" \
	"$(sed -n 's/^vine_packets_total{direction="out"} //p' "$WORK/metrics")" "$(packets_out 1)"
check_fails "metrics: nothing else is served" on gw1 curl -fsS http://127.0.0.1:9463/etc/passwd

# ---- The machine ------------------------------------------------------------

pid=${router_pid[1]}
is "the router keeps two privileges" "$(sed -n 's/^CapEff:\s*//p' "/proc/$pid/status")" \
	"0000000000003000"
is "it can get no new ones" "$(sed -n 's/^NoNewPrivs:\s*//p' "/proc/$pid/status")" 1
is "its system calls are filtered" "$(sed -n 's/^Seccomp:\s*//p' "/proc/$pid/status")" 2
at_most "idle again it is below 10 MiB resident, KiB" \
	"$(sed -n 's/^VmRSS:\s*\([0-9]*\) kB/\1/p' "/proc/$pid/status")" 10239
stop_router 2
on gw1 sysctl -qw net.ipv4.ip_forward=0
stop_router 1
: > "$(log_of 1)"
check "a gateway that does not forward: the router starts" start_router 1
is "a gateway that does not forward: one clear line" "$(grep -c ip_forward "$(log_of 1)")" 1
on gw1 sysctl -qw net.ipv4.ip_forward=1
check "it ends on SIGINT" end "${router_pid[1]}" INT
is "it ends well" "$ended" 0
router_pid[1]=
check "its control socket is gone" refuses test -e "$WORK/r1/sock"

# ---- The service manager ----------------------------------------------------

# What systemd would see: a datagram socket that is told, and, as the unit has it, a
# root that owns its files and has two capabilities.
cat > "$WORK/manager.py" << 'END'
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
while True:
    print(" ".join(s.recv(4096).decode().split("\n")).strip(), flush=True)
END
spawn manager gw1 "$PYTHON" "$WORK/manager.py" "$WORK/notify"
check "a service manager listens" wait_for 10 test -S "$WORK/notify"

# told N: the Nth thing that it was told, without the time.
told()
{
	wait_for 5 eval '[ "$(grep -c . "$WORK/manager.log")" -ge '"$1"' ]'
	sed -n "$1s/ .*//p" "$WORK/manager.log"
}

spawn r1 gw1 env NOTIFY_SOCKET="$WORK/notify" setpriv --no-new-privs \
	--bounding-set=-all,+net_admin,+net_raw --inh-caps=-all,+net_admin,+net_raw \
	"$BUILD/vine-router" --config "$(conf 1)"
router_pid[1]=$spawned
check "with the unit's two capabilities: it starts" \
	eval 'wait_for 10 router_ready 1 && alive "$spawned"'
is "with the unit's two capabilities: and has no others" \
	"$(sed -n 's/^Cap\(Prm\|Eff\):\s*//p' "/proc/$spawned/status" | sort -u)" 0000000000003000
check "with the unit's two capabilities: the other router starts" start_router 2
check "with the unit's two capabilities: ping" pings h1 "$(host4 2)" 20
is "the manager is told that it is ready" "$(told 1)" READY=1
kill -HUP "${router_pid[1]}"
is "the manager is told of a reload" "$(told 2)" RELOADING=1
is "the manager is told that it is ready again" "$(told 3)" READY=1
check "a reload is told with its time" grep -qE '^RELOADING=1 MONOTONIC_USEC=[0-9]+$' \
	"$WORK/manager.log"
check "with the unit's two capabilities: the reload was applied" \
	eval '[ "$(ctl 1 status | jq -r .table_version)" -gt 1 ]'
check "with the unit's two capabilities: it ends on SIGTERM, status 0" stop_router 1
is "the manager is told that it ends" "$(told 4)" STOPPING=1
is "and nothing else" "$(grep -c . "$WORK/manager.log")" 4
check "what it had set up is gone" eval '
	! on gw1 ip link show vine0 && [ -z "$(on gw1 ip route show proto 118)" ] &&
		[ -z "$(on gw1 nft list tables)" ] && [ ! -e "$WORK/r1/sock" ]'
check "the other router ends" stop_router 2
finish
