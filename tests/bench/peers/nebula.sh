# Nebula, AES-256-GCM, the LANs as unsafe routes; a routine for each processor, the socket
# buffers and queues that its documentation advises for throughput.
peer_install()
{
	need nebula nebula
	need nebula-cert nebula
}

nebula_conf() # SITE OTHER-INNER OTHER-OUTER OTHER-LAN
{
	cat <<- END
		pki:
		  ca: $WORK/ca.crt
		  cert: $WORK/$1.crt
		  key: $WORK/$1.key
		static_host_map:
		  "$2": ["$3:4242"]
		lighthouse:
		  am_lighthouse: false
		listen:
		  host: 0.0.0.0
		  port: 4242
		  batch: 64
		  read_buffer: 10485760
		  write_buffer: 10485760
		cipher: aes
		routines: $(nproc)
		tun:
		  dev: nebula0
		  tx_queue: 1000
		  mtu: 1440
		  unsafe_routes:
		    - route: $4
		      via: $2
		      mtu: 1440
		logging:
		  level: warning
		firewall:
		  outbound:
		    - { port: any, proto: any, host: any }
		  inbound:
		    - { port: any, proto: any, host: any }
	END
}

peer_start()
{
	(cd "$WORK" && nebula-cert ca -name bench -duration 24h &&
		nebula-cert sign -name a -ip 172.16.0.1/24 -subnets "$LAN_A" -duration 12h &&
		nebula-cert sign -name b -ip 172.16.0.2/24 -subnets "$LAN_B" -duration 12h) || return
	nebula_conf a 172.16.0.2 "$WAN_B" "$LAN_B" > "$WORK/a.yml"
	nebula_conf b 172.16.0.1 "$WAN_A" "$LAN_A" > "$WORK/b.yml"
	daemon gwa nebula -config "$WORK/a.yml"
	daemon gwb nebula -config "$WORK/b.yml"
}

peer_version()
{
	nebula -version 2>&1 | sed 's/^Version: *//'
}
