#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs the agent as the DaemonSet's container does: these capabilities and no others, no new privileges, a read-only
# root and /proc/sys, the node's cgroup, bpffs and settings only where they are mounted; in mount, network and process
# namespaces of its own, on a cgroup of its own. It must come up, put its datapath into the kernel without being refused
# anything, end on SIGTERM with that standing, and clean up.
#
# Usage, as root: test/k8s/confined.sh AGENT CONFIG CAPABILITIES MODE
#   CAPABILITIES   BPF,NET_ADMIN,...
#   MODE           ebpf, nftables, iptables or ipvs
# Status 0 if all that happened; otherwise the last line says what did not.
set -euo pipefail

agent=$1
config=$2
capabilities=$3
mode=$4

if [[ -z ${FAIRLEAD_CONFINED:-} ]]; then
  mount=$(findmnt -n -t cgroup2 -o TARGET | head -n 1)
  cgroup=$mount/fairlead-k8s-check-$$
  mkdir "$cgroup"
  trap 'rmdir "$cgroup"' EXIT
  FAIRLEAD_CONFINED=$cgroup unshare --mount --net --pid --fork --kill-child --mount-proc "$0" "$@"
  exit
fi

# Everything of the node that the agent may see is brought to its place, then the rest becomes read-only.
work=/mnt
mount -t tmpfs none "$work"
mkdir -p "$work"/{bpf,cgroup,manifests}
mount -t bpf bpf "$work/bpf"
mount --bind "$FAIRLEAD_CONFINED" "$work/cgroup"
cp "$agent" "$work/fairlead"
cp "$config" "$work/config.conf"
cat >"$work/manifests/service.yaml" <<'YAML'
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  type: NodePort
  clusterIP: 10.96.0.9
  clusterIPs: [10.96.0.9]
  sessionAffinity: ClientIP
  ports: [{name: http, port: 80, nodePort: 30080}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [10.244.0.1], conditions: {ready: true}}]
YAML
mount -t tmpfs none /run
mkdir -p /run/fairlead/sysctl/net /run/netns /run/work
touch /run/xtables.lock
mount --bind /proc/sys/net /run/fairlead/sysctl/net
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount --move "$work" /run/work
mkdir /run/fairlead/bpf /run/fairlead/cgroup
mount --bind /run/work/bpf /run/fairlead/bpf
mount --bind /run/work/cgroup /run/fairlead/cgroup
mount -o remount,bind,ro /run/fairlead/cgroup
mount -o remount,bind,ro /
ip link set lo up

# Without a bounding set of more, exec as root gives these capabilities and no others.
bounding=-all,$(tr '[:upper:]' '[:lower:]' <<<"+${capabilities//,/,+}")
confined=(setpriv --no-new-privs --inh-caps=-all --bounding-set="$bounding" /run/work/fairlead
          --config=/run/work/config.conf --hostname-override=node --proxy-mode="$mode")

# Whether the mode's datapath, or some of it, is in the kernel.
stands() {
  case $mode in
    ebpf) compgen -G '/run/fairlead/bpf/fairlead/links/*' >/dev/null ;;
    nftables) nft list table inet fairlead >/dev/null 2>&1 ;;
    iptables) iptables-save 2>/dev/null | grep -q FAIRLEAD ;;
    ipvs) ip link show fairlead-ipvs >/dev/null 2>&1 ;;
    *) fail "no mode '$mode'" ;;
  esac
}

pid=
fail() {
  cat /run/work/log
  [[ ! $pid ]] || kill -KILL "$pid" 2>/dev/null || true
  echo "$1"
  exit 1
}

"${confined[@]}" --manifests=/run/work/manifests >/run/work/log 2>&1 &
pid=$!
until curl -fsS -o /dev/null --max-time 2 http://127.0.0.1:10256/livez 2>/dev/null &&
  grep -q ' programmed: ' /run/work/log && stands; do
  kill -0 "$pid" 2>/dev/null || fail "the agent ended before it was healthy"
  ((SECONDS < 60)) || fail "the agent was not healthy, or had nothing in the kernel, after 60 s"
  sleep 0.1
done
kill -TERM "$pid"
wait "$pid" || fail "the agent ended with status $? on SIGTERM"
pid=
stands || fail "the agent took its datapath with it"
"${confined[@]}" --cleanup >>/run/work/log 2>&1 || fail "--cleanup ended with status $?"
! stands || fail "--cleanup left some of $mode mode"
[[ ! -e /run/fairlead/bpf/fairlead ]] || fail "--cleanup left /run/fairlead/bpf/fairlead"
# What the kernel refused; but the OOM score takes SYS_RESOURCE of the machine too, and nf_conntrack_max belongs to its
# first network namespace alone.
! grep -vE "oom_score_adj|nf_conntrack_max" /run/work/log | grep -iE 'read-only|not permitted|permission denied' ||
  fail "the agent was refused something"
