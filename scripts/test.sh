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

# program PATH: runs a GoogleTest program and judges it.
program() {
  local name
  name=$(basename "$1")
  # shellcheck disable=SC2053
  [[ $name == $pattern ]] || return 0
  echo "$name ..."
  run "$name" "$timeout_s" "$1"
  judge "$name"
}

# run NAME SECONDS COMMAND...: runs a GoogleTest program; its log, report and status are then in $logs.
run() {
  local base=$logs/$1 seconds=$2 status=0
  shift 2
  rm -f "$base.json"
  timeout --kill-after=10 "$seconds" "$@" --gtest_output="json:$base.json" >"$base.log" 2>&1 </dev/null || status=$?
  echo "$status $seconds" >"$base.status"
}

# judge NAME: counts what `run` left. The report gives the counts; without one (a crash) the log does.
judge() {
  local name=$1 log=$logs/$1.log json=$logs/$1.json status seconds p f s
  read -r status seconds <"$logs/$name.status"
  if ! read -r p f s < <(counts_of "$json"); then
    p=$(grep -c '^\[       OK \]' "$log" || true)
    f=$(grep -c '^\[  FAILED  \] [^ ]* ([0-9]* ms)$' "$log" || true)
    s=$(grep -c '^\[  SKIPPED \] [^ ]* ([0-9]* ms)$' "$log" || true)
    echo "FAIL $name: $(cause_of "$status" "$seconds") in $(sed -n 's/^\[ RUN      \] //p' "$log" | tail -n 1)" >>"$log"
    f=$((f + 1))
  elif ((status != 0 && f == 0)); then
    echo "FAIL $name: no case failed, but it $(cause_of "$status" "$seconds")" >>"$log"
    f=1
  elif ((p + f + s == 0)); then
    echo "FAIL $name: it holds no test" >>"$log"
    f=1
  elif [[ $name == vm-* ]] && ((p + f == 0)); then  # it is there for a kernel that can run it
    echo "FAIL $name: every case was skipped" >>"$log"
    f=1
  fi
  report "$name" "$p" "$f" "$s"
  if ((f)); then failing_output "$log"; fi
  if ((s)); then awk '/^\[ RUN / { last = "" } /^\[  SKIPPED \] [^ ]* \(/ { print "    skipped: " $4 ": " last; next }
                      !/^\[/ { last = $0 }' "$log"; fi
}

# Programs on other kernels, those that take longest first: name, kernel, seconds, program, filter. Some run nowhere else,
# or are another thing there; of others a part that shows that the kernel's way of doing it works too.
vm_programs() {
  cat <<'LIST'
vm-6.1-oracle-ipvs      6.1  1200 oracle_ipvs      *
vm-6.1-oracle-iptables  6.1   900 oracle_iptables  *
vm-6.1-oracle-nftables  6.1   120 oracle_nftables  *sctp*
vm-6.1-oracle-ebpf      6.1   120 oracle           *sctp*
vm-6.1-ipvs             6.1   240 vm               *Ipvs*-IpvsHandOver*
vm-6.1-ipvs-hand-over   6.1   420 vm               IpvsHandOver*
vm-6.1-verifier         6.1   150 verifier         -LinksTest.*:PacketPathTest.*
vm-6.1-netns            6.1   240 netns            ConnectTest.Keeps*:ConnectTest.Works*:NorthSouthTest.OtherNodes*:NorthSouthTest.ABackend*:NorthSouthTest.WithoutEndpoints*:MasqueradeTest.OneBackend*:CleanupTest.Leaves*
vm-5.10-auto            5.10  120 vm               OldKernel*
LIST
}

# run_vm NAME SERIES SECONDS PROGRAM FILTER
run_vm() {
  run "$1" "$(($3 + 60))" scripts/vm/run.sh -k "$2" -t "$3" -w "$logs" -- env TMPDIR=/dev/shm FAIRLEAD_TEST_SLOWNESS=5 \
    "$BUILD_DIR/test/$4" --gtest_filter="$5"
}

# Runs them two at a time: a VM without KVM keeps one CPU busy. A program whose kernel cannot be had is skipped.
vms() {
  local name series seconds program filter why names=()
  while read -r name series seconds program filter; do
    # shellcheck disable=SC2053
    [[ $name == $pattern ]] || continue
    if can_run_vm "$series"; then
      ((${#names[@]})) || echo "vm-* ..."
      names+=("$name")
      while (($(jobs -pr | wc -l) >= 2)); do wait -n; done
      run_vm "$name" "$series" "$seconds" "$program" "$filter" &
    else
      report "$name" 0 0 1
      echo "    skipped: $name: $why"
    fi
  done < <(vm_programs)
  wait
  for name in "${names[@]}"; do judge "$name"; done
  # shellcheck disable=SC2053
  if [[ vm-6.1-privileges != $pattern ]]; then return; fi
  if can_run_vm 6.1; then
    check vm-6.1-privileges scripts/vm/run.sh -k 6.1 -t 120 -- test/k8s/check.py "$BUILD_DIR" ipvs
  else
    report vm-6.1-privileges 0 0 1
    echo "    skipped: vm-6.1-privileges: $why"
  fi
}

# can_run_vm SERIES: status 0, or why no VM with this kernel can run here, in `why`. Asked once a series.
declare -A vm_answers=()
can_run_vm() {
  if [[ ! -v vm_answers[$1] ]]; then
    if ! command -v qemu-system-x86_64 >/dev/null; then
      vm_answers[$1]="qemu is not installed (scripts/setup.sh vm)"
    elif [[ ! -x /usr/lib/qemu/virtiofsd ]]; then
      vm_answers[$1]="there is no /usr/lib/qemu/virtiofsd (scripts/setup.sh vm)"
    else
      vm_answers[$1]=$(scripts/vm/kernel.sh "$1" 2>&1 >/dev/null | tail -n 1)
    fi
  fi
  why=${vm_answers[$1]}
  [[ -z $why ]]
}

# "passed failed skipped" of a GoogleTest JSON report; nothing if there is none. Disabled cases count as skipped.
counts_of() {
  [[ -s $1 ]] || return 0
  jq -r '[.testsuites[].testsuite[]
          | if .failures then "f" elif .status == "NOTRUN" or .result == "SKIPPED" then "s" else "p" end]
         | map(select(. == "p")), map(select(. == "f")), map(select(. == "s")) | length' "$1" 2>/dev/null | xargs
}

# cause_of STATUS SECONDS
cause_of() {
  case $1 in
    124 | 137) echo "was stopped after $2 s or killed" ;;
    125) echo "could not run in its VM" ;;
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
scripts/setup.sh vm || echo "setup: without qemu tests on other kernels are skipped"
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
      vm | oracle_ipvs) continue ;;  # for other kernels
      unit_*) rank=1 ;;
      story) rank=2 ;;
      layout) rank=3 ;;
      verifier) rank=4 ;;
      packet) rank=5 ;;
      netns) rank=7 ;;
      oracle*) rank=8 ;;
      *) rank=6 ;;
    esac
    echo "$rank $path"
  done | sort | cut -d ' ' -f 2-
)
((${#programs[@]})) || { echo "FAIL: no test program in $BUILD_DIR/test"; failed=$((failed + 1)); }
for path in "${programs[@]}"; do program "$path"; done
vms
if ((passed + failed + skipped == 0)); then
  echo "FAIL: nothing is named '$pattern'"
  failed=1
fi
finish
