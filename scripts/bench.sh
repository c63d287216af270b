#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds and measures (test/bench/README.md says what, and how): connections through Services against the same
# connections made directly, and the agent's own work at 10,000 Services × 10 endpoints. Prints a table; leaves
# results.json, table.md and connections.svg in bench-results/. Wants root and a quiet machine; takes some minutes.
#
# Usage: scripts/bench.sh [--quick]    --quick: small sizes, under a minute, to see that it works
#   BUILD_DIR   where to build (default: build/ of the checkout)
set -euo pipefail

source_dir=$(cd "$(dirname "$0")/.." && pwd)
build_dir=${BUILD_DIR:-$source_dir/build}
quick=()
case ${1:-} in
  '') ;;
  --quick) quick=(--quick) ;;
  -h | --help) sed -n '3,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
  *) echo "bench: unknown argument '$1'; expected --quick" >&2; exit 2 ;;
esac
((EUID == 0)) || { echo "bench: needs root (network namespaces, BPF)" >&2; exit 1; }

"$source_dir/scripts/setup.sh" build lab
BUILD_DIR=$build_dir "$source_dir/scripts/build.sh" \
  fairlead fairleadctl test_api_server bench_connections bench_flips bench_map_writes bench_packets

lab=flbench$$
work=$(mktemp -d)
cgroup_root=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
[[ $cgroup_root ]] || { cgroup_root=$work/cgroup2; mkdir "$cgroup_root"; mount -t cgroup2 none "$cgroup_root"; }
cgroup=$cgroup_root/$lab
pins=/sys/fs/bpf/$lab
runner=

# Ends every process below $1, the youngest first: what the runner started goes with it.
end_tree() {
  local child
  for child in $(pgrep -P "$1" || true); do end_tree "$child"; done
  kill "$1" 2>/dev/null || true
}

cleanup() {
  trap - EXIT INT TERM
  [[ ! $runner ]] || end_tree "$runner"
  wait 2>/dev/null || true
  for dir in "$pins" "$pins-writes"; do
    for _ in $(seq 20); do "$build_dir/fairlead" --cleanup --bpffs-dir "$dir" 2>/dev/null && break; sleep 0.2; done
  done
  for host in node server client; do ip netns del "$lab-$host" 2>/dev/null || true; done
  for dir in "$cgroup/attached" "$cgroup/plain" "$cgroup"; do
    for _ in $(seq 20); do rmdir "$dir" 2>/dev/null && break; sleep 0.1; done
  done
  [[ $cgroup_root != "$work/cgroup2" ]] || umount "$cgroup_root" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# A node that routes between two pods. The server pod has the address of every endpoint: all that a client reaches is
# the same listener over the same path.
in_ns() { nsenter --net="/run/netns/$lab-$1" "${@:2}"; }
mkdir "$cgroup" "$cgroup/attached" "$cgroup/plain"
for host in node server client; do
  ip netns add "$lab-$host"
  in_ns "$host" ip link set lo up
done
in_ns node sysctl -qw net.ipv4.ip_forward=1
add_pod() {  # name address
  in_ns node ip link add "v$1" type veth peer name eth0 netns "$lab-$1"
  in_ns node ip link set "v$1" up
  in_ns node ip address add 169.254.1.1/32 dev "v$1"
  in_ns "$1" ip address add "$2/32" dev eth0
  in_ns "$1" ip link set eth0 up
  in_ns "$1" ip route add 169.254.1.1 dev eth0
  in_ns "$1" ip route add default via 169.254.1.1 src "$2"
  in_ns node ip route add "$2/32" dev "v$1"
}
add_pod client 10.64.0.2
add_pod server 10.64.0.3
in_ns node ip address add 10.64.0.1/32 dev vserver  # what masqueraded packets come from
in_ns server ip route add local 10.128.0.0/9 dev lo
in_ns node ip route add 10.128.0.0/9 via 10.64.0.3 dev vserver

PYTHONDONTWRITEBYTECODE=1 python3 "$source_dir/scripts/bench/run.py" --build "$build_dir" --name "$lab" \
  --cgroup "$cgroup" --pins "$pins" --work "$work" --results "$source_dir/bench-results" "${quick[@]}" &
runner=$!
wait "$runner"
runner=
