#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds and measures (test/bench/README.md says what, and how): connections through Services against the same
# connections made directly, the agent's own work at 10,000 Services × 10 endpoints, and the modes beside each other.
# Prints a table; leaves results.json, table.md and connections.svg in bench-results/. Wants root and a quiet machine;
# takes some minutes.
#
# Usage: scripts/bench.sh [--quick] [--only PART] [--modes MODE,...] [--sizes N,...] [--results DIR] [--built]
#   --quick     small sizes, to see that it works
#   --only      connections, packets, control_plane or modes
#   --modes     of the part of that name: these (default: all that this kernel has)
#   --sizes     of the same: numbers of Services
#   --results   instead of bench-results/ of the checkout; one part alone is left in PART/ there
#   --built     measures what is built, as it stands: in a VM (scripts/vm/run.sh) a build takes too long
#   BUILD_DIR   where to build (default: build/ of the checkout)
set -euo pipefail

source_dir=$(cd "$(dirname "$0")/.." && pwd)
build_dir=${BUILD_DIR:-$source_dir/build}
chosen=() built='' only=''
while (($#)); do
  case $1 in
    --quick) chosen+=(--quick) ;;
    --only | --modes | --sizes | --results) chosen+=("$1" "${2:?a value for $1}"); [[ $1 != --only ]] || only=$2; shift ;;
    --built) built=1 ;;
    -h | --help) sed -n '3,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    *) echo "bench: unknown argument '$1'; see the head of $0" >&2; exit 2 ;;
  esac
  shift
done
((EUID == 0)) || { echo "bench: needs root (network namespaces, BPF)" >&2; exit 1; }

"$source_dir/scripts/setup.sh" build lab
[[ $built ]] || BUILD_DIR=$build_dir "$source_dir/scripts/build.sh" \
  fairlead fairleadctl test_api_server bench_connections bench_flips bench_map_writes bench_packets bench_reach \
  bench_forward

lab=flbench$$
work=$(mktemp -d)
cgroup_root=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
[[ $cgroup_root ]] || { cgroup_root=$work/cgroup2; mkdir "$cgroup_root"; mount -t cgroup2 none "$cgroup_root"; }
cgroup=$cgroup_root/$lab
pins=/sys/fs/bpf/$lab
hosts=({,bare-}{node,client,server})
wires=()
[[ ${only:-packets} != packets ]] || wires=(direct tc xdp)
for name in "${wires[@]}"; do hosts+=("$name"-{node,client,server}); done
runner=

in_ns() { nsenter --net="/run/netns/$lab-$1" "${@:2}"; }

# Ends every process below $1, the youngest first: what the runner started goes with it.
end_tree() {
  local child
  for child in $(pgrep -P "$1" || true); do end_tree "$child"; done
  kill "$1" 2>/dev/null || true
}

clear_node() {  # node cgroup pins
  [[ -e /run/netns/$lab-$1 ]] || return 0
  for _ in $(seq 20); do
    in_ns "$1" "$build_dir/fairlead" --cleanup --cgroup "$2" --bpffs-dir "$3" 2>/dev/null && break
    sleep 0.2
  done
}

cleanup() {
  trap - EXIT INT TERM
  [[ ! $runner ]] || end_tree "$runner"
  wait 2>/dev/null || true
  clear_node node "$cgroup/attached" "$pins"
  clear_node node "$cgroup/attached" "$pins-writes"
  for name in tc xdp; do clear_node "$name-node" "$cgroup/$name/attached" "$pins-$name"; done
  for host in "${hosts[@]}"; do ip netns del "$lab-$host" 2>/dev/null || true; done
  for dir in "$cgroup"/{attached,plain,{tc,xdp}/attached,tc,xdp} "$cgroup"; do
    for _ in $(seq 20); do rmdir "$dir" 2>/dev/null && break; sleep 0.1; done
  done
  [[ $cgroup_root != "$work/cgroup2" ]] || umount "$cgroup_root" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# A node that routes between two pods. The server pod has the address of every endpoint: all that a client reaches is
# the same listener over the same path. The same again for bare-*, where no agent ever runs.
add_pod() {  # node pod address
  in_ns "$1" ip link add "v${2#bare-}" type veth peer name eth0 netns "$lab-$2"
  in_ns "$1" ip link set "v${2#bare-}" up
  in_ns "$1" ip address add 169.254.1.1/32 dev "v${2#bare-}"
  in_ns "$2" ip address add "$3/32" dev eth0
  in_ns "$2" ip link set eth0 up
  in_ns "$2" ip route add 169.254.1.1 dev eth0
  in_ns "$2" ip route add default via 169.254.1.1 src "$3"
  in_ns "$1" ip route add "$3/32" dev "v${2#bare-}"
}
add_node() {  # prefix of the names of node and pods
  in_ns "$1node" sysctl -qw net.ipv4.ip_forward=1
  add_pod "$1node" "$1client" 10.64.0.2
  add_pod "$1node" "$1server" 10.64.0.3
  in_ns "$1node" ip address add 10.64.0.1/32 dev vserver  # what masqueraded packets come from
  in_ns "$1server" ip route add local 10.128.0.0/9 dev lo
  in_ns "$1node" ip route add 10.128.0.0/9 via 10.64.0.3 dev vserver
}
# A node with one device, and two hosts behind that which see nothing but the node: what it forwards leaves by the
# device that it came in by. The server has the address of every endpoint, as above. No IPv6, which speaks up by
# itself, on any CPU: what is sent meanwhile would be that CPU's to receive.
add_wire() {  # prefix of the names of node and hosts
  local host name device address
  for host in node client server; do in_ns "$1$host" sysctl -qw net.ipv6.conf.{all,default}.disable_ipv6=1; done
  in_ns "$1node" sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.{all,default}.send_redirects=0
  in_ns "$1node" ip link add wire type veth peer name wire netns "$lab-$1client"
  in_ns "$1client" ip link add link wire name eth0 netns "$lab-$1server" type macvlan mode bridge
  for host in "$1node wire 10.64.0.1/24" "$1client wire 10.64.0.2/32" "$1server eth0 10.64.0.3/32"; do
    read -r name device address <<<"$host"
    in_ns "$name" ip address add "$address" dev "$device"
    in_ns "$name" ip link set "$device" up
    [[ $name == *node ]] || in_ns "$name" ip route add default via 10.64.0.1 dev "$device" onlink
  done
  in_ns "$1server" ip route add local 10.128.0.0/9 dev lo
  in_ns "$1node" ip route add 10.128.0.0/9 via 10.64.0.3
}
mkdir "$cgroup" "$cgroup"/{attached,plain,tc,xdp} "$cgroup"/{tc,xdp}/attached
for host in "${hosts[@]}"; do
  ip netns add "$lab-$host"
  in_ns "$host" ip link set lo up
done
add_node ''
add_node bare-
for name in "${wires[@]}"; do add_wire "$name-"; done

PYTHONDONTWRITEBYTECODE=1 python3 "$source_dir/scripts/bench/run.py" --build "$build_dir" --name "$lab" \
  --cgroup "$cgroup" --pins "$pins" --work "$work" --results "$source_dir/bench-results" "${chosen[@]}" &
runner=$!
wait "$runner"
runner=
