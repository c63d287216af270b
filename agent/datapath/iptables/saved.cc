// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/iptables/saved.h"

#include <charconv>

namespace fairlead::iptables {

namespace {

template <typename Visit>
void ForEachLine(std::string_view text, const Visit& visit) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    visit(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

}  // namespace

std::string_view TargetOf(std::string_view rule) {
  bool quoted = false;
  for (size_t i = 0; i + 3 < rule.size(); ++i) {
    if (rule[i] == '\\') {
      ++i;
      continue;
    }
    if (rule[i] == '"') quoted = !quoted;
    const std::string_view word = rule.substr(i, 3);
    const bool begins = i == 0 || rule[i - 1] == ' ';
    if (quoted || !begins || (word != "-j " && word != "-g ")) continue;
    rule.remove_prefix(i + 3);
    return rule.substr(0, rule.find(' '));
  }
  return {};
}

Saved ParseSaved(Table table, std::string_view text) {
  Saved saved;
  std::string* body = nullptr;  // of the chain that rules are read of: they come chain by chain
  std::string_view reading;
  ForEachLine(text, [&](std::string_view line) {
    if (line.starts_with(':')) {
      const std::string_view chain = line.substr(1, line.find(' ') - 1);
      if (IsOurs(chain)) saved.chains[std::string(chain)];
      return;
    }
    if (!line.starts_with("-A ")) return;
    const std::string_view rest = line.substr(3);
    const std::string_view chain = rest.substr(0, rest.find(' '));
    if (IsOurs(chain)) {
      if (chain != reading) body = &saved.chains[std::string(chain)];
      reading = chain;
      body->append(line).append("\n");
    } else if (IsOurs(TargetOf(rest))) {
      saved.jumps.push_back({table, std::string(chain), std::string(rest.substr(chain.size() + 1))});
    }
  });
  return saved;
}

std::optional<uint64_t> PacketsOf(std::string_view text, std::string_view match) {
  constexpr std::string_view kCounters = " -c ";
  std::optional<uint64_t> packets;
  ForEachLine(text, [&](std::string_view line) {
    const size_t at = line.find(kCounters);
    if (packets || at == std::string_view::npos || !line.contains(match)) return;
    const std::string_view rest = line.substr(at + kCounters.size());
    uint64_t number = 0;
    if (std::from_chars(rest.data(), rest.data() + rest.size(), number).ec == std::errc{}) packets = number;
  });
  return packets;
}

}  // namespace fairlead::iptables
