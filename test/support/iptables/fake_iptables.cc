// SPDX-License-Identifier: Apache-2.0
#include "test/support/iptables/fake_iptables.h"

#include <algorithm>
#include <sstream>

namespace fairlead::test {

namespace {

constexpr int kOther = 1, kResource = 4;  // exit statuses of iptables

bool BuiltIn(const std::string& chain) {
  static const std::vector<std::string> kChains = {"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"};
  return std::ranges::find(kChains, chain) != kChains.end();
}

bool LedTo(const std::map<std::string, std::vector<std::string>>& chains, const std::string& chain) {
  return std::ranges::any_of(chains, [&](const auto& other) {
    return std::ranges::any_of(other.second,
                               [&](const std::string& rule) { return rule.ends_with("-j " + chain); });
  });
}

}  // namespace

Result<Executed> FakeIptables::Execute(const ExecOptions& options) {
  const std::string& program = options.argv.front();
  if (missing) return Fail(ErrorKind::kNotFound, "no {} in PATH", program);
  if (program.ends_with("-save")) {
    ++saves;
    Executed saved{0, Save(options.argv.at(2)), {}};
    if (after_save) after_save();
    return saved;
  }
  ++restores;
  last_restore = options.input;
  if (locked || (locks_after != 0 && restores > locks_after))
    return Executed{kResource, {}, "Another app is currently holding the xtables lock.\n"};
  return Restore(options.input);
}

Executed FakeIptables::Restore(std::string_view text) {
  std::istringstream lines{std::string(text)};
  std::string table, part;
  Chains chains;
  bool taken = true;
  for (std::string line; std::getline(lines, line);) {
    part += line + "\n";
    if (line.starts_with('*')) {
      table = line.substr(1);
      part.clear();
      chains = tables_[table];
    } else if (line == "COMMIT") {
      if (!taken || (!refuses.empty() && part.contains(refuses))) return {kOther, {}, "line 1 failed\n"};
      tables_[table] = chains;
    } else {
      taken &= Edit(chains, line);
    }
  }
  return {0, {}, {}};
}

bool FakeIptables::Edit(Chains& chains, const std::string& line) {
  if (line.starts_with(':')) {
    chains[line.substr(1, line.find(' ') - 1)].clear();
    return true;
  }
  const std::string chain = line.substr(3, line.find(' ', 3) - 3);
  if (line.starts_with("-X ")) return !LedTo(chains, chain) && chains.erase(chain) == 1;
  const std::string rule = line.substr(4 + chain.size());
  if (!BuiltIn(chain) && !chains.contains(chain)) return false;
  std::vector<std::string>& rules = chains[chain];
  if (line.starts_with("-A ")) {
    rules.push_back(rule);
  } else if (line.starts_with("-I ")) {
    rules.insert(rules.begin(), rule);
  } else {
    auto stands = std::ranges::find(rules, rule);
    if (stands == rules.end()) return false;
    rules.erase(stands);
  }
  return true;
}

std::string FakeIptables::Save(const std::string& table) const {
  std::string text = "*" + table + "\n";
  auto chains = tables_.find(table);
  if (chains != tables_.end()) {
    for (const auto& [chain, rules] : chains->second) text += ":" + chain + " - [0:0]\n";
    for (const auto& [chain, rules] : chains->second) {
      for (std::string rule : rules) {
        const size_t mark = rule.find("MARK --set-xmark");
        if (spells_otherwise && mark != std::string::npos) rule.insert(mark + 4, " ");
        text += "-A " + chain + " " + rule + "\n";
      }
    }
  }
  return text + "COMMIT\n";
}

std::string FakeIptables::Text() const {
  return Save("filter") + Save("nat");
}

}  // namespace fairlead::test
