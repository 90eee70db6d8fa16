#!/bin/bash
# A whole system with systemd on each machine: an authority and a router by the units that are
# installed, with what those forbid, and a VM by the one command. All come back after a reboot;
# the VM's is undone.
# takes 35 s
. "$(dirname "$0")/lib.sh"
. "$here/authority.sh"
. "$here/cloud.sh"
setup
. "$here/boot.sh"
OVERLAY="172.16.0.0/12, 10.1.0.0/16"
SITE=172.16.1.10
VM=10.1.0.5

internet
authority_node
check "a site, a cloud" eval "site 1 && cloud 1 && vm 1 5"

# ---- Machines -----------------------------------------------------------------------

# installed NAME: as `make install` does it. Nothing is built here ("-o all").
installed()
{
	env -u MAKEFLAGS -u MAKELEVEL make -s -C "$top" -o all install DESTDIR="$WORK/install" \
		PREFIX=/usr/local BUILD="$BUILD" > "$WORK/make" 2>&1 &&
		cp -a "$WORK/install/usr/local/." "$WORK/$1/local/"
}
check "machines" eval "machine_files a && machine_files gw1 && machine_files vm15 && machine_files h1"
check "installed: authority and router" eval "installed a && installed gw1"
check "they boot" eval "boot a && boot gw1 && boot vm15"
for m in a gw1 vm15; do
	check "$m: everything has started" wait_for 30 booted $m
	diagnose tail -n 3 "$WORK/$m.boot"
done

# unit NAME UNIT PROPERTY; journal NAME UNIT
unit() { inside "$1" systemctl show --value -p "$3" "$2"; }
journal() { inside "$1" journalctl -q -o cat -u "$2"; }
active() { [ "$(unit "$1" "$2" ActiveState)" = active ]; }
# held NAME UNIT CAPABILITIES: the kernel holds it to what the unit says.
held()
{
	local pid
	pid=$(unit "$1" "$2" MainPID)
	inside "$1" cat "/proc/$pid/status" | awk '/^(CapPrm|CapBnd|NoNewPrivs|Seccomp):/ { print $2 }' | xargs
}
# read_only NAME UNIT: /usr and /etc are, for it.
read_only()
{
	inside "$1" cat "/proc/$(unit "$1" "$2" MainPID)/mountinfo" | awk '$5 == "/" { print substr($6, 1, 2) }' | tail -n 1
}
# complaints NAME UNIT: what systemd could not do of it. That there is no vine-tiny of another
# processor is none of its matters.
complaints()
{
	journal "$1" "$2" | grep -iE "ignoring|failed|not permitted|denied|can't|cannot" |
		grep -vE "result 'signal'|VMs of that kind can't be served"
}

# ---- The authority -------------------------------------------------------------------

vine_authority()
{
	inside a useradd --system --home /var/lib/vine-authority vine-authority &&
		inside a vine-authority init --name $AT --directory /var/lib/vine-authority &&
		cat >> "$WORK/a/var/lib/vine-authority/authority.conf" <<- END &&
			[download]
			ranges = /etc/vine/ranges.conf
		END
		mkdir -p "$WORK/a/etc/vine" && cat > "$WORK/a/etc/vine/ranges.conf" <<- END &&
			[range east]
			provider = one
			site = s1
			prefixes = 198.51.101.6/32
			addresses = 10.1.0.0/16
		END
		inside a chown -R vine-authority: /var/lib/vine-authority &&
		inside a systemctl enable --now vine-authority &&
		cp -r "$WORK/a/var/lib/vine-authority/admin" "$WORK/id-admin"
}
check "vine-authority.service" vine_authority
diagnose journal a vine-authority
is "... held to its unit" "$(held a vine-authority)" "0000000000000000 0000000000000000 1 2"
is "... with nothing but its directory to write" "$(read_only a vine-authority)" ro
is "... as its user" "$(inside a stat -c %U "/proc/$(unit a vine-authority MainPID)")" vine-authority
check "... reload" inside a systemctl reload vine-authority

# ---- The router ---------------------------------------------------------------------------

vine_router()
{
	as admin site add s1 --admins admin &&
		inside gw1 vinectl --authority "$URL" register router r1 \
			--token "$(as admin token create router --site s1)" --endpoint "$(wan4 1):8463" \
			--block 172.16.1.0/24 --start &&
		inside gw1 sed -i "s|^networks = .*|networks = $OVERLAY|" /etc/vine/router.conf
}
check "vine-router.service, by vinectl register --start" vine_router
check "... is up" wait_for 10 active gw1 vine-router
diagnose journal gw1 vine-router
is "... held to its unit" "$(held gw1 vine-router)" "0000000000003000 0000000000003000 1 2"
is "... with nothing but its directories to write" "$(read_only gw1 vine-router)" ro
check "... the cloud's addresses too, by a reload" inside gw1 systemctl reload vine-router
is "... the same process" "$(unit gw1 vine-router NRestarts)" 0

# ---- The VM -----------------------------------------------------------------------------------

as admin host add h1 r1 $SITE --owner admin > /dev/null
as admin vn create science h1 > /dev/null
network_state vm15 > "$WORK/before"
files() { (cd "$WORK/vm15" && find local etc -not -path '*/machine-id' | sort); }
files > "$WORK/files"
as admin tiny invite --vn science --count 4 > "$WORK/invitation"
line=$(sed -n '1s/| sudo sh/| sh/p' "$WORK/invitation")
cut="${line% | sh} | head -c 9000 | sh"
check_fails "the one command, cut off" inside vm15 sh -c "$cut"
is "... nothing was done" "$(files | diff "$WORK/files" -)" ""
check "the one command" inside vm15 sh -c "$line"
check "vine-tiny.service is up" active vm15 vine-tiny
is "... held to its unit" "$(held vm15 vine-tiny)" "0000000000003000 0000000000003000 1 2"
diagnose journal vm15 vine-tiny
check "VM to site" eval "wait_for 20 answers vm15 $SITE && pings vm15 $SITE 20"
check "site to VM" pings h1 $VM 20
check "again" inside vm15 sh -c "$line > /tmp/again"
check "... it is there already" inside vm15 grep -q "here already and up" /tmp/again
check "systemctl restart" inside vm15 systemctl restart vine-tiny
check "... VM to site" wait_for 10 answers vm15 $SITE
kill_main() { inside "$1" systemctl kill -s KILL --kill-whom=main "$2"; }
check "killed, it comes back" eval "kill_main vm15 vine-tiny && wait_for 10 eval \
	'[ \"\$(unit vm15 vine-tiny NRestarts)\" = 1 ] && active vm15 vine-tiny' && wait_for 10 answers vm15 $SITE"

# ---- After a reboot -----------------------------------------------------------------------

check "the VM boots again" reboot vm15
check "... and is a member by itself" wait_for 20 answers vm15 $SITE
check "the router boots again" reboot gw1
check "... VM to site" wait_for 20 answers vm15 $SITE
check "the router killed" eval "kill_main gw1 vine-router && wait_for 20 answers vm15 $SITE"
check "the authority boots again" reboot a
check "... and serves" wait_for 20 eval "as admin vn show science"
for m in a:vine-authority gw1:vine-router vm15:vine-tiny; do
	is "${m#*:}: nothing of its unit was left out" "$(complaints "${m%:*}" "${m#*:}")" ""
done

# ---- Undone -----------------------------------------------------------------------------------

check "--uninstall" inside vm15 vine-tiny --uninstall
is "... no file is left" "$(files | diff "$WORK/files" -)" ""
network_state vm15 > "$WORK/after"
check "... nothing in the kernel" diff "$WORK/before" "$WORK/after"
is "... no unit" "$(unit vm15 vine-tiny LoadState)" not-found
check "... nor after a reboot" eval "reboot vm15 && ! inside vm15 pidof vine-tiny && ! answers vm15 $SITE"
check "the router is stopped" inside gw1 systemctl stop vine-router
is "... well" "$(unit gw1 vine-router Result)" success
check "the authority is stopped" inside a systemctl stop vine-authority
is "... well" "$(unit a vine-authority Result)" success
finish
