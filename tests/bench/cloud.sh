# Sourced by measure for the parts about a VM in a cloud, in place of the two sites of
# topology.sh: here the tunnel's ends are on the VMs themselves.
#
#   gwa (VM) ---+                                    +--- gwb (VM)
#   vma (VM) --- cla ---+                  +--- clb -+
#                      wan ---- line ---- wanb
#   ra (full router) ---+                  +--- rb (full router) --- hostc
#
# hosta and hostb are other names of gwa and gwb: a host's tests are a VM's. The clouds are like
# those of tests/net/cloud.sh: each VM alone on a link with a /32, a filter in the bridge family
# that drops what does not come from its own address and MAC, NAT. The Internet has an address
# for each VM (WAN_A, WAN_B), so that agents which want to be reached can be.
#
# BENCH_LINE: nothing; a rate as tc writes it: a token bucket; or RATEmbit/MSms: a line of that
# round trip too, made by impair, of single packets.
#
# The tunnel's ends are at HOST_A and HOST_B: where other agents have them; the VMs' own
# addresses with ours; their public ones where there is no tunnel. tests/bench/vine.inc says
# what ours can be told.

NODES=(hosta hostb gwa gwb vma cla clb wan wanb line ra rb hostc)
VM_A=10.8.0.5
VM_B=10.9.0.5
NEIGHBOUR=10.8.0.6     # vma
PROVIDER=10.8.0.1      # cla's own: inside the networks that the overlay is for
IN_INTERNET=203.0.113.5 # wanb's own
ROUTER_A=203.0.113.2
ROUTER_B=203.0.113.6
HOST_C=10.2.0.10
HOST_A=172.16.0.1 HOST_B=172.16.0.2
case $(basename "${case%%:*}" .sh) in
vine-*) HOST_A=$VM_A HOST_B=$VM_B ;;
forward) HOST_A=$WAN_A HOST_B=$WAN_B ;;
esac
to=$HOST_B
impair=  # pid of the line
agents=() # pids on the VMs: what is charged to the tunnel
routers=() # ... and elsewhere

# ---- The place --------------------------------------------------------------

# cloud NODE PUBLIC/LENGTH GATEWAY PROVIDER VM
cloud()
{
	ip -n "$(ns "$1")" addr add "$4/32" dev lo &&
		ip -n "$(ns "$1")" route add default via "$3" &&
		on "$1" nft -f - <<- END
			table ip nat {
				chain in {
					type nat hook prerouting priority -100;
					iifname wan ip daddr ${2%/*} dnat to $5
				}
				chain out {
					type nat hook postrouting priority 100;
					oifname wan snat to ${2%/*}
				}
			}
			table bridge filter {
				chain in {
					type filter hook prerouting priority 0;
				}
			}
		END
}

# vm NODE CLOUD ADDRESS GATEWAY: the cloud's end of its link is p-NODE, in a bridge of its own.
vm()
{
	local cl mac port=p-$1 bridge=br-$1
	cl=$(ns "$2")
	ip link add eth0 netns "$(ns "$1")" mtu 1500 type veth peer name "$port" netns "$cl" mtu 1500 &&
		plug "$1" eth0 "$3/32" && offloads "$2" "$port" || return
	mac=$(on "$1" cat /sys/class/net/eth0/address)
	ip -n "$cl" link add "$bridge" type bridge &&
		ip -n "$cl" link set "$port" master "$bridge" up && ip -n "$cl" link set "$bridge" up &&
		on "$2" sysctl -qw "net.ipv4.conf.$bridge.proxy_arp=1" &&
		ip -n "$cl" route add "$3" dev "$bridge" &&
		on "$2" nft add rule bridge filter in iifname "$port" ether saddr != "$mac" drop &&
		on "$2" nft add rule bridge filter in iifname "$port" ether type ip ip saddr != "$3" drop &&
		ip -n "$(ns "$1")" route add "$4" dev eth0 &&
		ip -n "$(ns "$1")" route add default via "$4"
}

# line_end NODE ADDRESS: impair wants single packets, whole.
line_end()
{
	ip link add over netns "$(ns "$1")" mtu 1500 type veth peer name "to_$1" netns "$(ns line)" &&
		BENCH_OFFLOAD=off plug "$1" over "$2" && on "$1" ethtool -K over tx off > /dev/null &&
		ip -n "$(ns line)" link set "to_$1" up
}

# line_up: between the Internet's halves.
line_up()
{
	local n rate ms a=192.168.0.1/30 b=192.168.0.2/30
	if [[ $BENCH_LINE != */* ]]; then
		cable wan over $a wanb over $b || return
		[ -z "$BENCH_LINE" ] || { limit wan over && limit wanb over; }
		return
	fi
	rate=${BENCH_LINE%mbit/*} ms=${BENCH_LINE#*/}
	ms=$(divided "${ms%ms}" 2)
	on line sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
	for n in "wan $a" "wanb $b"; do
		line_end $n || return
	done
	ip netns exec "$(ns line)" "$BENCH_IMPAIR" to_wan delay="$ms" rate="$rate" \
		to_wanb delay="$ms" rate="$rate" \
		> "$WORK/line" 2>> "$WORK/log" &
	impair=$!
	wait_for 5 on wan ping -q -c 1 -W 1 192.168.0.2
}

# line_over: ends it. Fails if it did not keep up.
line_over()
{
	[ -n "$impair" ] || return 0
	kill "$impair" && wait "$impair"
	jq -e 'all(.missed + .large + .unsent == 0)' "$WORK/line" > /dev/null
}

topology_up()
{
	local n
	for n in "${NODES[@]:2}"; do
		ip netns add "$(ns "$n")" && ip -n "$(ns "$n")" link set lo up || return
	done
	for n in a b; do
		touch "/run/netns/$(ns host$n)" &&
			mount --bind "/run/netns/$(ns gw$n)" "/run/netns/$(ns host$n)" || return
	done
	for n in cla clb wan wanb ra rb; do
		on $n sysctl -qw net.ipv4.ip_forward=1 || return
	done
	# The address 198.51.100.1 is wan's, for all (n2n's supernode).
	cable cla wan $WAN_A/24 wan site_a 192.0.2.1/24 &&
		cable clb wan $WAN_B/31 wanb site_b 198.51.100.3/31 &&
		cable ra wan $ROUTER_A/30 wan to_ra 203.0.113.1/30 &&
		cable rb wan $ROUTER_B/30 wanb to_rb $IN_INTERNET/30 &&
		cable hostc eth0 $HOST_C/24 rb lan 10.2.0.1/24 &&
		ip -n "$(ns wan)" addr add 198.51.100.1/32 dev lo && line_up || return
	cloud cla $WAN_A/24 192.0.2.1 $PROVIDER $VM_A && cloud clb $WAN_B/31 198.51.100.3 10.9.0.1 $VM_B &&
		vm gwa cla $VM_A $PROVIDER && vm vma cla $NEIGHBOUR $PROVIDER &&
		vm gwb clb $VM_B 10.9.0.1 || return
	ip -n "$(ns ra)" route add default via 203.0.113.1 &&
		ip -n "$(ns rb)" route add default via $IN_INTERNET &&
		ip -n "$(ns hostc)" route add default via 10.2.0.1 &&
		ip -n "$(ns wan)" route add $WAN_B/31 via 192.168.0.2 &&
		ip -n "$(ns wan)" route add 203.0.113.4/30 via 192.168.0.2 &&
		ip -n "$(ns wanb)" route add 192.0.2.0/24 via 192.168.0.1 &&
		ip -n "$(ns wanb)" route add 203.0.113.0/30 via 192.168.0.1 &&
		ip -n "$(ns wanb)" route add 198.51.100.1 via 192.168.0.1
}

# ---- What connects the VMs ---------------------------------------------------

# No tunnel; the site's host can be reached from the Internet.
cloud_forward()
{
	ip -n "$(ns wan)" route add 10.2.0.0/24 via 192.168.0.2 &&
		ip -n "$(ns wanb)" route add 10.2.0.0/24 via $ROUTER_B
}

# tiny_conf NODE ID ROUTER-ID ROUTER NET: its cloud's own network, /24, stays local.
tiny_conf()
{
	cat <<- END
		[tiny]
		name = $1
		id = $2
		router = $4:8463
		router-id = $3
		networks = 10.0.0.0/8
		local = $5.0/24
		key-file = $WORK/vine.key
	END
}

# tiny_at NODE ID ADDRESS: its section at its router.
tiny_at()
{
	printf '[tiny %s]\nid = %s\nkey-file = %s\nnetwork = 1\naddress = %s\n' "$1" "$2" \
		"$WORK/vine.key" "$3"
}

tinies_conf()
{
	vine_key
	if [ "$vine_routers" = 1 ]; then
		tiny_conf gwa 101 2 $ROUTER_B ${VM_A%.*} > "$WORK/gwa.conf"
	else
		tiny_conf gwa 101 1 $ROUTER_A ${VM_A%.*} > "$WORK/gwa.conf"
	fi
	tiny_conf gwb 102 2 $ROUTER_B ${VM_B%.*} > "$WORK/gwb.conf"
	{
		vine_head 1
		vine_peer 2 "10.2.0.0/24, $VM_B/32" "endpoint = $ROUTER_B:8463"
		tiny_at gwa 101 $VM_A
	} > "$WORK/vine1.conf"
	{
		vine_head 2 10.2.0.1 10.2.0.0/24
		[ "$vine_routers" = 1 ] || vine_peer 1 $VM_A/32 "endpoint = $ROUTER_A:8463"
		[ "$vine_routers" != 1 ] || tiny_at gwa 101 $VM_A
		tiny_at gwb 102 $VM_B
	} > "$WORK/vine2.conf"
}

cloud_tinies()
{
	tinies_conf
	[ "$vine_routers" = 1 ] || daemon ra "$vine_build/vine-router" --config "$WORK/vine1.conf"
	daemon rb "$vine_build/vine-router" --config "$WORK/vine2.conf"
	routers=("${daemons[@]}")
	wait_for 5 vine_ctl 2 status
	daemon gwa "$vine_build/vine-tiny" --config "$WORK/gwa.conf"
	daemon gwb "$vine_build/vine-tiny" --config "$WORK/gwb.conf"
	agents=("${daemons[@]: -2}")
}

# A full router on each VM: what the dissertation compares its TinyViNe with.
cloud_routers()
{
	vine_key
	{
		vine_head 1 $VM_A $VM_A/32
		vine_peer 2 $VM_B/32 "endpoint = $WAN_B:8463"
	} > "$WORK/vine1.conf"
	{
		vine_head 2 $VM_B $VM_B/32
		vine_peer 1 $VM_A/32 "endpoint = $WAN_A:8463"
	} > "$WORK/vine2.conf"
	daemon gwa "$vine_build/vine-router" --config "$WORK/vine1.conf"
	daemon gwb "$vine_build/vine-router" --config "$WORK/vine2.conf"
	agents=("${daemons[@]}")
}

if declare -F vine_head > /dev/null; then
	peer_pids() { with_children "${agents[@]}"; }
	peer_start()
	{
		if [ "$vine_agent" = tiny ]; then cloud_tinies; else cloud_routers; fi
	}
elif [ "$HOST_B" = "$WAN_B" ]; then
	peer_start() { cloud_forward; }
fi

# ---- The parts --------------------------------------------------------------

# tiny_is on|off: on gwa.
tiny_is()
{
	if [ "$1" = off ]; then
		[ -z "${agents[0]}" ] || { kill "${agents[0]}" && wait "${agents[0]}"; }
		agents[0]=
	elif [ -z "${agents[0]}" ]; then
		daemon gwa "$vine_build/vine-tiny" --config "$WORK/gwa.conf"
		agents[0]=${daemons[-1]}
		wait_for 10 on gwa ping -q -c 1 -W 1 "$HOST_B"
	fi
}

# A VM's direct traffic with vine-tiny and without, and once more without: the difference of
# these two is noise. Each round begins with another one.
part_beside()
{
	local i state places=("lan vma $NEIGHBOUR" "provider cla $PROVIDER" "internet wanb $IN_INTERNET")
	local states=(without with again) place name node
	for place in "${places[@]}"; do
		read -r _ node _ <<< "$place"
		tcp_server "$node" || { failed start "iperf3 does not start"; return; }
	done
	for i in 0 1 2; do
		state=${states[(round + i) % 3]}
		if ! tiny_is "$([ $state = with ] && echo on || echo off)"; then
			failed $state "vine-tiny did not start or end"
			continue
		fi
		for place in "${places[@]}"; do
			read -r name _ to <<< "$place"
			rtt "${name}_rtt_$state" 500 0.002 56
			tcp "${name}_tcp_$state"
		done
	done
}

# ssh_server NODE: keys and what a client needs are in WORK.
ssh_server()
{
	ssh-keygen -qt ed25519 -N '' -f "$WORK/ssh_host" && ssh-keygen -qt ed25519 -N '' -f "$WORK/ssh_user" &&
		printf '%s\n' "IdentityFile $WORK/ssh_user" 'IdentitiesOnly yes' 'BatchMode yes' \
			'StrictHostKeyChecking no' 'UserKnownHostsFile /dev/null' 'LogLevel ERROR' \
			'ConnectTimeout 5' 'User root' > "$WORK/ssh_config" || return
	ip netns exec "$(ns "$1")" sh -c 'mount -t tmpfs none /run && mkdir /run/sshd && exec "$@"' sh \
		/usr/sbin/sshd -D -e -f /dev/null -h "$WORK/ssh_host" -o PidFile=none -o StrictModes=no \
		-o "Subsystem=sftp internal-sftp" \
		-o AuthorizedKeysFile="$WORK/ssh_user.pub" < /dev/null >> "$WORK/log" 2>&1 &
	servers+=($!)
	wait_for 5 listening "$1" t 22
}

# copies MB...: seconds that it takes to copy such a file to hostb, as figure 6-4 has it.
copies()
{
	local mb before after
	for mb in "$@"; do
		head -c "${mb}M" /dev/urandom > "$WORK/file"
		before=$EPOCHREALTIME
		if on hosta timeout 30 scp -q -F "$WORK/ssh_config" "$WORK/file" "$HOST_B:$WORK/copy" \
			< /dev/null >> "$WORK/log" 2>&1 && cmp -s "$WORK/file" "$WORK/copy"; then
			after=$EPOCHREALTIME
			figure "scp${mb}_s" "$(divided $((${after/./} - ${before/./})) 1000000)"
		else
			failed "scp$mb" "the copy failed"
		fi
		rm -f "$WORK/copy"
	done
}

# From a VM to a VM of another cloud, and to a host of a site.
part_paths()
{
	local place name node
	for place in "vm hostb $HOST_B" "host hostc $HOST_C"; do
		read -r name node to <<< "$place"
		wait_for 10 on hosta ping -q -c 1 -W 1 "$to" && tcp_server "$node" ||
			{ failed "$name" "no way to it"; continue; }
		rtt "${name}_rtt" 500 0.002 56
		tcp "${name}_tcp"
	done
	if ssh_server hostb; then copies 1 8 32; else failed scp "sshd does not start"; fi
	line_over || failed line "the line did not keep up"
}

part_agents()
{
	local before
	rtt rtt_idle 500 0.002 56
	if tcp_server; then
		before=$(ticks_of "${routers[@]}")
		tcp_and_cost tcp1
		[ ${#routers[@]} -eq 0 ] || cost routers_s_per_gb $(($(ticks_of "${routers[@]}") - before))
		tcp tcp4 -P 4
		rtt_beside_tcp
	else
		failed tcp1 "iperf3 does not start"
	fi
	# One by one, as programs send: there is no card between them and the tunnel.
	flood udp1400 1400 "$BENCH_SECONDS" -g 1
	[ -z "$(peer_pids)" ] || figure rss_mb "$(resident)"
}

# What a stream to a host of a site takes of the VM's tiny and of its router: both have a device
# on one side and frames on the other.
part_cost()
{
	local way agent router options
	to=$HOST_C
	wait_for 10 on hosta ping -q -c 1 -W 1 "$to" && tcp_server hostc ||
		{ failed start "no way to the site's host"; return; }
	for way in out in; do
		options=()
		[ $way = out ] || options=(-R)
		agent=$(ticks_of "${agents[0]}")
		router=$(ticks_of "${routers[0]}")
		tcp "$way" "${options[@]}" || continue
		cost "${way}_tiny_s_per_gb" $(($(ticks_of "${agents[0]}") - agent))
		cost "${way}_router_s_per_gb" $(($(ticks_of "${routers[0]}") - router))
	done
}
