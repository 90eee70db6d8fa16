# Sourced after lib.sh: sites of limited routers and of their queue routers, for tests that consist
# of parts. limited_sites makes them; run_parts PART... runs what PARTS names, or these.
. "$here/firewall.sh"
. "$here/flows.sh"

# limited_sites: 1 and 2 are queue routers' sites, 7 is public too.
limited_sites()
{
	local i site_kind
	NAME[1]=q1 NAME[2]=q2
	all_sites=(1 2 3 4 5 6 7)
	internet
	for site_kind in "1 public" "2 public" "3 nat" "4 nat" "5 symmetric" "6 symmetric" \
		"7 public"; do
		# shellcheck disable=SC2086
		check "site $site_kind" walled_site $site_kind
	done
	for i in "${all_sites[@]}"; do
		check "server on h$i" iperf_server "h$i"
	done
}

run_parts()
{
	local part
	for part in ${PARTS:-"$@"}; do
		note "part $part"
		"part_$part"
		sites=("${all_sites[@]}")
	done
}

# begin NAME SITE...: routers of these sites, linked to their queue routers.
begin()
{
	local name=$1 i
	shift
	sites=("$@")
	for i in "${sites[@]}"; do
		check "$name: router $i starts" eval "configure_walled $i && start_router $i"
	done
	check "$name: all are linked to their queue routers" wait_for 30 all_linked
}

# over NAME
over()
{
	check "$1: routers end" stop_routers
}

# times NODE ADDRESS FILE: of forty pings, in microseconds.
times()
{
	on "$1" ping -n -c 40 -i 0.01 -W 2 "$2" |
		sed -nE 's/.*time=([0-9.]+) ms/\1/p' | awk '{ print int($1 * 1000) }' >> "$3"
}

median()
{
	sort -n "$1" | awk '{ v[NR] = $1 } END { print NR ? v[int((NR + 1) / 2)] : "none" }'
}
