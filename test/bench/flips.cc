// SPDX-License-Identifier: Apache-2.0
// bench_flips: sees the moment at which a change of a Service takes effect, from outside the agent. It maps
// the pinned `frontends` table and watches one Service's 8-byte word.
//
//   bench_flips --pins DIR [--timeout-ms N]
//
// Commands on stdin, one line each; answers, one line each:
//
//   count PORT       "count N"     live frontends with this port, of clients in the cluster
//   watch IP PORT    "watching", and then "flip NS" (CLOCK_MONOTONIC) or "timeout"
//   quit
//
// It looks every 50 us rather than without pause, and at ordinary priority: on a machine of two cores a
// watcher that spins, or goes before everybody else, holds the core that the agent needs. A flip is seen some
// 50 us late.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <sys/prctl.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <map>
#include <sstream>
#include <string>

#include "agent/base/address.h"
#include "agent/datapath/ebpf/bpf_map.h"
#include "agent/datapath/ebpf/pins.h"
#include "test/bench/figures.h"

namespace fairlead::bench {
namespace {

constexpr timespec kPause{0, 50'000};

uint64_t Word(const frontend_slot& slot) {
  return __atomic_load_n(reinterpret_cast<const uint64_t*>(&slot.value), __ATOMIC_ACQUIRE);
}

class Flips {
 public:
  Flips(std::span<const frontend_slot> slots, int64_t timeout_ns) : slots_(slots), timeout_ns_(timeout_ns) {}

  std::string Obey(const std::string& line) {
    std::istringstream words(line);
    std::string command;
    words >> command;
    if (command == "count") {
      uint16_t port = 0;
      words >> port;
      return Count(port);
    }
    if (command == "watch") {
      std::string ip;
      uint16_t port = 0;
      words >> ip >> port;
      return Watch(ip, port);
    }
    return "error: expected count, watch or quit";
  }

 private:
  static bool Serves(const frontend_slot& slot, uint16_t port) {
    return slot.scope == SCOPE_CLUSTER && slot.port == htons(port) && Word(slot) != 0;
  }

  std::string Count(uint16_t port) const {
    size_t live = 0;
    for (const frontend_slot& slot : slots_) live += Serves(slot, port) ? 1 : 0;
    return fmt::format("count {}", live);
  }

  // A frontend keeps its slot while it lives.
  const frontend_slot* Find(const Address& ip, uint16_t port) const {
    for (const frontend_slot& slot : slots_) {
      if (Serves(slot, port) && Address{slot.addr} == ip) return &slot;
    }
    return nullptr;
  }

  std::string Watch(const std::string& text, uint16_t port) const {
    auto ip = Address::Parse(text);
    if (!ip) return "error: " + ip.error().message;
    const frontend_slot* slot = Find(*ip, port);
    if (slot == nullptr) return fmt::format("error: no frontend {}", AddressPort(*ip, port));
    const uint64_t before = Word(*slot);
    std::puts("watching");
    std::fflush(stdout);
    for (const int64_t end = WallNs() + timeout_ns_;;) {
      const int64_t now = WallNs();
      if (Word(*slot) != before) return fmt::format("flip {}", now);
      if (now > end) return "timeout";
      ::nanosleep(&kPause, nullptr);
    }
  }

  std::span<const frontend_slot> slots_;
  int64_t timeout_ns_;
};

int Main(int argc, char** argv) {
  std::string pins;
  int timeout_ms = 10'000;
  CLI::App app("Watches frontends flip");
  app.add_option("--pins", pins, "the agent's --bpffs-dir")->required();
  app.add_option("--timeout-ms", timeout_ms);
  CLI11_PARSE(app, argc, argv);

  const Fd map = ebpf::Pins(pins).OpenMap(frontends_table::kName);
  auto info = ebpf::GetMapInfo(map.Get());
  if (!info) {
    fmt::print(stderr, "bench_flips: {}: {}\n", pins, info.error().message);
    return 1;
  }
  auto slots =
      ebpf::SharedArray<frontend_slot>::Map(map.Get(), frontends_table::kName, info->max_entries, false);
  if (!slots) {
    fmt::print(stderr, "bench_flips: {}\n", slots.error().message);
    return 1;
  }
  ::prctl(PR_SET_TIMERSLACK, 1);
  Flips flips(slots->elements(), int64_t{timeout_ms} * 1'000'000);
  for (std::string line; std::getline(std::cin, line) && line != "quit";) {
    std::puts(flips.Obey(line).c_str());
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace fairlead::bench

int main(int argc, char** argv) {
  return fairlead::bench::Main(argc, argv);
}
