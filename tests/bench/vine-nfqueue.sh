# Full routers, NFQUEUE takes packets in place of TUN, signed.
. "$(dirname "${BASH_SOURCE[0]}")/vine.inc"
vine_method=nfqueue
