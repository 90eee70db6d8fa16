# OpenVPN, not encrypted, HMAC-SHA256.
. "$(dirname "${BASH_SOURCE[0]}")/openvpn.sh"
openvpn_protection=(--data-ciphers none --cipher none --auth SHA256)
openvpn_mtu=1428
