# Full routers, TUN, every frame signed with HMAC-SHA256: the default.
. "$(dirname "${BASH_SOURCE[0]}")/vine.inc"
