#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Provides one of Debian's kernels to boot in a VM: fetches and unpacks it into a cache, once. Installs nothing, and
# leaves the machine's own package lists alone.
#
# Usage: scripts/vm/kernel.sh SERIES      prints its folder; SERIES is 5.10, 6.1 or 6.12
#   FAIRLEAD_VM_CACHE   the cache (default: ~/.cache/fairlead/vm), laid out as
#                       busybox  SERIES/vmlinuz  SERIES/lib/modules/VERSION
#
# Packages come from the mirror that apt takes this machine's Debian packages from. The last line on stderr says why
# a kernel cannot be had; the status is then 1.
set -euo pipefail

series=${1:-}
cache=${FAIRLEAD_VM_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/fairlead/vm}
work=

die() {
  echo "vm: $*" >&2
  exit 1
}

# The Debian release that has the series as its own: "suite" in its archive.
case $series in
  5.10) suite=bullseye ;;
  6.1) suite=bookworm ;;
  6.12) suite=trixie ;;
  *) die "no kernel '$series'; expected 5.10, 6.1 or 6.12" ;;
esac

# The machine's mirror of what apt labels so ("Debian", "Debian-Security").
mirror_of() {
  # shellcheck disable=SC2016  # apt fills in the fields
  apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' | sed -n "s/^$1 //p" | head -n 1
}

# A configuration of apt beside the machine's: these sources, and everything that it keeps below $work.
configure_apt() {
  local main security key='[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]'
  main=$(mirror_of Debian)
  security=$(mirror_of Debian-Security)
  [[ $main ]] || die "apt knows no mirror of Debian (run apt-get update first)"
  mkdir -p "$work"/apt/lists/partial "$work"/apt/archives/partial
  echo "deb $key $main $suite main" >"$work/apt/sources.list"
  [[ ! $security ]] || echo "deb $key $security $suite-security main" >>"$work/apt/sources.list"
  cat >"$work/apt/apt.conf" <<CONF
Dir::Etc::sourcelist "$work/apt/sources.list";
Dir::Etc::sourceparts "-";
Dir::State::lists "$work/apt/lists";
Dir::Cache "$work/apt";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
CONF
  apt-get -c "$work/apt/apt.conf" -qq update >&2 || die "apt-get could not read $suite at $main"
}

# unpack FOLDER PACKAGE
unpack() {
  local into=$1 package=$2
  mkdir -p "$work/deb" "$into"
  (cd "$work/deb" && apt-get -c "$work/apt/apt.conf" -qq download "$package" >&2) || die "apt-get could not fetch $package"
  dpkg-deb -x "$work"/deb/*.deb "$into"
  rm -rf "$work/deb"
}

fetch_busybox() {
  unpack "$work/busybox" busybox-static
  mv "$work/busybox/bin/busybox" "$cache/busybox"
}

# The cloud flavour: a third of the size, and all that we ask of a kernel. Its newest version in the archive.
fetch_kernel() {
  local package version root=$work/root
  package=$(apt-cache -c "$work/apt/apt.conf" pkgnames linux-image- |
    grep -E "^linux-image-${series//./\\.}\..*-cloud-amd64\$" | grep -v -e -rt- | sort -V | tail -n 1)
  [[ $package ]] || die "$suite has no linux-image-$series.*-cloud-amd64"
  unpack "$root" "$package"
  version=${package#linux-image-}
  mkdir -p "$work/kernel/lib/modules"
  mv "$root"/boot/vmlinuz-* "$work/kernel/vmlinuz"
  mv "$(find "$root" -path "*/lib/modules/$version" -prune)" "$work/kernel/lib/modules/"
  # Debian compresses modules from 6.x on; busybox reads them plain.
  find "$work/kernel/lib/modules" -name '*.ko.xz' -exec xz -d {} +
  "$cache/busybox" depmod -b "$work/kernel" "$version" || die "$package: depmod failed"
  mv "$work/kernel" "$cache/$series"
}

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9  # two that want the same kernel fetch it once
if [[ ! -e $cache/$series/vmlinuz || ! -x $cache/busybox ]]; then
  [[ $(uname -m) == x86_64 ]] || die "these kernels are of x86_64, this machine is $(uname -m)"
  work=$(mktemp -d "$cache/fetch.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  configure_apt
  [[ -x $cache/busybox ]] || fetch_busybox
  [[ -e $cache/$series/vmlinuz ]] || fetch_kernel
fi
echo "$cache/$series"
