#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Proves that every shell script parses, is executable, says its usage in its header, and that shellcheck has
# nothing to say.
#
# Usage: scripts/check-scripts.sh
set -euo pipefail

cd "$(dirname "$0")/.."
mapfile -t files < <(grep -rlE -m 1 '^#!.*\b(ba)?sh\b' .ci scripts k8s test --include='*.sh' --include=run | sort)
((${#files[@]})) || { echo "FAIL scripts: none found in $PWD"; exit 1; }

failed=0
for file in "${files[@]}"; do
  problem=
  bash -n "$file" 2>/dev/null || problem="does not parse"
  [[ -x $file ]] || problem="is not executable"
  sed -n '2p' "$file" | grep -q '^# SPDX-License-Identifier: ' || problem="has no SPDX line"
  grep -q '^set -euo pipefail$' "$file" || problem="is not strict (set -euo pipefail)"
  sed -n '3,20p' "$file" | grep -q '^# ' || problem="has no header comment"
  if [[ $problem ]]; then
    echo "FAIL scripts: $file $problem"
    failed=1
  fi
done
((failed)) || echo "PASS scripts: ${#files[@]} files"

if ! command -v shellcheck >/dev/null; then
  echo "SKIP shellcheck: not installed"
elif output=$(shellcheck "${files[@]}"); then
  echo "PASS shellcheck"
else
  echo "FAIL shellcheck:"
  echo "$output"
  failed=1
fi
exit "$failed"
