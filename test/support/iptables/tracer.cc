// SPDX-License-Identifier: Apache-2.0
#include "test/support/iptables/tracer.h"

#include <stdexcept>

#include "agent/datapath/iptables/restore.h"
#include "agent/datapath/iptables/ruleset.h"
#include "test/support/iptables/hook_walk.h"

namespace fairlead::test {

namespace {

using iptables::Ruleset;

class Walker {
 public:
  Walker(const IptablesRules& rules, const std::set<Address>& node) : rules_(rules), node_(node) {}

  std::set<Traced> Walk(const RulePacket& packet, bool of_node) {
    Hook("nat", of_node ? "OUTPUT" : "PREROUTING", packet, [&](const RulePacket& translated) {
      if (of_node) {
        return Hook("filter", "OUTPUT", translated, [&](const RulePacket& out) { Leave(out); });
      }
      if (Local(translated.destination)) {
        return Hook("filter", "INPUT", translated, [&](const RulePacket& in) { End(in, false); });
      }
      RulePacket forwarded = translated;
      forwarded.out_device = "eth1";
      Hook("filter", "FORWARD", forwarded, [&](const RulePacket& on) { Leave(on); });
    });
    return std::move(ends_);
  }

 private:
  template <typename Next>
  void Hook(const std::string& table, const std::string& chain, const RulePacket& packet, const Next& next) {
    WalkHook(rules_, table, chain, packet, ends_, next);
  }

  // By a device, loopback included.
  void Leave(const RulePacket& packet) {
    RulePacket leaving = packet;
    leaving.in_device.clear();
    Hook("nat", "POSTROUTING", leaving, [&](const RulePacket& left) {
      if (!Local(left.destination)) return End(left, left.masqueraded);
      RulePacket looped = left;
      looped.in_device = "lo";
      Hook("filter", "INPUT", looped, [&](const RulePacket& in) { End(in, in.masqueraded); });
    });
  }

  void End(const RulePacket& packet, bool masqueraded) {
    if (!packet.translated) {
      ends_.insert({TraceEnd::kPassed, {}, 0, false});
    } else {
      ends_.insert({TraceEnd::kReached, packet.destination, packet.destination_port, masqueraded});
    }
  }

  bool Local(const Address& address) const { return address.IsLoopback() || node_.contains(address); }

  const IptablesRules& rules_;
  const std::set<Address>& node_;
  std::set<Traced> ends_;
};

}  // namespace

void IptablesTracer::Program(const plan::Plan& plan, const plan::NodePlan& node) {
  node_addresses_ = {node.nodeport_addresses.begin(), node.nodeport_addresses.end()};
  for (Family family : {Family::kIpv4, Family::kIpv6}) {
    Ruleset rules(family, options_);
    rules.SetNode(node);
    for (const auto& [key, service] : plan) {
      if (key.family == family) rules.Set(key, service);
    }
    iptables::Edit all{.chains = rules.TakeChanged(), .missing = rules.jumps(), .surplus = {}};
    auto& loaded = rules_[family == Family::kIpv6];
    loaded = std::make_unique<IptablesRules>(IptablesRules::World{node_addresses_, {}});
    loaded->Load(iptables::RenderRestore(all, rules).text);
  }
}

std::set<Traced> IptablesTracer::Trace(const TracePacket& packet) {
  const auto& rules = rules_[packet.destination.GetFamily() == Family::kIpv6];
  if (!rules) throw std::runtime_error("nothing is programmed");
  RulePacket walking;
  walking.source = packet.source;
  walking.destination = packet.destination;
  walking.source_port = packet.source_port;
  walking.destination_port = packet.destination_port;
  walking.protocol = packet.protocol;
  if (!packet.of_node) walking.in_device = packet.device;
  return Walker(*rules, node_addresses_).Walk(walking, packet.of_node);
}

}  // namespace fairlead::test
