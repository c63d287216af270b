// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// find and pick for a packet: whose Service it is for, whether this client may, and which backend it gets.
#ifndef FAIRLEAD_BPF_SERVICE_H_
#define FAIRLEAD_BPF_SERVICE_H_

#include "base.bpf.h"
#include "explain.bpf.h"
#include "frontend.bpf.h"
#include "maps/pod_cidrs.h"
#include "maps/source_ranges.h"
#include "packet.bpf.h"
#include "run.bpf.h"

// What the walk found out about the packet's Service.
struct service_of_packet {
  struct frontend frontend;
  __u32 roles;  // of the address it was for
  bool pod;     // the client counts as a pod
};

// The local-traffic detector: whether this client counts as a pod (SEMANTICS: "pod traffic").
INLINE bool is_pod(const struct ip_addr* addr, enum program program) {
  if (program == PROGRAM_POD && config.pod_devices_are_pods) return true;
  for (__u32 i = 0; i < POD_CIDRS_MAX; i++) {
    __u32 index = i;
    struct service_cidr* cidr = bpf_map_lookup_elem(&pod_cidrs, &index);
    if (!cidr || !READ_ONCE(cidr->in_use)) return false;
    if ((addr->halves[0] & cidr->mask.halves[0]) == cidr->base.halves[0] &&
        (addr->halves[1] & cidr->mask.halves[1]) == cidr->base.halves[1])
      return true;
  }
  return false;
}

// Finds the frontend of the packet's destination, by the address first: for most packets it is nobody's, and
// one probe says so. VERDICT_TRANSLATED with `found` filled, or how the packet ends.
INLINE enum verdict find_service(const struct packet* p, enum program program, bool dry,
                                 struct service_of_packet* found) {
  struct frontend_key key = {.addr = p->key.dst, .scope = SCOPE_ADDRESS};
  struct frontend address = frontend_near(&key);
  found->roles = address.flags ? address.offset : 0;
  if (!found->roles) {
    STEP(NO_FRONTEND, NULL, 0, 0);
    return in_service_cidr(&p->key.dst) ? VERDICT_DROP_UNALLOCATED : VERDICT_NOT_OURS;
  }
  key.port = p->key.dport;
  key.proto = p->key.proto;
  key.scope = SCOPE_CLUSTER;
  found->frontend = frontend_near(&key);
  if (!found->frontend.flags && found->roles & ADDRESS_NODE) {
    found->frontend = nodeport_get(&p->key.dst, p->key.dport, p->key.proto);
    key.addr = (struct ip_addr){};
    if (!p->v6) key.addr.words[2] = IP_ADDR_V4_PREFIX;
  }
  if (!found->frontend.flags) {
    STEP(NO_FRONTEND, NULL, found->roles, 0);
    return found->roles & ADDRESS_CLUSTER_IP ? VERDICT_REJECT_UNDEFINED_PORT : VERDICT_NOT_OURS;
  }
  if (found->frontend.flags & (FRONTEND_TWO_SCOPES | FRONTEND_MASQUERADE_OUTSIDE) || dry) {
    found->pod = is_pod(&p->key.src, program);
    if (found->frontend.flags & FRONTEND_TWO_SCOPES && !found->pod) {
      key.scope = SCOPE_EXTERNAL;
      struct frontend external = frontend_get(&key);
      if (external.flags) found->frontend = external;
    }
  }
  STEP(FRONTEND, &key.addr, *(__u64*)&found->frontend, key.scope);
  STEP(CLIENT, &p->key.src, found->pod, 0);
  return VERDICT_TRANSLATED;
}

// Whether this client may use the frontend at all.
INLINE enum verdict check_source(const struct packet* p, const struct service_of_packet* service,
                                 const struct run* run, bool dry) {
  if (!(service->frontend.flags & FRONTEND_SOURCE_RANGES)) return VERDICT_TRANSLATED;
  struct source_range_key key = {.prefix_bits = 32 + 128, .source_set = run->source_set, .addr = p->key.src};
  bool allowed = bpf_map_lookup_elem(&source_ranges, &key) != NULL;
  STEP(SOURCE_RANGES, NULL, allowed, run->source_set);
  return allowed ? VERDICT_TRANSLATED : VERDICT_DROP_SOURCE_RANGE;
}

// A hash of the flow that is the same on every node, so that nodes behind one address agree. With session
// affinity it is the client's alone.
INLINE __u32 maglev_hash(const struct packet* p, bool whole_client) {
  static const __u64 keys[6] = {0x9e3779b97f4a7c15ULL, 0xd6e8feb86659fd93ULL, 0xff51afd7ed558ccdULL,
                                0xc4ceb9fe1a85ec53ULL, 0x2545f4914f6cdd1dULL, 0x94d049bb133111ebULL};
  struct flow_key key = p->key;
  if (whole_client) key.sport = 0;
  return flow_hash(&key, keys) >> 32;
}

// Picks a backend for a new flow: by affinity, else as the frontend's algorithm says.
INLINE enum verdict pick_backend(const struct packet* p, struct frontend frontend, const struct run* run,
                                 bool dry, const struct backend** picked) {
  bool affine = frontend.flags & FRONTEND_AFFINITY;
  struct affinity_key client = {
      .client = p->key.src, .service_id = run->service_id, .kind = AFFINITY_ADDRESS};
  const struct backend* backend = NULL;
  __u64 now_ns = 0;
  if (affine) {
    now_ns = bpf_ktime_get_ns();
    backend = affinity_get(frontend, run, &client, now_ns);
    STEP(AFFINITY, NULL, backend ? backend->id : 0, 0);
  }
  STEP(RUN, NULL, run->service_id, (__u64)frontend.count << 8 | frontend.algorithm);
  if (!backend && frontend.algorithm == ALGORITHM_MAGLEV)
    backend = run_maglev(frontend, run, maglev_hash(p, affine));
  if (!backend) backend = run_random(frontend);
  if (!backend) return VERDICT_DROP_BROKEN_TABLE;
  if (affine && !dry) affinity_set(&client, backend->id, now_ns);
  STEP(BACKEND, &backend->addr, backend->id, (__u64)backend->port << 8 | backend->flags);
  *picked = backend;
  return VERDICT_TRANSLATED;
}

// Whether the backend that a datagram flow has still stands. It is asked with every datagram: nothing has to
// be flushed when a backend goes, and nothing goes to it after that.
INLINE bool still_stands(const struct packet* p, enum program program, const struct flow* flow) {
  struct service_of_packet service = {};
  if (find_service(p, program, false, &service) != VERDICT_TRANSLATED) return false;
  const struct run* run = run_head(service.frontend);
  if (!run || run->service_id != flow->service_id) return false;
  if (check_source(p, &service, run, false) != VERDICT_TRANSLATED) return false;
  return run_holds(service.frontend, run, flow->backend_id);
}

#endif  // FAIRLEAD_BPF_SERVICE_H_
