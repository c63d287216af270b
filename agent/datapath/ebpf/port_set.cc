// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/port_set.h"

#include <charconv>

namespace fairlead::ebpf {

Result<PortRange> ParsePortRange(std::string_view text) {
  auto parse = [](std::string_view part, uint16_t& port) {
    auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), port);
    return error == std::errc() && end == part.data() + part.size();
  };
  const size_t dash = text.find('-');
  PortRange range;
  if (!parse(text.substr(0, dash), range.first) ||
      !parse(dash == std::string_view::npos ? text : text.substr(dash + 1), range.last) ||
      range.first > range.last) {
    return Fail(ErrorKind::kInvalid, "\"{}\": expected a port or a range like 30000-32767", text);
  }
  return range;
}

}  // namespace fairlead::ebpf
