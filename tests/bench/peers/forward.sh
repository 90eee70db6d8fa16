# No tunnel: the Internet is told where the LANs are. What the machine carries at all.
peer_start()
{
	ip -n "$(ns wan)" route add "$LAN_A" via "$WAN_A" &&
		ip -n "$(ns wan)" route add "$LAN_B" via "$WAN_B"
}

peer_version()
{
	echo "Linux $(uname -r)"
}
