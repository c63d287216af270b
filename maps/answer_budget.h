// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// answer_budget: how many resets and ICMP messages a CPU may still send: a token bucket of ANSWERS_BURST,
// filled with ANSWERS_PER_S. Writers and readers: the programs.
#ifndef FAIRLEAD_MAPS_ANSWER_BUDGET_H_
#define FAIRLEAD_MAPS_ANSWER_BUDGET_H_

#include "fairlead/limits.h"
#include "maps/define.h"

struct answer_budget {
  __u64 filled_ns;  // CLOCK_MONOTONIC, up to when the bucket has been filled
  __u64 tokens;
};
WIRE_ASSERT(sizeof(struct answer_budget) == 16, "answer_budget has no padding");

FAIRLEAD_TABLE(answer_budget, BPF_MAP_TYPE_PERCPU_ARRAY, 0, __u32, struct answer_budget, 1);

#endif  // FAIRLEAD_MAPS_ANSWER_BUDGET_H_
