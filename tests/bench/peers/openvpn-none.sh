# OpenVPN, neither encrypted nor signed.
. "$(dirname "${BASH_SOURCE[0]}")/openvpn.sh"
openvpn_protection=(--data-ciphers none --cipher none --auth none)
