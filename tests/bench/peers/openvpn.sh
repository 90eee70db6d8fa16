# OpenVPN between two points over UDP, AES-256-GCM, fast-io and large socket buffers; the
# path MTU instead of a rewritten MSS.
openvpn_protection=(--data-ciphers AES-256-GCM --cipher AES-256-GCM)
openvpn_mtu=1440

peer_install()
{
	need openvpn openvpn
	need openssl openssl
}

# A certificate of its own for each end; each is told the other's fingerprint.
openvpn_certificate() # SITE
{
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 \
		-subj "/CN=$1" -keyout "$WORK/$1.key" -out "$WORK/$1.crt" 2>> "$WORK/log"
}

openvpn_end() # NODE SITE OTHER ROLE REMOTE INNER OTHER-INNER
{
	local fingerprint
	fingerprint=$(openssl x509 -in "$WORK/$3.crt" -noout -fingerprint -sha256)
	daemon "$1" openvpn --dev ovpn0 --dev-type tun --proto udp --port 1194 --dh none \
		--remote "$5" "--tls-$4" --key "$WORK/$2.key" --cert "$WORK/$2.crt" \
		--peer-fingerprint "${fingerprint#*=}" --ifconfig "$6" "$7" \
		--tun-mtu $openvpn_mtu --mssfix 0 --txqueuelen 1000 --fast-io \
		--sndbuf 4194304 --rcvbuf 4194304 --keepalive 10 60 "${openvpn_protection[@]}"
}

peer_start()
{
	openvpn_certificate a && openvpn_certificate b || return
	openvpn_end gwa a b server "$WAN_B" 172.16.0.1 172.16.0.2
	openvpn_end gwb b a client "$WAN_A" 172.16.0.2 172.16.0.1
	# It addresses the device itself, which undoes routes that came before.
	wait_for 10 ip -n "$(ns gwa)" route get 172.16.0.2 oif ovpn0 &&
		wait_for 10 ip -n "$(ns gwb)" route get 172.16.0.1 oif ovpn0 &&
		tun_up ovpn0 ovpn0 $openvpn_mtu
}

peer_version()
{
	openvpn --version | sed -n '1s/^OpenVPN \([^ ]*\).*/\1/p'
}
