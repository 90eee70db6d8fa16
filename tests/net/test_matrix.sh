#!/bin/bash
# Every kind of site reaches every kind: a site behind each firewall on either side, one
# public queue router between them, and nothing configured but its endpoint and key, and
# the proxy where there is one.
#   CELLS="nat:symmetric proxy:public"   these, from:to (default: a short selection)
#   CELLS=all                            7 by 7
# A cell: the first packets of the first site's host get through to the second's, a flood
# of pings loses nothing, iperf3 runs both ways, and the way that the routers say they use is one
# that the firewalls leave them. All cells are of one topology; a table ends the run.
# takes 70 s
. "$(dirname "$0")/lib.sh"
. "$here/firewall.sh"
setup
SHORT="public:nat nat:nat nat:symmetric symmetric:no-udp no-udp:public only-443:nat
	proxy:proxy-auth proxy-auth:symmetric"
CELLS=${CELLS:-$SHORT}
if [ "$CELLS" = all ]; then
	CELLS=
	for from in $KINDS; do for to in $KINDS; do CELLS+=" $from:$to"; done; done
fi
NAME[1]=queue

# The sites 2, 4, ... are where cells begin, 3, 5, ... where they lead to.
declare -A from_site to_site
i=2
for kind in $KINDS; do
	from_site[$kind]=$i
	to_site[$kind]=$((i + 1))
	i=$((i + 2))
done

# Even and odd ones know each other, and all know the queue router.
peers_of()
{
	local j
	for j in "${sites[@]}"; do
		[ "$j" != "$1" ] || continue
		if [ "$1" = 1 ] || [ "$j" = 1 ] || [ $((j % 2)) != $(($1 % 2)) ]; then echo "$j"; fi
	done
}

# needed SITE KIND: made once.
needed()
{
	[ -n "${KIND[$1]:-}" ] || check "site $1: $2" walled_site "$1" "$2"
}

# direct FROM TO: may these find a direct path? Must they? "maybe" where TCP could lead
# from a firewall that lets it out to a public site.
direct()
{
	case $1:$2 in
	public:public | public:nat | nat:public | nat:nat | public:symmetric | symmetric:public)
		echo yes ;;
	public:* | *:public) echo maybe ;;
	*) echo no ;;
	esac
}

# cell FROM TO; its line of the table goes to results.
results=()
cell()
{
	local i=${from_site[$1]} j=${to_site[$2]} name="$1 to $2" there back to
	local sites=(1 "$i" "$j") # whose logs are shown if something fails
	to=$(host4 "$j")
	if ! check "$name: the first packets get through" wait_for 10 answers "h$i" "$to"; then
		tried "$i" "$j" | diagnose
		results+=("$1 $2 failed - -")
		return
	fi
	case $(direct "$1" "$2") in
	yes) check "$name: a direct path is found" wait_for 10 eval \
		"goes_directly $i $j && goes_directly $j $i" ;;
	no) check "$name: it goes by the queue router" eval \
		"goes_by_relay $i $j && goes_by_relay $j $i" ;;
	esac || tried "$i" "$j" | diagnose
	for to in "$(host4 "$j")" "$(host6 "$j")"; do
		check "$name: a flood to $to loses nothing" flooded "h$i" "$to" 500
	done
	there=$(iperf "h$i" "$to")
	check "$name: iperf3 there" is_rate "$there" || there=failed
	back=$(iperf "h$i" "$to" -R)
	check "$name: iperf3 back" is_rate "$back" || back=failed
	results+=("$1 $2 $(way_to "$i" "$j" | tr ' ' :) ${there%.*} ${back%.*}")
}

is_rate()
{
	echo "$1"
	[[ $1 =~ ^[0-9.]+$ ]]
}

now_ms began
internet
needed 1 public
for c in $CELLS; do
	needed "${from_site[${c%:*}]}" "${c%:*}"
	needed "${to_site[${c#*:}]}" "${c#*:}"
done
for i in "${sites[@]}"; do
	check "site $i, ${KIND[$i]}: router and server" eval "configure_walled $i &&
		start_router $i && iperf_server h$i"
done
check "all are linked to the queue router" wait_for 30 all_linked ||
	for i in "${sites[@]:1}"; do tried "$i" 1 | diagnose; done
for i in "${sites[@]:1}"; do
	is "site $i: netcheck finds what ${KIND[$i]} lets out" "$(let_out "$i")" \
		"${LETS_OUT[${KIND[$i]}]}"
done
now_ms ready
for c in $CELLS; do
	cell "${c%:*}" "${c#*:}"
done
now_ms over
check "routers end" stop_routers

note "made in $((ready - began)) ms, all cells in $((over - ready)) ms"
# shellcheck disable=SC2086
for r in "from to way there back" "${results[@]}"; do
	note "$(printf '%-11s%-11s%-15s%6s%6s' $r)"
done
finish
