# Sourced after lib.sh: an authority on a machine of its own in the Internet, and routers that
# have their tables from it. authority_node comes after internet.

AT=203.0.113.2
PORT=8464
URL=https://$AT:$PORT

# authority_node, authority_begin: the machine, and what init makes; the administrator is `admin`.
authority_node()
{
	DIR=$WORK/authority
	node a && cable a wan net toa && address a wan $AT/30 && address net toa 203.0.113.1/30 &&
		ip -n "$(ns a)" route add default via 203.0.113.1
}

authority_begin()
{
	on a "$BUILD/vine-authority" init --name $AT --directory "$DIR" &&
		sed -i "s/^listen.*/listen = $AT:$PORT/" "$DIR/authority.conf" &&
		cp -r "$DIR/admin" "$WORK/id-admin"
}

up_or_gone()
{
	gone "$1" || tail -n +"$2" "$WORK/serve.log" | grep -q ' is up: '
}

# serve [DIRECTORY]: returns when the authority is up.
serve()
{
	local from
	touch "$WORK/serve.log"
	from=$(($(wc -l < "$WORK/serve.log") + 1))
	spawn serve a "$BUILD/vine-authority" serve --config "${1:-$DIR}/authority.conf"
	authority=$spawned
	wait_for 20 up_or_gone "$spawned" "$from" && alive "$spawned"
}

# as WHO VERB...: vinectl with the identity of that name.
as()
{
	local who=$1
	shift
	on a "$BUILD/vinectl" --authority "$URL" --identity "$WORK/id-$who" "$@"
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
