#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Proves that vagrant accepts the Vagrantfile: three machines, every setting known. Starts no machine.
#
# Usage: scripts/check-vagrant.sh      prints SKIP where vagrant is not installed
set -euo pipefail

cd "$(dirname "$0")/.."
if ! command -v vagrant >/dev/null; then
  echo "SKIP vagrant: not installed (scripts/setup.sh cluster)"
  exit 0
fi

home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
export VAGRANT_HOME=$home/home VAGRANT_DOTFILE_PATH=$home/dotfiles VAGRANT_CHECKPOINT_DISABLE=1

# validate FOLDER: what `vagrant validate` says; providers need not be installed to read the file.
validate() { VAGRANT_CWD=$1 vagrant validate --ignore-provider 2>&1; }

failed=0
if ! output=$(validate .); then
  echo "FAIL vagrant: $output"
  failed=1
else
  machines=$(sed -n 's/^==> \([^:]*\): Ignoring provider.*/\1/p' <<<"$output" | xargs)
  if [[ $machines == "control worker-1 worker-2" ]]; then
    echo "PASS vagrant: $machines"
  else
    echo "FAIL vagrant: expected control, worker-1 and worker-2, found: $machines"
    failed=1
  fi
fi

# The same file with a setting that vagrant does not know must be refused.
mkdir "$home/seeded"
sed 's/^  config\.vm\.box = .*/&\n  config.vm.no_such_setting = 1/' Vagrantfile >"$home/seeded/Vagrantfile"
cp -r k8s "$home/seeded/"
if output=$(validate "$home/seeded"); then
  echo "FAIL vagrant self-test: an unknown setting was accepted"
  failed=1
elif ! grep -q no_such_setting <<<"$output"; then
  echo "FAIL vagrant self-test: refused for another reason: $output"
  failed=1
else
  echo "PASS vagrant self-test"
fi
exit "$failed"
