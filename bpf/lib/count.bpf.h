// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// count: verdicts a program, connections a service and backend.
#ifndef FAIRLEAD_BPF_COUNT_H_
#define FAIRLEAD_BPF_COUNT_H_

#include "base.bpf.h"
#include "maps/counters.h"

INLINE void count_verdict(enum program program, enum verdict verdict) {
  __u32 index = program * VERDICT_COUNT + verdict;
  struct counter* counter = bpf_map_lookup_elem(&counters, &index);
  if (counter) counter->count++;
}

INLINE void count_connection(__u32 service_id, __u32 backend_id) {
  struct traffic* of_service = bpf_map_lookup_elem(&service_traffic, &service_id);
  if (of_service) __sync_fetch_and_add(&of_service->connections, 1);
  struct traffic* of_backend = bpf_map_lookup_elem(&backend_traffic, &backend_id);
  if (of_backend) __sync_fetch_and_add(&of_backend->connections, 1);
}

// enum action of a verdict, from the one list in verdict.h.
INLINE enum action action_of(enum verdict verdict) {
  switch (verdict) {
#define X(name, action, meaning) \
  case VERDICT_##name:           \
    return ACTION_##action;
    FAIRLEAD_VERDICTS(X)
#undef X
    default:
      return ACTION_DROP;
  }
}

#endif  // FAIRLEAD_BPF_COUNT_H_
