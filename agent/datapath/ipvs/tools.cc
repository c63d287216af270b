// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ipvs/tools.h"

#include <fmt/format.h>

namespace fairlead::ipvs {

namespace {

// Seconds that iptables waits for the lock others hold.
constexpr char kLockWait[] = "10";

// "ipset: what it said last"
std::string LastWords(const std::string& program, const Executed& executed) {
  std::string_view said = executed.errors;
  while (said.ends_with('\n')) said.remove_suffix(1);
  said = said.substr(said.rfind('\n') + 1);
  if (said.empty()) return fmt::format("{}: ended with status {}", program, executed.status);
  return fmt::format("{}: {}", program, said);
}

}  // namespace

Result<std::string> RunToEnd(const ExecOptions& options) {
  auto executed = Execute(options);
  if (!executed) return std::unexpected(std::move(executed.error()));
  if (executed->status == 0) return std::move(executed->output);
  const ErrorKind kind = executed->status > 128 ? ErrorKind::kUnavailable : ErrorKind::kInvalid;
  return Fail(kind, "{}", LastWords(options.argv.front(), *executed));
}

Result<void> IpsetTool::Restore(const std::string& text) {
  if (text.empty()) return {};
  auto ran = run_({.argv = {"ipset", "restore", "-exist"}, .input = text});
  if (!ran) return std::unexpected(std::move(ran.error()));
  return {};
}

Result<SavedSets> IpsetTool::Save() {
  auto ran = run_({.argv = {"ipset", "save"}, .input = {}});
  if (!ran) return std::unexpected(std::move(ran.error()));
  return ReadSave(*ran);
}

Result<void> IpsetTool::Destroy(const std::string& name) {
  auto ran = run_({.argv = {"ipset", "destroy", name}, .input = {}});
  if (!ran) return std::unexpected(std::move(ran.error()));
  return {};
}

Result<std::string> RulesTool::Save() {
  return run_({.argv = {prefix_ + "-save"}, .input = {}});
}

Result<void> RulesTool::Restore(const std::string& text) {
  auto ran = run_({.argv = {prefix_ + "-restore", "--noflush", "-w", kLockWait}, .input = text});
  if (!ran) return std::unexpected(std::move(ran.error()));
  return {};
}

Result<uint64_t> RulesTool::Stand(const std::vector<RuleTable>& tables) {
  auto saved = Save();
  if (!saved) return std::unexpected(std::move(saved.error()));
  if (!written_.empty() && OurLines(*saved) == written_) return 0;
  std::string text;
  uint64_t rules = 0;
  for (const RuleTable& table : tables) {
    text += RestoreText(table, SavedTable(*saved, table.name));
    rules += RulesOf(table);
  }
  if (auto restored = Restore(text); !restored) return std::unexpected(std::move(restored.error()));
  saved = Save();
  if (!saved) return std::unexpected(std::move(saved.error()));
  written_ = OurLines(*saved);
  return rules;
}

Result<bool> RulesTool::Remove() {
  auto saved = Save();
  if (!saved) return std::unexpected(std::move(saved.error()));
  std::string text;
  for (std::string_view table : kRuleTables) text += RemoveText(table, SavedTable(*saved, table));
  if (text.empty()) return false;
  if (auto restored = Restore(text); !restored) return std::unexpected(std::move(restored.error()));
  return true;
}

}  // namespace fairlead::ipvs
