# Sourced by measure for the part "firewalls", in place of the two sites of topology.sh: the
# three of the dissertation's figure 3-18, each pair with a line of its own (impair.c) that
# has the round trip and the bandwidth measured there.
#
#   hosta --- gwa (University of Florida)     a-b: 24.1 ms, 20.4 Mbit/s
#   hostb --- gwb (Purdue)                    a-c: 27.8 ms, 17.5 Mbit/s
#   hostc --- gwc (Northwestern)              c-b:  6.8 ms, 63.1 Mbit/s
#
# The lines end in the namespace wan.
#
# A case's settings:
#   vine_case     1 to 5 of table 3-8: whose router is limited, and who its queue router is
#   vine_direct   yes: the limited ones' firewalls let UDP out and answers in, for direct paths
vine_case=${vine_case:-1}
vine_direct=${vine_direct:-no}

NODES=(hosta gwa hostb gwb hostc gwc wan)
PAIRS=("uf_pu a b 24.1 20.4" "uf_nwu a c 27.8 17.5" "nwu_pu c b 6.8 63.1")
declare -A WAN=([a]=192.0.2.2 [b]=198.51.100.2 [c]=203.0.113.2)
declare -A LAN=([a]=10.1.0 [b]=10.2.0 [c]=10.3.0)
declare -A ID=([a]=1 [b]=2 [c]=3)
declare -A queue=() # of a limited site's router: the site of its queue router
lines=()            # pids

# ---- The place --------------------------------------------------------------

# line_end SITE OTHER: the gateway's device, and wan's. One packet is one frame.
line_end()
{
	local n
	n=$(ns "gw$1")
	ip link add "to_$2" netns "$n" mtu 1500 type veth peer name "line_$1$2" netns "$(ns wan)" &&
		on "gw$1" ethtool -K "to_$2" tx off gso off tso off gro off tx-udp-segmentation off \
			> /dev/null &&
		on wan ethtool -K "line_$1$2" gro off > /dev/null &&
		ip -n "$n" addr add "${WAN[$1]}" peer "${WAN[$2]}" dev "to_$2" &&
		ip -n "$n" link set "to_$2" up && ip -n "$(ns wan)" link set "line_$1$2" up
}

# line_up NAME SITE SITE MS MBIT
line_up()
{
	local one_way
	one_way=$(divided "$4" 2)
	line_end "$2" "$3" && line_end "$3" "$2" || return
	ip netns exec "$(ns wan)" "$BENCH_IMPAIR" "line_$2$3" delay="$one_way" rate="$5" \
		"line_$3$2" delay="$one_way" rate="$5" > "$WORK/line_$1" 2>> "$WORK/log" &
	lines+=($!)
	wait_for 5 on "gw$2" ping -q -c 1 -W 1 "${WAN[$3]}"
}

topology_up()
{
	local n s p
	for n in "${NODES[@]}"; do
		ip netns add "$(ns "$n")" && ip -n "$(ns "$n")" link set lo up || return
	done
	on wan sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
	for s in a b c; do
		on gw$s sysctl -qw net.ipv4.ip_forward=1 &&
			cable host$s eth0 "${LAN[$s]}.10/24" gw$s lan "${LAN[$s]}.1/24" &&
			ip -n "$(ns host$s)" route add default via "${LAN[$s]}.1" || return
	done
	for p in "${PAIRS[@]}"; do
		# shellcheck disable=SC2086
		line_up $p || return
	done
}

# lines_over: ends the lines. Fails if one of them did not keep up.
lines_over()
{
	kill "${lines[@]}" && wait "${lines[@]}"
	jq -es 'flatten | all(.missed + .large + .unsent == 0)' "$WORK"/line_* > /dev/null
}

# The window that hosts had then: no more is on its way at once.
small_windows()
{
	local s
	for s in a b c; do
		ip -n "$(ns host$s)" route change default via "${LAN[$s]}.1" window 65535 || return
	done
}

# ---- What connects the sites -------------------------------------------------

# three_forward: no tunnel, case 0.
three_forward()
{
	local s t
	for s in a b c; do
		for t in a b c; do
			[ $s = $t ] || ip -n "$(ns gw$s)" route add "${LAN[$t]}.0/24" via "${WAN[$t]}" || return
		done
	done
}

is_queue_router()
{
	[[ " ${queue[*]} " == *" $1 "* ]]
}

# reach_of SITE OTHER: lines of a router's [peer].
reach_of()
{
	local by=${queue[$1]:-${queue[$2]:-}}
	if [ -z "$by" ] || [ "$by" = "$2" ]; then
		echo "endpoint = ${WAN[$2]}:8463"
	elif [ "$by" != "$1" ]; then
		echo "queue-routers = vine${ID[$by]}"
		echo "direct = $vine_direct"
		[ "$vine_direct" = no ] || [ -n "${queue[$2]:-}" ] || echo "endpoint = ${WAN[$2]}:8463"
	fi
	! is_queue_router "$1" || echo "relay = yes"
}

# firewall SITE: nobody gets in unasked; and nothing but TCP out, unless direct paths are to be.
firewall()
{
	on "gw$1" nft -f - <<- END
		table ip firewall {
			chain in {
				type filter hook input priority 0;
				iifname "to_*" ct state != { established, related } drop
			}
			chain out {
				type filter hook output priority 0;
				oifname "to_*" meta l4proto != tcp $([ "$vine_direct" = yes ] && echo accept || echo drop)
			}
		}
	END
}

three_conf() # SITE
{
	local t
	vine_head "${ID[$1]}" "${LAN[$1]}.1" "${LAN[$1]}.0/24"
	if [ -n "${queue[$1]:-}" ]; then
		printf '[limited]\nqueue-routers = vine%s\nmode = %s\n' "${ID[${queue[$1]}]}" \
			"$([ "$vine_direct" = yes ] && echo udp || echo channel)"
	else
		printf '[listen]\ntcp = 0.0.0.0:8463\n'
	fi
	for t in a b c; do
		[ "$t" = "$1" ] || vine_peer "${ID[$t]}" "${LAN[$t]}.0/24" "$(reach_of "$1" $t)"
	done
}

# way_of SITE OTHER: that their frames are to take.
way_of()
{
	local by=${queue[$1]:-${queue[$2]:-}}
	if [ -z "$by" ] || [ "$vine_direct" = yes ]; then
		echo udp
	elif [ "$by" = "$1" ] || [ "$by" = "$2" ]; then
		echo tcp
	else
		echo relay
	fi
}

# three_case: who is limited, and by whom reached, in $queue.
three_case()
{
	case $vine_case in
	1) queue=() ;;
	2) queue=([b]=a) ;;
	3) queue=([b]=c) ;;
	4) queue=([b]=a [c]=a) ;;
	5) queue=([b]=c [a]=c) ;;
	*) echo "no case $vine_case" >&2; return 1 ;;
	esac
}

three_vine()
{
	local s
	three_case || return
	vine_key
	for s in "${!queue[@]}"; do
		firewall "$s" || return
	done
	for s in a b c; do
		three_conf $s > "$WORK/vine${ID[$s]}.conf"
		daemon gw$s "$vine_build/vine-router" --config "$WORK/vine${ID[$s]}.conf"
	done
}

peer_start()
{
	if declare -F vine_head > /dev/null; then three_vine; else three_forward; fi
}
