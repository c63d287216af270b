#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: scripts/demo.sh
#
# The main job, seen in a minute: builds, makes a lab of network namespaces (a node, three server pods, a client pod),
# runs fairlead on example manifests, and shows
#   1 requests from the client pod to a Service, spread over the three pods
#   2 a pod taken out of the Service, live, while requests run, without one failure
#   3 the agent killed in the midst of requests, without one failure
#   4 what fairleadctl says of it
# then cleans everything up. Needs root. Nothing leaves the machine: all addresses are in the lab's namespaces.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo "demo.sh: needs root (network namespaces, BPF)" >&2; exit 1; }

scripts/setup.sh build lab
scripts/build.sh

lab=fldemo$$
work=$(mktemp -d)
cgroup_root=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
[ -n "$cgroup_root" ] || { cgroup_root=$work/cgroup2; mkdir "$cgroup_root"; mount -t cgroup2 none "$cgroup_root"; }
cgroup=$cgroup_root/$lab
pins=/sys/fs/bpf/$lab
children=()
agent=

cleanup() {
  trap - EXIT INT TERM
  [ -z "$agent" ] || kill "$agent" 2>/dev/null || true
  for pid in "${children[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  build/fairlead --cleanup --bpffs-dir "$pins" 2>/dev/null || true
  for pod in node pod1 pod2 pod3 client; do ip netns del "$lab-$pod" 2>/dev/null || true; done
  for _ in $(seq 20); do rmdir "$cgroup" 2>/dev/null && break; sleep 0.1; done
  [ "$cgroup_root" != "$work/cgroup2" ] || umount "$cgroup_root" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
in_ns() { nsenter --net="/run/netns/$lab-$1" "${@:2}"; }
# A client of the lab: in its namespace, and in the cgroup that the socket programs are attached to.
as_client() { bash -c 'echo $$ > "$1/cgroup.procs"; shift; exec nsenter --net="$1" "${@:2}"' _ "$cgroup" "/run/netns/$lab-client" "$@"; }
until_ok() { for _ in $(seq 100); do "$@" >/dev/null 2>&1 && return 0; sleep 0.1; done; return 1; }

say "lab: a node (10.244.1.1) with pods 10.244.1.11-13 and a client pod 10.244.1.100"
mkdir "$cgroup"
ip netns add "$lab-node"
in_ns node ip link set lo up
in_ns node ip link add br0 type bridge
in_ns node ip address add 10.244.1.1/24 dev br0
in_ns node ip link set br0 up
add_pod() {  # name address
  ip netns add "$lab-$1"
  in_ns node ip link add "v$1" type veth peer name eth0 netns "$lab-$1"
  in_ns node ip link set "v$1" master br0 up
  in_ns "$1" ip link set lo up
  in_ns "$1" ip address add "$2/24" dev eth0
  in_ns "$1" ip link set eth0 up
  in_ns "$1" ip route add default via 10.244.1.1
}
add_pod pod1 10.244.1.11
add_pod pod2 10.244.1.12
add_pod pod3 10.244.1.13
add_pod client 10.244.1.100
for n in 1 2 3; do
  (exec nsenter --net="/run/netns/$lab-pod$n" python3 scripts/demo/server.py "pod$n" 8080) &
  children+=($!)
done

mkdir "$work/manifests"
cp scripts/demo/shop.yaml "$work/manifests/"
start_agent() {
  (exec nsenter --net="/run/netns/$lab-node" build/fairlead --manifests "$work/manifests" --hostname-override node1 \
    --cgroup "$cgroup" --bpffs-dir "$pins" 2>>"$work/agent.log") &
  agent=$!
}
start_agent
until_ok in_ns node curl -sf http://127.0.0.1:10256/livez
until_ok as_client curl -sf http://10.96.0.10/ || { cat "$work/agent.log"; echo "demo.sh: the Service does not answer" >&2; exit 1; }

say "1. 3000 requests to the Service shop/cart (10.96.0.10:80), from the client pod"
as_client python3 scripts/demo/client.py 10.96.0.10 80 --requests 3000

say "2. pod2 leaves the Service while requests run for 4 seconds"
as_client python3 scripts/demo/client.py 10.96.0.10 80 --seconds 4 > "$work/live" &
load=$!
sleep 1.5
# As an editor or a ConfigMap mount does it: a new file in the old one's place.
grep -v '10.244.1.12' scripts/demo/shop.yaml > "$work/next.yaml"
mv "$work/next.yaml" "$work/manifests/shop.yaml"
sleep 1.5
kill "${children[1]}"  # nobody talks to it any more
wait "$load" || { cat "$work/live"; echo "demo.sh: requests failed" >&2; exit 1; }
cat "$work/live"

say "3. the agent is killed (kill -9) and started again while requests run for 3 seconds"
as_client python3 scripts/demo/client.py 10.96.0.10 80 --seconds 3 > "$work/restart" &
load=$!
sleep 0.8
{ kill -9 "$agent"; wait "$agent"; } 2>/dev/null || true
sleep 0.7
start_agent
wait "$load" || { cat "$work/restart"; echo "demo.sh: requests failed" >&2; exit 1; }
cat "$work/restart"

say "4. what fairleadctl says, from the pinned maps"
for command in status services backends counters; do
  echo "\$ fairleadctl $command"
  build/fairleadctl --bpffs-dir "$pins" "$command"
  echo
done

say "5. a Service without endpoints refuses at once"
as_client curl -sS -m 3 http://10.96.0.11/ || true

say "done: no request failed. Cleaning up"
