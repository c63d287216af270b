// SPDX-License-Identifier: Apache-2.0
// Tables in memory as the agent would write them, and what fairleadctl reads of them.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/ctl/read.h"
#include "agent/datapath/ebpf/memory_tables.h"
#include "agent/datapath/ebpf/writer.h"
#include "test/support/objects.h"

namespace fairlead::ctl {

inline plan::Backend At(std::string_view address, uint16_t port, bool local = false,
                        bool terminating = false) {
  return {test::Addr(address), port, local, terminating, 1};
}

inline plan::ServicePort Port(std::string_view service, std::string_view port, plan::Protocol protocol,
                              std::vector<plan::Frontend> frontends, std::vector<plan::Backend> backends) {
  plan::ServicePort made;
  made.key = {test::Name(service), std::string(port), protocol, frontends.front().address.GetFamily()};
  made.frontends = std::move(frontends);
  made.has_any = !backends.empty();
  made.cluster = std::move(backends);
  return made;
}

class World {
 public:
  World() : memory(Sizes()), reclaimer(grace), writer(memory.View(), reclaimer) {}

  void Set(const plan::ServicePort& port) {
    std::vector<plan::Change> changes = {{port.key, std::make_shared<plan::ServicePort>(port)}};
    for (const auto& failure : writer.Apply(changes)) ADD_FAILURE() << failure.error.message;
    reclaimer.Poll();
  }

  Snapshot Read() {
    auto snapshot = ReadTables(memory.View());
    if (!snapshot) ADD_FAILURE() << snapshot.error().message;
    return snapshot ? *snapshot : Snapshot();
  }

  ebpf::MemoryTables memory;
  ebpf::ManualGrace grace;
  ebpf::Reclaimer reclaimer;
  ebpf::Writer writer;

 private:
  static Capacities Sizes() {
    Capacities sizes;
    sizes.frontends = 64;
    sizes.backends = 256;
    sizes.ring_slots = 4096;
    sizes.services = 32;
    sizes.source_ranges = 16;
    return sizes;
  }
};

inline plan::Frontend ClusterIp(std::string_view address, uint16_t port) {
  return {plan::FrontendKind::kClusterIp, test::Addr(address), port};
}
inline plan::Frontend NodePort(uint16_t port) {
  return {plan::FrontendKind::kNodePort, plan::AnyAddress(Family::kIpv4), port};
}
inline plan::Frontend LoadBalancer(std::string_view address, uint16_t port) {
  return {plan::FrontendKind::kLoadBalancer, test::Addr(address), port};
}

}  // namespace fairlead::ctl
