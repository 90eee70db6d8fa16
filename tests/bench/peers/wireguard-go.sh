# WireGuard as a program. Debian 12's takes packets one by one; 2023 and later, as in
# Debian 13, super-packets: WIREGUARD_GO=/path/to/it measures another one.
. "$(dirname "${BASH_SOURCE[0]}")/wireguard.sh"
wireguard_go=${WIREGUARD_GO:-wireguard-go}

peer_install()
{
	need "$wireguard_go" wireguard-go
	need wg wireguard-tools
}

peer_start()
{
	wireguard_devices
	export WG_PROCESS_FOREGROUND=1 LOG_LEVEL=error
	daemon gwa "$wireguard_go" "$device_a"
	daemon gwb "$wireguard_go" "$device_b"
	wireguard_link
}

peer_version()
{
	[ "$wireguard_go" = wireguard-go ] && package_version wireguard-go && return
	"$wireguard_go" --version
}
