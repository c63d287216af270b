#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Proves that every header stands alone: agent/, test/ with g++ as C++; bpf/ with clang-19 for the BPF target;
# include/ and maps/ with both, since both sides include them. Headers of the packet walk are compiled for TC: a program
# says which of skb.bpf.h and xdp.bpf.h it is made with before it includes them.
#
# Usage: scripts/check-headers.sh [BUILD_DIR]      (default: build/; its bpf/ holds the skeletons)
#
# Objects are kept in BUILD_DIR/headers through ccache, so that a second run compiles only what changed.
set -euo pipefail

cd "$(dirname "$0")/.."
build_dir=${1:-build}
work=$build_dir/headers
mkdir -p "$work"
work=$(cd "$work" && pwd)
export work
launcher=$(command -v ccache || true)
export launcher
cxx_flags="-std=c++23 -O0 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -DSPDLOG_FMT_EXTERNAL"
cxx_flags+=" -I. -Iinclude -isystem $build_dir/bpf"
export cxx_flags
bpf_flags="-target bpf -mcpu=v3 -g -O2 -Wall -Wextra -Werror -Wno-unused-function -Wno-unused-parameter -fsyntax-only"
bpf_flags+=" -I. -Iinclude -I/usr/include/$(gcc -dumpmachine)"
export bpf_flags

# compile LANGUAGE HEADER: prints the compiler's words and "FAIL" if the header needs what it does not include.
compile() {
  local language=$1 header=$2 unit output
  unit=$work/${header//\//__}
  # The flags are lists of words.
  # shellcheck disable=SC2086
  if [[ $language == cxx ]]; then
    echo "#include \"$header\"" >"$unit.cc"
    output=$($launcher g++ $cxx_flags -c "$unit.cc" -o "$unit.o" 2>&1) && return
  else
    : >"$unit.c"
    if grep -qE 'packet_ctx|"(packet|flow|service)\.bpf\.h"' "$header" && [[ $header != *xdp.bpf.h ]]; then
      echo '#include "bpf/lib/skb.bpf.h"' >"$unit.c"
    fi
    echo "#include \"$header\"" >>"$unit.c"
    output=$(clang-19 $bpf_flags "$unit.c" 2>&1) && return
  fi
  printf 'FAIL headers: %s alone as %s:\n%s\n' "$header" "$language" "$output"
  return 1
}
export -f compile

jobs() {
  find agent test include maps -name '*.h' ! -name '*.bpf.h' -printf 'cxx %p\n'
  find include maps -name '*.h' -printf 'bpf %p\n'
  find bpf -name '*.bpf.h' -printf 'bpf %p\n'
}

mapfile -t all < <(jobs)
((${#all[@]})) || { echo "FAIL headers: none found in $PWD"; exit 1; }
# shellcheck disable=SC2016  # the inner shell expands
if printf '%s\n' "${all[@]}" | xargs -L 1 -P "$(nproc)" bash -c 'compile "$1" "$2"' _; then
  echo "PASS headers: ${#all[@]} compilations"
else
  exit 1
fi
