#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Proves from the #include lines that the tree is what README says it is:
#   kube -> model -> plan -> datapath -> run: nothing includes anything to its right, nor a test;
#   base includes only itself; include/ and maps/ include nothing of the agent;
#   only bpf/, datapath/ebpf and ctl know the tables of maps/;
#   cpprest appears only in .cc files of agent/kube, skeletons only in agent/datapath/ebpf.
#
# Usage: scripts/check-layers.sh              check this checkout
#        scripts/check-layers.sh --self-test  seed one violation of each rule and see each found
set -euo pipefail

# Prints "file:line: ..." for each include that breaks a rule in the tree at $1; fails if there is any.
check() {
  (
    cd "$1"
    find agent maps include bpf \( -name '*.h' -o -name '*.cc' -o -name '*.c' \) -print0 |
      xargs -0 grep -HnE '^[[:space:]]*#[[:space:]]*include' -- || true
  ) | awk '
    BEGIN {
      allow["include"]  = "include"
      allow["maps"]     = "include maps"
      allow["bpf"]      = "include maps bpf"
      allow["base"]     = "include base"
      allow["config"]   = "include base config options"
      allow["options"]  = "include base"  # struct Options, and in it the capacities of the tables
      allow["kube"]     = "include base kube"
      allow["model"]    = "include base kube model"
      allow["plan"]     = "include base kube model plan"
      allow["datapath"] = "include base kube model plan datapath"
      allow["ebpf"]     = allow["datapath"] " ebpf maps skeleton options"
      allow["netfilter"] = allow["datapath"] " netfilter options"  # what the next three share
      allow["nftables"] = allow["netfilter"] " nftables"
      allow["iptables"] = allow["netfilter"] " iptables"
      allow["ipvs"]     = allow["netfilter"] " iptables ipvs"
      allow["modes"]    = allow["netfilter"] " ebpf nftables iptables ipvs modes"  # which of them, and how they change
      allow["run"]      = allow["modes"] " config run"
      allow["ctl"]      = allow["modes"] " config maps ctl"
      allow["main"]     = allow["run"]
    }
    # The layer a path of this tree belongs to; "" for a header of the system or of a library.
    function layer(path) {
      if (path ~ /^cpprest\/|^pplx\//) return "cpprest"
      if (path ~ /\.skel\.h$/) return "skeleton"
      if (path ~ /^include\/|^fairlead\//) return "include"
      if (path ~ /^maps\//) return "maps"
      if (path ~ /^bpf\/.*\.bpf\.[ch]$/) return "bpf"  # bpf/libbpf.h is a library header
      if (path ~ /^test\//) return "test"
      if (match(path, /^agent\/datapath\/[a-z]+\//)) return substr(path, 16, RLENGTH - 16)
      if (path == "agent/options.h") return "options"
      if (path ~ /^agent\/(config\/|options\.)/) return "config"
      if (path ~ /^agent\/main\./) return "main"
      if (match(path, /^agent\/[a-z]+\//)) return substr(path, 7, RLENGTH - 7)
      return ""
    }
    {
      split($0, part, ":")
      file = part[1]
      target = $0
      sub(/^[^:]*:[0-9]+:[ \t]*#[ \t]*include[ \t]*/, "", target)
      quoted = target ~ /^"/
      sub(/^["<]/, "", target)
      sub(/[">].*/, "", target)

      from = layer(file)
      if (!(from in allow)) { bad("a folder without a rule in scripts/check-layers.sh"); next }
      if (target ~ /\.\.\//) { bad("name the file by its path from the root"); next }
      to = layer(target)
      if (to == "" && quoted) {  # relative to the including file
        folder = file
        sub(/[^\/]*$/, "", folder)
        to = layer(folder target)
      }
      if (to == "") next
      if (to == "cpprest") {
        if (from != "kube" || file !~ /\.cc$/) bad("cpprest belongs in .cc files of agent/kube only")
      } else if (index(" " allow[from] " ", " " to " ") == 0) {
        bad(from " must not include " to)
      }
    }
    function bad(why) { print file ":" part[2] ": " target ": " why; failed = 1 }
    END { if (NR == 0) { print "no #include found: wrong folder?"; failed = 1 } exit failed }
  '
}

# Each line: file, what it includes, ok or bad.
self_test() {
  local file target expected got failures=0
  root=$(mktemp -d)
  trap 'rm -rf "$root"' EXIT
  while read -r file target expected; do
    rm -rf "${root:?}"/*
    mkdir -p "$root"/{agent,maps,include,bpf} "$root/$(dirname "$file")"
    printf '// a comment\n#include <vector>\n  #  include %s\n' "$target" >"$root/$file"
    if check "$root" >"$root/output"; then got=ok; else got=bad; fi
    if [[ $got != "$expected" ]] || { [[ $got == bad ]] && ! grep -q "^$file:3: " "$root/output"; }; then
      echo "FAIL layers self-test: $file including $target: expected $expected, got $got: $(cat "$root/output")"
      failures=1
    fi
  done <<'CASES'
agent/base/a.h        "agent/base/b.h"             ok
agent/base/a.h        "agent/kube/b.h"             bad
agent/base/a.h        "fairlead/wire.h"            ok
agent/base/a.h        "maps/frontends.h"           bad
agent/kube/a.cc       "agent/base/b.h"             ok
agent/kube/a.cc       "agent/model/b.h"            bad
agent/kube/a.cc       <cpprest/http_client.h>      ok
agent/kube/a.h        <cpprest/http_client.h>      bad
agent/run/a.cc        <cpprest/http_client.h>      bad
agent/kube/a.cc       "agent/options.h"            bad
agent/model/a.h       "agent/kube/b.h"             ok
agent/model/a.h       "../plan/b.h"                bad
agent/model/a.h       "agent/plan/b.h"             bad
agent/plan/a.cc       "agent/model/b.h"            ok
agent/plan/a.cc       "agent/datapath/b.h"         bad
agent/plan/a.cc       "maps/frontends.h"           bad
agent/datapath/a.h    "agent/plan/b.h"             ok
agent/datapath/a.h    "agent/datapath/ebpf/b.h"    bad
agent/datapath/a.h    "agent/run/b.h"              bad
agent/datapath/ebpf/a.cc  "maps/frontends.h"       ok
agent/datapath/ebpf/a.cc  "sock_lb.skel.h"         ok
agent/datapath/ebpf/a.cc  "agent/run/b.h"          bad
agent/datapath/ebpf/a.cc  "agent/options.h"        ok
agent/datapath/ebpf/a.cc  "agent/config/b.h"       bad
agent/datapath/ebpf/a.cc  <bpf/libbpf.h>           ok
agent/datapath/ebpf/a.cc  <bpf/bpf.h>              ok
agent/datapath/ebpf/a.cc  "bpf/lib/count.bpf.h"    bad
agent/datapath/nftables/a.cc  "agent/datapath/netfilter/b.h"  ok
agent/datapath/nftables/a.cc  "agent/datapath/ebpf/b.h"  bad
agent/datapath/iptables/a.cc  "agent/datapath/nftables/b.h"  bad
agent/datapath/ipvs/a.cc  "maps/frontends.h"       bad
agent/datapath/ebpf/a.cc  "agent/datapath/netfilter/b.h"  bad
agent/datapath/modes/a.cc  "agent/datapath/ipvs/b.h"  ok
agent/datapath/modes/a.cc  "agent/run/b.h"         bad
agent/run/a.cc        "agent/datapath/modes/b.h"   ok
agent/run/a.cc        "agent/datapath/ebpf/b.h"    ok
agent/run/a.cc        "maps/frontends.h"           bad
agent/run/a.cc        "sock_lb.skel.h"             bad
agent/run/a.cc        "test/support/b.h"           bad
agent/run/a.cc        "agent/ctl/b.h"              bad
agent/ctl/a.cc        "maps/frontends.h"           ok
agent/ctl/a.cc        "agent/run/b.h"              bad
agent/options.h       "agent/base/b.h"             ok
agent/options.h       "agent/kube/b.h"             bad
agent/options.cc      "agent/options.h"            ok
agent/config/a.cc     "agent/options.h"            ok
agent/main.cc         "agent/run/b.h"              ok
agent/other/a.h       "agent/base/b.h"             bad
include/fairlead/a.h  "maps/frontends.h"           bad
include/fairlead/a.h  "wire.h"                     ok
maps/a.h              "fairlead/wire.h"            ok
maps/a.h              "agent/base/b.h"             bad
bpf/a.bpf.c           "maps/frontends.h"           ok
bpf/lib/a.bpf.h       "count.bpf.h"                ok
bpf/lib/a.bpf.h       "agent/base/b.h"             bad
CASES
  ((failures)) || echo "PASS layers self-test"
  return "$failures"
}

case ${1:-} in
  --self-test) self_test; exit ;;
  '') ;;
  *) echo "usage: scripts/check-layers.sh [--self-test]" >&2; exit 2 ;;
esac

root=$(cd "$(dirname "$0")/.." && pwd)
if output=$(check "$root"); then
  echo "PASS layers"
else
  echo "FAIL layers:"
  echo "$output"
  exit 1
fi
