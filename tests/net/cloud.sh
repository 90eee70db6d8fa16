# Sourced after lib.sh: clouds like those that rent out VMs.
#
#   vm5 --- (host-only link) ---+
#   vm6 --- (host-only link) ---+--- clI --- net
#
# Cloud I has its VMs at 10.I.0.N, each alone on a link: no layer 2 between them, a /32 and
# a gateway that is not in it, NAT to the Internet. A filter in the bridge family drops what
# does not come from a VM's own address and MAC. A metadata service is at 169.254.169.254.

vm4() { echo "10.$1.0.$2"; } # cloud, number

# cloud I: its provider's side.
cloud()
{
	local i=$1
	node "cl$i" forward && cable "cl$i" wan net "tocl$i" &&
		address "cl$i" wan "198.51.101.$((4 * i + 2))/30" &&
		address net "tocl$i" "198.51.101.$((4 * i + 1))/30" &&
		ip -n "$(ns "cl$i")" route add default via "198.51.101.$((4 * i + 1))" &&
		address "cl$i" lo "10.$i.0.1/32" 169.254.169.254/32 &&
		on "cl$i" nft -f - <<- END || return
			table ip nat {
				chain out {
					type nat hook postrouting priority 100;
					oifname wan masquerade
				}
			}
			table bridge filter {
				chain in {
					type filter hook prerouting priority 0;
				}
			}
		END
	mkdir -p "$WORK/cl$i"
	echo "i-am-cloud-$i" > "$WORK/cl$i/meta-data"
	http_server "cl$i" "$WORK/cl$i"
}

# vm I N: the machine vmIN, as its provider sets it up.
vm()
{
	local i=$1 n=$2 name=vm$1$2
	node "$name" && cable "$name" eth0 "cl$i" "p$n" &&
		vm_port "$i" "$n" "$(on "$name" cat /sys/class/net/eth0/address)" &&
		address "$name" eth0 "$(vm4 "$i" "$n")/32" &&
		ip -n "$(ns "$name")" route add "10.$i.0.1" dev eth0 &&
		ip -n "$(ns "$name")" route add default via "10.$i.0.1"
}

# vm_port I N MAC: the provider's end of the VM's link, pN, with what it lets through.
vm_port()
{
	local i=$1 n=$2 mac=$3 bridge=br$2
	ip -n "$(ns "cl$i")" link add "$bridge" type bridge &&
		ip -n "$(ns "cl$i")" link set "p$n" master "$bridge" &&
		ip -n "$(ns "cl$i")" link set "$bridge" up &&
		on "cl$i" sysctl -qw "net.ipv4.conf.$bridge.proxy_arp=1" &&
		ip -n "$(ns "cl$i")" route add "$(vm4 "$i" "$n")" dev "$bridge" &&
		on "cl$i" nft add rule bridge filter in iifname "p$n" ether saddr != "$mac" counter drop &&
		on "cl$i" nft add rule bridge filter in iifname "p$n" ether type ip \
			ip saddr != "$(vm4 "$i" "$n")" counter drop
}

# filtered I: packets that the provider's filter has dropped.
filtered()
{
	on "cl$1" nft -j list table bridge filter | jq '[.. | .counter? | objects | .packets] | add'
}

# tiny_key ID: the name of the file of a tiny's key.
tiny_key()
{
	local file=$WORK/tiny-$1.key
	[ -s "$file" ] || (umask 077 && head -c 32 /dev/urandom | base64 > "$file")
	echo "$file"
}

# tiny_id I N
tiny_id() { echo $((10000 + 100 * $1 + $2)); }

# tiny_section I N: the VM's record at its router.
tiny_section()
{
	printf '[tiny vm%s]\nid = %s\nkey-file = %s\nnetwork = %s\naddress = %s\n' "$1$2" \
		"$(tiny_id "$1" "$2")" "$(tiny_key "$(tiny_id "$1" "$2")")" "$NETWORK" "$(vm4 "$1" "$2")"
}

# configure_tiny I N SITE... [KEY=VALUE...]: writes vmIN.conf for these routers.
configure_tiny()
{
	local i=$1 n=$2 routers= ids= more= protocol=auto s
	shift 2
	while [ $# -gt 0 ] && [[ $1 != *=* ]]; do
		routers="${routers:+$routers, }$(wan4 "$1"):8463"
		ids="${ids:+$ids, }$1"
		shift
	done
	for s in "$@"; do
		case $s in
		protocol=*) protocol=${s#*=} ;;
		*) more="$more${s%%=*} = ${s#*=}"$'\n' ;;
		esac
	done
	cat > "$WORK/vm$i$n.conf" <<- END
		[tiny]
		name = vm$i$n
		id = $(tiny_id "$i" "$n")
		router = $routers
		router-id = $ids
		protocol = $protocol
		networks = 172.16.0.0/12, 10.0.0.0/8
		key-file = $(tiny_key "$(tiny_id "$i" "$n")")
		$more
	END
}

declare -A tiny_pid

# set_ups IN: how often it has said that it is.
set_ups() { cat "$WORK/vm$1.log" 2> /dev/null | grep -c "is set up"; }

# start_tiny I N [PROGRAM]
start_tiny()
{
	local before
	before=$(set_ups "$1$2")
	spawn "vm$1$2" "vm$1$2" "${3:-$BUILD/vine-tiny}" --config "$WORK/vm$1$2.conf"
	tiny_pid[$1$2]=$spawned
	wait_for 5 eval "[ \$(set_ups $1$2) -gt $before ]" && alive "$spawned"
}

stop_tiny()
{
	local pid=${tiny_pid[$1$2]:-}
	tiny_pid[$1$2]=
	[ -n "$pid" ] && end "$pid" && [ "$ended" = 0 ]
}

kill_tiny()
{
	end "${tiny_pid[$1$2]}" KILL
	tiny_pid[$1$2]=
}

# network_state VM: everything that a tiny could have changed, but what it says itself.
network_state()
{
	on "$1" ip rule
	on "$1" ip -6 rule
	on "$1" ip route show table all
	on "$1" ip -6 route show table all
	on "$1" ip -br addr
	on "$1" nft list ruleset
}

# vm_files NAME: file systems that a machine has for itself: /etc, /run, /usr/local/sbin.
vm_files()
{
	mkdir -p "$WORK/$1/sbin" "$WORK/$1/run/sshd" && cp -a /etc "$WORK/$1/etc" &&
		rm -rf "$WORK/$1/etc/vine" "$WORK/$1/etc/systemd/system/vine-tiny.service"
}

# inside NAME COMMAND...: with them, and a name of its own.
inside()
{
	local name=$1
	shift
	on "$name" env W="$WORK/$name" N="$name" unshare -m -u sh -c '
		mount --make-rprivate / && mount --bind "$W/sbin" /usr/local/sbin &&
		mount --bind "$W/etc" /etc && mount --bind "$W/run" /run && hostname "$N" || exit 99
		exec "$@"' sh "$@"
}
