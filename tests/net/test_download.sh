#!/bin/bash
# VMs that download themselves into a VN, by the one command, with curl and with wget: what the
# script does, twice, without root, without TUN, with a full disk, cut off, with another program
# than was promised; who is refused; many at once for one place. The program is one that only
# says that it is up; test_tiny.sh has the real one.
. "$(dirname "$0")/lib.sh"
. "$here/authority.sh"
setup
AUTHORITY=auth # a is a VM
AT=192.0.2.1
URL=https://$AT:$PORT
DIR=$WORK/authority
BIN=$WORK/binaries

# machine NAME N: a VM at 203.0.113.(4N+2), with a file system of its own where it matters.
machine()
{
	local name=$1 n=$2
	node "$name" && cable "$name" eth0 auth "to$name" &&
		address "$name" eth0 "203.0.113.$((4 * n + 2))/30" &&
		address auth "to$name" "203.0.113.$((4 * n + 1))/30" &&
		ip -n "$(ns "$name")" route add default via "203.0.113.$((4 * n + 1))" || return
	mkdir -p "$WORK/$name/sbin" "$WORK/$name/run" && cp -a /etc "$WORK/$name/etc" &&
		rm -rf "$WORK/$name/etc/vine" "$WORK/$name/etc/systemd/system/vine-tiny.service"
}
node auth
address auth lo $AT/32
check "VMs" eval 'machine a 1 && machine b 2 && machine c 3 && machine d 4 && machine far 20'

# inside VM SETUP COMMAND...: with its own /etc, /run and /usr/local/sbin, after SETUP.
inside()
{
	local name=$1 prepare=$2
	shift 2
	on "$name" env W="$WORK/$name" PREPARE="$prepare" unshare -m sh -c '
		mount --make-rprivate / && mount --bind "$W/sbin" /usr/local/sbin &&
		mount --bind "$W/etc" /etc && mount --bind "$W/run" /run || exit 99
		eval "$PREPARE" || exit 99
		exec "$@"' sh "$@"
}

# The routers are there in the registry only: they are never silent (that would be no choice).
# A program of some size, which is up as soon as it is started.
program()
{
	cat <<- 'END'
		#!/bin/sh
		case $1 in
		--version) echo "vine-tiny 0" ;;
		--status) [ -e /run/up ] ;;
		--config) grep -q '^\[tiny\]' "$2" && touch /run/up ;;
		*) exit 2 ;;
		esac
		exit
	END
	head -c 300000 /dev/zero | tr '\0' '#'
}

configured()
{
	mkdir -p "$BIN" && program > "$BIN/vine-tiny-x86_64" && program > "$BIN/vine-tiny-aarch64" &&
		sed -i "s/^listen.*/listen = 0.0.0.0:$PORT/" "$DIR/authority.conf" &&
		printf '[download]\nranges = %s\nbinaries = %s\nhttp = %s:8080\n[routers]\nsilence = 1h\n' \
			"$WORK/ranges.conf" \
			"$BIN" $AT >> "$DIR/authority.conf" &&
		cat > "$WORK/ranges.conf" <<- END
			[range near]
			provider = cloud
			site = s1
			prefixes = 203.0.113.0/26
			local = 203.0.113.4/30
			[range own]
			provider = cloud
			prefixes = 203.0.113.16/30
			exclusive = yes
			vn = v
			owner = admin
		END
}
check "init" authority_begin
check "ranges and programs" configured
printf '[range x]\nprovider = A\nexclusive = yes\n' > "$WORK/wrong.conf"
sed "s|^ranges.*|ranges = $WORK/wrong.conf|" "$DIR/authority.conf" > "$DIR/wrong.conf"
wrong_ranges()
{
	on auth timeout 20 "$BUILD/vine-authority" serve --config "$DIR/wrong.conf" 2> "$WORK/err"
}
check_fails "wrong ranges: it doesn't serve" wrong_ranges
is "... and all that is wrong is said" "$(grep -c "^$WORK/wrong.conf:" "$WORK/err")" 3
check "serve" serve

routers()
{
	local i
	for i in 1 2; do
		as admin site add "s$i" --admins admin &&
			as "r$i" register router "r$i" --token "$(as admin token create router --site "s$i")" \
				--endpoint "198.51.100.$i:8463" || return
	done
	as admin vn create v
}
check "two routers, a VN" routers
invite()
{
	as admin tiny invite --vn v "$@"
}
# The first command of an invitation, without sudo; the second has wget.
command_of()
{
	sed -n "${1:-1}s/| sudo sh/| sh/p" "$WORK/invitation"
}
tinies()
{
	as admin --json tiny list | jq -r "$1"
}
installed()
{
	find "$WORK/$1/sbin" "$WORK/$1/etc/vine" -type f 2> /dev/null | wc -l
}
# runs VM SETUP [SHELL]: the script from $WORK/script.
runs()
{
	inside "$1" "$2" "${3:-sh}" < "$WORK/script" > "$WORK/out" 2>&1
}
# says TEXT VM SETUP [SHELL]: it fails with this text, and nothing is installed.
says()
{
	local text=$1
	shift
	! runs "$@" && cat "$WORK/out" && grep -q -e "$text" "$WORK/out" && [ "$(installed "$1")" = 0 ]
}
fetched()
{
	on "$1" curl -sSk "$URL/tiny/$token" > "$WORK/script"
}

# ---- One command -------------------------------------------------------------

invite --count 4 > "$WORK/invitation"
token=$(sed -n '1s|.*/tiny/\([0-9a-f]*\) .*|\1|p' "$WORK/invitation")
note "$(head -n 1 "$WORK/invitation")"
check "the command, with curl" inside a : sh -c "$(command_of 1) > '$WORK/out' 2>&1"
diagnose cat "$WORK/out"
check "... says what it did, and how to undo it" \
	eval 'grep -q "of VN .v. now" "$WORK/out" && grep -q "vine-tiny --uninstall" "$WORK/out"'
is "the VM is a member, at the router that is near" \
	"$(tinies '.tinies[] | "\(.vns[0]) \(.router) \(.addresses[0]) \(.source) \(.range)"')" \
	"v r1 203.0.113.6 203.0.113.6 near"
is "keys are the owner's alone" "$(stat -c %a "$WORK/a/etc/vine/"*.key | sort -u)" 600
is "two routers, two keys" "$(cat "$WORK/a/etc/vine/"*.key | sort -u | wc -l)" 2
is "its configuration" "$(grep -E '^(id|router|router-id|networks|local|key-file)' \
	"$WORK/a/etc/vine/tiny.conf" | tr '\n' ';')" \
	"id = 3;router = 198.51.100.1:8463, 198.51.100.2:8463;router-id = 1, 2;networks = \
172.16.0.0/12;local = 203.0.113.4/30;key-file = /etc/vine/tiny.key, /etc/vine/tiny-2.key;"
cp "$WORK/a/etc/vine/tiny.key" "$WORK/key"
check "again: it is there already" inside a : sh -c "$(command_of 1) > '$WORK/out' 2>&1"
check "... and nothing was changed" \
	eval 'grep -q "here already and up" "$WORK/out" && cmp "$WORK/key" "$WORK/a/etc/vine/tiny.key"'
is "... nor was there another VM" "$(tinies '.tinies | length')" 1
without_curl='mount --bind /dev/null "$(command -v curl)"'
check "the command, with wget" inside b "$without_curl" sh -c "$(command_of 2) > '$WORK/out' 2>&1"
diagnose cat "$WORK/out"
is "two VMs, two identities" "$(tinies '[.tinies[].id] | unique | length')" 2

# ---- What can be in the way -----------------------------------------------------

check "the script" fetched c
as_nobody='exec setpriv --reuid 65534 --regid 65534 --clear-groups sh'
check "not root" says 'needs root' c "$as_nobody"
check "no TUN" says 'no /dev/net/tun' c 'mount -t tmpfs none /dev/net'
check "a full disk: no room for the program" says 'no room for' c \
	'mount -t tmpfs -o size=64k none /usr/local/sbin'
check "... for the configuration" says 'no room for' c \
	'mkdir -p /etc/vine && mount -t tmpfs -o size=32k none /etc/vine'
rmdir "$WORK/c/etc/vine" 2> /dev/null
check "neither curl nor wget" says 'neither curl nor wget' c \
	"$without_curl"'; mount --bind /dev/null "$(command -v wget)"'
cp "$WORK/script" "$WORK/whole"
cut_off()
{
	local size n shell first
	size=$(stat -c %s "$WORK/whole")
	first=$(head -n 1 "$WORK/whole" | wc -c)
	for shell in dash bash; do
		for n in $((first - 1)) "$first" $((first + 1)) 250 400 1000 3000 $((size / 2)) $((size - 200)) \
			$((size - 12)) $((size - 3)); do
			head -c "$n" "$WORK/whole" > "$WORK/script"
			says 'not arrived whole' c : $shell || {
				echo "after $n bytes, with $shell"
				return 1
			}
		done
	done
}
# In the first line, of which a part is no command: the shell says that it ends unexpectedly.
cut_off_at_once()
{
	inside c : sh -c 'for shell in dash bash; do
		first=$(head -n 1 "$1" | wc -c)
		for n in $(seq $((first - 2))); do
			! said=$(head -c "$n" "$1" | $shell 2>&1) || exit
			case $said in
			*"end of file"* | *newline*) ;;
			*) echo "after $n bytes, with $shell: $said"; exit 1 ;;
			esac
		done
	done' sh "$WORK/whole" && [ "$(installed c)" = 0 ]
}
check "cut off in its first line" cut_off_at_once
check "cut off anywhere" cut_off
cp "$WORK/whole" "$WORK/script"
is "none of these used anything up" "$(tinies '.tinies | length')" 2
another_program()
{
	echo '# another one' >> "$BIN/vine-tiny-x86_64" && echo '#' >> "$BIN/vine-tiny-aarch64" &&
		kill -HUP "$authority" && wait_for 10 grep -q 'were read again' "$WORK/serve.log" &&
		wait_for 10 grep -q 'programs, were read again' "$WORK/serve.log"
}
check "the authority has another program" another_program
check "another program than was promised" says 'its digest is' c :
check "... the script again" fetched c
check "the authority gone in between" eval 'kill -STOP "$authority"; sed -i "s/max-time 300/max-time 2/; s/--retry 2/--retry 0/" "$WORK/script"
	says "could not be fetched" c :; r=$?; kill -CONT "$authority"; [ $r = 0 ]'
check "... the script again" fetched c
fake_systemd()
{
	mkdir -p "$WORK/c/run/systemd/system" &&
		cat > "$WORK/c/sbin/systemctl" <<- 'END' && chmod 755 "$WORK/c/sbin/systemctl"
			#!/bin/sh
			echo "$@" >> /run/systemctl.log
			[ "$1" != restart ] || touch /run/up
		END
}
check "with systemd" eval 'fake_systemd && runs c :'
diagnose cat "$WORK/out"
check "... it is a service" eval 'grep -q "^ExecStart=/usr/local/sbin/vine-tiny" \
	"$WORK/c/etc/systemd/system/vine-tiny.service" && grep -q "^enable -q vine-tiny" "$WORK/c/run/systemctl.log"'
check "no temporary files" eval \
	'! find "$WORK"/[abc]/sbin "$WORK"/[abc]/etc/vine "$WORK"/[abc]/run -name "*.new.*" -o -name "vine-tiny.*" | grep .'

# ---- Who is refused -----------------------------------------------------------

# answer VM METHOD TOKEN [BODY]: status, and the words.
answer()
{
	on "$1" curl -sSk -X "$2" ${4:+--data "$4"} -o "$WORK/answer" -w '%{http_code}' "$URL/tiny/$3"
	echo " $(tr '\n' ' ' < "$WORK/answer")"
}
check "outside of all ranges" eval '[[ $(answer far GET "$token") == "403 "*"in no range"* ]]'
check "no token" eval '[[ $(answer a GET join) == "403 "*"without a token"* ]]'
check "an unknown token" eval '[[ $(answer a GET "${token//[0-9]/0}") == "403 "*"no such token"* ]]'
check "another address than the range's VMs have" eval \
	'[[ $(answer a POST "$token" "nonce=0123456789abcdef&address=8.8.8.8") == "403 "* ]]'
is "the token has one place left" "$(as admin --json tiny list | jq '.tinies | length')" 3
lost()
{
	answer d POST "$token" "nonce=0123456789abcdef01&name=x" > "$WORK/first" &&
		answer d POST "$token" "nonce=0123456789abcdef01&name=x" > "$WORK/second" &&
		[ "$(grep -o ' id = [0-9]*' "$WORK/first")" = "$(grep -o ' id = [0-9]*' "$WORK/second")" ] &&
		grep -q '^200 ' "$WORK/second" && ! cmp -s "$WORK/first" "$WORK/second"
}
check "an answer that was lost: the same identity, with another key" lost
check "used up" eval '[[ $(answer b GET "$token") == "403 "*"used up"* ]]'
check "with a token for anywhere" eval \
	'invite --anywhere yes > "$WORK/invitation" && inside far : sh -c "$(command_of 1)"'
many()
{
	local i n=0 pids=()
	invite --anywhere yes > "$WORK/invitation"
	token=$(sed -n '1s|.*/tiny/\([0-9a-f]*\) .*|\1|p' "$WORK/invitation")
	for i in {1..12}; do
		on far curl -sSk --data "nonce=0123456789abcdef$i$i&address=10.9.0.$i" -o "$WORK/many.$i" \
			"$URL/tiny/$token" &
		pids+=($!)
	done
	wait "${pids[@]}"
	for i in {1..12}; do
		! grep -q '^== end' "$WORK/many.$i" || n=$((n + 1))
	done
	[ $n = 1 ] && [ "$(tinies '[.tinies[] | select(.source == "203.0.113.82")] | length')" = 2 ]
}
check "many at once for one place: one gets it" many
check "the administrator makes room" as admin tiny revoke x
check "without TLS, where that is wanted" eval \
	'[[ $(on a curl -sS "http://$AT:8080/tiny/$token") == *"used up"* ]]'
without_tls()
{
	invite --anywhere yes > "$WORK/invitation" && rm -rf "$WORK/far/etc/vine" &&
		as admin tiny revoke "$(tinies '.tinies[] | select(.revoked == false and
			.source == "203.0.113.82" and .addresses[0] == .source) | .name')" &&
		inside far : sh -c "$(command_of 1 |
			sed "s|curl.*/tiny/|curl -sS http://$AT:8080/tiny/|")" > "$WORK/out" 2>&1 &&
		grep -q 'What was done' "$WORK/out"
}
check "... a whole VM" without_tls
diagnose cat "$WORK/out"
check "... and nothing else" eval '[[ $(on a curl -sS "http://$AT:8080/v1/vns") == *"nothing but"* ]]'
check "an exclusive range needs no token" eval \
	'on d curl -sSk "$URL/tiny/join" > "$WORK/script" && runs d :'
diagnose cat "$WORK/out"
is "... and says the VN" "$(tinies '.tinies[] | select(.range == "own" and .revoked == false) | .vns[0]')" v
flood()
{
	on b bash -c "for i in {1..400}; do echo 'url=$URL/tiny/x'; done | curl -sSk -Z -K - -o /dev/null \
		-w '%{http_code}\n'" 2> /dev/null | sort | uniq -c
}
check "so many requests of one address at once" eval 'flood | tee "$WORK/out" | grep -q " 429"'
check "... another one is served" eval '[[ $(answer a GET "$token") == "403 "* ]]'

# ---- Out again -----------------------------------------------------------------

name=$(tinies '.tinies[] | select(.source == "203.0.113.6") | .name')
check "revoked" as admin tiny revoke "$name"
is "... no member any more" \
	"$(as admin --json vn show v | jq --arg n "$name" '[.hosts[] | select(.name == $n)] | length')" 0
check "all of it is in the audit log" eval \
	'as admin --json audit | jq -e "[.audit[] | select(.operation == \"tiny-join\" and .allowed)] | length >= 5" > "$WORK/out"'

finish
