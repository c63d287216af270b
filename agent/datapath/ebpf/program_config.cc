// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/program_config.h"

#include <algorithm>
#include <iterator>

#include "fairlead/flags.h"
#include "fairlead/limits.h"

namespace fairlead::ebpf {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// nf_conntrack's defaults (Documentation/networking/nf_conntrack-sysctl.rst), where its states are ours.
constexpr seconds kEstablished{432000};
constexpr seconds kCloseWait{60};
constexpr seconds kSynSent{120};
constexpr seconds kUdp{30};
constexpr seconds kUdpStream{120};
// Not nf_conntrack's 120 s of TIME_WAIT: for as long as Linux keeps an end of the connection in it
// (TCP_TIMEWAIT_LEN), late segments may still come.
constexpr seconds kClosed{60};

// Differences of ticks are compared as signed 32 bits.
constexpr int64_t kMostTicks = INT32_MAX;

uint32_t Ticks(milliseconds time, uint32_t tick_ms) {
  int64_t ticks = (time.count() + tick_ms - 1) / tick_ms;
  return static_cast<uint32_t>(std::clamp<int64_t>(ticks, 1, kMostTicks));
}

milliseconds Or(milliseconds configured, seconds standard) {
  return configured.count() > 0 ? configured : milliseconds(standard);
}

}  // namespace

uint32_t TickShift(uint32_t jiffies_per_s) {
  uint32_t shift = 0;
  while ((uint64_t{2} << shift) * 10 <= uint64_t{jiffies_per_s} * 11) ++shift;
  return shift;
}

fairlead_config ProgramConfig(const schema& schema, const NodeConstants& node,
                              const ConntrackOptions& conntrack, bool pod_devices_are_pods,
                              bool direct_delivery, bool leave_established) {
  fairlead_config config{};
  config.node_netns_cookie = node.netns_cookie;
  config.hash_seed = schema.hash_seed;
  config.frontend_mask = schema.frontend_slots - 1;
  config.flow_mask = schema.flow_sets - 1;
  std::copy(std::begin(schema.flow_keys), std::end(schema.flow_keys), std::begin(config.flow_keys));
  config.tick_shift = TickShift(node.jiffies_per_s);
  config.tick_ms = static_cast<uint32_t>((uint64_t{1000} << config.tick_shift) / node.jiffies_per_s);

  auto ticks = [&](milliseconds time) { return Ticks(time, config.tick_ms); };
  config.flow_timeout[FLOW_ESTABLISHED] = ticks(Or(conntrack.tcp_established_timeout, kEstablished));
  config.flow_timeout[FLOW_STREAM] = ticks(Or(conntrack.udp_stream_timeout, kUdpStream));
  config.flow_timeout[FLOW_HALF_CLOSED] = ticks(Or(conntrack.tcp_close_wait_timeout, kCloseWait));
  config.flow_timeout[FLOW_UNREPLIED] = ticks(Or(conntrack.udp_timeout, kUdp));
  config.flow_timeout[FLOW_SYN] = ticks(kSynSent);
  config.flow_timeout[FLOW_CLOSED] = ticks(kClosed);
  config.idle_ticks = ticks(seconds(FLOW_IDLE_BEFORE_EVICTION_S));
  config.pod_devices_are_pods = pod_devices_are_pods;
  config.direct_delivery = direct_delivery;
  config.leave_established = leave_established;
#if defined(__x86_64__)
  config.strong_order = true;
#endif
  return config;
}

}  // namespace fairlead::ebpf
