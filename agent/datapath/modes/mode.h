// SPDX-License-Identifier: Apache-2.0
// The four datapaths by name.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace fairlead::modes {

enum class Mode : uint8_t { kEbpf, kNftables, kIpvs, kIptables };
// In the order auto tries them.
inline constexpr Mode kModes[] = {Mode::kEbpf, Mode::kNftables, Mode::kIpvs, Mode::kIptables};
std::string_view ModeName(Mode mode);                  // "ebpf", ...
std::optional<Mode> ParseMode(std::string_view name);  // nothing for "auto"

}  // namespace fairlead::modes
