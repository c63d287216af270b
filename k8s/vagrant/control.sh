#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the control plane, without kube-proxy: kubeadm, fairlead built from this checkout, flannel. Leaves the image
# where the workers fetch it.
#
# Usage, as root, after node.sh: k8s/vagrant/control.sh NODE_IP TOKEN FLANNEL_VERSION
set -euo pipefail

node_ip=$1
token=$2
flannel=$3
source_dir=$(cd "$(dirname "$0")/../.." && pwd)
export DEBIAN_FRONTEND=noninteractive KUBECONFIG=/etc/kubernetes/admin.conf

if [[ ! -f $KUBECONFIG ]]; then
  kubeadm init --skip-phases=addon/kube-proxy --apiserver-advertise-address="$node_ip" \
    --control-plane-endpoint="$node_ip:6443" --pod-network-cidr=10.244.0.0/16 --token="$token" --token-ttl=0
fi
install -d -m 0700 -o vagrant -g vagrant /home/vagrant/.kube
install -m 0600 -o vagrant -g vagrant "$KUBECONFIG" /home/vagrant/.kube/config

apt-get -qq install -y --no-install-recommends buildah rsync
# Built outside the synced folder, which may hold another machine's build.
rsync -a --delete --exclude=/build --exclude='/build-*' --exclude=/.git "$source_dir/" /opt/fairlead/
/opt/fairlead/scripts/build.sh
install -d /srv/fairlead
rm -f /srv/fairlead/fairlead.tar
# The name under which containerd looks up plain "fairlead:0.1.0".
image=docker.io/library/fairlead:0.1.0
buildah bud --quiet --isolation chroot -f /opt/fairlead/k8s/image/Containerfile -t "$image" /opt/fairlead
buildah push "$image" "docker-archive:/srv/fairlead/fairlead.tar:$image"
ctr -n k8s.io images import /srv/fairlead/fairlead.tar
systemctl stop fairlead-image 2>/dev/null || true
systemd-run --quiet --unit fairlead-image --property=DynamicUser=yes \
  python3 -m http.server --bind "$node_ip" --directory /srv/fairlead 8000

kubectl kustomize /opt/fairlead/k8s | sed "s,https://api-server.invalid:6443,https://$node_ip:6443," |
  kubectl apply -f -
# Flannel reaches the API server through its Service, which is fairlead's first customer.
curl -fsSL --retry 5 "https://github.com/flannel-io/flannel/releases/download/$flannel/kube-flannel.yml" |
  sed "s|^\( *\)- --kube-subnet-mgr|&\n\1- --iface-can-reach=$node_ip|" | kubectl apply -f -
kubectl -n kube-system rollout status daemonset/fairlead --timeout=5m
