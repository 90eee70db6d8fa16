# WireGuard in the kernel, MTU 1440: what fits 1500 over IPv4.
wireguard_mtu=1440

peer_install()
{
	need_link wireguard
	need wg wireguard-tools
}

# The control sockets of WireGuard programs share a directory: names of this run's own.
wireguard_devices()
{
	device_a=${BENCH_PREFIX:0:13}-a
	device_b=${BENCH_PREFIX:0:13}-b
}

# wireguard_peer NODE DEVICE PRIVATE PUBLIC ENDPOINT
wireguard_peer()
{
	wait_for 5 on "$1" wg show "$2" &&
		on "$1" wg set "$2" listen-port 51820 private-key "$3" \
			peer "$(cat "$4")" endpoint "$5:51820" allowed-ips 0.0.0.0/0
}

wireguard_link()
{
	local s
	for s in a b; do
		(umask 077 && wg genkey > "$WORK/$s.key" && wg pubkey < "$WORK/$s.key" > "$WORK/$s.pub")
	done
	wireguard_peer gwa "$device_a" "$WORK/a.key" "$WORK/b.pub" "$WAN_B" &&
		wireguard_peer gwb "$device_b" "$WORK/b.key" "$WORK/a.pub" "$WAN_A" &&
		tun_up "$device_a" "$device_b" $wireguard_mtu
}

peer_start()
{
	wireguard_devices
	ip -n "$(ns gwa)" link add "$device_a" type wireguard &&
		ip -n "$(ns gwb)" link add "$device_b" type wireguard && wireguard_link
}

peer_version()
{
	echo "Linux $(uname -r)"
}
