// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// explain: the walk says what it finds. Only in tc_explain, where `dry` is true at compile time: there
// nothing but these steps is written, and elsewhere none of this exists.
#ifndef FAIRLEAD_BPF_EXPLAIN_H_
#define FAIRLEAD_BPF_EXPLAIN_H_

#include "base.bpf.h"
#include "maps/explain.h"

INLINE struct explain* explain_row(void) {
  __u32 index = 0;
  return bpf_map_lookup_elem(&explain, &index);
}

INLINE void explain_write(enum explain_step_kind kind, const struct ip_addr* addr, __u64 first,
                          __u64 second) {
  struct explain* row = explain_row();
  if (!row) return;
  __u32 at = row->steps;
  if (at >= EXPLAIN_STEPS_MAX) return;
  struct explain_step* step = &row->step[at];
  step->kind = kind;
  if (addr) step->addr = *addr;
  step->number[0] = first;
  step->number[1] = second;
  row->steps = at + 1;
}

#define STEP(kind, addr, first, second)                               \
  do {                                                                \
    if (dry) explain_write(EXPLAIN_STEP_##kind, addr, first, second); \
  } while (0)

#endif  // FAIRLEAD_BPF_EXPLAIN_H_
