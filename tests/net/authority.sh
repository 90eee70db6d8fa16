# Sourced after lib.sh: an authority, and routers that have their tables from it.
#
# A test may set otherwise, after this is sourced: AUTHORITY, the machine that it is on; AT, where
# it listens, and URL, where it is asked (several are separated by commas); DIR, its directory;
# OVERLAY, what its routers intercept.

AUTHORITY=a
AT=203.0.113.2
PORT=8464
URL=https://$AT:$PORT
PROBLEM=application/problem+json
declare -A process

# authority_node: a machine of its own in the Internet; comes after internet.
authority_node()
{
	DIR=$WORK/authority
	node "$AUTHORITY" && cable "$AUTHORITY" wan net toa && address "$AUTHORITY" wan $AT/30 &&
		address net toa 203.0.113.1/30 &&
		ip -n "$(ns "$AUTHORITY")" route add default via 203.0.113.1
}

# authority_alone: a machine without any network.
authority_alone()
{
	AT=127.0.0.1 URL=https://127.0.0.1:$PORT DIR=$WORK/authority
	node "$AUTHORITY"
}

# authority_begin [OPTION...]: what init makes; the administrator is `admin`.
authority_begin()
{
	on "$AUTHORITY" "$BUILD/vine-authority" init --name $AT --directory "$DIR" "$@" \
		> "$WORK/init" && sed -i "s/^listen.*/listen = $AT:$PORT/" "$DIR/authority.conf" &&
		rm -rf "$WORK/id-admin" && cp -r "$DIR/admin" "$WORK/id-admin"
}

up_or_gone()
{
	gone "$1" || tail -n +"$3" "$2" | grep -q ' is up: '
}

# serve [FILE [NAME]]: returns when it is up; its pid is in $authority, its log in NAME.log.
serve()
{
	local name=${2:-serve} from
	touch "$WORK/$name.log"
	from=$(($(wc -l < "$WORK/$name.log") + 1))
	spawn "$name" "$AUTHORITY" "$BUILD/vine-authority" serve --config "${1:-$DIR/authority.conf}"
	authority=$spawned
	wait_for 20 up_or_gone "$authority" "$WORK/$name.log" "$from" && alive "$authority"
}

# configure_at PORT: $DIR/PORT.conf, of one process among several.
configure_at()
{
	sed "s/^listen.*/listen = $AT:$1/" "$DIR/authority.conf" > "$DIR/$1.conf"
}

# serve_at PORT: that process; its pid is in ${process[PORT]}, its log in serve-PORT.log.
serve_at()
{
	local result=0
	serve "$DIR/$1.conf" "serve-$1" || result=1
	process[$1]=$authority
	return $result
}

# serve_etcd: a store for several of them, on their machine.
serve_etcd()
{
	spawn etcd "$AUTHORITY" etcd --data-dir "$WORK/etcd" --log-level error \
		--max-txn-ops 8192 --max-request-bytes 16777216 \
		--listen-client-urls http://127.0.0.1:2379 \
		--advertise-client-urls http://127.0.0.1:2379 \
		--listen-peer-urls http://127.0.0.1:2380
	wait_for 30 on "$AUTHORITY" curl -sf http://127.0.0.1:2379/health
}

# as WHO VERB...: vinectl with the identity of that name.
as()
{
	local who=$1
	shift
	on "$AUTHORITY" "$BUILD/vinectl" --authority "$URL" --identity "$WORK/id-$who" "$@"
}

# status WHO METHOD PATH [BODY]: of HTTP; the answer is in $WORK/answer. WHO -: nobody.
status()
{
	local who=() body=()
	[ "$1" = - ] || who=(--cert "$WORK/id-$1/certificate.pem" --key "$WORK/id-$1/key.pem")
	[ $# -lt 4 ] || body=(--data-binary "$4")
	on "$AUTHORITY" curl -sS --cacert "$WORK/id-admin/ca.pem" "${who[@]}" "${body[@]}" -X "$2" \
		-o "$WORK/answer" -w '%{http_code} %{content_type}' "$URL$3" 2>&1
}

# current: whether all routers run what there is, as the process that has them says.
current()
{
	[ "$(as admin --json router list | jq -r '[.routers[].state] | unique | join(" ")')" = current ]
}

# configure_given I [TEXT [MORE]]: all that a router needs, and where the test finds it; text of
# [authority], of [router]. What is intercepted is OVERLAY, or the virtual addresses.
configure_given()
{
	mkdir -p "$WORK/r$1"
	cat > "$(conf "$1")" <<- END
		[router]
		name = r$1
		control = $WORK/r$1/sock
		workers = 1
		metrics = 127.0.0.1:9463
		${3:-}
		[intercept]
		networks = ${OVERLAY:-172.16.0.0/12}
		[listen]
		udp = 0.0.0.0:8463
		tcp = 0.0.0.0:8463
		[authority]
		identity = $WORK/r$1/identity
		state = $WORK/r$1
		${2:-}
	END
}

# enroll I [OPTION...]: as its gateway would. Without options it has an endpoint.
enroll()
{
	local i=$1
	shift
	[ $# -gt 0 ] || set -- --endpoint "$(wan4 "$i"):8463"
	on "gw$i" "$BUILD/vinectl" --authority "$URL" --identity "$WORK/r$i/identity" register router \
		"r$i" --token "$(as admin token create router --site "s$i")" "$@" > "$WORK/enrolled"
}

# of I FILTER: what router I says of the authority, through jq.
of()
{
	ctl "$1" show authority | jq -r "$2"
}

# says I FILTER VALUE
says()
{
	[ "$(of "$1" "$2")" = "$3" ]
}

reach()
{
	on "$1" ping -n -q -c 1 -W 1 "$2"
}

no_reach()
{
	! reach "$1" "$2"
}
