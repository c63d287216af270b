// SPDX-License-Identifier: Apache-2.0
#include "agent/run/conntrack_settings.h"

#include <algorithm>
#include <charconv>
#include <fstream>

#include "agent/base/log.h"
#include "agent/base/sysctl.h"

namespace fairlead::run {

namespace {

constexpr const char* kMax = "net/netfilter/nf_conntrack_max";
// kube-proxy's bound on what the cores ask for; `min` is not bound by it.
constexpr uint64_t kMostByCores = 1U << 20;
// Not of a network namespace, and only writable from the first one.
constexpr const char* kBuckets = "/sys/module/nf_conntrack/parameters/hashsize";

uint64_t Number(const std::string& text) {
  uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

// Entries that share a bucket make every lookup slower: four at most, as kube-proxy has it.
void WidenBuckets(uint64_t entries) {
  std::ifstream file(kBuckets);
  std::string now;
  if (!std::getline(file, now) || Number(now) >= entries / 4) return;
  std::ofstream(kBuckets) << entries / 4;
  std::ifstream again(kBuckets);
  if (!std::getline(again, now) || Number(now) < entries / 4)
    spdlog::warn("{}: stays at {}, {} would fit {} entries: lookups are slower when the table is full",
                 kBuckets, now, entries / 4, entries);
}

// True if it needs no more attention.
bool Settle(const ConntrackSetting& setting) {
  auto now = ReadSysctl(setting.name);
  if (!now) return false;
  const uint64_t value = Number(*now);
  const bool right = setting.at_least ? value >= setting.value : value == setting.value;
  if (!right) {
    if (auto written = WriteSysctl(setting.name, std::to_string(setting.value)); !written) {
      spdlog::warn("{}; it stays at {}", written.error().message, value);
      return true;
    }
    spdlog::info("{}: {} instead of {}", setting.name, setting.value, value);
  }
  if (setting.name == kMax) WidenBuckets(setting.value);
  return true;
}

}  // namespace

std::vector<ConntrackSetting> ConntrackSettings(const Options& options, uint32_t cores) {
  const ConntrackOptions& conntrack = options.conntrack;
  std::vector<ConntrackSetting> settings;
  if (conntrack.max_per_core > 0) {
    const uint64_t by_cores = std::min(uint64_t{conntrack.max_per_core} * cores, kMostByCores);
    settings.push_back({kMax, std::max<uint64_t>(by_cores, conntrack.min), true});
  }
  const auto seconds = [&](const char* name, std::chrono::milliseconds time) {
    if (time.count() > 0) settings.push_back({name, static_cast<uint64_t>(time.count()) / 1000, false});
  };
  seconds("net/netfilter/nf_conntrack_tcp_timeout_established", conntrack.tcp_established_timeout);
  seconds("net/netfilter/nf_conntrack_tcp_timeout_close_wait", conntrack.tcp_close_wait_timeout);
  seconds("net/netfilter/nf_conntrack_udp_timeout", conntrack.udp_timeout);
  seconds("net/netfilter/nf_conntrack_udp_timeout_stream", conntrack.udp_stream_timeout);
  if (options.conntrack_tcp_be_liberal)
    settings.push_back({"net/netfilter/nf_conntrack_tcp_be_liberal", 1, false});
  return settings;
}

void KeptConntrack::Try() {
  std::erase_if(due_, &Settle);
}

}  // namespace fairlead::run
