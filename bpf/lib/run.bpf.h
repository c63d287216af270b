// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// pick: from a frontend to a backend of its run.
#ifndef FAIRLEAD_BPF_RUN_H_
#define FAIRLEAD_BPF_RUN_H_

#include "base.bpf.h"
#include "maps/affinity.h"
#include "maps/backends.h"
#include "maps/frontends.h"
#include "maps/rings.h"

INLINE const struct run* run_head(struct frontend frontend) {
  __u32 index = frontend.offset;
  struct record* record = bpf_map_lookup_elem(&backends, &index);
  return record ? &record->run : NULL;
}

// Backend `i` of the run: the choosable ones first, the draining ones after them.
INLINE const struct backend* run_backend(struct frontend frontend, __u32 i) {
  __u32 index = frontend.offset + 1 + i;
  struct record* record = bpf_map_lookup_elem(&backends, &index);
  return record ? &record->backend : NULL;
}

#define NOT_FOUND (~0U)

// Binary search for a backend id among records [first, first + count) of the arena: its index, or NOT_FOUND.
__noinline __u32 record_search(__u32 first, __u32 count, __u32 backend_id) {
  for (__u32 step = 0; step < RUN_SEARCH_STEPS && count; step++) {
    __u32 half = count / 2;
    __u32 index = first + half;
    struct record* record = bpf_map_lookup_elem(&backends, &index);
    if (!record) return NOT_FOUND;
    __u32 id = record->backend.id;
    if (id == backend_id) return index;
    if (id < backend_id) {
      first = index + 1;
      count -= half + 1;
    } else {
      count = half;
    }
  }
  return NOT_FOUND;
}

// Whether a flow that has this backend may keep it: it can still be chosen, or it drains.
INLINE bool run_holds(struct frontend frontend, const struct run* run, __u32 backend_id) {
  __u32 first = frontend.offset + 1;
  if (record_search(first, frontend.count, backend_id) != NOT_FOUND) return true;
  return record_search(first + frontend.count, run->draining, backend_id) != NOT_FOUND;
}

// The backend that slot `hash` of a Maglev ring names. A 32-bit hash is spread over the ring by
// multiplication.
INLINE const struct backend* run_maglev(struct frontend frontend, const struct run* run, __u32 hash) {
  __u32 slot = (__u64)hash * run->ring_size >> 32;
  __u32 index = run->ring + slot / RING_CHUNK_SLOTS;
  struct ring_chunk* chunk = bpf_map_lookup_elem(&rings, &index);
  if (!chunk) return NULL;
  return run_backend(frontend, chunk->slot[slot % RING_CHUNK_SLOTS]);
}

INLINE const struct backend* run_random(struct frontend frontend) {
  return run_backend(frontend, (__u64)bpf_get_prandom_u32() * frontend.count >> 32);
}

// The backend this client had, if that is recent enough and the run still offers it.
INLINE const struct backend* affinity_get(struct frontend frontend, const struct run* run,
                                          const struct affinity_key* key, __u64 now_ns) {
  struct affinity* had = bpf_map_lookup_elem(&affinity, key);
  if (!had || now_ns - had->last_used_ns >= run->affinity_timeout_s * 1000000000ULL) return NULL;
  __u32 index = record_search(frontend.offset + 1, frontend.count, had->backend_id);
  struct record* record = bpf_map_lookup_elem(&backends, &index);
  return record ? &record->backend : NULL;  // NOT_FOUND is past every arena
}

INLINE void affinity_set(const struct affinity_key* key, __u32 backend_id, __u64 now_ns) {
  struct affinity now = {.last_used_ns = now_ns, .backend_id = backend_id};
  bpf_map_update_elem(&affinity, key, &now, BPF_ANY);
}

#endif  // FAIRLEAD_BPF_RUN_H_
