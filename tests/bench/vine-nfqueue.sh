# Full routers, NFQUEUE and raw sockets in place of TUN, signed.
. "$(dirname "${BASH_SOURCE[0]}")/vine.inc"
vine_method=nfqueue
vine_inject=raw
