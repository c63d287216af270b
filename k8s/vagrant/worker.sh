#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Joins a worker to the cluster of control.sh and gives it the agent's image.
#
# Usage, as root, after node.sh: k8s/vagrant/worker.sh CONTROL_IP TOKEN
set -euo pipefail

control_ip=$1
token=$2

curl -fsS --retry 30 --retry-delay 10 --retry-connrefused -o /tmp/fairlead.tar "http://$control_ip:8000/fairlead.tar"
ctr -n k8s.io images import /tmp/fairlead.tar
rm /tmp/fairlead.tar
if [[ ! -f /etc/kubernetes/kubelet.conf ]]; then
  # The token and the machines live in a network of this host only, so the CA is taken on trust.
  kubeadm join "$control_ip:6443" --token "$token" --discovery-token-unsafe-skip-ca-verification
fi
