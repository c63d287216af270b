// SPDX-License-Identifier: Apache-2.0
#include "agent/options.h"

#include <algorithm>
#include <map>

#include "agent/config/field.h"
#include "agent/config/file.h"
#include "agent/config/flags.h"

namespace fairlead {

namespace {

using config::CommandLine;
using config::Draft;
using config::Field;
using config::Setting;
using config::Value;

Result<void> Apply(Draft& draft, const Field& field, const Value& value) {
  auto taken = field.take(draft, value);
  if (!taken) return Unexpected(std::move(taken).error().In(value.where));
  return {};
}

// Where kube-proxy, too, lets the flag win.
bool FlagAlwaysWins(const Field& field) {
  return field.flag == "hostname-override" || field.flag == "v";
}

}  // namespace

uint32_t FlowCapacity(const ConntrackOptions& conntrack, uint32_t cores) {
  if (conntrack.max_per_core == 0) return Capacities{}.flows;
  uint64_t scaled = uint64_t{conntrack.max_per_core} * cores;
  uint64_t wanted = std::max<uint64_t>(scaled, conntrack.min);
  return static_cast<uint32_t>(std::clamp<uint64_t>(wanted, kFewestFlows, kMostFlows));
}

Result<std::optional<Exit>> ReadOptions(int argc, const char* const* argv, Options& options) {
  auto line = config::ReadFlags(argc, argv);
  if (!line) return Unexpected(std::move(line).error());
  if (line->exit) return std::move(line->exit);

  std::vector<Setting> file;
  for (const Setting& flag : line->settings) {
    if (flag.field->flag != "config" || flag.value.text.empty()) continue;
    auto read = config::ReadFile(flag.value.text);
    if (!read) return Unexpected(std::move(read).error());
    file = *std::move(read);
  }

  Draft draft;
  std::map<const Field*, const Value*> in_file;
  for (const auto& [field, value] : file) {
    if (auto applied = Apply(draft, *field, value); !applied) return Unexpected(std::move(applied).error());
    in_file.emplace(field, &value);
  }
  for (const auto& [field, value] : line->settings) {
    auto said = in_file.find(field);
    if (said != in_file.end() && !FlagAlwaysWins(*field) && said->second->text != value.text &&
        !field->help.empty()) {
      draft.Warn(value.where,
                 fmt::format("taken instead of {}; kube-proxy would take the file's", said->second->where));
    }
    if (auto applied = Apply(draft, *field, value); !applied) return Unexpected(std::move(applied).error());
  }
  if (auto finished = config::Finish(draft); !finished) return Unexpected(std::move(finished).error());
  options = std::move(draft.options);
  return std::optional<Exit>();
}

}  // namespace fairlead
