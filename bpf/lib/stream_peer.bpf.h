// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// remember, for TCP: the frontend a socket connected to, in a table of our own (maps/stream_peers.h says
// why).
#ifndef FAIRLEAD_BPF_STREAM_PEER_H_
#define FAIRLEAD_BPF_STREAM_PEER_H_

#include "base.bpf.h"
#include "maps/peers.h"
#include "maps/stream_peers.h"

INLINE __u64 stream_peer_hash(__u64 cookie) {
  return cookie * 0x9e3779b97f4a7c15ULL;
}

INLINE struct stream_peer_set* stream_peer_set_of(__u64 cookie) {
  __u32 index = stream_peer_hash(cookie) >> 32 & (STREAM_PEER_SETS - 1);
  return bpf_map_lookup_elem(&stream_peers, &index);
}

// The socket's entry, else a free one, else one of another socket, which loses it.
INLINE struct stream_peer* stream_peer_take(struct stream_peer_set* set, __u64 cookie) {
  for (__u32 i = 0; i < STREAM_PEER_WAYS; i++) {
    if (set->entry[i].cookie == cookie) return &set->entry[i];
  }
  for (__u32 i = 0; i < STREAM_PEER_WAYS; i++) {
    if (set->entry[i].cookie == 0 && __sync_val_compare_and_swap(&set->entry[i].cookie, 0, cookie) == 0)
      return &set->entry[i];
  }
  struct stream_peer* victim = &set->entry[stream_peer_hash(cookie) >> 62];
  victim->cookie = cookie;
  return victim;
}

INLINE void stream_peer_remember(struct bpf_sock_addr* ctx, const struct peer* peer) {
  __u64 cookie = bpf_get_socket_cookie(ctx);
  struct stream_peer_set* set = stream_peer_set_of(cookie);
  if (!set) return;
  struct stream_peer* entry = stream_peer_take(set, cookie);
  entry->frontend = peer->frontend;
  entry->frontend_port = peer->frontend_port;
  entry->backend_tail = peer->backend.words[3];
  entry->backend_port = peer->backend_port;
}

// NULL if the socket did not connect through a frontend, or is connected to something else now.
INLINE const struct stream_peer* stream_peer_of(struct bpf_sock_addr* ctx, const struct ip_addr* addr,
                                                __be16 port) {
  __u64 cookie = bpf_get_socket_cookie(ctx);
  struct stream_peer_set* set = stream_peer_set_of(cookie);
  if (!set) return NULL;
  for (__u32 i = 0; i < STREAM_PEER_WAYS; i++) {
    struct stream_peer* entry = &set->entry[i];
    if (entry->cookie == cookie && entry->backend_port == port && entry->backend_tail == addr->words[3])
      return entry;
  }
  return NULL;
}

INLINE void stream_peer_forget(__u64 cookie) {
  struct stream_peer_set* set = stream_peer_set_of(cookie);
  if (!set) return;
  for (__u32 i = 0; i < STREAM_PEER_WAYS; i++) {
    if (set->entry[i].cookie == cookie) set->entry[i].cookie = 0;
  }
}

#endif  // FAIRLEAD_BPF_STREAM_PEER_H_
