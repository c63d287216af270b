// SPDX-License-Identifier: Apache-2.0
// Blocks of the same work done in several ways, in turn, and what one way's are to another's.
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "test/bench/figures.h"

namespace fairlead::bench {

// ns of one of what the blocks of a way consist of; a value a block, in the order of the rounds.
struct Blocks {
  std::vector<int64_t> cpu, wall;
};

// The median over rounds of (direct block / block): a slow spell of the machine, which hits neighbours alike,
// cancels out.
inline double Ratio(const std::vector<int64_t>& direct, const std::vector<int64_t>& way) {
  std::vector<double> ratios;
  for (size_t i = 0; i < way.size(); ++i) {
    ratios.push_back(static_cast<double>(direct[i]) / static_cast<double>(way[i]));
  }
  return Quantile(ratios, 0.5);
}

// "ratio" and the median in ns, of CPU and of wall time: members of a JSON object.
inline std::string Figures(const Blocks& direct, Blocks own) {
  return fmt::format(R"("ratio":{:.4f},"wall_ratio":{:.4f},"cpu_ns":{},"wall_ns":{})",
                     Ratio(direct.cpu, own.cpu), Ratio(direct.wall, own.wall), Quantile(own.cpu, 0.5),
                     Quantile(own.wall, 0.5));
}

}  // namespace fairlead::bench
