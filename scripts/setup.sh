#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs, on Debian 12, the packages that work on fairlead needs. Asks the network only if one is missing.
#
# Usage: scripts/setup.sh [build] [lab] [test] [vm] [cluster]      (default: build lab test)
#   build    compilers and libraries: enough for scripts/build.sh
#   lab      tools of the network namespace lab: enough for scripts/demo.sh and bench.sh
#   test     checkers that scripts/test.sh runs
#   vm       qemu, for tests on other kernels; without it they are skipped
#   cluster  vagrant and npm, to check Vagrantfile and k8s/; without them those checks are skipped
#
# Root is needed only when something has to be installed.
set -euo pipefail

# A package, or command=package for a tool that may also come from elsewhere than Debian.
build=(g++ cmake ninja-build ccache pkg-config clang-19 bpftool linux-libc-dev libbpf-dev
       libcpprest-dev libssl-dev zlib1g-dev libsimdjson-dev libyaml-cpp-dev libfmt-dev libspdlog-dev
       libcli11-dev prometheus-cpp-dev libgtest-dev libgmock-dev)
lab=(iproute2 nftables ipset iptables procps util-linux curl jq openssl python3 python3-yaml ca-certificates)
test=(clang-format-19 shellcheck jq python3 python3-yaml)
vm=(qemu-system-x86 qemu-system-common debian-archive-keyring xz-utils)
cluster=(vagrant=vagrant node=nodejs npm=npm)

# Prints the packages of the given entries that are not installed.
missing() {
  local entry package installed
  # dpkg-query fails when it has never heard of one of them; what it prints of the others is right all the same.
  installed=$({ dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' "${@##*=}" 2>/dev/null || true; } |
    sed -n 's/^ii *//p')
  for entry in "$@"; do
    package=${entry##*=}
    if [[ $entry == *=* ]] && command -v "${entry%%=*}" >/dev/null; then continue; fi
    grep -qxF -- "$package" <<<"$installed" || echo "$package"
  done
}

entries=()
for group in "${@:-build lab test}"; do
  for name in $group; do
    case $name in
      build) entries+=("${build[@]}") ;;
      lab) entries+=("${lab[@]}") ;;
      test) entries+=("${test[@]}") ;;
      vm) entries+=("${vm[@]}") ;;
      cluster) entries+=("${cluster[@]}") ;;
      -h | --help) sed -n '3,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
      *) echo "setup: no group '$name'; expected build, lab, test, vm or cluster" >&2; exit 2 ;;
    esac
  done
done

list=$(missing "${entries[@]}" | sort -u)
mapfile -t packages <<<"$list"
[[ $list ]] || exit 0
if ((EUID != 0)); then
  echo "setup: run as root to install: ${packages[*]}" >&2
  exit 1
fi

echo "setup: installing ${packages[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt=(apt-get -qq -o DPkg::Lock::Timeout=300)
if ! { "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends "${packages[@]}"; } >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  echo "setup: apt-get could not install: ${packages[*]}" >&2
  exit 1
fi
