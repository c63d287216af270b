// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Finds connected UDP sockets whose backend is gone. An iterator over the socket storage that sock_lb keeps:
// it sees the sockets of every network namespace, and only those that were translated. Each finding is
// written to the reader as one struct stale_socket; the agent closes them (agent/datapath/ebpf/sweep.h).
//
// A backend is gone when the run of the frontend that the socket connected to neither offers it nor lets it
// drain.
#include "lib/base.bpf.h"
#include "lib/frontend.bpf.h"
#include "lib/kernel.bpf.h"
#include "lib/run.bpf.h"
#include "maps/peers.h"
#include "maps/stale_socket.h"

char _license[] SEC("license") = "Dual BSD/GPL";

#define AF_INET6 10

// The frontend of an address that the socket once connected to, whatever made it one: itself or as a
// NodePort.
INLINE struct frontend frontend_of(const struct peer* peer) {
  struct frontend_key key = {
      .addr = peer->frontend, .port = peer->frontend_port, .proto = peer->proto, .scope = SCOPE_CLUSTER};
  struct frontend frontend = frontend_get(&key);
  if (frontend.flags) return frontend;
  return nodeport_get(&peer->frontend, peer->frontend_port, peer->proto);
}

INLINE bool stands(const struct peer* peer) {
  struct frontend frontend = frontend_of(peer);
  if (!frontend.flags) return false;
  const struct run* run = run_head(frontend);
  return run && run->service_id == peer->service_id && run_holds(frontend, run, peer->backend_id);
}

// False for a socket that was disconnected since, perhaps by us, and for one whose connect() failed after the
// hook.
INLINE bool connected_to_backend(struct sock* sk, const struct peer* peer) {
  if (sk->__sk_common.skc_dport != peer->backend_port) return false;
  if (sk->__sk_common.skc_family != AF_INET6) return sk->__sk_common.skc_daddr == peer->backend.words[3];
  for (int i = 0; i < 4; i++) {
    if (sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32[i] != peer->backend.words[i]) return false;
  }
  return true;
}

SEC("iter/bpf_sk_storage_map")
int find_stale(struct bpf_iter__bpf_sk_storage_map* ctx) {
  struct sock* sk = ctx->sk;
  const struct peer* value = ctx->value;
  if (!sk || !value || value->proto != IPPROTO_UDP) return 0;
  if (!connected_to_backend(sk, value)) return 0;
  struct peer peer = *value;
  if (stands(&peer)) return 0;

  struct stale_socket found = {
      .cookie = bpf_get_socket_cookie(sk),
      .netns = sk->__sk_common.skc_net.net->ns.inum,
      .family = sk->__sk_common.skc_family,
      .local_port = bpf_htons(sk->__sk_common.skc_num),
      .ifindex = sk->__sk_common.skc_bound_dev_if,
      .peer = peer,
  };
  if (found.family == AF_INET6) {
    for (int i = 0; i < 4; i++) found.local.words[i] = sk->__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[i];
  } else {
    found.local.words[2] = IP_ADDR_V4_PREFIX;
    found.local.words[3] = sk->__sk_common.skc_rcv_saddr;
  }
  bpf_seq_write(ctx->meta->seq, &found, sizeof(found));
  return 0;
}
