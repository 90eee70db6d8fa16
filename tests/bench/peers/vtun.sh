# vtun over UDP, no encryption and no compression: it signs nothing either.
peer_install()
{
	need vtund vtun
}

peer_start()
{
	cat > "$WORK/vtun.conf" <<- END
		options { port 5000; timeout 30; }
		bench {
			passwd bench;
			type tun;
			device vtun0;
			proto udp;
			compress no;
			encrypt no;
			keepalive yes;
		}
	END
	# It ends when it reads a device that is down: so the device comes first.
	ip -n "$(ns gwa)" tuntap add mode tun vtun0 && ip -n "$(ns gwb)" tuntap add mode tun vtun0 &&
		tun_up vtun0 vtun0 1450 || return
	daemon gwa vtund -n -s -f "$WORK/vtun.conf" -P 5000
	wait_for 5 eval 'on gwa ss -Hltn "sport = :5000" | grep -q .'
	daemon gwb vtund -n -f "$WORK/vtun.conf" -P 5000 bench "$WAN_A"
}

peer_version()
{
	package_version vtun
}
