// SPDX-License-Identifier: Apache-2.0
// The four datapaths, as tests name them: what a test runs on, and where expectations differ.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace fairlead::test {

enum class Mode : uint8_t { kEbpf, kNftables, kIptables, kIpvs };
inline constexpr std::array kEveryMode = {Mode::kEbpf, Mode::kNftables, Mode::kIptables, Mode::kIpvs};

// As --proxy-mode has it.
constexpr std::string_view Word(Mode mode) {
  switch (mode) {
    case Mode::kEbpf:
      return "ebpf";
    case Mode::kNftables:
      return "nftables";
    case Mode::kIptables:
      return "iptables";
    case Mode::kIpvs:
      break;
  }
  return "ipvs";
}

}  // namespace fairlead::test
