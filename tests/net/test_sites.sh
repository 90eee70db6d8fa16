#!/bin/bash
# Hosts that run nothing of ours reach each other over two and three sites: IPv4 and
# IPv6 inside and outside, every way of taking packets and of giving them back.
# takes 90 s
. "$(dirname "$0")/lib.sh"
setup
internet
site 1
site 2
site 3

# A server for ssh that needs nothing of the machine's: what it wants in /run and of
# the account is mounted in the namespace of its own.
ssh_server()
{
	local d=$WORK/ssh
	mkdir -p "$d" && chmod 700 "$d"
	if [ ! -f "$d/authorized" ]; then
		ssh-keygen -q -t ed25519 -N '' -f "$d/host" &&
			ssh-keygen -q -t ed25519 -N '' -f "$d/user" &&
			install -m 600 "$d/user.pub" "$d/authorized" || return
	fi
	sed 's/^root:[^:]*:/root:*:/' /etc/shadow > "$d/shadow"
	chmod 600 "$d/shadow"
	cat > "$d/sshd_config" <<- END
		HostKey $d/host
		AuthorizedKeysFile $d/authorized
		PidFile none
		UsePAM no
		StrictModes no
		PermitRootLogin yes
		PasswordAuthentication no
		UseDNS no
	END
	spawn "ssh-$1" "$1" sh -c "mount -t tmpfs none /run && mkdir -m 755 /run/sshd &&
		mount --bind $d/shadow /etc/shadow && exec /usr/sbin/sshd -D -e -f $d/sshd_config"
	wait_for 5 listening "$1" 22
}

# ssh_to NODE ADDRESS COMMAND
ssh_to()
{
	on "$1" timeout 20 ssh -F none -i "$WORK/ssh/user" -o StrictHostKeyChecking=no \
		-o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o BatchMode=yes "root@$2" "$3"
}

# A megabyte there and its sum back.
ssh_works()
{
	local sum
	sum=$(ssh_to "$1" "$2" sha256sum < "$WORK/www/megabyte")
	[ "$sum" = "$(sha256sum < "$WORK/www/megabyte")" ]
}

# curl_works NODE ADDRESS
curl_works()
{
	local host=$2
	[[ $host != *:* ]] || host="[$host]"
	on "$1" curl -fsS -g --max-time 10 "http://$host/megabyte" | cmp - "$WORK/www/megabyte"
}

# What is left of a path's MTU: IP and UDP outside, header and MAC of the frame.
inner_mtu() # OUTSIDE MTU
{
	if [ "$1" = 4 ]; then echo $(($2 - 20 - 8 - 40)); else echo $(($2 - 40 - 8 - 40)); fi
}

# clients_work NAME FROM TO: sites, every client.
clients_work()
{
	local name=$1 a=$2 b=$3 inside to
	for inside in 4 6; do
		to=$(host_at "$b" $inside)
		check "$name, IPv$inside inside: ping loses nothing, the first packets included" \
			pings "h$a" "$to" 50
		check "$name, IPv$inside inside: iperf3 there" iperf "h$a" "$to"
		check "$name, IPv$inside inside: iperf3 back" iperf "h$a" "$to" -R
		check "$name, IPv$inside inside: curl" curl_works "h$a" "$to"
		check "$name, IPv$inside inside: ssh" ssh_works "h$a" "$to"
	done
	is "$name: traceroute shows both routers" "$(hops "h$a" "$(host4 "$b")")" \
		"$(lan4 "$a").1 $(lan4 "$b").1 $(host4 "$b")"
	is "$name: traceroute -6 shows both routers" "$(hops "h$a" "$(host6 "$b")")" \
		"$(lan6 "$a")::1 $(lan6 "$b")::1 $(host6 "$b")"
}

# mtu_is NAME OUTSIDE MTU: both hosts learn it.
mtu_is()
{
	local name=$1 outside=$2 expected
	expected=$(inner_mtu "$2" "$3")
	check "$name: the MTU of the path is found" wait_for 15 settled_at "$expected"
	is "$name: tracepath finds the overlay's MTU" "$(path_mtu h1 "$(host4 2)")" "$expected"
	is "$name: tracepath -6 finds the overlay's MTU" "$(path_mtu h1 "$(host6 2)")" "$expected"
}

settled_at()
{
	settled 1 2 && settled 2 1 && [ "$(peer 1 2 .path.inner_mtu)" = "$1" ] &&
		[ "$(peer 2 1 .path.inner_mtu)" = "$1" ]
}

# Hosts that hear no ICMP errors at all, as behind many a firewall, and have forgotten
# those that they heard.
deaf()
{
	local h
	for h in h1 h2; do
		ip -n "$(ns $h)" route flush cache
		ip -n "$(ns $h)" -6 route flush cache
		on $h nft -f - <<- 'END' || return
			table inet deaf {
				chain in {
					type filter hook input priority 0;
					icmp type { destination-unreachable, time-exceeded } drop
					icmpv6 type { destination-unreachable, packet-too-big } drop
				}
			}
		END
	done
}

hearing()
{
	on h1 nft delete table inet deaf && on h2 nft delete table inet deaf
}

# survives_shrinking HOW SECONDS: a transfer from h2 goes on after the way got narrow.
survives_shrinking()
{
	local client before result
	before=$(packets_out 2)
	spawn shrink h1 timeout 60 iperf3 -J -c "$(host4 2)" -t "$2" -i 0.5 -R
	client=$spawned
	wait_for 5 moving $((before + 5000)) && narrow "$1"
	wait "$client"
	jq -c '[.intervals[].sum.bits_per_second / 1e6 | floor]' "$WORK/shrink.log"
	jq -e '.intervals[-2:] | all(.sum.bytes > 0)' "$WORK/shrink.log"
	result=$?
	rm -f "$WORK/shrink.log"
	return $result
}

# narrow HOW, widen HOW: site 2's link, down to 1,400 bytes and up again.
narrow()
{
	if [ "$1" = told ]; then wan_mtu 2 1400; else black_hole 2 1400; fi
}

widen()
{
	if [ "$1" = told ]; then wan_mtu 2 1500; else no_black_hole; fi
}

moving()
{
	[ "$(packets_out 2)" -gt "$1" ]
}

mkdir "$WORK/www"
head -c 1000000 /dev/urandom > "$WORK/www/megabyte"
for h in h2 h3; do
	check "servers on $h" eval "iperf_server $h && http_server $h $WORK/www && ssh_server $h"
done

for outside in 4 6; do
	for method in tun nfqueue; do
		for inject in tun raw; do
			name="IPv$outside outside, $method, $inject"
			configure 1 outside=$outside method=$method inject=$inject
			configure 2 outside=$outside method=$method inject=$inject
			check "$name: routers start" eval "start_router 1 && start_router 2"
			clients_work "$name" 1 2
			mtu_is "$name" $outside 1500
			check "$name: routers end" eval "stop_router 1 && stop_router 2"
		done
	done
done

# A narrow way: tracepath finds it, and TCP needs no ICMP to cross it. With one peer
# alone, for the device's MTU is that of the widest way.
sites=(1 2)
for outside in 4 6; do
	for method in tun nfqueue; do
		# Told by an error of the machine's own, or to be found out.
		if [ $method$outside = tun4 ] || [ $method$outside = nfqueue6 ]; then
			how=told long=4
		else
			how=silent long=25
		fi
		narrow $how
		name="WAN of 1,400 bytes ($how), IPv$outside outside, $method"
		configure 1 outside=$outside method=$method
		configure 2 outside=$outside method=$method inject=raw
		check "$name: routers start" eval "start_router 1 && start_router 2"
		check "$name: hosts that drop ICMP errors" deaf
		for inside in 4 6; do
			to=$(host_at 2 $inside)
			check "$name: TCP of a host that hears no ICMP, at once, IPv$inside" \
				curl_works h1 "$to"
			check "$name: TCP the other way, IPv$inside" iperf h1 "$to"
		done
		hearing
		mtu_is "$name" $outside 1400
		check "$name: TCP once the MTU is known" curl_works h1 "$(host4 2)"
		# It grows, and shrinks again under a connection that is in use.
		widen $how
		check "$name: routers start again" eval "
			stop_router 1 && stop_router 2 && start_router 1 && start_router 2"
		check "$name: ping" pings h1 "$(host4 2)" 5
		check "$name: the wider MTU is found" wait_for 15 \
			settled_at "$(inner_mtu $outside 1500)"
		check "$name: hosts that drop ICMP errors" deaf
		check "$name: TCP goes on when the path's MTU shrinks" survives_shrinking $how $long
		hearing
		widen $how
		check "$name: routers end" eval "stop_router 1 && stop_router 2"
	done
done
sites=(1 2 3)

# Three sites, all different, two workers each.
configure 1 workers=2
configure 2 workers=2 method=nfqueue inject=raw
configure 3 workers=2 method=nfqueue
check "three sites: routers start" start_routers
clients_work "sites 1 and 2, two workers" 1 2
clients_work "sites 1 and 3, two workers" 1 3
clients_work "sites 2 and 3, two workers" 2 3
check "four streams at once, two workers" iperf h1 "$(host4 3)" -P 4
check "three sites: routers end" stop_routers
for protection in encrypt=aes-256-gcm encrypt=chacha20-poly1305 sign=none; do
	configure_all workers=2 $protection
	check "$protection: routers start" start_routers
	check "$protection: ping" pings h1 "$(host4 2)" 50
	check "$protection: iperf3" iperf h1 "$(host6 3)"
	check "$protection: routers end" stop_routers
done
finish
