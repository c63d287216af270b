// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/iptables/restore.h"

#include <algorithm>
#include <ranges>

#include <fmt/format.h>

namespace fairlead::iptables {

namespace {

void RenderTable(Table table, const Edit& edit, const Ruleset& rules, Ends ends, RestoreText& into) {
  const auto at = static_cast<size_t>(table);
  const auto& names = edit.chains[at];
  auto here = [table](const Jump& jump) { return jump.table == table; };
  if (names.empty() && std::ranges::none_of(edit.missing, here) && std::ranges::none_of(edit.surplus, here))
    return;
  const Chains& chains = rules.chains(table);
  auto out = std::back_inserter(into.text);
  fmt::format_to(out, "*{}\n", TableName(table));
  for (const std::string& name : names) fmt::format_to(out, ":{} - [0:0]\n", name);
  for (const Jump& jump : edit.surplus) {
    if (here(jump)) fmt::format_to(out, "-D {} {}\n", jump.from, jump.rule);
  }
  for (const std::string& name : names) {
    auto chain = chains.find(name);
    if (chain == chains.end()) continue;
    into.text += chain->second;
    into.rules[at] += static_cast<uint64_t>(std::ranges::count(chain->second, '\n'));
  }
  for (const Jump& jump : edit.missing | std::views::reverse) {
    if (here(jump)) fmt::format_to(out, "-I {} {}\n", jump.from, jump.rule);
  }
  for (const std::string& name : names) {
    // Rules of an earlier run may still lead to a Service's chain.
    const bool led_to = rules.keeps_earlier() && IsOfService(name);
    if (chains.contains(name) || led_to) continue;
    into.gone[at].insert(name);
    if (ends == Ends::kDeleted) fmt::format_to(out, "-X {}\n", name);
  }
  into.text += "COMMIT\n";
}

}  // namespace

RestoreText RenderRestore(const Edit& edit, const Ruleset& rules, Ends ends) {
  RestoreText restore;
  for (Table table : kTables) RenderTable(table, edit, rules, ends, restore);
  return restore;
}

std::string RenderDeletion(const ChainNames& chains) {
  std::string text;
  auto out = std::back_inserter(text);
  for (Table table : kTables) {
    const auto& names = chains[static_cast<size_t>(table)];
    if (names.empty()) continue;
    fmt::format_to(out, "*{}\n", TableName(table));
    for (const std::string& name : names) fmt::format_to(out, "-X {}\n", name);
    text += "COMMIT\n";
  }
  return text;
}

}  // namespace fairlead::iptables
