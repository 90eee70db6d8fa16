# n2n, Twofish, not signed. The supernode, on the Internet's machine, only introduces the
# two edges to each other.
peer_install()
{
	need edge n2n
	need supernode n2n
}

n2n_edge() # NODE INNER SUPERNODE PORT
{
	daemon "$1" edge -d edge0 -a "$2" -s 255.255.255.252 -c bench -k bench \
		-l "$3:7654" -p "$4" -M 1428 -r
}

peer_start()
{
	daemon wan supernode -l 7654
	wait_for 5 eval 'on wan ss -Hlun "sport = :7654" | grep -q .'
	n2n_edge gwa 172.16.0.1 192.0.2.1 50001
	n2n_edge gwb 172.16.0.2 198.51.100.1 50002
	tun_up edge0 edge0 1428
}

peer_version()
{
	package_version n2n
}
