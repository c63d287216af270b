// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/verdict_counts.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>

#include "fairlead/verdict.h"
#include "maps/counters.h"

namespace fairlead::ebpf {

std::vector<datapath::VerdictCount> ReadVerdicts(int counters_fd) {
  static constexpr const char* kVerdicts[] = {
#define X(name, action, meaning) #name,
      FAIRLEAD_VERDICTS(X)
#undef X
  };
  static constexpr const char* kPrograms[] = {
#define X(name, text) text,
      FAIRLEAD_PROGRAMS(X)
#undef X
  };
  std::vector<counter> per_cpu(static_cast<size_t>(std::max(libbpf_num_possible_cpus(), 1)));
  std::vector<datapath::VerdictCount> counts;
  for (uint32_t program = 0; program < PROGRAM_COUNT; ++program) {
    for (uint32_t verdict = 0; verdict < VERDICT_COUNT; ++verdict) {
      uint32_t index = program * VERDICT_COUNT + verdict;
      if (bpf_map_lookup_elem(counters_fd, &index, per_cpu.data()) != 0) continue;
      uint64_t sum = 0;
      for (const counter& c : per_cpu) sum += c.count;
      counts.push_back({kPrograms[program], kVerdicts[verdict], sum});
    }
  }
  return counts;
}

}  // namespace fairlead::ebpf
