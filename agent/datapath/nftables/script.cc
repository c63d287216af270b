// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/nftables/script.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/datapath/nftables/sticky.h"

namespace fairlead::nftables {

namespace {

// Raised when an element comes to mean something else while its set looks the same.
constexpr int kMeaning = 1;

constexpr Family kBoth[] = {Family::kIpv4, Family::kIpv6};

struct Hook {
  std::string_view chain, definition;
};

// NAT where everybody does it; refusing just after it.
constexpr Hook kHooks[] = {
    {"prerouting", "type nat hook prerouting priority -100; policy accept;"},
    {"output", "type nat hook output priority -100; policy accept;"},
    {"prerouting-after-nat", "type filter hook prerouting priority -90; policy accept;"},
    {"output-after-nat", "type filter hook output priority -90; policy accept;"},
    {"postrouting", "type nat hook postrouting priority 100; policy accept;"},
};

struct NodeSet {
  std::string_view name, definition;
};

constexpr NodeSet kNodeSetSpecs[] = {
    {"nodeport-addresses", "type ADDR;"},
    {"pods", "type ADDR; flags interval;"},
    {"service-cidrs", "type ADDR; flags interval;"},
};

char Digit(Family family) {
  return family == Family::kIpv4 ? '4' : '6';
}

std::string For(Family family, std::string_view text) {
  std::string made;
  for (size_t at = 0; at < text.size();) {
    if (text.substr(at).starts_with("ADDR")) {
      made += family == Family::kIpv4 ? "ipv4_addr" : "ipv6_addr";
      at += 4;
    } else if (text.substr(at).starts_with("IP ")) {
      made += family == Family::kIpv4 ? "ip " : "ip6 ";
      at += 3;
    } else if (text[at] == '#') {
      made += Digit(family);
      ++at;
    } else {
      made += text[at++];
    }
  }
  return made;
}

std::vector<std::string> ForBoth(std::initializer_list<std::string_view> rules) {
  std::vector<std::string> made;
  for (Family family : kBoth) {
    for (std::string_view rule : rules) made.push_back(For(family, rule));
  }
  return made;
}

std::string SetLine(bool map, const std::string& name, const std::string& definition) {
  return fmt::format("add {} inet {} {} {{ {} }}\n", map ? "map" : "set", kTable, name, definition);
}

// Of the prefixes of a family such as lie in no other: an interval set takes none twice.
std::vector<std::string> Prefixes(const std::vector<Cidr>& cidrs, Family family) {
  std::vector<std::string> prefixes;
  for (const Cidr& cidr : cidrs) {
    bool inside = false;
    for (const Cidr& other : cidrs) inside |= other.bits < cidr.bits && other.Contains(cidr.base);
    if (!inside && cidr.GetFamily() == family) prefixes.push_back(cidr.ToString());
  }
  return prefixes;
}

std::string FillSet(std::string_view name, Family family, const std::vector<std::string>& elements) {
  std::string script = fmt::format("flush set inet {} {}{}\n", kTable, name, Digit(family));
  if (elements.empty()) return script;
  return script + fmt::format("add element inet {} {}{} {{ {} }}\n", kTable, name, Digit(family),
                              fmt::join(elements, ", "));
}

std::string SchemaText() {
  std::string text = fmt::format("{}\n{}", kMeaning, SetsScript());
  for (const Hook& hook : kHooks) text += fmt::format("{} {}\n", hook.chain, hook.definition);
  return text;
}

// Services of this agent only.
void Guard(netfilter::Serves serves, std::vector<std::string>& rules) {
  if (serves == netfilter::Serves::kOnlySctp) rules.insert(rules.begin(), "meta l4proto != sctp return");
}

}  // namespace

std::string AddChain(std::string_view name) {
  return fmt::format("add chain inet {} {}\n", kTable, name);
}

std::string AddRule(std::string_view chain, std::string_view rule) {
  return fmt::format("add rule inet {} {} {}\n", kTable, chain, rule);
}

std::string RewriteChain(std::string_view name, const std::vector<std::string>& rules) {
  std::string script = AddChain(name) + fmt::format("flush chain inet {} {}\n", kTable, name);
  for (const std::string& rule : rules) script += AddRule(name, rule);
  return script;
}

std::string SetsScript() {
  std::string script = fmt::format("add table inet {}\n", kTable);
  for (Family family : kBoth) {
    for (const NodeSet& set : kNodeSetSpecs)
      script += SetLine(false, fmt::format("{}{}", set.name, Digit(family)), For(family, set.definition));
    for (size_t set = 0; set < kSets; ++set) {
      const SetSpec& spec = SpecOf(static_cast<Set>(set));
      script += SetLine(spec.map, SetName(static_cast<Set>(set), family), For(family, spec.definition));
    }
  }
  return script;
}

std::string NodeScript(const plan::NodePlan& node) {
  std::string script;
  for (Family family : kBoth) {
    std::vector<std::string> addresses;
    for (const Address& address : node.nodeport_addresses) {
      if (address.GetFamily() == family && !address.IsLoopback()) addresses.push_back(address.ToString());
    }
    script += FillSet("nodeport-addresses", family, addresses);
    script += FillSet("pods", family, Prefixes(node.pod_cidrs, family));
    script += FillSet("service-cidrs", family, Prefixes(node.service_cidrs, family));
  }
  return script;
}

std::string ChainsScript(netfilter::Serves serves) {
  std::vector<std::string> services = ForBoth({
      "IP daddr . meta l4proto . th dport @guarded# "
      "IP daddr . meta l4proto . th dport . IP saddr != @source-ranges# drop",
      "IP daddr . meta l4proto . th dport vmap @services#",
      "IP daddr @nodeport-addresses# meta l4proto . th dport vmap @nodeports#",
  });
  // nft takes `ct original proto-dst` for a port only after a match of the protocol.
  const std::vector<std::string> remember = ForBoth({
      "meta l4proto { tcp, udp, sctp } "
      "ct original IP daddr . meta l4proto . ct original proto-dst vmap @remember#",
      "ct original IP daddr @nodeport-addresses# meta l4proto { tcp, udp, sctp } "
      "meta l4proto . ct original proto-dst vmap @remember-nodeports#",
  });
  std::vector<std::string> after_nat = ForBoth({
      "IP daddr . meta l4proto . th dport vmap @no-endpoints#",
      "IP daddr @nodeport-addresses# meta l4proto . th dport vmap @no-endpoint-nodeports#",
      "IP daddr @cluster-ips# goto rejects",
      "IP daddr @service-cidrs# drop",
  });
  after_nat.insert(after_nat.begin(), "ct status dnat goto remember");
  Guard(serves, services);
  Guard(serves, after_nat);
  return RewriteChain("rejects", {"meta l4proto tcp reject with tcp reset", "reject"}) +
         RewriteChain("services", services) + RewriteChain("remember", remember) +
         RewriteChain("after-nat", after_nat);
}

std::string ChainScript(const Chain& chain, const Wording& wording) {
  const std::vector<std::string> rules = chain.Rules(wording);
  return rules.empty() ? AddChain(chain.Name()) : RewriteChain(chain.Name(), rules);
}

std::string HooksScript(const Wording& wording, netfilter::Serves serves) {
  const std::string masquerade = "masquerade fully-random";
  std::vector<std::string> postrouting = {
      fmt::format("meta mark and {:#x} != 0 meta mark set meta mark and {:#x} {}", wording.mark,
                  ~wording.mark, masquerade),
      "ct status dnat ip saddr . ip daddr @hairpin4 " + masquerade,
      "ct status dnat ip6 saddr . ip6 daddr @hairpin6 " + masquerade,
  };
  Guard(serves, postrouting);
  const std::vector<std::string> rules[] = {{"jump services"},
                                            {"jump services"},
                                            {"ct state new jump after-nat"},
                                            {"ct state new jump after-nat"},
                                            postrouting};
  std::string script;
  for (size_t i = 0; i < std::size(kHooks); ++i) {
    script += fmt::format("add chain inet {} {} {{ {} }}\n", kTable, kHooks[i].chain, kHooks[i].definition);
    script += RewriteChain(kHooks[i].chain, rules[i]).substr(AddChain(kHooks[i].chain).size());
  }
  return script + AddChain(SchemaChain());
}

std::string SchemaChain() {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (char c : SchemaText()) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3ULL;
  return fmt::format("schema-{:016x}", hash);
}

std::vector<std::string> FixedChains() {
  std::vector<std::string> chains = {"rejects", "services", "remember", "after-nat", SchemaChain()};
  for (const Hook& hook : kHooks) chains.emplace_back(hook.chain);
  return chains;
}

std::string ProbeScript() {
  const Wording wording;
  std::string script = SetsScript() + ChainsScript(netfilter::Serves::kAll);
  std::set<Chain> chains;
  for (Family family : kBoth) {
    for (bool node_port : {false, true}) {
      AddWithNext({Chain::Kind::kLocal, node_port, family, 2, 2}, chains);
      AddWithNext({Chain::Kind::kOutside, node_port, family, 2, 0}, chains);
    }
    const plan::ServicePortKey key{{"probe", "probe"}, "", plan::Protocol::kTcp, family};
    script += Sticky{key, 1, true, true, true}.Script(wording);
  }
  for (const Chain& chain : chains) script += AddChain(chain.Name());
  for (const Chain& chain : chains) script += ChainScript(chain, wording);
  script += HooksScript(wording, netfilter::Serves::kAll);
  const std::string ours = fmt::format(" inet {}", kTable);
  for (size_t at = 0; (at = script.find(ours, at)) != std::string::npos; at += ours.size())
    script.insert(at + ours.size(), "-probe");
  return script;
}

std::vector<std::string> NodeSets() {
  std::vector<std::string> sets;
  for (Family family : kBoth) {
    for (const NodeSet& set : kNodeSetSpecs) sets.push_back(fmt::format("{}{}", set.name, Digit(family)));
  }
  return sets;
}

}  // namespace fairlead::nftables
