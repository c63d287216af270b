// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/iptables/clean_up.h"

#include <utility>

#include <fmt/format.h>

#include "agent/datapath/iptables/backend.h"
#include "agent/datapath/iptables/iptables.h"
#include "agent/datapath/iptables/localnet.h"
#include "agent/datapath/iptables/saved.h"

namespace fairlead::iptables {

namespace {

// Empty where there is nothing of ours.
std::string RenderRemoval(Table table, const Saved& saved) {
  if (saved.chains.empty() && saved.jumps.empty()) return {};
  std::string text = fmt::format("*{}\n", TableName(table));
  auto out = std::back_inserter(text);
  for (const auto& [chain, body] : saved.chains) fmt::format_to(out, ":{} - [0:0]\n", chain);
  for (const Jump& jump : saved.jumps) fmt::format_to(out, "-D {} {}\n", jump.from, jump.rule);
  for (const auto& [chain, body] : saved.chains) fmt::format_to(out, "-X {}\n", chain);
  text += "COMMIT\n";
  return text;
}

// True if there was something.
Result<bool> CleanUpTable(const Backend& backend, Family family, Table table, bool undo_localnet) {
  auto text = Save(Execute, backend, family, table);
  if (!text) return std::unexpected(std::move(text.error()));
  const Saved saved = ParseSaved(table, *text);
  const std::string removal = RenderRemoval(table, saved);
  if (removal.empty()) return false;
  // While the guard still stands.
  if (undo_localnet && saved.chains.contains(std::string(kLocalnetNote))) {
    if (auto off = WriteRouteLocalnet(false); !off) return std::unexpected(std::move(off.error()));
  }
  auto removed = Restore(Execute, backend, family, removal);
  if (!removed) return std::unexpected(std::move(removed.error().error));
  return true;
}

}  // namespace

Result<bool> RemoveFrom(const Backend& backend, bool undo_localnet) {
  Result<bool> outcome = false;
  for (Family family : {Family::kIpv4, Family::kIpv6}) {
    if (!HasTables(backend, family)) continue;
    for (Table table : kTables) {
      auto cleaned = CleanUpTable(backend, family, table, undo_localnet);
      const bool family_missing = !cleaned && family == Family::kIpv6;  // a kernel without IPv6 has none
      if (family_missing || !outcome) continue;
      if (!cleaned || *cleaned) outcome = std::move(cleaned);
    }
  }
  return outcome;
}

Result<bool> CleanUp() {
  Result<bool> outcome = false;
  for (const Backend& backend : InstalledBackends(Execute)) {
    auto removed = RemoveFrom(backend, true);
    if (outcome && (!removed || *removed)) outcome = std::move(removed);
  }
  return outcome;
}

}  // namespace fairlead::iptables
