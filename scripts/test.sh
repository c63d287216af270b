#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs, builds and runs every test, cheap ones first. Run as root: most of them load BPF programs or make
# network namespaces. The last line is "N passed, N failed, N skipped"; the status is 0 only if none failed.
#
# Usage: scripts/test.sh [PATTERN]     PATTERN (a glob): run only checks and programs whose name matches, e.g. 'unit_*'
#   TEST_TIMEOUT_S   the time a test program may take (default 900)
#   BUILD_DIR        where to build (default: build/ of the checkout)
#
# Counted are GoogleTest cases and the PASS, FAIL and SKIP lines of the checks. A program that crashes, hangs or ends
# with an error although no case failed counts as one failure with its name. Logs are in BUILD_DIR/test-logs.
set -euo pipefail

source_dir=$(cd "$(dirname "$0")/.." && pwd)
cd "$source_dir"
export BUILD_DIR=${BUILD_DIR:-$source_dir/build}
pattern=${1:-*}
timeout_s=${TEST_TIMEOUT_S:-900}
logs=$BUILD_DIR/test-logs
passed=0 failed=0 skipped=0

finish() {
  echo "$passed passed, $failed failed, $skipped skipped"
  exit $((failed > 0))
}

# check NAME COMMAND...: runs a check that prints PASS, FAIL and SKIP lines.
check() {
  local name=$1 log=$logs/$1.log status=0 p f s
  shift
  # shellcheck disable=SC2053  # the pattern is a glob
  [[ $name == $pattern ]] || return 0
  timeout --kill-after=10 "$timeout_s" "$@" >"$log" 2>&1 </dev/null || status=$?
  p=$(grep -c '^PASS ' "$log" || true)
  f=$(grep -c '^FAIL ' "$log" || true)
  s=$(grep -c '^SKIP ' "$log" || true)
  if ((status != 0 && f == 0)); then
    echo "FAIL $name: ended with status $status" >>"$log"
    f=1
  elif ((p + f + s == 0)); then
    echo "FAIL $name: reported nothing" >>"$log"
    f=1
  fi
  report "$name" "$p" "$f" "$s"
  if ((f)); then
    sed 's/^/    /' "$log"
  else
    sed -n 's/^SKIP /    skipped: /p' "$log"
  fi
}

# program PATH: runs a GoogleTest program. Its JSON gives the counts; without one (a crash) its log does.
program() {
  local name log json status=0 p f s
  name=$(basename "$1")
  # shellcheck disable=SC2053
  [[ $name == $pattern ]] || return 0
  log=$logs/$name.log
  json=$logs/$name.json
  rm -f "$json"
  echo "$name ..."
  timeout --kill-after=10 "$timeout_s" "$1" --gtest_output="json:$json" >"$log" 2>&1 </dev/null || status=$?
  if ! read -r p f s < <(counts_of "$json"); then
    p=$(grep -c '^\[       OK \]' "$log" || true)
    f=$(grep -c '^\[  FAILED  \] [^ ]* ([0-9]* ms)$' "$log" || true)
    s=$(grep -c '^\[  SKIPPED \] [^ ]* ([0-9]* ms)$' "$log" || true)
    echo "FAIL $name: $(cause_of "$status") in $(sed -n 's/^\[ RUN      \] //p' "$log" | tail -n 1)" >>"$log"
    f=$((f + 1))
  elif ((status != 0 && f == 0)); then
    echo "FAIL $name: no case failed, but it $(cause_of "$status")" >>"$log"
    f=1
  elif ((p + f + s == 0)); then
    echo "FAIL $name: it holds no test" >>"$log"
    f=1
  fi
  report "$name" "$p" "$f" "$s"
  if ((f)); then failing_output "$log"; fi
  if ((s)); then awk '/^\[ RUN / { last = "" } /^\[  SKIPPED \] [^ ]* \(/ { print "    skipped: " $4 ": " last; next }
                      !/^\[/ { last = $0 }' "$log"; fi
}

# "passed failed skipped" of a GoogleTest JSON report; nothing if there is none. Disabled cases count as skipped.
counts_of() {
  [[ -s $1 ]] || return 0
  jq -r '[.testsuites[].testsuite[]
          | if .failures then "f" elif .status == "NOTRUN" or .result == "SKIPPED" then "s" else "p" end]
         | map(select(. == "p")), map(select(. == "f")), map(select(. == "s")) | length' "$1" 2>/dev/null | xargs
}

cause_of() {
  case $1 in
    124 | 137) echo "was stopped after $timeout_s s or killed" ;;
    0) echo "left no report" ;;
    *) if (($1 > 128)); then echo "died of SIG$(kill -l $(($1 - 128)))"; else echo "ended with status $1"; fi ;;
  esac
}

# The output of the cases that failed or never ended, and our own words on the program.
failing_output() {
  awk '
    /^\[ RUN      \]/ { text = "" ; inside = 1 }
    inside { text = text "    " $0 "\n" }
    /^\[       OK \]|^\[  SKIPPED \]/ { inside = 0; text = "" }
    /^\[  FAILED  \]/ && inside { printf "%s", text; inside = 0; text = "" }
    /^FAIL / && !inside { print "    " $0 }
    END { if (inside) printf "%s", text }
  ' "$1" | tail -n 200
  echo "    log: $1"
}

report() {
  passed=$((passed + $2)) failed=$((failed + $3)) skipped=$((skipped + $4))
  printf '%-14s %5d passed %3d failed %3d skipped\n' "$@"
}

if ((EUID != 0)); then
  echo "test: root is needed: tests load BPF programs and make network namespaces" >&2
  failed=1
  finish
fi
scripts/setup.sh build lab test || { echo "FAIL setup"; failed=1; finish; }
scripts/setup.sh cluster || echo "setup: without vagrant and npm their checks are skipped"
scripts/build.sh all || { echo "FAIL build"; failed=1; finish; }
mkdir -p "$logs"

check layers scripts/check-layers.sh
check layers-self scripts/check-layers.sh --self-test
check format scripts/format.sh --check
check scripts scripts/check-scripts.sh
check headers scripts/check-headers.sh "$BUILD_DIR"
check k8s scripts/check-k8s.sh
check vagrant scripts/check-vagrant.sh

# Pure programs first, then those that load BPF objects, then those with real sockets.
mapfile -t programs < <(
  find "$BUILD_DIR/test" -maxdepth 1 -type f -executable | while read -r path; do
    case $(basename "$path") in
      test_* | bench_*) continue ;;  # what tests and benches run, not tests
      unit_*) rank=1 ;;
      story) rank=2 ;;
      layout) rank=3 ;;
      verifier) rank=4 ;;
      packet) rank=5 ;;
      netns) rank=7 ;;
      oracle) rank=8 ;;
      *) rank=6 ;;
    esac
    echo "$rank $path"
  done | sort | cut -d ' ' -f 2-
)
((${#programs[@]})) || { echo "FAIL: no test program in $BUILD_DIR/test"; failed=$((failed + 1)); }
for path in "${programs[@]}"; do program "$path"; done
if ((passed + failed + skipped == 0)); then
  echo "FAIL: nothing is named '$pattern'"
  failed=1
fi
finish
