#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds fairlead from this checkout on Debian 12: build/fairlead and build/fairleadctl, BPF objects inside.
#
# Usage: scripts/build.sh [TARGET...]      (default: fairlead fairleadctl; "all" adds the tests)
#   BUILD_DIR      where to build (default: build/ of the checkout)
#   BUILD_TYPE     CMake build type (default: RelWithDebInfo)
#
# Installs compilers and libraries first (scripts/setup.sh build): that part needs root, the rest does not.
set -euo pipefail

source_dir=$(cd "$(dirname "$0")/.." && pwd)
build_dir=${BUILD_DIR:-$source_dir/build}
build_type=${BUILD_TYPE:-RelWithDebInfo}
targets=("$@")
((${#targets[@]})) || targets=(fairlead fairleadctl)
jobs=$(nproc)

"$source_dir/scripts/setup.sh" build
mkdir -p "$build_dir"
log=$build_dir/configure.log
if ! cmake -S "$source_dir" -B "$build_dir" -G Ninja -DCMAKE_BUILD_TYPE="$build_type" >"$log" 2>&1; then
  cat "$log" >&2
  echo "build: cmake could not configure $build_dir" >&2
  exit 1
fi
echo "build: ${targets[*]} in $build_dir ($build_type, $jobs jobs)"
ninja -C "$build_dir" -j "$jobs" "${targets[@]}"
if [[ -x $build_dir/fairlead && -x $build_dir/fairleadctl ]]; then
  echo "build: $build_dir/fairlead $build_dir/fairleadctl"
fi
