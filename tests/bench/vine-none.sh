# Full routers, TUN, no protection at all: what moving packets costs.
. "$(dirname "${BASH_SOURCE[0]}")/vine.inc"
vine_sign=none
