# Sourced: two sites with the Internet between them, in network namespaces, and what a
# peer file may use. Nothing here measures.
#
#   hosta ------- gwa ------------ wan ------------ gwb ------- hostb
#    LAN_A     lan   wan     site_a   site_b     wan   lan     LAN_B
#
# Every link is a veth pair of MTU 1500. The Internet knows the gateways' addresses and
# neither LAN: without a tunnel hosta does not reach hostb.
#
# A peer file (peers/NAME.sh, vine-NAME.sh) is sourced by measure and defines
#   peer_start     begins a tunnel between gwa and gwb that carries both LANs
#   peer_install   says what it needs by need, need_link or apt_install; optional
#   peer_version   prints one line; optional
#   peer_pids      prints the tunnel's processes; default: what daemon began, with children
#   peer_stop      undoes what is not undone by ending those and deleting namespaces
# and may use WORK (a directory that goes away), the addresses and the functions below.

BENCH_PREFIX=${BENCH_PREFIX:-vb$$}    # of the namespaces, at most 13 characters
BENCH_OFFLOAD=${BENCH_OFFLOAD:-on}    # off: every link carries single packets
BENCH_LINE=${BENCH_LINE:-}            # as tc writes it: both ways between the gateways

WAN_A=192.0.2.2
WAN_B=198.51.100.2
LAN_A=10.1.0.0/24
LAN_B=10.2.0.0/24
HOST_A=10.1.0.10
HOST_B=10.2.0.10
NODES=(hosta gwa wan gwb hostb)

daemons=() # pids of what daemon began
missing=() # what need has not found

ns()
{
	echo "$BENCH_PREFIX-$1"
}

# on NODE COMMAND...
on()
{
	local node=$1
	shift
	ip netns exec "$BENCH_PREFIX-$node" "$@"
}

# ---- The place --------------------------------------------------------------

# offloads NODE DEVICE: GRO, which veth lacks by default, is on as it is with any card.
offloads()
{
	if [ "$BENCH_OFFLOAD" = on ]; then
		on "$1" ethtool -K "$2" gro on
	else
		on "$1" ethtool -K "$2" gro off gso off tso off tx-udp-segmentation off
	fi > /dev/null
}

# plug NODE DEVICE ADDRESS: an end of a cable, addressed and up.
plug()
{
	offloads "$1" "$2" &&
		ip -n "$(ns "$1")" addr add "$3" dev "$2" && ip -n "$(ns "$1")" link set "$2" up
}

# cable NODE DEVICE ADDRESS NODE DEVICE ADDRESS
cable()
{
	ip link add "$2" netns "$(ns "$1")" mtu 1500 type veth \
		peer name "$5" netns "$(ns "$4")" mtu 1500 && plug "$1" "$2" "$3" && plug "$4" "$5" "$6"
}

# limit NODE DEVICE: it sends by it at BENCH_LINE. There packets are single ones where
# offloads are off. 24 bytes: what Ethernet adds to a frame on the wire.
limit()
{
	on "$1" tc qdisc add dev "$2" root tbf rate "$BENCH_LINE" burst 128k latency 5ms overhead 24
}

topology_up()
{
	local n
	for n in "${NODES[@]}"; do
		ip netns add "$(ns "$n")" && ip -n "$(ns "$n")" link set lo up || return
	done
	cable hosta eth0 $HOST_A/24 gwa lan 10.1.0.1/24 &&
		cable hostb eth0 $HOST_B/24 gwb lan 10.2.0.1/24 &&
		cable gwa wan $WAN_A/24 wan site_a 192.0.2.1/24 &&
		cable gwb wan $WAN_B/24 wan site_b 198.51.100.1/24 || return
	for n in gwa wan gwb; do
		on $n sysctl -qw net.ipv4.ip_forward=1 || return
	done
	ip -n "$(ns hosta)" route add default via 10.1.0.1 &&
		ip -n "$(ns hostb)" route add default via 10.2.0.1 &&
		ip -n "$(ns gwa)" route add default via 192.0.2.1 &&
		ip -n "$(ns gwb)" route add default via 198.51.100.1 || return
	[ -z "$BENCH_LINE" ] || { limit wan site_a && limit wan site_b; }
}

nobody_in() # NODE
{
	[ -z "$(ip netns pids "$(ns "$1")" 2> /dev/null)" ]
}

# Takes down what BENCH_PREFIX names, processes in it included; also after a kill.
topology_down()
{
	local n signal
	for n in "${NODES[@]}"; do
		[ -e "/run/netns/$(ns "$n")" ] || continue
		for signal in TERM KILL; do
			# shellcheck disable=SC2046
			nobody_in "$n" || kill -s $signal $(ip netns pids "$(ns "$n")") 2> /dev/null
			wait_for 2 nobody_in "$n" && break
		done
		ip netns del "$(ns "$n")"
	done
}

# ---- What a peer file may use -----------------------------------------------

# daemon NODE COMMAND...: begins a program that stays in the foreground.
daemon()
{
	local node=$1
	shift
	ip netns exec "$BENCH_PREFIX-$node" "$@" < /dev/null >> "$WORK/log" 2>&1 &
	daemons+=($!)
}

# wait_for SECONDS COMMAND...: until it succeeds; fails if it does not in time.
wait_for()
{
	local left=$(($1 * 20))
	shift
	until "$@" > /dev/null 2>&1; do
		[ $((left--)) -gt 0 ] || return 1
		sleep 0.05
	done
}

# tun_up DEVICE-A DEVICE-B MTU: addresses them, and routes each LAN through.
tun_up()
{
	local a b
	a=$(ns gwa) b=$(ns gwb)
	wait_for 10 ip -n "$a" link show "$1" && wait_for 10 ip -n "$b" link show "$2" &&
		ip -n "$a" link set "$1" mtu "$3" txqueuelen 1000 up &&
		ip -n "$b" link set "$2" mtu "$3" txqueuelen 1000 up &&
		ip -n "$a" addr replace 172.16.0.1/30 dev "$1" &&
		ip -n "$b" addr replace 172.16.0.2/30 dev "$2" &&
		ip -n "$a" route replace $LAN_B via 172.16.0.2 dev "$1" &&
		ip -n "$b" route replace $LAN_A via 172.16.0.1 dev "$2"
}

# need PROGRAM PACKAGE: of Debian, to be named if the program is not there.
need()
{
	command -v "$1" > /dev/null || missing+=("package $2")
}

# need_link TYPE: a kind of network device, tried.
need_link()
{
	local n=$BENCH_PREFIX-try
	ip netns add "$n" || return
	case $1 in
	vxlan) ip -n "$n" link add try type vxlan id 1 dstport 4789 ;;
	*) ip -n "$n" link add try type "$1" ;;
	esac 2> /dev/null || missing+=("the kernel's $1")
	ip netns del "$n"
}

# apt_install PACKAGE...: the same by the package's name. Nothing is installed by a bench.
apt_install()
{
	local p
	for p in "$@"; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2> /dev/null)" = installed ] ||
			missing+=("package $p")
	done
}

# with_children PID...: and all below them.
with_children()
{
	local p
	for p in "$@"; do
		echo "$p"
		# shellcheck disable=SC2046
		with_children $(cat /proc/"$p"/task/*/children 2> /dev/null)
	done
}

# package_version PACKAGE
package_version()
{
	dpkg-query -W -f '${Version}\n' "$1" 2> /dev/null
}

peer_defaults()
{
	peer_install() { :; }
	peer_stop() { :; }
	peer_pids() { with_children "${daemons[@]}"; }
	peer_version() { :; }
}
