// SPDX-License-Identifier: Apache-2.0
#include "test/support/iptables/rules.h"

#include <algorithm>
#include <optional>
#include <sstream>
#include <stdexcept>

#include <fmt/format.h>

#include "agent/datapath/iptables/names.h"

namespace fairlead::test {

namespace {

constexpr int kDeepest = 32;

// The words of a rule; what stands in quotes is one.
std::vector<std::string> WordsOf(std::string_view line) {
  std::vector<std::string> words;
  while (!line.empty()) {
    if (line.front() == ' ') {
      line.remove_prefix(1);
      continue;
    }
    const bool quoted = line.front() == '"';
    if (quoted) line.remove_prefix(1);
    const size_t end = std::min(line.find(quoted ? '"' : ' '), line.size());
    words.emplace_back(line.substr(0, end));
    line.remove_prefix(std::min(end + (quoted ? 1 : 0), line.size()));
  }
  return words;
}

uint32_t Number(const std::string& text) {
  return static_cast<uint32_t>(std::stoul(text, nullptr, 0));
}

bool InPorts(const std::string& range, uint16_t port) {
  const size_t colon = range.find(':');
  if (colon == std::string::npos) return port == std::stoul(range);
  return port >= std::stoul(range.substr(0, colon)) && port <= std::stoul(range.substr(colon + 1));
}

bool InCidr(const std::string& text, const Address& address) {
  auto cidr = Cidr::Parse(text.contains('/') ? text : text + (text.contains(':') ? "/128" : "/32"));
  if (!cidr) throw std::runtime_error("not a prefix: " + text);
  return cidr->Contains(address);
}

bool NamesDevice(const std::string& pattern, const std::string& device) {
  if (pattern.ends_with('+')) return device.starts_with(pattern.substr(0, pattern.size() - 1));
  return pattern == device;
}

bool ListContains(const std::string& list, const std::string& word) {
  std::istringstream words(list);
  for (std::string one; std::getline(words, one, ',');) {
    if (one == word) return true;
  }
  return false;
}

// "10.0.0.1:80", "[fd00::1]:80"
void SetDestination(RulePacket& packet, const std::string& to) {
  const size_t colon = to.rfind(':');
  std::string host = to.substr(0, colon);
  if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
  auto address = Address::Parse(host);
  if (!address) throw std::runtime_error("DNAT to " + to);
  packet.original_destination = packet.destination;
  packet.destination = *address;
  packet.destination_port = static_cast<uint16_t>(std::stoul(to.substr(colon + 1)));
  packet.translated = true;
}

// One rule's matches, word by word.
class Matcher {
 public:
  Matcher(const IptablesRules::World& world, const std::vector<std::string>& rule, const RulePacket& packet)
      : world_(world), rule_(rule), packet_(packet) {}

  void Run(std::vector<std::string>& target) {
    while (at_ < rule_.size()) {
      const std::string word = Take();
      if (word == "!") {
        not_ = true;
      } else if (word == "-j" || word == "-g") {
        target.assign(rule_.begin() + static_cast<std::ptrdiff_t>(at_), rule_.end());
        return;
      } else {
        const std::optional<bool> hit = One(word);
        if (hit) matches_ &= *hit != not_;
        if (word != "-m") not_ = false;
      }
    }
  }

  bool matches() const { return matches_; }
  bool chance() const { return chance_; }

 private:
  std::string Take() {
    if (at_ == rule_.size()) throw std::runtime_error("rule ends early: " + rule_.back());
    return rule_[at_++];
  }

  // Nothing: the word says nothing of the packet.
  std::optional<bool> One(const std::string& word) {
    if (word == "-m") return Module(Take());
    if (word == "-s") return InCidr(Take(), packet_.source);
    if (word == "-d") return InCidr(Take(), packet_.destination);
    if (word == "-p") return Take() == iptables::ProtocolWord(packet_.protocol);
    if (word == "-i") return NamesDevice(Take(), packet_.in_device);
    if (word == "-o") return NamesDevice(Take(), packet_.out_device);
    if (word == "--comment") return Take(), std::nullopt;
    if (word == "--dport") return InPorts(Take(), packet_.destination_port);
    if (word == "--sport") return InPorts(Take(), packet_.source_port);
    if (word == "--mark") return Marked(Take());
    if (word == "--src-type") return Local(Take(), packet_.source);
    if (word == "--dst-type") return Local(Take(), packet_.destination);
    if (word == "--ctstate") return InState(Take());
    if (word == "--ctorigdst") return InCidr(Take(), Original());
    if (word == "--mode") return Mode(Take());
    if (word == "--probability") return chance_ = true, Take(), std::nullopt;
    if (word == "--bytecode") return Bytecode(Take());
    if (word == "--update") return false;
    if (word == "--set" || word == "--reap" || word == "--rsource") return std::nullopt;
    if (word == "--seconds" || word == "--name" || word == "--mask") return Take(), std::nullopt;
    if (word == "--match-set") return InSet();
    throw std::runtime_error(fmt::format("match not known: {} in {}", word, fmt::join(rule_, " ")));
  }

  std::optional<bool> Module(const std::string& name) {
    static const std::set<std::string> kKnown = {"comment",   "tcp",      "udp",    "sctp",
                                                 "mark",      "addrtype", "recent", "conntrack",
                                                 "statistic", "bpf",      "set"};
    if (!kKnown.contains(name)) throw std::runtime_error("module not known: -m " + name);
    return std::nullopt;
  }
  bool Marked(const std::string& text) const {
    const size_t slash = text.find('/');
    const uint32_t mask = slash == std::string::npos ? 0xffffffff : Number(text.substr(slash + 1));
    return (packet_.mark & mask) == Number(text.substr(0, slash));
  }
  bool Local(const std::string& type, const Address& address) const {
    if (type != "LOCAL") throw std::runtime_error("address type not known: " + type);
    return address.IsLoopback() || world_.node_addresses.contains(address);
  }
  bool InState(const std::string& states) const {
    return ListContains(states, packet_.state) || (packet_.translated && ListContains(states, "DNAT"));
  }
  const Address& Original() const {
    return packet_.translated ? packet_.original_destination : packet_.destination;
  }
  std::optional<bool> Mode(const std::string& mode) {
    if (mode != "random") throw std::runtime_error("statistic mode not known: " + mode);
    return std::nullopt;
  }
  // The two programs of this project say whether the source is the destination.
  bool Bytecode(const std::string& program) const {
    if (!program.starts_with("6,32 0 0 12,") && !program.starts_with("18,32 0 0 20,")) {
      throw std::runtime_error("program not known: " + program);
    }
    return packet_.source == packet_.destination;
  }
  bool InSet() {
    const std::string name = Take(), flags = Take();
    if (!world_.in_set) throw std::runtime_error("no sets are known: " + name);
    return world_.in_set(name, flags, packet_);
  }

  const IptablesRules::World& world_;
  const std::vector<std::string>& rule_;
  const RulePacket& packet_;
  size_t at_ = 0;
  bool not_ = false, matches_ = true, chance_ = false;
};

}  // namespace

void IptablesRules::Load(std::string_view text) {
  tables_.clear();
  std::map<std::string, Chain>* table = nullptr;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line.front() == '#' || line == "COMMIT") continue;
    if (line.front() == '*') {
      table = &tables_[line.substr(1)];
    } else if (table == nullptr) {
      throw std::runtime_error("outside of a table: " + line);
    } else if (line.front() == ':') {
      (*table)[line.substr(1, line.find(' ') - 1)];
    } else {
      Words words = WordsOf(line);
      if (words.size() < 2 || (words[0] != "-A" && words[0] != "-I")) throw std::runtime_error(line);
      Chain& chain = (*table)[words[1]];
      Words rule(words.begin() + 2, words.end());
      chain.insert(words[0] == "-A" ? chain.end() : chain.begin(), std::move(rule));
    }
  }
}

std::set<RuleOutcome> IptablesRules::Walk(const std::string& table, const std::string& chain,
                                          const RulePacket& packet) const {
  std::set<RuleOutcome> outcomes;
  auto in = tables_.find(table);
  if (in == tables_.end() || !in->second.contains(chain)) return {{RuleEnd::kOn, packet}};
  for (const Step& step : WalkFrom(table, in->second.at(chain), 0, packet, 0)) {
    outcomes.insert({step.end, step.packet});
  }
  return outcomes;
}

std::set<IptablesRules::Step> IptablesRules::WalkFrom(const std::string& table, const Chain& chain,
                                                      size_t rule, const RulePacket& packet,
                                                      int depth) const {
  if (depth > kDeepest) throw std::runtime_error("chains jump in a circle");
  for (; rule < chain.size(); ++rule) {
    Words target;
    Matcher matcher(world_, chain[rule], packet);
    matcher.Run(target);
    if (!matcher.matches()) continue;
    std::set<Step> steps;
    for (const Step& step : Act(table, target, packet, depth)) {
      if (step.end != RuleEnd::kOn || step.returned) {
        steps.insert(step);
      } else {
        steps.merge(WalkFrom(table, chain, rule + 1, step.packet, depth));
      }
    }
    if (matcher.chance()) steps.merge(WalkFrom(table, chain, rule + 1, packet, depth));
    return steps;
  }
  return {{RuleEnd::kOn, false, packet}};
}

std::set<IptablesRules::Step> IptablesRules::Act(const std::string& table, const Words& target,
                                                 const RulePacket& packet, int depth) const {
  Step step{RuleEnd::kOn, false, packet};
  if (target.empty()) return {step};  // a rule that only counts
  const std::string& what = target[0];
  if (what == "ACCEPT") {
    step.end = RuleEnd::kAccepted;
  } else if (what == "DROP") {
    step.end = RuleEnd::kDropped;
  } else if (what == "REJECT") {
    step.end = RuleEnd::kRejected;
  } else if (what == "RETURN") {
    step.returned = true;
  } else if (what == "MARK" && target.size() == 3 && target[1] == "--set-xmark") {
    const size_t slash = target[2].find('/');
    step.packet.mark =
        (packet.mark & ~Number(target[2].substr(slash + 1))) ^ Number(target[2].substr(0, slash));
  } else if (what == "DNAT" && target.size() == 3 && target[1] == "--to-destination") {
    SetDestination(step.packet, target[2]);
    step.end = RuleEnd::kAccepted;
  } else if (what == "MASQUERADE") {
    step.packet.masqueraded = true;
    step.end = RuleEnd::kAccepted;
  } else if (auto chain = tables_.at(table).find(what); chain != tables_.at(table).end()) {
    std::set<Step> steps;
    for (Step inner : WalkFrom(table, chain->second, 0, packet, depth + 1)) {
      inner.returned = false;
      steps.insert(inner);
    }
    return steps;
  } else {
    throw std::runtime_error(fmt::format("target not known: {}", fmt::join(target, " ")));
  }
  return {step};
}

}  // namespace fairlead::test
