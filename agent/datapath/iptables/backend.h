// SPDX-License-Identifier: Apache-2.0
// The programs, and which of the two kernel interfaces behind them is used: nf_tables or the older xtables
// ("legacy"). A host may have both, each with tables of its own.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/address.h"
#include "agent/base/error.h"
#include "agent/base/exec.h"
#include "agent/datapath/iptables/names.h"

namespace fairlead::iptables {

using Run = std::function<Result<Executed>(const ExecOptions&)>;

struct Backend {
  enum class Kind : uint8_t { kNfTables, kLegacy };
  Kind kind = Kind::kNfTables;
  bool named = true;    // programs are called iptables-nft-restore, iptables-legacy-restore
  std::string version;  // "1.8.9"
  std::string why;      // it is this one

  std::string_view Name() const { return kind == Kind::kNfTables ? "nf_tables" : "legacy"; }
  // "ip6tables-nft-save"; with nothing "ip6tables-nft".
  std::string Program(Family family, std::string_view what) const;
};

// The backends this host has programs for, the system's own first.
std::vector<Backend> InstalledBackends(const Run& run);
// Where the kubelet, kube-proxy or a CNI plugin have rules already, else the one with more rules, else the
// system's own: rules of one node belong into one of them. One whose rules cannot be read is none. kNotFound
// without a program.
Result<Backend> ChooseBackend(const Run& run);
// Whether the kernel has tables of this backend in this network namespace. Asking iptables-legacy itself
// would make them; without nf_tables in the kernel iptables-nft only fails.
bool HasTables(const Backend& backend, Family family);

// The text of iptables-save for a table.
Result<std::string> Save(const Run& run, const Backend& backend, Family family, Table table);
// One chain as iptables -S lists it, each rule with " -c PACKETS BYTES".
Result<std::string> ListCounted(const Run& run, const Backend& backend, Family family, Table table,
                                std::string_view chain);

// A refusal: the kernel or the program does not take the text. Anything else (no lock, no program, no time)
// says nothing of the text.
struct RestoreError {
  Error error;
  bool refused = false;
};
std::expected<void, RestoreError> Restore(const Run& run, const Backend& backend, Family family,
                                          std::string_view text);

}  // namespace fairlead::iptables
