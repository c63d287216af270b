// SPDX-License-Identifier: Apache-2.0
// Tables: what stands, and how it differs from what should.
#include <algorithm>
#include <functional>
#include <iterator>
#include <utility>

#include "agent/datapath/iptables/localnet.h"
#include "agent/datapath/iptables/tables.h"

namespace fairlead::iptables {

namespace {

// The jumps of one chain of the kernel's, in order.
std::vector<Jump> From(const std::vector<Jump>& jumps, Table table, const std::string& chain) {
  std::vector<Jump> from;
  std::ranges::copy_if(jumps, std::back_inserter(from),
                       [&](const Jump& jump) { return jump.table == table && jump.from == chain; });
  return from;
}

// Rules of somebody else's may lead to our chains too: to a Service's, or from a chain of their own.
bool MayBeOurs(const Jump& jump) {
  constexpr std::string_view kHooked[] = {"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"};
  return std::ranges::find(kHooked, jump.from) != std::end(kHooked) && !IsOfService(TargetOf(jump.rule));
}

std::string TextOf(const std::vector<Jump>& jumps) {
  std::string text;
  for (const Jump& jump : jumps) text += jump.rule + "\n";
  return text;
}

// Of a chain of ours, or of our jumps from one of the kernel's.
std::string TextOf(const Saved& saved, Table table, const std::string& chain) {
  if (!IsOurs(chain)) {
    std::vector<Jump> jumps = From(saved.jumps, table, chain);
    std::erase_if(jumps, std::not_fn(MayBeOurs));
    return TextOf(jumps);
  }
  auto stands = saved.chains.find(chain);
  return stands == saved.chains.end() ? "" : stands->second;
}

}  // namespace

Result<Tables::SavedTables> Tables::Read() const {
  SavedTables saved;
  for (Table table : kTables) {
    auto text = Save(run_, backend_, rules_.family(), table);
    if (!text) return std::unexpected(std::move(text.error()));
    saved[static_cast<size_t>(table)] = ParseSaved(table, *text);
  }
  return saved;
}

// Another release of iptables may print a rule otherwise than it was written: what is printed after a write
// as it was before, rule for rule, is the same.
bool Tables::Same(Table table, const std::string& chain, const std::string& stands, const std::string& want) {
  if (stands == want) return true;
  const std::pair now{std::hash<std::string>{}(stands), std::hash<std::string>{}(want)};
  const Texts& alike = alike_[static_cast<size_t>(table)];
  auto known = alike.find(chain);
  if (known != alike.end() && known->second == now) return true;
  if (std::ranges::count(stands, '\n') == std::ranges::count(want, '\n'))
    suspects_[static_cast<size_t>(table)].insert_or_assign(chain, now);
  return false;
}

// Right after the write, so that somebody who makes the same change once more is not taken for the printing.
void Tables::Learn() {
  const auto suspects = std::exchange(suspects_, {});
  if (suspects[0].empty() && suspects[1].empty()) return;
  auto saved = Read();
  if (!saved) return;  // then they are written once more
  for (Table table : kTables) {
    const auto at = static_cast<size_t>(table);
    for (const auto& [chain, texts] : suspects[at]) {
      if (std::hash<std::string>{}(TextOf((*saved)[at], table, chain)) == texts.first)
        alike_[at].insert_or_assign(chain, texts);
    }
  }
}

Edit Tables::Difference(const SavedTables& saved) {
  rules_.TakeChanged();
  suspects_ = {};
  Edit edit;
  std::vector<Jump> standing;
  std::set<std::pair<Table, std::string>> hooks;
  for (Table table : kTables) {
    const auto at = static_cast<size_t>(table);
    for (const auto& [chain, body] : rules_.chains(table)) {
      auto stands = saved[at].chains.find(chain);
      const bool there = stands != saved[at].chains.end();
      if (!there || !Same(table, chain, stands->second, body)) edit.chains[at].insert(chain);
    }
    for (const auto& [chain, body] : saved[at].chains) {
      const bool anothers = rules_.keeps_earlier() && IsOfService(chain);
      const bool done = body.empty() && emptied_[at].contains(chain);
      if (!rules_.chains(table).contains(chain) && !anothers && !done) edit.chains[at].insert(chain);
    }
    for (const Jump& jump : saved[at].jumps) {
      if (!MayBeOurs(jump)) continue;
      standing.push_back(jump);
      hooks.emplace(table, jump.from);
    }
  }
  for (const Jump& jump : rules_.jumps()) hooks.emplace(jump.table, jump.from);
  for (const auto& [table, chain] : hooks) {
    const auto now = From(standing, table, chain), want = From(rules_.jumps(), table, chain);
    if (Same(table, chain, TextOf(now), TextOf(want))) continue;
    std::ranges::copy(now, std::back_inserter(edit.surplus));
    std::ranges::copy(want, std::back_inserter(edit.missing));
  }
  return edit;
}

void Tables::KeepEarlier(const SavedTables& saved) {
  const Chains& filter = saved[static_cast<size_t>(Table::kFilter)].chains;
  if (filter.contains(std::string(kLocalnetNote))) rules_.SetNote(kLocalnetNote, true);
  for (Table table : kTables) {
    for (const auto& [chain, body] : saved[static_cast<size_t>(table)].chains) {
      if (IsOfService(chain)) continue;
      const size_t head = chain.size() + 4;  // "-A chain "
      for (size_t begin = 0; begin < body.size();) {
        const size_t end = body.find('\n', begin);
        rules_.KeepEarlier(table, std::string_view(body).substr(begin + head, end - begin - head));
        begin = end + 1;
      }
    }
  }
}

}  // namespace fairlead::iptables
