#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Formats C++ and BPF sources with clang-format-19 and the style in .clang-format.
#
# Usage: scripts/format.sh            rewrite files in place
#        scripts/format.sh --check    change nothing; name the files that would change, exit 1 if there are any
set -euo pipefail

cd "$(dirname "$0")/.."
mapfile -d '' -t files < <(find include maps bpf agent test \( -name '*.cc' -o -name '*.h' -o -name '*.c' \) -print0)
((${#files[@]})) || { echo "format: no sources found in $PWD" >&2; exit 1; }

case ${1:-} in
  '') exec clang-format-19 -i -- "${files[@]}" ;;
  --check) ;;
  *) echo "usage: scripts/format.sh [--check]" >&2; exit 2 ;;
esac

# --dry-run -Werror prints a line for every place; the file names are enough to act on.
output=$(printf '%s\0' "${files[@]}" | xargs -0 -n 16 -P "$(nproc)" clang-format-19 --dry-run -Werror 2>&1) || {
  mapfile -t bad < <(sed -n 's/^\([^ :][^:]*\):[0-9]*:[0-9]*: error: .*clang-format.*/\1/p' <<<"$output" | sort -u)
  if ((${#bad[@]})); then
    echo "FAIL format: scripts/format.sh would change ${bad[*]}"
  else
    echo "FAIL format: clang-format-19: $output"
  fi
  exit 1
}
echo "PASS format: ${#files[@]} files"
