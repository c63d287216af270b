// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What connect() of a client on this node would find, for tc_explain: programs of a cgroup cannot be run on
// an imaginary socket. The steps of sock_lb.bpf.c's `choose`, over the same functions; `explain.netns_cookie`
// stands for the client.
#ifndef FAIRLEAD_BPF_EXPLAIN_SOCKET_H_
#define FAIRLEAD_BPF_EXPLAIN_SOCKET_H_

#include "service.bpf.h"

INLINE bool is_loopback_address(const struct ip_addr* addr) {
  if (is_ipv4(addr)) return addr->bytes[12] == 127;
  return addr->halves[0] == 0 && addr->words[2] == 0 && addr->words[3] == bpf_htonl(1);
}

INLINE enum verdict find_for_socket(const struct packet* p, __u64 netns_cookie, struct frontend* found) {
  const bool dry = true;
  struct frontend_key key = {
      .addr = p->key.dst, .port = p->key.dport, .proto = p->key.proto, .scope = SCOPE_CLUSTER};
  *found = frontend_get(&key);
  if (!found->flags) {
    bool loopback = is_loopback_address(&key.addr);
    if (loopback && !p->v6) key.addr.words[3] = bpf_htonl(0x7f000001);
    __u32 roles = address_roles(&key.addr);
    bool on_node = netns_cookie == config.node_netns_cookie;
    if (roles & ADDRESS_NODE || (roles & ADDRESS_LOOPBACK && on_node)) {
      *found = nodeport_get(&key.addr, p->key.dport, p->key.proto);
      key.addr = (struct ip_addr){};
      if (!p->v6) key.addr.words[2] = IP_ADDR_V4_PREFIX;
    }
    if (!found->flags) {
      STEP(NO_FRONTEND, NULL, roles, 0);
      if (!roles)
        return !loopback && in_service_cidr(&p->key.dst) ? VERDICT_DROP_UNALLOCATED : VERDICT_NOT_OURS;
      return roles & ADDRESS_CLUSTER_IP ? VERDICT_REJECT_UNDEFINED_PORT : VERDICT_NOT_OURS;
    }
  }
  STEP(FRONTEND, &key.addr, *(__u64*)found, SCOPE_CLUSTER);
  return VERDICT_TRANSLATED;
}

INLINE enum verdict choose_for_socket(const struct packet* p, __u64 netns_cookie) {
  const bool dry = true;
  struct service_of_packet service = {.pod = true};
  enum verdict verdict = find_for_socket(p, netns_cookie, &service.frontend);
  if (verdict != VERDICT_TRANSLATED) return verdict;
  struct frontend frontend = service.frontend;
  if (!frontend.count)
    return frontend.flags & FRONTEND_DROP_IF_EMPTY ? VERDICT_DROP_NO_LOCAL_ENDPOINT
                                                   : VERDICT_REJECT_NO_ENDPOINT;
  const struct run* run = run_head(frontend);
  if (!run) return VERDICT_DROP_BROKEN_TABLE;
  verdict = check_source(p, &service, run, dry);
  if (verdict != VERDICT_TRANSLATED) return verdict;

  const struct backend* backend = NULL;
  if (frontend.flags & FRONTEND_AFFINITY) {
    struct affinity_key client = {.service_id = run->service_id, .kind = AFFINITY_NETNS};
    client.client.halves[1] = netns_cookie;
    backend = affinity_get(frontend, run, &client, bpf_ktime_get_ns());
    STEP(AFFINITY, NULL, backend ? backend->id : 0, 0);
  }
  STEP(RUN, NULL, run->service_id, (__u64)frontend.count << 8 | frontend.algorithm);
  if (!backend)
    backend = run_random(frontend);  // a Maglev slot is as good: the socket decides, and there is none
  if (!backend) return VERDICT_DROP_BROKEN_TABLE;
  STEP(BACKEND, &backend->addr, backend->id, (__u64)backend->port << 8 | backend->flags);
  return VERDICT_TRANSLATED;
}

INLINE void explain_socket(packet_ctx* ctx, __u64 netns_cookie) {
  const bool dry = true;
  struct packet p = {};
  if (dissect(ctx, &p) != DISSECT_OK) return;
  STEP(PACKET, NULL, 0, p.key.proto);
  enum verdict verdict = VERDICT_NOT_OURS;
  if (p.key.proto == IPPROTO_TCP || p.key.proto == IPPROTO_UDP) verdict = choose_for_socket(&p, netns_cookie);
  STEP(VERDICT, NULL, verdict, PROGRAM_CONNECT);
}

#endif  // FAIRLEAD_BPF_EXPLAIN_SOCKET_H_
