# Sourced after lib.sh: machines with an init of their own, which is this machine's systemd. Each
# is a container on a node's network with this machine's /usr, read-only, a copy of its /etc
# without any service, and /usr/local, /var and /root of its own. What starts is what the test
# puts there.

declare -A container # pid of what runs it
CGROUPS=$(mktemp -d) # where the tree of control groups is seen, as systemd wants it

# machine_files NAME: its directory, $WORK/NAME, to which what is not of Debian is added.
machine_files()
{
	local m=$WORK/$1 d
	mkdir -p "$m"/{usr,local/sbin,var,root,proc,sys,dev,run,tmp} && cp -a /etc "$m/etc" || return
	for d in bin sbin lib lib64; do
		[ ! -L /$d ] || ln -s "$(readlink /$d)" "$m/$d" || return
	done
	rm -rf "$m"/etc/{vine,fstab,init.d,rc?.d,machine-id,hostname,os-release,resolv.conf,sysctl.d/*} \
		"$m/etc/systemd/system" &&
		mkdir -p "$m"/etc/{init.d,systemd/system,systemd/system-preset} &&
		echo 'disable *' > "$m/etc/systemd/system-preset/00-none.preset" &&
		cp /usr/lib/os-release "$m/etc/os-release" && echo "$1" > "$m/etc/hostname" &&
		tr -d - < /proc/sys/kernel/random/uuid > "$m/etc/machine-id"
}

# boot NAME: in a control group of its own, whether or not this machine runs systemd itself.
# Returns at once; the machine ends with the test.
boot()
{
	local m=$WORK/$1 name=$NET_PREFIX-$1
	mountpoint -q "$CGROUPS" || mount -t cgroup2 none "$CGROUPS" || return
	no_groups "$name" && mkdir "$CGROUPS/$name" || return
	# shellcheck disable=SC2016
	unshare -m --propagation slave sh -c 'mount --bind "$0" /sys/fs/cgroup &&
		echo $$ > "/sys/fs/cgroup/$1/cgroup.procs" && shift &&
		SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 exec systemd-nspawn "$@"' "$CGROUPS" "$name" \
		-q -D "$m" -M "$name" --register=no --keep-unit --boot --console=pipe --link-journal=no \
		--network-namespace-path="/run/netns/$(ns "$1")" --capability=CAP_NET_ADMIN \
		--bind-ro=/usr --bind="$m/local:/usr/local" --bind=/dev/net/tun \
		< /dev/null > "$m.boot" 2>&1 &
	container[$1]=$!
	pids+=($!)
}

# inside NAME COMMAND...
inside()
{
	local leader
	read -r leader < "$CGROUPS/$NET_PREFIX-$1/payload/init.scope/cgroup.procs" || return
	shift
	nsenter -t "$leader" -m -u -i -n -p -C env -i PATH="$PATH" HOME=/root "$@"
}

# booted NAME: all that starts by itself has been started, and nothing has failed.
booted()
{
	[ "$(inside "$1" systemctl is-system-running)" = running ]
}

# reboot NAME: returns when all has been started again.
reboot()
{
	inside "$1" systemctl reboot # which may be cut off by it
	wait_for 20 gone "${container[$1]}" && wait "${container[$1]}"
	[ $? = 133 ] && boot "$1" && wait_for 30 booted "$1"
}

# no_groups NAME: what a machine leaves in the tree of control groups is removed.
no_groups()
{
	find "$CGROUPS/$1" -depth -type d -exec rmdir {} + 2> /dev/null
	[ ! -d "$CGROUPS/$1" ]
}

end_machines()
{
	local name
	for name in "${!container[@]}"; do kill "${container[$name]}"; done
	for name in "${!container[@]}"; do
		end "${container[$name]}"
		wait_for 5 no_groups "$NET_PREFIX-$name"
	done
	umount "$CGROUPS"
	rmdir "$CGROUPS"
}
trap 'trap "" INT TERM HUP; end_machines 2> /dev/null; on_exit' EXIT
