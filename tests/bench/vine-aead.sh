# Full routers, TUN, every frame encrypted with AES-256-GCM.
. "$(dirname "${BASH_SOURCE[0]}")/vine.inc"
vine_encrypt=aes-256-gcm
