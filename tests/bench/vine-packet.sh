# Full routers, AF_PACKET rings in place of TUN for what hosts send, signed.
. "$(dirname "${BASH_SOURCE[0]}")/vine.inc"
vine_method=packet
