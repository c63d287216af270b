#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes a Debian 12 machine ready to join a cluster: kernel settings, containerd, kubelet and kubeadm.
#
# Usage, as root: k8s/vagrant/node.sh KUBERNETES_MINOR NODE_IP      e.g. 1.34 192.168.56.11
set -euo pipefail

minor=$1
node_ip=$2
export DEBIAN_FRONTEND=noninteractive

swapoff -a
sed -i '/\sswap\s/s/^/#/' /etc/fstab
printf '%s\n' overlay br_netfilter >/etc/modules-load.d/kubernetes.conf
modprobe -a overlay br_netfilter
printf '%s\n' net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1 >/etc/sysctl.d/kubernetes.conf
sysctl -q --system

apt-get -qq update
apt-get -qq install -y --no-install-recommends ca-certificates curl gpg containerd
repository=https://pkgs.k8s.io/core:/stable:/v$minor/deb
install -d -m 0755 /etc/apt/keyrings
curl -fsSL --retry 5 "$repository/Release.key" | gpg --dearmor --yes -o /etc/apt/keyrings/kubernetes.gpg
echo "deb [signed-by=/etc/apt/keyrings/kubernetes.gpg] $repository/ /" >/etc/apt/sources.list.d/kubernetes.list
apt-get -qq update
apt-get -qq install -y --no-install-recommends kubelet kubeadm kubectl
apt-mark hold kubelet kubeadm kubectl >/dev/null

# The kubelet and containerd must agree on the cgroup driver; kubernetes-cni installs its plugins in /opt/cni/bin.
install -d /etc/containerd
containerd config default |
  sed -e 's/SystemdCgroup = false/SystemdCgroup = true/' -e 's|bin_dir = ".*"|bin_dir = "/opt/cni/bin"|' \
    >/etc/containerd/config.toml
systemctl restart containerd

# A Vagrant machine's first address may be the same NAT address on every machine.
echo "KUBELET_EXTRA_ARGS=--node-ip=$node_ip" >/etc/default/kubelet
systemctl restart kubelet
