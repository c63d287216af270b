#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs a command as root on another kernel: in a VM (qemu without KVM, so that it works inside VMs and containers too)
# whose root is this machine's, read-only under an overlay in memory. Programs built here run there unchanged, and what
# they write goes away with the VM.
#
# Usage, as root: scripts/vm/run.sh -k SERIES [-t SECONDS] [-c CPUS] [-w FOLDER] -- COMMAND [ARGUMENT...]
#   -k   the kernel: 5.10, 6.1 or 6.12 (scripts/vm/kernel.sh fetches it, unless it is cached)
#   -t   time for all of it (default 120)
#   -c   CPUs of the VM (default 1)
#   -w   a folder that is writable there, at the same place
#
# COMMAND starts in the current folder with this PATH and no other variable of ours; its stdin is empty, its stdout and
# stderr come out on stdout. The status is COMMAND's; 124: it was not done in time; 125: the VM did not run.
set -euo pipefail

series='' timeout_s=120 cpus=1 writable=''
memory_mib=2048  # also the limit of what the command can write; taken from the host as it is used
work='' virtiofsd_pid='' qemu_pid='' cat_pid=''

die() {
  echo "vm: $*" >&2
  exit 125
}

while getopts k:t:c:w: option; do
  case $option in
    k) series=$OPTARG ;;
    t) timeout_s=$OPTARG ;;
    c) cpus=$OPTARG ;;
    w) writable=$(realpath -e "$OPTARG") || exit 125 ;;
    *) die "see the head of $0" ;;
  esac
done
shift $((OPTIND - 1))
(($#)) || die "no command"
command -v qemu-system-x86_64 >/dev/null || die "qemu-system-x86_64 is not installed (scripts/setup.sh vm)"
virtiofsd=/usr/lib/qemu/virtiofsd
[[ -x $virtiofsd ]] || die "$virtiofsd is not there; Debian 12 has it in qemu-system-common (scripts/setup.sh vm)"
((EUID == 0)) || die "needs root, to show the VM all of this machine's files"

kernel=$("$(dirname "$0")/kernel.sh" "$series") || exit 125
busybox=$(dirname "$kernel")/busybox
version=$(basename "$kernel"/lib/modules/*)
modules=$kernel/lib/modules/$version

# shellcheck disable=SC2317  # the traps call it
cleanup() {
  local pid
  trap - EXIT INT TERM HUP
  for pid in $qemu_pid $virtiofsd_pid $cat_pid; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}
work=$(mktemp -d)
trap cleanup EXIT
trap 'exit 130' INT TERM HUP

# What the kernel needs before it can see the root, in order: each module after those it depends on.
boot_modules() {
  local module
  for module in virtio_pci virtiofs overlay; do
    sed -n "s#^\(.*/$module\.ko\): *\(.*\)#\1 \2#p" "$modules/modules.dep" | tr ' ' '\n' | grep . | tac || true
  done | awk '!seen[$0]++'
}

# The initial file system: busybox; `init`, which finds the root; `setup`, which makes a system of it and runs `command`.
make_initrd() {
  local root=$work/initrd module names=()
  mkdir -p "$root"/{bin,dev,host,memory,root,modules,run}
  cp "$busybox" "$root/bin/busybox"
  while read -r module; do
    cp "$modules/$module" "$root/modules/"
    names+=("$(basename "$module")")
  done < <(boot_modules)
  cat >"$root/init" <<INIT
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t tmpfs memory /memory
mkdir /memory/upper /memory/work
for module in ${names[*]}; do insmod /modules/\$module; done
mount -t virtiofs -o $([[ $writable ]] && echo rw || echo ro),noatime host /host
mount -t overlay -o lowerdir=/host,upperdir=/memory/upper,workdir=/memory/work root /root
mount -t tmpfs run /root/run
cp /bin/busybox /run/* /root/run/
[ -z "$writable" ] || mount -o bind "/host$writable" "/root$writable"
mount -o move /dev /root/dev
exec switch_root /root /run/setup
INIT
  cat >"$root/run/setup" <<SETUP
#!/bin/bash
export PATH=$PATH HOME=/root TERM=dumb
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t cgroup2 cgroup /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
mount -t tracefs trace /sys/kernel/tracing
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
ln -s /proc/self/fd /dev/fd
ln -s fd/0 /dev/stdin
ln -s fd/1 /dev/stdout
ln -s fd/2 /dev/stderr
for tool in modprobe insmod rmmod lsmod; do ln -sf /run/busybox /usr/sbin/\$tool; done
mkdir -p /lib/modules/$version
mount --bind $modules /lib/modules/$version
ip link set lo up
hostname vm
/run/busybox stty -F /dev/ttyS1 raw -echo
setsid bash /run/command </dev/null >/dev/ttyS1 2>&1
status=\$?
/run/busybox stty -F /dev/ttyS1 raw  # returns when the line has sent everything
echo "<0>vm: status \$status" >/dev/kmsg
exec /run/busybox reboot -f
SETUP
  printf 'cd %q && exec %s\n' "$PWD" "$(printf '%q ' "$@")" >"$root/run/command"
  chmod +x "$root/init" "$root/run/setup"
  (cd "$root" && find . | "$busybox" cpio -o -H newc 2>/dev/null) >"$work/initrd.cpio"
}

# The whole machine's files for the VM. The namespace sandbox cannot pivot into /.
start_virtiofsd() {
  local i
  "$virtiofsd" --socket-path="$work/files" -o source=/ -o cache=always -o sandbox=chroot >"$work/virtiofsd.log" 2>&1 &
  virtiofsd_pid=$!
  for ((i = 0; i < 250; i++)); do
    [[ ! -S $work/files ]] || return 0
    sleep 0.02
  done
  cat "$work/virtiofsd.log" >&2
  die "virtiofsd did not open its socket within 5 s"
}

# First serial line: the kernel's console. Second: what the command says.
start_qemu() {
  # A VM without KVM is slow, not broken: no watchdogs. Its time stamp counter would be measured at boot, wrongly by any
  # factor on a busy machine, and with it all time: the HPET's rate is known.
  local options=(
    console=ttyS0 loglevel=4 panic=-1 reboot=k mitigations=off nokaslr audit=0 random.trust_cpu=on
    tsc=unstable no_timer_check rcupdate.rcu_cpu_stall_suppress=1 nowatchdog
  )
  mkfifo "$work/said"
  cat "$work/said" &
  cat_pid=$!
  timeout --kill-after=5 "$timeout_s" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp "$cpus" -m "$memory_mib" \
    -object memory-backend-memfd,id=ram,size="${memory_mib}M",share=on -machine pc,memory-backend=ram \
    -nodefaults -no-user-config -display none -no-reboot \
    -chardev socket,id=files,path="$work/files" \
    -device vhost-user-fs-pci,chardev=files,tag=host,queue-size=512 \
    -chardev file,id=console,path="$work/console" -serial chardev:console \
    -chardev file,id=said,path="$work/said" -serial chardev:said \
    -kernel "$kernel/vmlinuz" -initrd "$work/initrd.cpio" -append "${options[*]}" >"$work/qemu.log" 2>&1 &
  qemu_pid=$!
}

make_initrd "$@"
start_virtiofsd
start_qemu
qemu_status=0
wait "$qemu_pid" || qemu_status=$?
qemu_pid=
: <>"$work/said"  # ends the reader even if nobody ever wrote
wait "$cat_pid" || true
cat_pid=

status=$(sed -n 's/.*vm: status \([0-9]*\).*/\1/p' "$work/console" 2>/dev/null | tail -n 1)
[[ ! $status ]] || exit "$status"
tail -n 20 "$work/console" >&2 || true
if ((qemu_status == 124 || qemu_status == 137)); then
  echo "vm: not done within $timeout_s s on Linux $series" >&2
  exit 124
fi
tail -n 20 "$work/qemu.log" "$work/virtiofsd.log" >&2 || true
die "Linux $series ended without a word (qemu: status $qemu_status)"
