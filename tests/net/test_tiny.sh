#!/bin/bash
# VMs in two clouds, each with nothing but vine-tiny, and two plain sites, in one network.
. "$(dirname "$0")/lib.sh"
. "$here/cloud.sh"
setup
NAME[1]=hub
internet
check "two sites" eval "site 1 && site 2"
check "two clouds" eval "cloud 1 && cloud 2 && vm 1 5 && vm 1 6 && vm 2 5"
vms="15 16 25"

listen_of()
{
	printf 'udp = 0.0.0.0:8463, [::]:8463\ntcp = 0.0.0.0:8463\ntls = 0.0.0.0:443\n'
}

tinies="$(tiny_section 1 5)
$(tiny_section 1 6)
$(tiny_section 2 5)"
overlay=$'[intercept]\nnetworks = 10.0.0.0/8\n'
GNDT[2]="[gndt $NETWORK]
hub = 172.16.1.0/24, fd00:76:0:1::/64, 10.1.0.5, 10.1.0.6, 10.2.0.5"
configure 1 workers=2 "more=$overlay$tinies"
configure 2 "more=$overlay"
check "routers start" start_routers

for v in $vms; do
	network_state "vm$v" > "$WORK/before-$v"
done
check "tinies start" eval "configure_tiny 1 5 1 && configure_tiny 1 6 1 && configure_tiny 2 5 1 &&
	start_tiny 1 5 && start_tiny 1 6 && start_tiny 2 5"

# CAP_NET_ADMIN and CAP_NET_RAW, and a filter of system calls.
privileges() { awk '/^(CapPrm|CapBnd|NoNewPrivs|Seccomp):/ { print $2 }' "/proc/$1/status"; }
check "privileges have been given up" wait_for 5 eval \
	'[ "$(privileges ${tiny_pid[15]} | xargs)" = "0000000000003000 0000000000000000 1 2" ]'

# takes_at_most NAME VM KIB: of memory.
takes_at_most()
{
	if sanitized; then
		skip "$1" "sanitizers"
	else
		at_most "$1" "$(resident "$2")" "$3"
	fi
}
resident() { sed -n 's/^VmRSS:\s*\([0-9]*\) kB/\1/p' "/proc/${tiny_pid[$1]}/status"; }
for v in $vms; do
	check "vm$v is a member" wait_for 10 answers "vm$v" "$(host4 1)"
	takes_at_most "... and takes at most 6 MiB" "$v" 6144
done

# ---- Everybody to everybody ---------------------------------------------------

for v in $vms; do
	check "vm$v: to a site" wait_for 10 answers "vm$v" "$(host4 1)"
done
for to in "$(host4 1)" "$(host4 2)" "$(vm4 1 5)" "$(vm4 1 6)" "$(vm4 2 5)"; do
	for from in h1 h2 vm15 vm16 vm25; do
		check "$from to $to" pings "$from" "$to" 10
	done
done
is "each VM has its own address at the other end" \
	"$(on vm25 ping -n -c 1 -R "$(vm4 1 5)" > /dev/null; on h1 ping -n -c 1 "$(vm4 1 5)" | sed -nE 's/.* from ([0-9.]+):.*/\1/p')" \
	"$(vm4 1 5)"
is "the providers' filters have seen nothing else" "$(filtered 1) $(filtered 2)" "0 0"
for pair in "vm15 vm25 $(vm4 2 5)" "vm15 vm16 $(vm4 1 6)" "vm25 h2 $(host4 2)" "h1 vm16 $(vm4 1 6)"; do
	read -r from server to <<< "$pair"
	listening "$server" 5201 || iperf_server "$server"
	check "iperf3 $from to $to" iperf "$from" "$to"
	check "iperf3 $from from $to" iperf "$from" "$to" -R
done
for v in $vms; do
	takes_at_most "vm$v: at most 12 MiB under load" "$v" 12288
done

# busiest: $worker, which of router 1's workers has received the most since the last call, and
# $received, how many frames.
before=
busiest()
{
	local now
	now=$(ctl 1 show counters | jq -r '.workers[].received')
	read -r worker received < <(paste <(echo "$now") <(echo "$before") |
		awk '{ print NR - 1, $1 - $2 }' | sort -k 2nr)
	before=$now
}

# What is not TCP does not wait behind it: it has a queue, a lane and a worker of its own.
check "TCP apart: queues are chosen" eval \
	'ctl 1 show config | jq -e .offloads.tun_steering'
busiest
check "TCP apart: pings" on vm15 ping -q -n -i 0.002 -c 500 "$(host4 2)"
busiest
other=$worker
at_least "TCP apart: their frames" "$received" 450
check "TCP apart: a stream" iperf vm15 "$(host4 2)"
busiest
at_least "TCP apart: its frames" "$received" 900
is "TCP apart: the other worker's" $((worker + other)) 1

# ---- ssh ------------------------------------------------------------------------

ssh_server()
{
	mkdir -p /run/sshd "$WORK/ssh"
	[ -s "$WORK/ssh/host" ] || ssh-keygen -qt ed25519 -N '' -f "$WORK/ssh/host"
	[ -s "$WORK/ssh/user" ] || ssh-keygen -qt ed25519 -N '' -f "$WORK/ssh/user"
	cp "$WORK/ssh/user.pub" "$WORK/ssh/authorized" && chmod 600 "$WORK/ssh/authorized"
	spawn "sshd-$1" "$1" /usr/sbin/sshd -D -e -f /dev/null -h "$WORK/ssh/host" -o PidFile=none \
		-o AuthorizedKeysFile="$WORK/ssh/authorized" -o StrictModes=no
	wait_for 5 listening "$1" 22
}

ssh_says()
{
	[ "$(on "$1" ssh -F /dev/null -i "$WORK/ssh/user" -o IdentitiesOnly=yes -o BatchMode=yes \
		-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=5 \
		"root@$2" 'echo ${SSH_CONNECTION%% *}')" = "$3" ]
}

check "sshd" eval "ssh_server vm25 && ssh_server h2"
check "ssh from one cloud to the other" ssh_says vm15 "$(vm4 2 5)" "$(vm4 1 5)"
check "ssh to a site" ssh_says vm16 "$(host4 2)" "$(vm4 1 6)"
check "ssh from a site" ssh_says h1 "$(vm4 2 5)" "$(host4 1)"

# ---- What is not the overlay's ---------------------------------------------------

check "the metadata service answers" eval \
	"[ \"\$(on vm15 curl -fsS -m 5 http://169.254.169.254/meta-data)\" = i-am-cloud-1 ]"
check "the provider's gateway, inside networks, is reached as before" eval \
	"on vm15 ip route get 10.1.0.1 | grep -q 'dev eth0'"
check "the default route is as before" eval "on vm15 ip route get 198.51.100.1 | grep -q 'dev eth0'"
check "the main table is as before" diff <(on vm15 ip route show table main) \
	<(grep -v ' table ' "$WORK/before-15" | grep -E '^(default|10\.)')

# goes VM ADDRESS DEVICE: what the VM has for it.
goes() { on "$1" ip route get "$2" | grep -q "dev $3 "; }

check "an address of the overlay goes to the device" goes vm15 10.7.0.1 vine0
check "local does not, where there is one" eval "stop_tiny 1 5 &&
	configure_tiny 1 5 1 local=10.7.0.0/16 && start_tiny 1 5 && goes vm15 10.7.0.1 eth0"
check "nor what is beside it in networks" goes vm15 10.6.255.1 vine0
check "the router is up again" wait_for 10 answers vm15 "$(host4 1)"
on vm15 ip link add docker0 type bridge
on vm15 ip link set docker0 up
on vm15 ip addr add 10.9.0.1/24 dev docker0
check "a link that comes inside networks has its own" wait_for 3 goes vm15 10.9.0.7 docker0
on vm15 ip route add 10.8.0.0/16 via 10.1.0.1
check "so does a route of the provider's" wait_for 3 goes vm15 10.8.3.1 eth0
on vm15 ip route del 10.8.0.0/16
on vm15 ip link del docker0
check "until they go" wait_for 3 eval "goes vm15 10.8.3.1 vine0 && goes vm15 10.9.0.7 vine0"
check "the overlay has been there all the time" pings vm15 "$(host4 1)" 5

# TCP of the VM is told to make super-packets that are one message each; not where others'
# come through.
super_max() { on vm15 ip -d link show vine0 | sed -nE 's/.* gso_max_size ([0-9]+).*/\1/p'; }
is "the VM's own super-packets leave as one message" "$(super_max)" 61041
on vm15 sysctl -qw net.ipv4.ip_forward=1
check "where it forwards, the device takes any" wait_for 3 eval '[ "$(super_max)" = 65536 ]'
on vm15 sysctl -qw net.ipv4.ip_forward=0
check "until it does no more" wait_for 3 eval '[ "$(super_max)" = 61041 ]'

# ---- Sources are checked -----------------------------------------------------------

# A VM that puts on the address of its neighbour: only its own goes through.
on vm15 ip addr add "$(vm4 1 6)/32" dev lo
check "nobody answers a borrowed address" unreachable vm15 "$(host4 1)" 3 -I "$(vm4 1 6)"
on vm15 ip addr del "$(vm4 1 6)/32" dev lo
check "its own still works" pings vm15 "$(host4 1)" 5

# ---- The end ---------------------------------------------------------------------------

check "a tiny ends" stop_tiny 1 5
network_state vm15 > "$WORK/after-15"
check "and nothing of it is left" diff "$WORK/before-15" "$WORK/after-15"
check "it comes again" eval "start_tiny 1 5 && wait_for 10 answers vm15 $(host4 1)"
kill_tiny 1 5
check "after a kill everything else works" eval \
	"on vm15 curl -fsS -m 5 http://169.254.169.254/meta-data && answers vm15 198.51.101.5"
check "and the next one starts" eval "start_tiny 1 5 && wait_for 10 answers vm15 $(host4 1)"
check "with what was left removed" grep -q "earlier vine-tiny" "$WORK/vm15.log"
check_fails "a second one with the device is refused" on vm15 "$BUILD/vine-tiny" --config "$WORK/vm15.conf"
check "it ends" stop_tiny 1 5
network_state vm15 > "$WORK/after-15"
check "and nothing is left" diff "$WORK/before-15" "$WORK/after-15"

# Everything on the command line.
spawn cli vm15 "$BUILD/vine-tiny" --id "$(tiny_id 1 5)" --router "$(wan4 1):8463" --router-id 1 \
	--key-file "$(tiny_key "$(tiny_id 1 5)")" --networks 172.16.0.0/12 --protocol=udp
cli=$spawned
check "by the command line alone" wait_for 10 answers vm15 "$(host4 1)"
check "it ends too" end "$cli"

# Revoked: out within seconds.
configure 1 "more=$overlay$(tiny_section 1 5)
$(tiny_section 2 5)"
check "a VM is struck off" ctl_text 1 reload
check "and is out" wait_for 2 unreachable vm16 "$(host4 1)" 1
check "for all" unreachable vm25 "$(vm4 1 6)" 2
check "the others stay" pings vm25 "$(host4 1)" 5

# ---- Taking it off ----------------------------------------------------------------------

# A copy, since it removes itself; with a configuration and a key of its own.
mkdir "$WORK/installed"
cp "$BUILD/vine-tiny" "$WORK/installed/vine-tiny"
(umask 077 && cp "$(tiny_key "$(tiny_id 1 5)")" "$WORK/installed/tiny.key")
sed "s|^key-file = .*|key-file = tiny.key|" "$WORK/vm15.conf" > "$WORK/installed/tiny.conf"
spawn installed vm15 "$WORK/installed/vine-tiny" --config "$WORK/installed/tiny.conf"
installed=$spawned
check "installed: it works" wait_for 10 answers vm15 "$(host4 1)"
check "uninstall" on vm15 "$WORK/installed/vine-tiny" --config "$WORK/installed/tiny.conf" --uninstall
check "the process is gone" wait_for 5 gone "$installed"
is "so are its files" "$(ls "$WORK/installed")" ""
network_state vm15 > "$WORK/after-15"
check "and nothing is left in the kernel" diff "$WORK/before-15" "$WORK/after-15"
mkdir -p "$WORK/installed" && cp "$BUILD/vine-tiny" "$WORK/installed/vine-tiny"
check "once more does no harm" on vm15 "$WORK/installed/vine-tiny" \
	--config "$WORK/installed/tiny.conf" --uninstall

# ---- What a container may refuse ---------------------------------------------------------

tiny_refused="$BUILD/vine-tiny --id $(tiny_id 1 5) --router $(wan4 1):8463 --router-id 1 \
	--key-file $(tiny_key "$(tiny_id 1 5)") --networks 172.16.0.0/12"
# refused TEXT COMMAND...: it ends with status 1 and this message, and leaves nothing.
refused()
{
	local text=$1
	shift
	on vm15 timeout 5 "$@" 2> "$WORK/err"
	[ $? = 1 ] && grep -q -e "$text" "$WORK/err" && network_state vm15 > "$WORK/after-15" &&
		diff "$WORK/before-15" "$WORK/after-15"
}
# shellcheck disable=SC2086
for cap in net_admin net_raw; do
	check "without CAP_${cap^^}" refused "CAP_${cap^^} is missing" \
		setpriv --bounding-set -$cap --inh-caps -$cap $tiny_refused
done
check "without /dev/net/tun" refused 'is there no /dev/net/tun' \
	unshare -m sh -c "mount --make-rprivate / && mount -t tmpfs none /dev/net && exec $tiny_refused"
# It can't give up its privileges: that is said, and it goes on.
for call in seccomp prctl capset; do
	# shellcheck disable=SC2086
	spawn "without-$call" vm15 "$here/refuse.py" $call $tiny_refused
	check "without $call: it works" wait_for 10 answers vm15 "$(host4 1)"
	check "... and says so" grep -q "Operation not permitted: going on with more privileges" \
		"$WORK/without-$call.log"
	end "$spawned"
	is "... and ends" "$ended" 0
done
network_state vm15 > "$WORK/after-15"
check "nothing is left in the kernel" diff "$WORK/before-15" "$WORK/after-15"

check "tinies end" eval "stop_tiny 1 6 && stop_tiny 2 5"
check "routers end" stop_routers
finish
