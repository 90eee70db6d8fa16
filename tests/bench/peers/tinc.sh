# tinc 1.0 as a router, AES-256-CBC and HMAC-SHA256 cut to 4 bytes: its defaults. Large
# socket buffers; a window in which what comes late under load is not taken for a replay.
tinc_protection='Cipher = aes-256-cbc
Digest = sha256
MACLength = 4'

peer_install()
{
	need tincd tinc
}

tinc_end() # SITE OTHER ADDRESS SUBNET INNER
{
	mkdir -p "$WORK/$1/hosts"
	cat > "$WORK/$1/tinc.conf" <<- END
		Name = $1
		ConnectTo = $2
		Interface = tinc0
		Mode = router
		AddressFamily = ipv4
		ProcessPriority = high
		UDPRcvBuf = 4194304
		UDPSndBuf = 4194304
		ReplayWindow = 128
	END
	tincd -c "$WORK/$1" -K 2048 < /dev/null >> "$WORK/log" 2>&1
	cat >> "$WORK/$1/hosts/$1" <<- END
		Address = $3
		Subnet = $4
		Subnet = $5/32
		PMTU = 1500
		$tinc_protection
	END
}

# Until it has found the path's MTU it carries large packets over TCP.
tinc_over_udp()
{
	local before after segments='/^Tcp: [0-9]/ { print $12 }'
	before=$(on gwa awk "$segments" /proc/net/snmp)
	on hosta ping -q -c 20 -i 0.02 -W 1 -M do -s 1400 "$HOST_B" || return
	after=$(on gwa awk "$segments" /proc/net/snmp)
	[ $((after - before)) -lt 10 ]
}

peer_start()
{
	tinc_end a b "$WAN_A" "$LAN_A" 172.16.0.1
	tinc_end b a "$WAN_B" "$LAN_B" 172.16.0.2
	cp "$WORK/a/hosts/a" "$WORK/b/hosts/"
	cp "$WORK/b/hosts/b" "$WORK/a/hosts/"
	daemon gwa tincd -c "$WORK/a" -D --pidfile="$WORK/a.pid"
	daemon gwb tincd -c "$WORK/b" -D --pidfile="$WORK/b.pid"
	tun_up tinc0 tinc0 1428 && wait_for 30 tinc_over_udp
}

peer_version()
{
	package_version tinc
}
