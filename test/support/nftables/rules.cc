// SPDX-License-Identifier: Apache-2.0
#include "test/support/nftables/rules.h"

#include <sstream>
#include <stdexcept>

#include "test/support/objects.h"

namespace fairlead::test {

namespace {

constexpr int kDeepest = 16;

std::vector<std::string> Fields(const std::string& key) {
  std::vector<std::string> fields;
  for (size_t begin = 0; begin <= key.size();) {
    const size_t end = std::min(key.find(" . ", begin), key.size());
    fields.push_back(key.substr(begin, end - begin));
    begin = end + 3;
  }
  return fields;
}

// A prefix or a range of addresses, or the very word.
bool Covers(const std::string& element, const std::string& field) {
  if (element == field) return true;
  if (const size_t dash = element.find('-'); dash != std::string::npos) {
    const Address address = Addr(field);
    return Addr(element.substr(0, dash)) <= address && address <= Addr(element.substr(dash + 1));
  }
  return element.find('/') != std::string::npos && Range(element).Contains(Addr(field));
}

bool Covers(const std::vector<std::string>& element, const std::vector<std::string>& fields) {
  if (element.size() != fields.size()) return false;
  for (size_t i = 0; i < fields.size(); ++i) {
    if (!Covers(element[i], fields[i])) return false;
  }
  return true;
}

}  // namespace

// The words of a rule, read from the left.
struct NftRules::Rule {
  explicit Rule(const std::string& text) : whole(text) {
    std::istringstream in(text);
    for (std::string word; in >> word;) words.push_back(word);
  }
  bool Take(std::string_view phrase) {
    std::istringstream in{std::string(phrase)};
    size_t to = at;
    for (std::string word; in >> word; ++to) {
      if (to >= words.size() || words[to] != word) return false;
    }
    at = to;
    return true;
  }
  std::string Next() {
    if (at >= words.size()) throw std::runtime_error("a rule that ends too early: " + whole);
    return words[at++];
  }
  [[noreturn]] void Unknown() const {
    throw std::runtime_error("a rule that is not known: " + whole + " at word " + std::to_string(at));
  }

  std::string whole;
  std::vector<std::string> words;
  size_t at = 0;
};

// One field of a key, from the packet; empty where the packet is of the other family.
std::string NftRules::Field(Rule& rule, const NftPacket& packet) const {
  const bool v4 = packet.source.GetFamily() == Family::kIpv4;
  for (bool of_v4 : {true, false}) {
    const std::string ip = of_v4 ? "ip" : "ip6";
    auto text = [&](const Address& address) { return of_v4 == v4 ? address.ToString() : std::string(); };
    if (rule.Take(ip + " daddr")) return text(packet.destination);
    if (rule.Take(ip + " saddr")) return text(packet.source);
    if (rule.Take("ct original " + ip + " daddr")) return text(packet.first_destination);
  }
  if (rule.Take("meta l4proto")) return packet.protocol;
  if (rule.Take("th dport")) return std::to_string(packet.destination_port);
  if (rule.Take("ct original proto-dst")) return std::to_string(packet.first_port);
  rule.Unknown();
}

// The keys a concatenation may come to: more than one where a number is drawn. None: the rule does not match.
std::vector<std::string> NftRules::Keys(Rule& rule, const NftPacket& packet) const {
  std::string key;
  bool matches = true;
  do {
    if (!key.empty()) key += " . ";
    if (rule.Take("numgen random mod")) {
      const int count = std::stoi(rule.Next());
      const int offset = rule.Take("offset") ? std::stoi(rule.Next()) : 0;
      std::vector<std::string> keys;
      for (int i = 0; i < count && matches; ++i) keys.push_back(key + std::to_string(offset + i));
      return keys;
    }
    const std::string field = Field(rule, packet);
    matches &= !field.empty();
    key += field.empty() ? "-" : field;
  } while (rule.Take("."));
  return matches ? std::vector{key} : std::vector<std::string>{};
}

const std::string* NftRules::Find(const std::string& set, const std::string& key) const {
  const FakeNftables::Elements& elements = kernel_.sets.at(set);
  if (auto it = elements.find(key); it != elements.end()) return &it->second;
  const std::vector<std::string> fields = Fields(key);
  for (const auto& [element, value] : elements) {
    if (element.find_first_of("-/") != std::string::npos && Covers(Fields(element), fields)) return &value;
  }
  return nullptr;
}

std::set<NftOutcome> NftRules::Walk(const std::string& chain, const NftPacket& packet) const {
  return WalkFrom(chain, 0, packet, 0);
}

std::set<NftOutcome> NftRules::WalkFrom(const std::string& chain, size_t index, const NftPacket& packet,
                                        int depth) const {
  if (depth > kDeepest) throw std::runtime_error("chains go in a circle: " + chain);
  const auto it = kernel_.chains.find(chain);
  if (it == kernel_.chains.end()) throw std::runtime_error("no chain " + chain);
  if (index >= it->second.rules.size()) return {{NftEnd::kOn, packet}};
  Rule rule(it->second.rules[index]);
  return Act(rule, chain, index + 1, packet, depth);
}

// What a verdict says, and after a jump that comes back the next rule.
std::set<NftOutcome> NftRules::Follow(const std::string& verdict, const std::string& chain, size_t next,
                                      const NftPacket& packet, int depth) const {
  if (verdict == "drop") return {{NftEnd::kDropped, packet}};
  if (verdict == "return") return {{NftEnd::kOn, packet}};
  const std::string target = verdict.substr(5);
  if (verdict.starts_with("goto ")) return WalkFrom(target, 0, packet, depth + 1);
  if (!verdict.starts_with("jump ")) throw std::runtime_error("a verdict that is not known: " + verdict);
  std::set<NftOutcome> outcomes;
  for (const NftOutcome& outcome : WalkFrom(target, 0, packet, depth + 1)) {
    if (outcome.end != NftEnd::kOn) {
      outcomes.insert(outcome);
    } else {
      outcomes.merge(WalkFrom(chain, next, outcome.packet, depth));
    }
  }
  return outcomes;
}

// "meta l4proto tcp"; empty: the rule goes on with something else.
std::string NftRules::TakeProtocol(Rule& rule) const {
  for (std::string protocol : {"tcp", "udp", "sctp"}) {
    if (rule.Take("meta l4proto " + protocol)) return protocol;
  }
  return {};
}

// To every backend the map may give; where it gives none, the next rule has its turn.
std::set<NftOutcome> NftRules::Translate(Rule& rule, const std::string& chain, size_t next,
                                         const NftPacket& packet, int depth) const {
  const std::vector<std::string> keys = Keys(rule, packet);
  if (!rule.Take("map")) rule.Unknown();
  const std::string set = rule.Next().substr(1);
  std::set<NftOutcome> outcomes;
  for (const std::string& key : keys) {
    const std::string* found = Find(set, key);
    if (!found) {
      outcomes.merge(WalkFrom(chain, next, packet, depth));
      continue;
    }
    NftPacket translated = packet;
    const std::vector<std::string> target = Fields(*found);
    translated.destination = Addr(target.at(0));
    translated.destination_port = static_cast<uint16_t>(std::stoi(target.at(1)));
    translated.translated = true;
    outcomes.insert({NftEnd::kAccepted, translated});
  }
  if (keys.empty()) return WalkFrom(chain, next, packet, depth);
  return outcomes;
}

// Matches and statements from the left, until one does not match or decides.
std::set<NftOutcome> NftRules::Act(Rule& rule, const std::string& chain, size_t next, NftPacket packet,
                                   int depth) const {
  auto on = [&] { return WalkFrom(chain, next, packet, depth); };
  while (rule.at < rule.words.size()) {
    if (rule.Take("goto")) return Follow("goto " + rule.Next(), chain, next, packet, depth);
    if (rule.Take("jump")) return Follow("jump " + rule.Next(), chain, next, packet, depth);
    if (rule.Take("drop")) return {{NftEnd::kDropped, packet}};
    if (rule.Take("return")) return {{NftEnd::kOn, packet}};
    if (rule.Take("reject with tcp reset") || rule.Take("reject")) return {{NftEnd::kRejected, packet}};
    if (rule.Take("masquerade fully-random")) {
      packet.masqueraded = true;
      return {{NftEnd::kAccepted, packet}};
    }
    if (rule.Take("update")) return on();  // its effect is on later packets
    if (rule.Take("ct state new")) continue;
    if (rule.Take("ct status dnat")) {
      if (!packet.translated) return on();
    } else if (rule.Take("fib saddr type local")) {
      if (!local_.contains(packet.source) && !packet.source.IsLoopback()) return on();
    } else if (rule.Take("meta mark set meta mark or")) {
      packet.mark |= static_cast<uint32_t>(std::stoul(rule.Next(), nullptr, 0));
    } else if (rule.Take("meta mark set meta mark and")) {
      packet.mark &= static_cast<uint32_t>(std::stoul(rule.Next(), nullptr, 0));
    } else if (rule.Take("meta mark and")) {
      const bool set = (packet.mark & std::stoul(rule.Next(), nullptr, 0)) != 0;
      if (!rule.Take("!= 0")) rule.Unknown();
      if (!set) return on();
    } else if (rule.Take("meta l4proto { tcp, udp, sctp }")) {
      continue;
    } else if (rule.Take("meta l4proto !=")) {
      if (packet.protocol == rule.Next()) return on();
    } else if (rule.Take("iifname")) {
      const bool denied = rule.Take("!=");
      std::string name = rule.Next();
      name = name.substr(1, name.size() - 2);
      const bool starts = name.ends_with('*');
      const bool matches =
          starts ? packet.device.starts_with(name.substr(0, name.size() - 1)) : packet.device == name;
      if (matches == denied) return on();
    } else if (rule.Take("dnat ip to") || rule.Take("dnat ip6 to")) {
      return Translate(rule, chain, next, packet, depth);
    } else if (std::string protocol = TakeProtocol(rule); !protocol.empty()) {
      if (packet.protocol != protocol) return on();
    } else {
      const std::vector<std::string> keys = Keys(rule, packet);
      const bool verdicts = rule.Take("vmap");
      const bool denied = rule.Take("!=");
      const std::string set = rule.Next();
      if (set.front() != '@') rule.Unknown();
      if (keys.empty()) return on();
      const std::string* found = Find(set.substr(1), keys.front());
      if ((found != nullptr) == denied) return on();
      if (verdicts) return Follow(*found, chain, next, packet, depth);
    }
  }
  return on();
}

}  // namespace fairlead::test
