// SPDX-License-Identifier: Apache-2.0
// All chains of one family as they should be, and which of them changed. Pure.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "agent/datapath/iptables/names.h"
#include "agent/datapath/iptables/node_rules.h"
#include "agent/datapath/iptables/service_rules.h"
#include "agent/datapath/iptables/tree.h"
#include "agent/datapath/netfilter/options.h"
#include "agent/plan/plan.h"

namespace fairlead::iptables {

// Chains with their rules, as lines of iptables-restore.
using Chains = std::map<std::string, std::string>;
// Names of chains, by table.
using ChainNames = std::array<std::set<std::string>, 2>;

class Ruleset {
 public:
  using ServicePtr = std::shared_ptr<const plan::ServicePort>;

  Ruleset(Family family, const netfilter::NetfilterOptions& options);

  // Null: it goes. Gives what stood before.
  ServicePtr Set(const plan::ServicePortKey& key, ServicePtr now);
  void SetNode(const plan::NodePlan& node);
  // 127.0.0.0/8 stays guarded even where no NodePort answers there.
  void KeepGuard();
  // An empty chain that says something by being there.
  void SetNote(std::string_view chain, bool there);

  // Keeps a rule of an earlier run (`rule`: without its "-A chain") for as long as no service port has its
  // frontend, be it to translate or to refuse it. What does not look like ours is not kept.
  void KeepEarlier(Table table, std::string_view rule);
  // Chains of service ports nobody has named yet are none of our business until this.
  void ForgetEarlier();
  bool keeps_earlier() const { return keeps_earlier_; }

  // Those that changed since the last call; such as are not among chains() are gone.
  ChainNames TakeChanged();
  const Chains& chains(Table table) const { return chains_[static_cast<size_t>(table)]; }
  const std::vector<Jump>& jumps() const { return node_rules_.jumps; }
  uint64_t rules(Table table) const { return rules_[static_cast<size_t>(table)]; }
  const std::map<plan::ServicePortKey, ServicePtr>& services() const { return services_; }
  Family family() const { return family_; }

 private:
  Tree& TreeFor(Place place, plan::Protocol protocol);
  void Hang(const plan::ServicePortKey& owner, const ServiceRules& rules);
  void DropEarlier(const Hook& hook);
  void TakeDown(const plan::ServicePortKey& owner, const ServiceRules& rules);
  void RenderNodeAddresses(const std::vector<Address>& before, const std::vector<Address>& now);
  void SetChain(Table table, const std::string& chain, const std::string* body);

  Family family_;
  netfilter::NetfilterOptions options_;
  plan::NodePlan node_;
  bool keeps_guard_ = false;
  NodeMatches matches_;
  NodeRules node_rules_;
  std::map<plan::ServicePortKey, ServicePtr> services_;

  Tree nat_addresses_, filter_addresses_;
  std::map<plan::Protocol, Tree> nat_ports_, filter_ports_;
  Tree health_ports_;
  bool keeps_earlier_ = true;
  std::vector<std::pair<Hook, plan::Protocol>> earlier_;

  std::array<Chains, 2> chains_;
  std::array<uint64_t, 2> rules_{};
  ChainNames changed_;
};

}  // namespace fairlead::iptables
