# What the download server answers to GET /tiny/TOKEN, behind a few variables that it sets
# (download_script.c). Nothing happens before the last line, so that a script that arrives
# incomplete does nothing; nothing has its final name before all of it is there and checked;
# and the VM is given an identity as late as possible, when all that could fail has been tried.

vine_say() { printf 'vine: %s\n' "$*"; }

vine_fail()
{
	printf 'vine: %s\n' "$*" >&2
	exit 1
}

# Whatever else happens: no temporary file remains.
vine_end()
{
	vine_status=$?
	[ -z "$vine_work" ] || rm -rf "$vine_work"
	[ -z "$vine_new" ] || rm -f "$vine_bin$vine_new" "$vine_etc/tiny.conf$vine_new" \
		"$vine_etc/tiny.key$vine_new" "$vine_etc/tiny-2.key$vine_new" \
		"$vine_etc/tiny-3.key$vine_new" "$vine_unit$vine_new"
	[ -z "$vine_new" ] || rmdir "$vine_etc" 2> /dev/null
	trap - EXIT
	exit "$vine_status"
}

vine_has() { command -v "$1" > /dev/null 2>&1; }

vine_systemd() { [ -d /run/systemd/system ] && vine_has systemctl; }

# vine_fetch URL FILE [BODY]: of a certificate that this script's authority has issued.
vine_fetch()
{
	vine_to=$2
	if vine_has curl; then
		set -- "$1" ${3:+--data-binary "$3"}
		[ -z "$vine_ca" ] || set -- "$@" --cacert "$vine_work/ca.pem"
		curl -sS --connect-timeout 10 --max-time 300 --retry 2 -o "$vine_to" "$@" < /dev/null
	else
		set -- "$1" ${3:+--post-data="$3"}
		[ -z "$vine_ca" ] || set -- "$@" --ca-certificate="$vine_work/ca.pem"
		wget -q -T 30 -O "$vine_to" "$@" < /dev/null
	fi
}

vine_digest()
{
	if vine_has sha256sum; then
		sha256sum "$1"
	else
		openssl dgst -sha256 -r "$1"
	fi | cut -d ' ' -f 1
}

# Whether so many KiB can be written beside this file.
vine_room()
{
	dd if=/dev/zero of="$1$vine_new" bs=1024 count="$2" 2> /dev/null ||
		vine_fail "$(dirname "$1"): no room for $2 KiB, or not writable: nothing was installed"
	rm -f "$1$vine_new"
}

vine_up()
{
	"$vine_bin" --status > /dev/null 2>&1
}

vine_start()
{
	if vine_systemd; then
		systemctl daemon-reload
		systemctl enable -q vine-tiny.service
		systemctl restart vine-tiny.service ||
			vine_say "vine-tiny doesn't start: see journalctl -u vine-tiny"
		return
	fi
	mkdir -p /run/vine
	: > "$vine_logfile"
	if vine_has setsid; then
		setsid "$vine_bin" --config "$vine_etc/tiny.conf" < /dev/null >> "$vine_logfile" 2>&1 &
	else
		nohup "$vine_bin" --config "$vine_etc/tiny.conf" < /dev/null >> "$vine_logfile" 2>&1 &
	fi
}

# Until it is up, or half a minute.
vine_wait()
{
	vine_left=${VINE_WAIT:-30}
	while ! vine_up; do
		[ "$vine_left" -gt 0 ] || return 1
		vine_left=$((vine_left - 1))
		sleep 1
	done
}

vine_where_log()
{
	if vine_systemd; then
		echo "journalctl -u vine-tiny"
	else
		echo "$vine_logfile"
	fi
}

# Of tiny.conf: the value of a key.
vine_value() { sed -n "s/^$1 = //p" "$vine_etc/tiny.conf"; }

vine_not_up()
{
	vine_fail "vine-tiny is installed and started, but has no way to its router yet
      ($(vine_value router)): do UDP or TCP to that port, or TLS to 443, get out from
      here? It goes on trying. What it says: $(vine_where_log). To undo all of it:
      vine-tiny --uninstall"
}

vine_there()
{
	vine_name=$(vine_value name)
	if vine_up; then
		vine_say "vine-tiny is here already and up, as '$vine_name': nothing was changed."
	else
		vine_say "vine-tiny is here already, as '$vine_name', but isn't up: starting it."
		vine_start
		vine_wait || vine_not_up
		vine_say "It is up now."
	fi
	vine_say "To take it off this VM: vine-tiny --uninstall"
	exit 0
}

# All that can be known beforehand.
vine_check()
{
	[ "$(id -u)" = 0 ] || vine_fail "this needs root: run the same command with 'sudo sh' at its end"
	[ "$(uname -s)" = Linux ] || vine_fail "this is not Linux"
	[ ! -e "$vine_etc/tiny.conf" ] || [ ! -x "$vine_bin" ] || vine_there
	case $(uname -m) in
	x86_64 | amd64) vine_arch=x86_64 vine_want=$vine_x86_64 ;;
	aarch64 | arm64) vine_arch=aarch64 vine_want=$vine_aarch64 ;;
	*) vine_fail "there is no vine-tiny for this kind of machine ($(uname -m)): x86_64 and aarch64" ;;
	esac
	[ -n "$vine_want" ] || vine_fail "this authority has no vine-tiny for $vine_arch: tell its administrator"
	vine_has curl || vine_has wget || vine_fail "neither curl nor wget is here: install one"
	vine_has sha256sum || vine_has openssl || vine_fail "neither sha256sum nor openssl is here: install one"
	if [ ! -c /dev/net/tun ]; then
		modprobe tun 2> /dev/null < /dev/null || :
		[ -c /dev/net/tun ] || vine_fail "there is no /dev/net/tun: load the kernel's module 'tun'
      (modprobe tun); a container needs that device and NET_ADMIN from its host"
	fi
}

vine_get_binary()
{
	mkdir -p "$(dirname "$vine_bin")" "$vine_etc" || vine_fail "nothing was installed"
	vine_room "$vine_bin" "$((${vine_want#* } / 1024 + 1))"
	vine_room "$vine_etc/tiny.conf" 64
	! vine_systemd || vine_room "$vine_unit" 64
	vine_fetch "$vine_binary/$vine_arch-${vine_want% *}" "$vine_bin$vine_new" ||
		vine_fail "the program could not be fetched: nothing was installed; try again"
	[ "$(vine_digest "$vine_bin$vine_new")" = "${vine_want% *}" ] ||
		vine_fail "the program that arrived is not the one that was promised (its digest is
      wrong): nothing was installed"
	chmod 755 "$vine_bin$vine_new"
	"$vine_bin$vine_new" --version > /dev/null 2>&1 ||
		vine_fail "the program doesn't run on this machine: nothing was installed"
}

# By this the authority knows this VM again, if its answer is lost.
vine_get_nonce()
{
	vine_noncefile=/run/vine-tiny.nonce
	[ -d /run ] || vine_noncefile=$vine_etc/.tiny.nonce
	[ -s "$vine_noncefile" ] || {
		rm -f "$vine_noncefile"
		od -An -N 24 -t x1 /dev/urandom | tr -d ' \n' > "$vine_noncefile"
	}
	vine_nonce=$(cat "$vine_noncefile")
	[ ${#vine_nonce} = 48 ] || vine_fail "$vine_noncefile can't be written: nothing was installed"
}

vine_section() { sed -n "/^== $1\$/,/^== /p" "$vine_work/answer" | sed '/^== /d'; }

vine_put()
{
	vine_section "$1" > "$vine_etc/$1$vine_new" && [ -s "$vine_etc/$1$vine_new" ] ||
		vine_fail "$vine_etc can't be written: nothing was installed; make room there and run
      this again within ten minutes"
	chmod "$2" "$vine_etc/$1$vine_new"
}

vine_get_identity()
{
	vine_own=$(ip -o route get "$vine_server" 2> /dev/null |
		sed -n 's/.* src \([0-9a-f.:]*\).*/\1/p' | head -n 1)
	vine_host=$(uname -n | tr 'A-Z' 'a-z' | sed 's/\..*//; s/[^a-z0-9-]/-/g; s/^-*//' | cut -c 1-40)
	vine_get_nonce
	vine_fetch "$vine_url" "$vine_work/answer" \
		"script=1&nonce=$vine_nonce&address=$vine_own&name=$vine_host" ||
		vine_fail "the authority can't be asked: nothing was installed; try again"
	case $(head -n 1 "$vine_work/answer") in
	'vine-tiny 1 '*) ;;
	'refused '*) vine_fail "$(sed -n '1s/^refused //p' "$vine_work/answer"): nothing was installed" ;;
	*) vine_fail "the authority's answer can't be understood: nothing was installed" ;;
	esac
	[ "$(tail -n 1 "$vine_work/answer")" = '== end' ] ||
		vine_fail "the authority's answer is incomplete: nothing was installed; run this again
      within ten minutes"
	vine_keys=$(sed -n 's/^== \(tiny.*\.key\)$/\1/p' "$vine_work/answer")
	vine_put tiny.conf 644
	for vine_key in $vine_keys; do
		vine_put "$vine_key" 600
	done
}

vine_put_unit()
{
	cat > "$vine_unit$vine_new" <<- END || vine_fail "$vine_unit can't be written: nothing was installed"
		# Made by the ViNe authority's script; vine-tiny --uninstall removes it.
		[Unit]
		Description=ViNe tiny: this VM in a virtual network
		After=network.target
		StartLimitIntervalSec=0

		[Service]
		Type=notify
		ExecStart=$vine_bin --config $vine_etc/tiny.conf
		Restart=on-failure
		RestartSec=1s
		RestartPreventExitStatus=2
		RuntimeDirectory=vine
		RuntimeDirectoryPreserve=yes
		CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW
		NoNewPrivileges=yes
		ProtectSystem=strict
		ProtectHome=yes
		PrivateTmp=yes
		LimitCORE=0

		[Install]
		WantedBy=multi-user.target
	END
	chmod 644 "$vine_unit$vine_new"
}

vine_install()
{
	! vine_systemd || vine_put_unit
	mv "$vine_bin$vine_new" "$vine_bin" || vine_fail "nothing was installed"
	for vine_key in $vine_keys; do
		mv "$vine_etc/$vine_key$vine_new" "$vine_etc/$vine_key"
	done
	! vine_systemd || mv "$vine_unit$vine_new" "$vine_unit"
	# The last one: without it nothing is there.
	mv "$vine_etc/tiny.conf$vine_new" "$vine_etc/tiny.conf"
	rm -f "$vine_noncefile"
}

vine_tell()
{
	vine_say "this VM is '$(vine_value name)' of VN '$vine_vn' now. What was done:"
	vine_say "  $vine_bin: the program"
	vine_say "  $vine_etc/tiny.conf, and its key beside it, which nobody else can read"
	if vine_systemd; then
		vine_say "  vine-tiny.service: runs it, now and after a reboot"
	else
		vine_say "  it runs, and writes to $vine_logfile; there is no systemd here, so to have it"
		vine_say "  after a reboot start it where this system starts things: vine-tiny &"
	fi
	vine_say "Packets to $(vine_value networks) go to the virtual network;"
	vine_say "everything else goes as it did before."
	vine_say "To undo all of it: vine-tiny --uninstall"
}

vine_main()
{
	[ "$1" = all ] || exit 1
	vine_whole=yes
	umask 077
	PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
	vine_bin=/usr/local/sbin/vine-tiny
	vine_etc=/etc/vine
	vine_unit=/etc/systemd/system/vine-tiny.service
	vine_logfile=/run/vine/tiny.log
	trap vine_end EXIT
	trap 'exit 1' HUP INT TERM
	vine_check
	vine_new=.new.$$
	vine_work=$(mktemp -d /run/vine-tiny.XXXXXX 2> /dev/null || mktemp -d) ||
		vine_fail "no temporary directory can be made: nothing was installed"
	printf '%s' "$vine_ca" > "$vine_work/ca.pem" ||
		vine_fail "$vine_work can't be written: nothing was installed"
	vine_get_binary
	vine_get_identity
	vine_vn=$(sed -n '1s/^vine-tiny 1 [^ ]* //p' "$vine_work/answer")
	vine_install
	vine_start
	vine_wait || vine_not_up
	vine_tell
}

vine_main all
