// SPDX-License-Identifier: Apache-2.0
// iptables and a kernel in memory, for faults: what iptables-save prints is what iptables-restore --noflush
// was fed, table by table, all of a table's part or nothing.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "agent/datapath/iptables/backend.h"

namespace fairlead::test {

class FakeIptables {
 public:
  iptables::Run AsRun() {
    return [this](const ExecOptions& options) { return Execute(options); };
  }
  static iptables::Backend Backend() {
    return {iptables::Backend::Kind::kNfTables, true, "1.8.9", "it is the only one"};
  }

  // Faults, until taken back.
  std::string refuses;            // a table's part that has this in it
  bool locked = false;            // by another program
  bool spells_otherwise = false;  // prints "-j MARK --set-xmark" as "-j MARK  --set-xmark"
  bool missing = false;           // no such program
  int locks_after = 0;            // by another program, after so many restores; 0: never

  std::function<void()> after_save;  // somebody else does this

  // As somebody else would.
  void DeleteAll() { tables_.clear(); }
  void Flush(const std::string& table, const std::string& chain) { tables_[table][chain].clear(); }
  void Append(const std::string& table, const std::string& chain, const std::string& rule) {
    tables_[table][chain].push_back(rule);
  }

  std::string Text() const;  // of all tables
  bool Has(const std::string& table, const std::string& chain) const {
    return tables_.contains(table) && tables_.at(table).contains(chain);
  }
  std::vector<std::string> Rules(const std::string& table, const std::string& chain) const {
    return Has(table, chain) ? tables_.at(table).at(chain) : std::vector<std::string>{};
  }

  int saves = 0, restores = 0;  // so far
  std::string last_restore;

 private:
  using Chains = std::map<std::string, std::vector<std::string>>;

  Result<Executed> Execute(const ExecOptions& options);
  std::string Save(const std::string& table) const;
  Executed Restore(std::string_view text);
  static bool Edit(Chains& chains, const std::string& line);  // false: refused

  std::map<std::string, Chains> tables_;
};

}  // namespace fairlead::test
