# fastd in TUN mode, encrypted and signed by salsa2012 and UMAC.
fastd_method=salsa2012+umac

peer_install()
{
	need fastd fastd
}

fastd_conf() # SITE OTHER REMOTE
{
	cat <<- END
		log level warn;
		mode tun;
		interface "fastd0";
		mtu 1428;
		bind 0.0.0.0:10000;
		method "$fastd_method";
		secret "$(cat "$WORK/$1.secret")";
		peer "$2" { key "$(cat "$WORK/$2.key")"; remote $3:10000; }
	END
}

# Has gwb's kernel refused what the other one has sent?
fastd_called()
{
	on gwb awk '$1 == "Udp:" && $3 > 0 { seen = 1 } END { exit !seen }' /proc/net/snmp
}

peer_start()
{
	local s
	for s in a b; do
		fastd --generate-key --machine-readable > "$WORK/$s.secret" 2>> "$WORK/log" &&
			echo "secret \"$(cat "$WORK/$s.secret")\";" |
			fastd --show-key --machine-readable --config - > "$WORK/$s.key" 2>> "$WORK/log" ||
			return
	done
	fastd_conf a b "$WAN_B" > "$WORK/a.conf"
	fastd_conf b a "$WAN_A" > "$WORK/b.conf"
	# One after the other: handshakes that cross are tried again after 20 s only.
	daemon gwa fastd --config "$WORK/a.conf"
	wait_for 5 fastd_called
	daemon gwb fastd --config "$WORK/b.conf"
	tun_up fastd0 fastd0 1428
}

peer_version()
{
	fastd --version | sed 's/^fastd //'
}
