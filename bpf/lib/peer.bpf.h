// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// remember: what a socket keeps of its translation, in socket storage.
#ifndef FAIRLEAD_BPF_PEER_H_
#define FAIRLEAD_BPF_PEER_H_

#include "base.bpf.h"
#include "maps/peers.h"

// --- connected sockets: one peer

INLINE void peer_remember(struct bpf_sock_addr* ctx, const struct peer* peer) {
  if (!ctx->sk) return;
  struct peer* kept = bpf_sk_storage_get(&connected_peer, ctx->sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
  // Without memory for it the connection is made all the same; only getpeername will show the backend.
  if (kept) *kept = *peer;
}

INLINE void peer_forget(struct bpf_sock_addr* ctx) {
  if (ctx->sk) bpf_sk_storage_delete(&connected_peer, ctx->sk);
}

INLINE const struct peer* peer_of_backend(struct bpf_sock_addr* ctx, const struct ip_addr* addr,
                                          __be16 port) {
  if (!ctx->sk) return NULL;
  struct peer* peer = bpf_sk_storage_get(&connected_peer, ctx->sk, NULL, 0);
  if (peer && peer->backend_port == port && same_address(&peer->backend, addr)) return peer;
  return NULL;
}

// --- unconnected UDP sockets: the last DATAGRAM_PEERS

// Which entry has this frontend; DATAGRAM_PEERS if none. Global functions, so that the verifier walks the
// entries once and not on each caller's path.
__noinline __u32 peers_by_frontend(const struct peers* peers, const struct ip_addr* addr, __u32 port) {
  if (!peers || !addr) return DATAGRAM_PEERS;
  for (__u32 i = 0; i < DATAGRAM_PEERS; i++) {
    const struct peer* peer = &peers->peer[i];
    if (peer->frontend_port == port && same_address(&peer->frontend, addr)) return i;
  }
  return DATAGRAM_PEERS;
}

__noinline __u32 peers_by_backend(const struct peers* peers, const struct ip_addr* addr, __u32 port) {
  if (!peers || !addr) return DATAGRAM_PEERS;
  for (__u32 i = 0; i < DATAGRAM_PEERS; i++) {
    const struct peer* peer = &peers->peer[i];
    if (peer->backend_port == port && same_address(&peer->backend, addr)) return i;
  }
  return DATAGRAM_PEERS;
}

// Entry `at`, or NULL past the last. The mask is opaque to clang, which would otherwise form the address
// before the check and lose the bound for the verifier.
INLINE struct peer* peer_at(struct peers* peers, __u32 at) {
  if (at >= DATAGRAM_PEERS) return NULL;
  asm volatile("%0 &= %1" : "+r"(at) : "i"(DATAGRAM_PEERS - 1));
  return &peers->peer[at];
}

INLINE struct peer* datagram_peer_of_frontend(struct bpf_sock_addr* ctx, const struct ip_addr* addr,
                                              __be16 port) {
  if (!ctx->sk) return NULL;
  struct peers* peers = bpf_sk_storage_get(&datagram_peers, ctx->sk, NULL, 0);
  if (!peers) return NULL;
  __u32 at = peers_by_frontend(peers, addr, port);
  if (at < DATAGRAM_PEERS) peers->latest = at;
  return peer_at(peers, at);
}

INLINE struct peer* datagram_peer_of_backend(struct bpf_sock_addr* ctx, const struct ip_addr* addr,
                                             __be16 port) {
  if (!ctx->sk) return NULL;
  struct peers* peers = bpf_sk_storage_get(&datagram_peers, ctx->sk, NULL, 0);
  if (!peers) return NULL;
  struct peer* latest = peer_at(peers, peers->latest);
  if (latest && latest->backend_port == port && same_address(&latest->backend, addr)) return latest;
  return peer_at(peers, peers_by_backend(peers, addr, port));
}

// Puts `peer` in the place of `had`, or of the entry whose turn it is. Threads that send on one socket at
// once may overwrite each other's entry; each datagram still goes to a backend that stands.
INLINE void datagram_peer_remember(struct bpf_sock_addr* ctx, struct peer* had, const struct peer* peer) {
  if (had) {
    *had = *peer;
    return;
  }
  if (!ctx->sk) return;
  struct peers* peers = bpf_sk_storage_get(&datagram_peers, ctx->sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
  if (!peers) return;
  peers->latest = peers->next++ % DATAGRAM_PEERS;
  struct peer* oldest = peer_at(peers, peers->latest);
  if (oldest) *oldest = *peer;
}

// The socket talks to `addr` without translation now: neither an old choice for it as a frontend nor a choice
// that happened to be this very backend may colour what comes back.
INLINE void datagram_peer_forget(struct bpf_sock_addr* ctx, struct peer* had, const struct ip_addr* addr,
                                 __be16 port) {
  const struct peer nothing = {};
  if (!had) had = datagram_peer_of_backend(ctx, addr, port);
  if (had) *had = nothing;
}

#endif  // FAIRLEAD_BPF_PEER_H_
