// SPDX-License-Identifier: Apache-2.0
#include "test/support/ipvs/tracer.h"

#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/datapath/ipvs/render.h"
#include "agent/datapath/ipvs/rules.h"
#include "agent/datapath/ipvs/sets.h"
#include "test/support/iptables/hook_walk.h"

namespace fairlead::test {

namespace {

using ipvs::Element;
using ipvs::SetKind;

// The walk of one packet; IPVS translates in LOCAL_IN and LOCAL_OUT.
class Walk {
 public:
  using Find = std::function<const ipvs::VirtualServer*(const RulePacket&)>;
  using IsLocal = std::function<bool(const Address&)>;

  Walk(const IptablesRules& rules, Find find, IsLocal local)
      : rules_(rules), find_(std::move(find)), local_(std::move(local)) {}

  std::set<Traced> Arrive(const RulePacket& packet) {
    Hook("nat", "PREROUTING", packet, [&](const RulePacket& routed) {
      if (local_(routed.destination)) return In(routed);
      Hook("filter", "FORWARD", routed, [&](const RulePacket& on) { Leave(on); });
    });
    return std::move(ends_);
  }

  std::set<Traced> Send(const RulePacket& packet) {
    Hook("mangle", "OUTPUT", packet, [&](const RulePacket& out) {
      Hook("nat", "OUTPUT", out, [&](const RulePacket& marked) {
        if (find_(marked) != nullptr) return Schedule(marked);
        if (!local_(marked.destination)) return Leave(marked);
        RulePacket looped = marked;
        looped.in_device = "lo";
        In(looped);
      });
    });
    return std::move(ends_);
  }

 private:
  template <typename Next>
  void Hook(const std::string& table, const std::string& chain, const RulePacket& packet, const Next& next) {
    WalkHook(rules_, table, chain, packet, ends_, next);
  }

  void In(const RulePacket& packet) {
    Hook("mangle", "INPUT", packet, [&](const RulePacket& in) {
      Hook("filter", "INPUT", in, [&](const RulePacket& accepted) { Schedule(accepted); });
    });
  }

  // One without a backend to choose answers with port unreachable.
  void Schedule(const RulePacket& packet) {
    const ipvs::VirtualServer* server = find_(packet);
    if (server == nullptr) {
      ends_.insert({TraceEnd::kPassed, {}, 0, false});
      return;
    }
    if (server->backends.empty()) ends_.insert({TraceEnd::kRejected, {}, 0, false});
    for (const auto& [backend, weight] : server->backends) {
      if (weight == 0) continue;
      RulePacket translated = packet;
      translated.destination = backend.address;
      translated.destination_port = backend.port;
      translated.translated = true;
      // What came in and is for this node stays in LOCAL_IN.
      if (local_(backend.address) && !packet.in_device.empty()) {
        End(translated);
      } else {
        Leave(translated);
      }
    }
  }

  void Leave(const RulePacket& packet) {
    RulePacket leaving = packet;
    leaving.in_device.clear();
    Hook("nat", "POSTROUTING", leaving, [&](const RulePacket& left) { End(left); });
  }

  void End(const RulePacket& packet) {
    if (packet.translated) {
      ends_.insert({TraceEnd::kReached, packet.destination, packet.destination_port, packet.masqueraded});
    } else {
      ends_.insert({TraceEnd::kPassed, {}, 0, false});
    }
  }

  const IptablesRules& rules_;
  Find find_;
  IsLocal local_;
  std::set<Traced> ends_;
};

bool InNet(std::string_view text, const Address& address) {
  if (const auto cidr = Cidr::Parse(text)) return cidr->Contains(address);
  const auto single = Address::Parse(text);
  return single && *single == address;
}

}  // namespace

void IpvsTracer::Program(const plan::Plan& plan, const plan::NodePlan& node) {
  node_addresses_ = {node.nodeport_addresses.begin(), node.nodeport_addresses.end()};
  ledger_ = {};
  ipvs::Touched touched;
  for (const auto& [key, port] : plan)
    ledger_.Put(key, ipvs::Render(*port, node.nodeport_addresses, "rr"), touched);
  ledger_.SetNode(ipvs::RenderNode(node), touched);
  elements_ = std::move(touched.elements);
  for (const ipvs::ServerKey& key : touched.servers) elements_.insert(ipvs::FrontendElement(key));
  for (const Address& address : touched.addresses) {
    if (!node_addresses_.contains(address)) elements_.insert(ipvs::AddressElement(address));
  }
  std::set<Address> local = node_addresses_;
  local.insert(touched.addresses.begin(), touched.addresses.end());
  for (Family family : {Family::kIpv4, Family::kIpv6}) {
    IptablesRules::World world;
    world.node_addresses = local;
    world.in_set = [this](const std::string& name, const std::string& flags, const RulePacket& packet) {
      return InSet(name, flags, packet);
    };
    std::string text;
    for (const ipvs::RuleTable& table : ipvs::RenderRules(family, options_))
      text += ipvs::RestoreText(table, "");
    auto& rules = rules_[family == Family::kIpv6];
    rules = std::make_unique<IptablesRules>(std::move(world));
    rules->Load(text);
  }
}

// Flags as xt_set has them: "dst,dst,src" is destination, its port, source.
bool IpvsTracer::InSet(const std::string& name, const std::string& flags, const RulePacket& packet) const {
  const std::string frontend =
      ipvs::FrontendText({packet.destination, packet.destination_port, packet.protocol});
  return std::ranges::any_of(elements_, [&](const Element& element) {
    if (ipvs::SetName(element.set) != name) return false;
    switch (element.set.kind) {
      case SetKind::kPods:
        return InNet(element.text, packet.source);
      case SetKind::kHealth:
        return element.text == fmt::format("{}", packet.destination_port);
      case SetKind::kAddresses:
        return element.text == packet.destination.ToString();
      case SetKind::kHairpin:
        return element.text == fmt::format("{},{}", frontend, packet.source.ToString());
      case SetKind::kRanges:
        return element.text.starts_with(frontend + ",") &&
               InNet(std::string_view(element.text).substr(frontend.size() + 1), packet.source);
      default:
        if (flags != "dst,dst") throw std::runtime_error("flags not known: " + flags);
        return element.text == frontend;
    }
  });
}

std::set<Traced> IpvsTracer::Trace(const TracePacket& packet) {
  RulePacket walked;
  walked.source = packet.source;
  walked.destination = packet.destination;
  walked.source_port = packet.source_port;
  walked.destination_port = packet.destination_port;
  walked.protocol = packet.protocol;
  if (!packet.of_node) walked.in_device = packet.device;
  const auto find = [this](const RulePacket& at) {
    return ledger_.Server({at.destination, at.destination_port, at.protocol});
  };
  const auto local = [this](const Address& address) {
    return address.IsLoopback() || node_addresses_.contains(address) || ledger_.Has(address);
  };
  Walk walk(*rules_[packet.destination.GetFamily() == Family::kIpv6], find, local);
  return packet.of_node ? walk.Send(walked) : walk.Arrive(walked);
}

}  // namespace fairlead::test
