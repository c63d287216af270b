#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs the agent as the DaemonSet's container does: these capabilities and no others, no new privileges, a read-only
# root, the node's cgroup and bpffs only where they are mounted; in mount, network and process namespaces of its own,
# on a cgroup of its own. It must come up, attach, end on SIGTERM with its pins standing, and clean up.
#
# Usage, as root: test/k8s/confined.sh AGENT CONFIG CAPABILITIES      CAPABILITIES as BPF,NET_ADMIN,...
# Status 0 if all that happened; otherwise the last line says what did not.
set -euo pipefail

agent=$1
config=$2
capabilities=$3

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
spec: {clusterIP: 10.96.0.9, clusterIPs: [10.96.0.9], ports: [{port: 80}]}
YAML
mount -t tmpfs none /run
mkdir -p /run/fairlead /run/netns /run/work
mount --move "$work" /run/work
mkdir /run/fairlead/{bpf,cgroup}
mount --bind /run/work/bpf /run/fairlead/bpf
mount --bind /run/work/cgroup /run/fairlead/cgroup
mount -o remount,bind,ro /run/fairlead/cgroup
mount -o remount,bind,ro /
ip link set lo up

# Without a bounding set of more, exec as root gives these capabilities and no others.
bounding=-all,$(tr '[:upper:]' '[:lower:]' <<<"+${capabilities//,/,+}")
confined=(setpriv --no-new-privs --inh-caps=-all --bounding-set="$bounding" /run/work/fairlead
          --config=/run/work/config.conf --hostname-override=node)

"${confined[@]}" --manifests=/run/work/manifests >/run/work/log 2>&1 &
pid=$!
fail() {
  cat /run/work/log
  kill -KILL "$pid" 2>/dev/null || true
  echo "$1"
  exit 1
}
for ((i = 0; i < 100; i++)); do
  kill -0 "$pid" 2>/dev/null || fail "the agent ended before it was healthy"
  if curl -fsS -o /dev/null --max-time 2 http://127.0.0.1:10256/livez 2>/dev/null &&
    compgen -G '/run/fairlead/bpf/fairlead/links/*' >/dev/null; then break; fi
  sleep 0.1
done
((i < 100)) || fail "the agent was not healthy, or had no programs attached, after 10 s"
kill -TERM "$pid"
wait "$pid" || fail "the agent ended with status $? on SIGTERM"
compgen -G '/run/fairlead/bpf/fairlead/links/*' >/dev/null || fail "the agent took its programs with it"
"${confined[@]}" --cleanup >>/run/work/log 2>&1 || fail "--cleanup ended with status $?"
[[ ! -e /run/fairlead/bpf/fairlead ]] || fail "--cleanup left /run/fairlead/bpf/fairlead"
