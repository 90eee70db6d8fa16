# Sourced after lib.sh: sites behind firewalls, and what happens to firewalls.
#
#   h4 --- gw4 --- fw4 ---+          +--- gw1 --- h1   (the queue router's)
#                         +--- net ---+
#   h3 --- gw3 -----------+          +--- crowd        (outsiders)
#
# walled_site I KIND makes site I; firewall fwI is a machine of its own, which the site's
# gateway knows nothing of. What a firewall does not let through it drops and says
# nothing. KIND is one of:
#
#   public      no firewall: a site of lib.sh
#   nat         port-restricted: mappings don't depend on the destination, only who was
#               written to from a mapping gets in by it
#   symmetric   the same, but each destination has a mapping of its own
#   no-udp      nat without UDP
#   only-443    nat for nothing but TCP to port 443
#   proxy       nothing but an HTTP proxy on the firewall, for CONNECT to port 443
#   proxy-auth  the same, and the proxy wants a password
#
# Outside, walled sites have IPv4 alone. What a test of the routers says in router.conf,
# and reads from vinectl, is in one function each, below.

KINDS="public nat symmetric no-udp only-443 proxy proxy-auth"
PROXY_PORT=8888
PROXY_USER=vine PROXY_PASSWORD=secret

declare -A KIND   # of site I
declare -A PORTS  # of the mappings of its firewall, "": those of the senders
declare -A MOVED  # yes: its address is the other one
declare -A INSIDE # last byte of its gateway's address there; nothing: 2

inside4() { echo "10.64.$1"; } # between gateway and firewall, without the last byte
outer() { if [ "${KIND[$1]}" = public ]; then echo "gw$1"; else echo "fw$1"; fi; }

# first_wan4 I: the address at the start, which configurations name. other_wan4 I.
first_wan4() { echo "198.51.100.$((4 * $1 + ${2:-2}))"; }
other_wan4() { echo "203.0.113.$((4 * $1 + ${2:-2}))"; }

# ---- Sites ------------------------------------------------------------------

# walled_site I KIND [HOST=NUMBER...]
walled_site()
{
	local i=$1
	KIND[$i]=$2
	shift 2
	if [ "${KIND[$i]}" = public ]; then
		site "$i" "$@" || return
	else
		sites+=("$i")
		node "fw$i" forward && node "gw$i" forward &&
			cable "fw$i" wan net "to$i" && cable "gw$i" wan "fw$i" inside &&
			address "fw$i" wan "$(first_wan4 "$i")/30" &&
			address net "to$i" "$(first_wan4 "$i" 1)/30" &&
			address "fw$i" inside "$(inside4 "$i").1/29" &&
			address "gw$i" wan "$(inside4 "$i").2/29" &&
			ip -n "$(ns "fw$i")" route add default via "$(first_wan4 "$i" 1)" &&
			ip -n "$(ns "gw$i")" route add default via "$(inside4 "$i").1" &&
			lan "$i" "$@" && wall "$i" || return
	fi
	address net "to$i" "$(other_wan4 "$i" 1)/30" || return
	[[ ${KIND[$i]} != proxy* ]] || start_proxy "$i"
}

# What netcheck has to find of each, of: udp tcp tls proxy.
declare -A LETS_OUT=([public]="udp tcp tls" [nat]="udp tcp tls" [symmetric]="udp tcp tls"
	[no-udp]="tcp tls" [only-443]="tls" [proxy]="proxy" [proxy-auth]="proxy")

# passing KIND, answering KIND, mapping KIND: of a new connection from inside, what goes
# through, what the firewall itself takes, and whose ports it has outside.
passing()
{
	case $1 in
	nat | symmetric) echo accept ;;
	no-udp) echo "meta l4proto != udp accept" ;;
	only-443) echo "tcp dport 443 accept" ;;
	proxy*) echo drop ;;
	esac
}

answering()
{
	case $1 in
	proxy*) echo "tcp dport $PROXY_PORT accept" ;;
	*) echo "icmp type echo-request accept" ;;
	esac
}

mapping()
{
	if [ "$1" = symmetric ]; then
		echo "masquerade random,fully-random"
	elif [ -n "$2" ]; then
		echo "meta l4proto { tcp, udp } masquerade to :$2"
	else
		echo masquerade
	fi
}

# wall I: the rules of its firewall, in place of those that are there. What comes
# unasked leaves no trace: were it taken for a connection of the firewall's own, then
# the mapping of whoever writes back could not have the same port.
wall()
{
	local k=${KIND[$1]}
	on "fw$1" nft -f - <<- END
		add table ip firewall
		delete table ip firewall
		table ip firewall {
			chain own {
				type filter hook input priority 0; policy drop;
				ct state established,related accept
				iifname "inside" $(answering "$k")
			}
			chain through {
				type filter hook forward priority 0; policy drop;
				ct state established,related accept
				ct state invalid drop
				iifname "inside" $(passing "$k")
			}
			chain mapped {
				type nat hook postrouting priority 100;
				oifname "wan" $(mapping "$k" "${PORTS[$1]:-}")
			}
		}
	END
}

# proxy_url I [USER:PASSWORD@]
proxy_url()
{
	echo "http://${2:-}$(inside4 "$1").1:$PROXY_PORT"
}

# start_proxy I: on the firewall, for its inside.
start_proxy()
{
	{
		cat <<- END
			Port $PROXY_PORT
			Listen $(inside4 "$1").1
			MaxClients 100
			Timeout 600
			LogLevel Connect
			ConnectPort 443
		END
		[ "${KIND[$1]}" != proxy-auth ] || echo "BasicAuth $PROXY_USER $PROXY_PASSWORD"
	} > "$WORK/proxy-$1.conf"
	spawn "proxy-$1" "fw$1" tinyproxy -d -c "$WORK/proxy-$1.conf"
	wait_for 5 listening "fw$1" "$PROXY_PORT"
}

# outsider NAME K: a machine on the Internet with 32 addresses, 192.0.2.(64K+2) and on.
outsider()
{
	local i
	node "$1" && cable "$1" eth0 net "to-$1" &&
		address net "to-$1" "192.0.2.$((64 * $2 + 1))/26" || return
	for i in {2..33}; do
		address "$1" eth0 "192.0.2.$((64 * $2 + i))/26" || return
	done
	ip -n "$(ns "$1")" route add default via "192.0.2.$((64 * $2 + 1))"
}

# ---- What happens to them ---------------------------------------------------

# forget I: its firewall forgets all connections, as if it had been switched off and on.
# Senders whose ports are kept have the same mappings as before.
forget()
{
	on "fw$1" conntrack -F 2> /dev/null
}

# rebind I: the same, and whatever goes on gets another port, of a range that no mapping
# before had. (Symmetric ones get another one anyway.)
rebind()
{
	if [ "${PORTS[$1]:-}" = 30000-39999 ]; then
		PORTS[$1]=40000-49999
	else
		PORTS[$1]=30000-39999
	fi
	wall "$1" && forget "$1"
}

# move I: its public address is another one from now on (and by the next call the first
# again); what was sent to the old one is lost. Mappings go with the address that they had,
# once: the kernel sees to that.
move()
{
	local from to via
	if [ -n "${MOVED[$1]:-}" ]; then
		from=$(other_wan4 "$1") to=$(first_wan4 "$1") via=$(first_wan4 "$1" 1) MOVED[$1]=
	else
		from=$(first_wan4 "$1") to=$(other_wan4 "$1") via=$(other_wan4 "$1" 1) MOVED[$1]=yes
	fi
	exchange "$(outer "$1")" "$from/30" "$to/30" "$via"
}

# readdress I: its gateway has another address behind its firewall, which so gives it other
# mappings.
readdress()
{
	local from=${INSIDE[$1]:-2}
	INSIDE[$1]=$((5 - from))
	exchange "gw$1" "$(inside4 "$1").$from/29" "$(inside4 "$1").${INSIDE[$1]}/29" \
		"$(inside4 "$1").1"
}

# exchange NODE ADDRESS/LENGTH ADDRESS/LENGTH VIA: the address outside, and the default
# route, which goes with it.
exchange()
{
	local n
	n=$(ns "$1")
	ip -n "$n" addr del "$2" dev wan && ip -n "$n" addr add "$3" dev wan &&
		ip -n "$n" route replace default via "$4"
}

# cut_off I: the Internet drops what goes to site I or comes from it, silently.
# cut_between I J: what they send each other directly. reconnect: all is well again.
cut_off()
{
	cut_by "iifname \"to$1\" drop; oifname \"to$1\" drop"
}

cut_between()
{
	local a b
	a="{ $(first_wan4 "$1"), $(other_wan4 "$1") }"
	b="{ $(first_wan4 "$2"), $(other_wan4 "$2") }"
	cut_by "ip saddr $a ip daddr $b drop; ip saddr $b ip daddr $a drop"
}

cut_by()
{
	on net nft -f - <<- END
		table ip cuts {
			chain through { type filter hook forward priority 0; $1; }
		}
	END
}

reconnect()
{
	on net nft delete table ip cuts
}

# ---- Their routers' configuration -------------------------------------------

QUEUE_ROUTERS="1" # sites, the first choice first
MODE=             # of the limited routers; nothing: not named
INTERVAL=         # of polls
QUEUE_BYTES=      # of a limited router's queue; nothing: not named

is_queue_router() { [[ " $QUEUE_ROUTERS " == *" $1 "* ]]; }
is_limited() { [ "${KIND[$1]}" != public ]; }

queue_router_names()
{
	local i names=
	for i in $QUEUE_ROUTERS; do
		names+="${names:+, }$(name_of "$i")"
	done
	echo "$names"
}

# In place of lib.sh's. Who is limited says nothing of how it is reached, nor others of
# how to reach it but for its queue routers; all else is to be found out.
listen_of()
{
	echo "udp = 0.0.0.0:8463, [::]:8463"
	is_limited "$1" || echo "tcp = 0.0.0.0:8463, [::]:8463"
	! is_queue_router "$1" || echo "tls = 0.0.0.0:443"
}

reach_of()
{
	is_limited "$2" || printf 'endpoint = %s:8463\nprotocol = auto\n' "$(first_wan4 "$2")"
	if is_queue_router "$1"; then
		echo "relay = yes"
	elif ! is_queue_router "$2"; then
		echo "queue-routers = $(queue_router_names)"
	fi
}

sections_of()
{
	if is_limited "$1"; then
		printf '\n[limited]\nqueue-routers = %s\n' "$(queue_router_names)"
		[ -z "$MODE" ] || echo "mode = $MODE"
		[ -z "$INTERVAL" ] || echo "interval = $INTERVAL"
	fi
	[ "${KIND[$1]}" != proxy-auth ] ||
		printf '\n[proxy]\nurl = %s\n' "$(proxy_url "$1" "$PROXY_USER:$PROXY_PASSWORD@")"
	[ -z "$QUEUE_BYTES" ] || ! is_queue_router "$1" ||
		printf '\n[queue]\nbytes = %s\n' "$QUEUE_BYTES"
}

# configure_walled I [KEY=VALUE...]: configure of lib.sh, for any kind of site. The proxy
# without a password is found in the environment.
configure_walled()
{
	local i=$1
	shift
	if [ "${KIND[$i]}" = proxy ]; then
		ENVIRONMENT[$i]="http_proxy=$(proxy_url "$i") https_proxy=$(proxy_url "$i")"
	fi
	configure "$i" more="$(sections_of "$i")" "$@"
}

# ---- What the routers say ---------------------------------------------------

# way_to I J: how router I sends to its peer J: "direct udp", "relay q1", "none".
way_to()
{
	ctl "$1" show links | jq -r --arg n "$(name_of "$2")" '.links[] | select(.peer == $n) |
		.paths[0] // {transport: "none"} |
		if .transport == "relay" then "relay \(.via)"
		elif .transport == "none" then "none"
		else "direct \(.transport)" end'
}

# tried I J: a line for each way that router I tried: "direct: failed: no answer in 3 s".
tried()
{
	ctl "$1" show links | jq -r --arg n "$(name_of "$2")" '.links[] | select(.peer == $n) |
		.ways[]? | "\(.way): \(.state): \(.reason // "-")"'
}

goes_directly() { [[ $(way_to "$1" "$2") == "direct "* ]]; }
goes_by_relay() { [[ $(way_to "$1" "$2") == "relay "* ]]; }
goes_via() { [ "$(way_to "$1" "$2")" = "relay $(name_of "$3")" ]; }

# linked I J: does router I hear its peer J?
linked()
{
	[ "$(peer "$1" "$2" .up)" = true ]
}

# all_linked: has each router its link to each of its queue routers?
all_linked()
{
	local i q
	for i in "${sites[@]}"; do
		for q in $QUEUE_ROUTERS; do
			[ "$i" = "$q" ] || linked "$i" "$q" || return
		done
	done
}

# let_out I: what netcheck finds that its site's firewall lets out, of: udp tcp tls proxy.
let_out()
{
	ctl "$1" netcheck |
		jq -r '[("udp", "tcp", "tls", "proxy") as $k | select(.[$k].works) | $k] | join(" ")'
}
