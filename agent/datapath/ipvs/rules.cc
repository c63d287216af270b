// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ipvs/rules.h"

#include <algorithm>

#include <fmt/format.h>

#include "agent/datapath/iptables/saved.h"
#include "agent/datapath/ipvs/sets.h"

namespace fairlead::ipvs {

namespace {

constexpr std::string_view kGuard = "FAIRLEAD-IPVS-GUARD";
constexpr std::string_view kInput = "FAIRLEAD-IPVS-INPUT";
constexpr std::string_view kForward = "FAIRLEAD-IPVS-FORWARD";
constexpr std::string_view kServices = "FAIRLEAD-IPVS-SERVICES";
constexpr std::string_view kMark = "FAIRLEAD-IPVS-MARK";
constexpr std::string_view kPostrouting = "FAIRLEAD-IPVS-POSTROUTING";

constexpr std::string_view kStands = "-m conntrack --ctstate RELATED,ESTABLISHED";
constexpr std::string_view kOfNode = "-m addrtype --src-type LOCAL";

// Texts are as iptables-save prints them, so that what is read back can be compared.
class Renderer {
 public:
  Renderer(Family family, const netfilter::NetfilterOptions& options) : family_(family), options_(options) {}

  RuleTable Mangle() const {
    RuleChain guard{std::string(kGuard), {}};
    const auto add = [&](std::string rule) { guard.rules.push_back(std::move(rule)); };
    add(fmt::format("{} -j RETURN", kStands));
    add(fmt::format("{} {} -j DROP", Set(SetKind::kRanged, "dst,dst"),
                    Set(SetKind::kRanges, "dst,dst,src", "! ")));
    add(fmt::format("{} -j RETURN", Set(SetKind::kLocalNone, "dst,dst", "! ")));
    add(fmt::format("{} -j RETURN", kOfNode));
    for (const std::string& pods : FromPods()) add(fmt::format("{} -j RETURN", pods));
    add("-j DROP");
    return {"mangle", {guard}, {{"INPUT", guard.name}, {"OUTPUT", guard.name}}};
  }

  RuleTable Filter() const {
    const bool v4 = family_ == Family::kIpv4;
    RuleChain input{std::string(kInput), {}};
    const auto add = [&](std::string rule) { input.rules.push_back(std::move(rule)); };
    add(fmt::format("{} -j RETURN", kStands));
    add(fmt::format("-p tcp {} -j ACCEPT", Set(SetKind::kHealth, "dst")));
    // IPVS itself refuses by an ICMP error, and a TCP socket still in connect() ignores one: a pod here would
    // hear of it a second later, when it sends its SYN again (Linux 6.1, IPv6). So do the node's own clients:
    // IPVS takes their packets before any filter.
    add(fmt::format("-p tcp {} -j REJECT --reject-with tcp-reset", Set(SetKind::kNoBackends, "dst,dst")));
    add(fmt::format("{} -j RETURN", Set(SetKind::kAddresses, "dst", "! ")));
    add(fmt::format("{} -j RETURN", Set(SetKind::kFrontends, "dst,dst")));
    add(fmt::format("-p {} -j RETURN", v4 ? "icmp" : "ipv6-icmp"));
    add("-p tcp -j REJECT --reject-with tcp-reset");
    add(fmt::format("-j REJECT --reject-with {}", v4 ? "icmp-port-unreachable" : "icmp6-port-unreachable"));
    RuleChain forward{std::string(kForward), {fmt::format("{} -j ACCEPT", kStands)}};
    return {"filter", {input, forward}, {{"INPUT", input.name}, {"FORWARD", forward.name}}};
  }

  // A connection of the node's own has the frontend's address as its source too where that is on our device,
  // so it is masqueraded always.
  RuleTable Nat() const {
    RuleChain services{std::string(kServices), {}};
    const auto add = [&](std::string rule) { services.rules.push_back(std::move(rule)); };
    add(fmt::format("{} -j RETURN", Set(SetKind::kFrontends, "dst,dst", "! ")));
    add(fmt::format("{} -j {}", Set(SetKind::kMasqAll, "dst,dst"), kMark));
    add(fmt::format("{} -j {}", kOfNode, kMark));
    for (const std::string& pods : FromPods()) add(fmt::format("{} -j RETURN", pods));
    add(fmt::format("{} -j {}", Set(SetKind::kMasqOutside, "dst,dst"), kMark));

    const std::string bit = fmt::format("{0:#x}/{0:#x}", options_.mark);
    RuleChain mark{std::string(kMark), {fmt::format("-j MARK --set-xmark {}", bit)}};
    RuleChain postrouting{
        std::string(kPostrouting),
        {fmt::format("{} -j {}", Set(SetKind::kHairpin, "dst,dst,src"), kMark),
         fmt::format("-m mark ! --mark {} -j RETURN", bit),
         fmt::format("-j MARK --set-xmark {:#x}/0x0", options_.mark), "-j MASQUERADE --random-fully"}};
    return {"nat",
            {mark, services, postrouting},
            {{"PREROUTING", services.name}, {"OUTPUT", services.name}, {"POSTROUTING", postrouting.name}}};
  }

 private:
  std::string Set(SetKind kind, std::string_view directions, std::string_view sense = "") const {
    return fmt::format("-m set {}--match-set {} {}", sense, SetName({kind, family_}), directions);
  }

  // The match for packets of pods; none where there is no detector.
  std::vector<std::string> FromPods() const {
    using By = netfilter::LocalTraffic::By;
    switch (options_.local_traffic.by) {
      case By::kPrefix:
        return {Set(SetKind::kPods, "src")};
      case By::kBridge:
        return {fmt::format("-i {}", options_.local_traffic.device)};
      case By::kDevicePrefix:
        return {fmt::format("-i {}+", options_.local_traffic.device)};
      case By::kNothing:
        break;
    }
    return {};
  }

  Family family_;
  const netfilter::NetfilterOptions& options_;
};

template <typename Each>
void ForEachLine(std::string_view text, Each each) {
  while (!text.empty()) {
    const size_t end = text.find('\n');
    each(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  }
}

bool IsOurChain(std::string_view line) {
  return line.starts_with(":") && line.substr(1).starts_with(kChainPrefix);
}

bool IsOurRule(std::string_view line) {
  return line.starts_with("-A ") && line.substr(3).starts_with(kChainPrefix);
}

// "-A INPUT ... -j FAIRLEAD-IPVS-INPUT", from a chain that is not ours.
bool IsJump(std::string_view line) {
  return line.starts_with("-A ") && !IsOurRule(line) && iptables::TargetOf(line).starts_with(kChainPrefix);
}

}  // namespace

std::vector<RuleTable> RenderRules(Family family, const netfilter::NetfilterOptions& options) {
  const Renderer renderer(family, options);
  return {renderer.Mangle(), renderer.Filter(), renderer.Nat()};
}

uint64_t RulesOf(const RuleTable& table) {
  uint64_t rules = table.jumps.size();
  for (const RuleChain& chain : table.chains) rules += chain.rules.size();
  return rules;
}

std::string_view SavedTable(std::string_view saved, std::string_view table) {
  const std::string head = fmt::format("*{}\n", table);
  const size_t begin = saved.find(head);
  if (begin == std::string_view::npos) return {};
  const std::string_view rest = saved.substr(begin);
  return rest.substr(0, rest.find("\nCOMMIT") + 1);
}

std::string RestoreText(const RuleTable& table, std::string_view saved) {
  std::string text = fmt::format("*{}\n", table.name);
  for (const RuleChain& chain : table.chains) text += fmt::format(":{} - [0:0]\n", chain.name);
  for (const RuleChain& chain : table.chains) {
    for (const std::string& rule : chain.rules) text += fmt::format("-A {} {}\n", chain.name, rule);
  }
  for (const RuleTable::Jump& jump : table.jumps) {
    const std::string line = fmt::format("-A {} -j {}", jump.from, jump.to);
    bool stands = false;
    ForEachLine(saved, [&](std::string_view have) { stands |= have == line; });
    if (!stands) text += fmt::format("-I {} -j {}\n", jump.from, jump.to);
  }
  return text + "COMMIT\n";
}

std::string RemoveText(std::string_view table, std::string_view saved) {
  std::string chains, jumps, ends;
  ForEachLine(saved, [&](std::string_view line) {
    if (IsJump(line)) jumps += fmt::format("-D {}\n", line.substr(3));
    if (!IsOurChain(line)) return;
    const std::string_view name = line.substr(1, line.find(' ') - 1);
    chains += fmt::format(":{} - [0:0]\n", name);
    ends += fmt::format("-X {}\n", name);
  });
  if (chains.empty() && jumps.empty()) return {};
  return fmt::format("*{}\n{}{}{}COMMIT\n", table, chains, jumps, ends);
}

std::vector<std::string> OurLines(std::string_view saved) {
  std::vector<std::string> lines;
  ForEachLine(saved, [&](std::string_view line) {
    if (!IsOurChain(line) && !IsOurRule(line) && !IsJump(line)) return;
    // ":CHAIN - [packets:bytes]"
    lines.emplace_back(line.substr(0, line.starts_with(":") ? line.find(" [") : line.size()));
  });
  return lines;
}

}  // namespace fairlead::ipvs
