# The kernel's VXLAN between the gateways, the LANs routed over it. It protects nothing.
vxlan_end() # NODE LOCAL REMOTE
{
	ip -n "$(ns "$1")" link add vxlan0 type vxlan id 7 dstport 4789 nolearning \
		local "$2" remote "$3" dev wan
}

peer_install()
{
	need_link vxlan
}

peer_start()
{
	vxlan_end gwa "$WAN_A" "$WAN_B" && vxlan_end gwb "$WAN_B" "$WAN_A" &&
		tun_up vxlan0 vxlan0 1450
}

peer_version()
{
	echo "Linux $(uname -r)"
}
