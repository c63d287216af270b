// SPDX-License-Identifier: Apache-2.0
#include "test/support/nftables/tracer.h"

#include <functional>
#include <stdexcept>

#include "agent/datapath/nftables/element.h"
#include "test/support/nftables/rules.h"

namespace fairlead::test {

namespace {

// A packet through the hooks, each of which may end it.
class Walk {
 public:
  Walk(const FakeNftables& kernel, const std::set<Address>& local) : rules_(kernel, local), local_(local) {}

  std::set<Traced> Of(const NftPacket& packet, bool of_node) {
    const std::string from = of_node ? "output" : "prerouting";
    Hook(from, packet, [&](const NftPacket& translated) {
      Hook(from + "-after-nat", translated, [&](const NftPacket& admitted) {
        if (!of_node && local_.contains(admitted.destination)) return End(admitted);
        NftPacket leaving = admitted;
        leaving.device.clear();
        Hook("postrouting", leaving, [&](const NftPacket& left) { End(left); });
      });
    });
    return std::move(ends_);
  }

 private:
  void Hook(const std::string& chain, const NftPacket& packet,
            const std::function<void(const NftPacket&)>& next) {
    for (const NftOutcome& outcome : rules_.Walk(chain, packet)) {
      if (outcome.end == NftEnd::kDropped) {
        ends_.insert({TraceEnd::kDropped, {}, 0, false});
      } else if (outcome.end == NftEnd::kRejected) {
        ends_.insert({TraceEnd::kRejected, {}, 0, false});
      } else {
        next(outcome.packet);
      }
    }
  }

  void End(const NftPacket& packet) {
    if (packet.translated) {
      ends_.insert({TraceEnd::kReached, packet.destination, packet.destination_port, packet.masqueraded});
    } else {
      ends_.insert({TraceEnd::kPassed, {}, 0, false});
    }
  }

  NftRules rules_;
  const std::set<Address>& local_;
  std::set<Traced> ends_;
};

}  // namespace

// The later states go the way they go in the agent: as differences.
void NftablesTracer::Program(const plan::Plan& plan, const plan::NodePlan& node) {
  node_addresses_ = {node.nodeport_addresses.begin(), node.nodeport_addresses.end()};
  std::vector<plan::Change> changes;
  for (const auto& [key, port] : plan) changes.push_back({key, port});
  for (const auto& [key, port] : programmed_) {
    if (!plan.contains(key)) changes.push_back({key, nullptr});
  }
  programmed_ = plan;
  auto applied = writer_.ApplyNode(node);
  const auto failures = writer_.Apply(changes);
  if (applied && failures.empty() && !writer_.committed()) applied = writer_.Commit();
  if (!applied) throw std::runtime_error(applied.error().message);
  if (!failures.empty()) throw std::runtime_error(failures.front().error.message);
}

std::set<Traced> NftablesTracer::Trace(const TracePacket& packet) {
  if (!writer_.committed()) throw std::runtime_error("nothing is programmed");
  NftPacket walking;
  walking.source = packet.source;
  walking.destination = walking.first_destination = packet.destination;
  walking.source_port = packet.source_port;
  walking.destination_port = walking.first_port = packet.destination_port;
  walking.protocol = nftables::ProtocolWord(packet.protocol);
  if (!packet.of_node) walking.device = packet.device;
  return Walk(kernel_, node_addresses_).Of(walking, packet.of_node);
}

}  // namespace fairlead::test
