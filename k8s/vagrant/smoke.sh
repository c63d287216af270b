#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Shows, on the running three-node cluster, that Services work without kube-proxy: DNS, a cluster IP spread over both
# workers, and a Service without endpoints that refuses at once.
#
# Usage, on the host: vagrant ssh control -c /vagrant/k8s/vagrant/smoke.sh
set -euo pipefail

if kubectl -n kube-system get daemonset kube-proxy >/dev/null 2>&1; then
  echo "smoke: kube-proxy runs here, which proves nothing about fairlead" >&2
  exit 1
fi
namespace=fairlead-smoke
trap 'kubectl delete namespace "$namespace" --ignore-not-found --wait=false' EXIT
kubectl wait --for=condition=Ready nodes --all --timeout=5m
kubectl -n kube-system rollout status daemonset/fairlead --timeout=5m
kubectl -n kube-system rollout status deployment/coredns --timeout=5m

kubectl create namespace "$namespace"
kubectl -n "$namespace" create deployment web --image=registry.k8s.io/e2e-test-images/agnhost:2.53 --replicas=4 \
  -- /agnhost netexec --http-port=8080
kubectl -n "$namespace" expose deployment web --port=80 --target-port=8080
kubectl -n "$namespace" create service clusterip empty --tcp=80:8080
kubectl -n "$namespace" rollout status deployment/web --timeout=5m
kubectl -n "$namespace" run client --image=registry.k8s.io/e2e-test-images/agnhost:2.53 --restart=Never -- pause
kubectl -n "$namespace" wait --for=condition=Ready pod/client --timeout=5m

in_client() { kubectl -n "$namespace" exec client -- "$@"; }

names=$(for _ in $(seq 40); do in_client curl -fsS --max-time 5 http://web/hostname; echo; done | sort | uniq -c)
echo "$names"
if (($(wc -l <<<"$names") != 4)); then
  echo "smoke: 40 requests by name did not reach all 4 pods" >&2
  exit 1
fi

status=0
in_client curl -sS --max-time 5 http://empty/ 2>/dev/null || status=$?
if ((status != 7)); then
  echo "smoke: a Service without endpoints should refuse the connection (curl status 7), got $status" >&2
  exit 1
fi
kubectl -n kube-system exec daemonset/fairlead -- fairleadctl status
echo "smoke: passed"
