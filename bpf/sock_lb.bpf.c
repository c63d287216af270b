// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Translates Service addresses at the socket, before a packet exists. Attached to a cgroup v2.
//
//   connect4/6     TCP and connected UDP: 1 read the destination  2 find its frontend  3 refuse, where the
//   Service
//                  says so  4 pick a backend  5 remember both in the socket  6 rewrite the destination
//   sendmsg4/6     unconnected UDP: the same, but a socket keeps its backend for a frontend while that one
//   stands recvmsg4/6     a datagram from a remembered backend carries the frontend's address again
//   getpeername4/6 shows the frontend as the peer of a connected socket
//   sock_release   a TCP socket's memory of its frontend goes with it
//
// A refusal is an errno of the call: ECONNREFUSED where a packet would be answered by a reset, EHOSTUNREACH
// where it would be dropped. Never EPERM: kernel clients (NFS, SMB, Ceph) retry that in a loop.
#include "lib/base.bpf.h"
#include "lib/count.bpf.h"
#include "lib/frontend.bpf.h"
#include "lib/peer.bpf.h"
#include "lib/run.bpf.h"
#include "lib/source.bpf.h"
#include "lib/stream_peer.bpf.h"
#include "maps/schema.h"
#include "maps/services.h"

char _license[] SEC("license") = "Dual BSD/GPL";

#define ECONNREFUSED 111
#define EHOSTUNREACH 113

// What a call asks for.
struct call {
  struct ip_addr addr;  // destination
  __be16 port;
  __u8 proto;
};

INLINE void read_destination(struct bpf_sock_addr* ctx, bool v6, struct call* call) {
  if (v6) {
    call->addr.words[0] = ctx->user_ip6[0];
    call->addr.words[1] = ctx->user_ip6[1];
    call->addr.words[2] = ctx->user_ip6[2];
    call->addr.words[3] = ctx->user_ip6[3];
  } else {
    call->addr.words[0] = 0;
    call->addr.words[1] = 0;
    call->addr.words[2] = IP_ADDR_V4_PREFIX;
    call->addr.words[3] = ctx->user_ip4;
  }
  call->port = (__be16)ctx->user_port;
  call->proto = ctx->protocol == IPPROTO_UDPLITE ? IPPROTO_UDP : ctx->protocol;
}

INLINE void write_address(struct bpf_sock_addr* ctx, bool v6, const struct ip_addr* addr, __be16 port) {
  if (v6) {
    ctx->user_ip6[0] = addr->words[0];
    ctx->user_ip6[1] = addr->words[1];
    ctx->user_ip6[2] = addr->words[2];
    ctx->user_ip6[3] = addr->words[3];
  } else {
    ctx->user_ip4 = addr->words[3];
  }
  ctx->user_port = port;
}

INLINE bool on_node(struct bpf_sock_addr* ctx) {
  return bpf_get_netns_cookie(ctx) == config.node_netns_cookie;
}

INLINE bool is_loopback(const struct ip_addr* addr) {
  if (is_ipv4(addr)) return addr->bytes[12] == 127;
  return addr->halves[0] == 0 && addr->words[2] == 0 && addr->words[3] == bpf_htonl(1);
}

// What the kernel makes of a destination of zeros: this host (net/ipv4/route.c, net/ipv6/tcp_ipv6.c). As a
// key it is the NodePort entry's, which stands for addresses of the node and is asked for only as such.
INLINE bool is_unspecified(const struct ip_addr* addr) {
  return addr->halves[0] == 0 && addr->words[3] == 0 && (addr->words[2] == 0 || is_ipv4(addr));
}

// Finds the frontend of a destination: exactly, else as a NodePort of this node. VERDICT_TRANSLATED with
// `found` filled, or how the call ends.
INLINE enum verdict find(struct bpf_sock_addr* ctx, const struct call* call, struct frontend* found) {
  struct frontend_key key = {
      .addr = call->addr, .port = call->port, .proto = call->proto, .scope = SCOPE_CLUSTER};
  if (is_unspecified(&key.addr)) {
    key.addr.words[3] = is_ipv4(&key.addr) ? bpf_htonl(0x7f000001) : bpf_htonl(1);
  }
  *found = frontend_get(&key);
  if (found->flags) return VERDICT_TRANSLATED;

  // All of 127.0.0.0/8 is this host (RFC 1122 3.2.1.3); the table has its first address.
  struct ip_addr addr = key.addr;
  bool loopback = is_loopback(&addr);
  if (loopback && is_ipv4(&addr)) addr.words[3] = bpf_htonl(0x7f000001);
  __u32 roles = address_roles(&addr);
  if (!roles) return !loopback && in_service_cidr(&addr) ? VERDICT_DROP_UNALLOCATED : VERDICT_NOT_OURS;

  if (roles & ADDRESS_NODE || (roles & ADDRESS_LOOPBACK && on_node(ctx))) {
    *found = nodeport_get(&addr, call->port, call->proto);
    if (found->flags) return VERDICT_TRANSLATED;
  }
  return roles & ADDRESS_CLUSTER_IP ? VERDICT_REJECT_UNDEFINED_PORT : VERDICT_NOT_OURS;
}

// Picks a backend for a new flow: by affinity, else as the frontend's algorithm says.
INLINE enum verdict pick(struct bpf_sock_addr* ctx, struct frontend frontend, const struct run* run,
                         const struct backend** picked) {
  struct affinity_key client = {.service_id = run->service_id, .kind = AFFINITY_NETNS};
  const struct backend* backend = NULL;
  __u64 now_ns = 0;
  if (frontend.flags & FRONTEND_AFFINITY) {
    client.client.halves[1] = bpf_get_netns_cookie(ctx);
    now_ns = bpf_ktime_get_ns();
    backend = affinity_get(frontend, run, &client, now_ns);
  }
  if (!backend && frontend.algorithm == ALGORITHM_MAGLEV) {
    // There is no source port yet: the socket stands for the flow. A datagram socket so gets the same backend
    // again when it has to choose anew and the backend is still there.
    __u64 hash = bpf_get_socket_cookie(ctx) * 0x9e3779b97f4a7c15ULL;
    backend = run_maglev(frontend, run, hash >> 32);
  }
  if (!backend) backend = run_random(frontend);
  if (!backend) return VERDICT_DROP_BROKEN_TABLE;
  if (frontend.flags & FRONTEND_AFFINITY) affinity_set(&client, backend->id, now_ns);
  *picked = backend;
  return VERDICT_TRANSLATED;
}

// Steps 2 to 4 for a new flow.
INLINE enum verdict choose(struct bpf_sock_addr* ctx, const struct call* call, struct peer* peer) {
  struct frontend frontend;
  enum verdict verdict = find(ctx, call, &frontend);
  if (verdict != VERDICT_TRANSLATED) return verdict;
  if (!frontend.count)
    return frontend.flags & FRONTEND_DROP_IF_EMPTY ? VERDICT_DROP_NO_LOCAL_ENDPOINT
                                                   : VERDICT_REJECT_NO_ENDPOINT;

  const struct run* run = run_head(frontend);
  if (!run) return VERDICT_DROP_BROKEN_TABLE;
  if (frontend.flags & FRONTEND_SOURCE_RANGES) {
    verdict = source_check(ctx, run->source_set, is_ipv4(&call->addr));
    if (verdict != VERDICT_TRANSLATED) return verdict;
  }

  const struct backend* backend = NULL;
  verdict = pick(ctx, frontend, run, &backend);
  if (verdict != VERDICT_TRANSLATED || !backend) return VERDICT_DROP_BROKEN_TABLE;
  peer->frontend = call->addr;
  peer->frontend_port = call->port;
  peer->backend = backend->addr;
  peer->backend_port = backend->port;
  peer->service_id = run->service_id;
  peer->backend_id = backend->id;
  peer->proto = call->proto;
  count_connection(run->service_id, backend->id);
  return VERDICT_TRANSLATED;
}

// Whether the backend that a datagram socket has for this destination still stands. Nothing is picked.
INLINE bool still_stands(struct bpf_sock_addr* ctx, const struct call* call, const struct peer* peer) {
  struct frontend frontend;
  if (find(ctx, call, &frontend) != VERDICT_TRANSLATED) return false;
  const struct run* run = run_head(frontend);
  if (!run || run->service_id != peer->service_id) return false;
  // The ranges may have changed since; a client that is out now is refused by the choice that follows.
  if (frontend.flags & FRONTEND_SOURCE_RANGES &&
      source_check(ctx, run->source_set, is_ipv4(&call->addr)) != VERDICT_TRANSLATED)
    return false;
  return run_holds(frontend, run, peer->backend_id);
}

// The only way out of connect and sendmsg.
INLINE int finish(enum program program, enum verdict verdict) {
  if (verdict != VERDICT_NOT_OURS) count_verdict(program, verdict);
  switch (action_of(verdict)) {
    case ACTION_PASS:
      return 1;
    case ACTION_REJECT:
      bpf_set_retval(-ECONNREFUSED);
      return 0;
    case ACTION_DROP:
    default:
      bpf_set_retval(-EHOSTUNREACH);
      return 0;
  }
}

INLINE int connect(struct bpf_sock_addr* ctx, bool v6) {
  struct call call = {};
  read_destination(ctx, v6, &call);
  if (call.proto != IPPROTO_TCP && call.proto != IPPROTO_UDP) return 1;
  struct peer peer = {};
  enum verdict verdict = choose(ctx, &call, &peer);
  if (verdict == VERDICT_TRANSLATED) {
    if (call.proto == IPPROTO_TCP) {
      stream_peer_remember(ctx, &peer);
    } else {
      peer_remember(ctx, &peer);
    }
    write_address(ctx, v6, &peer.backend, peer.backend_port);
  } else if (call.proto == IPPROTO_UDP) {
    peer_forget(ctx);  // a UDP socket may connect again and again
  }
  return finish(PROGRAM_CONNECT, verdict);
}

INLINE int sendmsg(struct bpf_sock_addr* ctx, bool v6) {
  struct call call = {};
  read_destination(ctx, v6, &call);
  if (call.proto != IPPROTO_UDP) return 1;
  struct peer* had = datagram_peer_of_frontend(ctx, &call.addr, call.port);
  if (had && still_stands(ctx, &call, had)) {
    write_address(ctx, v6, &had->backend, had->backend_port);
    return finish(PROGRAM_SENDMSG, VERDICT_KEPT);
  }
  struct peer peer = {};
  enum verdict verdict = choose(ctx, &call, &peer);
  if (verdict == VERDICT_TRANSLATED) {
    datagram_peer_remember(ctx, had, &peer);
    write_address(ctx, v6, &peer.backend, peer.backend_port);
  } else {
    datagram_peer_forget(ctx, had, &call.addr, call.port);
  }
  return finish(PROGRAM_SENDMSG, verdict);
}

// recvmsg: a datagram from a remembered backend comes from the frontend, for the application.
INLINE int recvmsg(struct bpf_sock_addr* ctx, bool v6) {
  struct call from = {};
  read_destination(ctx, v6, &from);
  const struct peer* peer = datagram_peer_of_backend(ctx, &from.addr, from.port);
  if (!peer) peer = peer_of_backend(ctx, &from.addr, from.port);
  if (peer) write_address(ctx, v6, &peer->frontend, peer->frontend_port);
  return 1;
}

INLINE int getpeername(struct bpf_sock_addr* ctx, bool v6) {
  struct call to = {};
  read_destination(ctx, v6, &to);
  if (to.proto == IPPROTO_TCP) {
    const struct stream_peer* peer = stream_peer_of(ctx, &to.addr, to.port);
    if (peer) write_address(ctx, v6, &peer->frontend, peer->frontend_port);
  } else {
    const struct peer* peer = peer_of_backend(ctx, &to.addr, to.port);
    if (peer) write_address(ctx, v6, &peer->frontend, peer->frontend_port);
  }
  return 1;
}

SEC("cgroup/connect4")
int sock_connect4(struct bpf_sock_addr* ctx) {
  return connect(ctx, false);
}

SEC("cgroup/connect6")
int sock_connect6(struct bpf_sock_addr* ctx) {
  return connect(ctx, true);
}

SEC("cgroup/sendmsg4")
int sock_sendmsg4(struct bpf_sock_addr* ctx) {
  return sendmsg(ctx, false);
}

SEC("cgroup/sendmsg6")
int sock_sendmsg6(struct bpf_sock_addr* ctx) {
  return sendmsg(ctx, true);
}

SEC("cgroup/recvmsg4")
int sock_recvmsg4(struct bpf_sock_addr* ctx) {
  return recvmsg(ctx, false);
}

SEC("cgroup/recvmsg6")
int sock_recvmsg6(struct bpf_sock_addr* ctx) {
  return recvmsg(ctx, true);
}

SEC("cgroup/getpeername4")
int sock_getpeername4(struct bpf_sock_addr* ctx) {
  return getpeername(ctx, false);
}

SEC("cgroup/getpeername6")
int sock_getpeername6(struct bpf_sock_addr* ctx) {
  return getpeername(ctx, true);
}

SEC("cgroup/sock_release")
int sock_release(struct bpf_sock* ctx) {
  if (ctx->protocol == IPPROTO_TCP) stream_peer_forget(bpf_get_socket_cookie(ctx));
  return 1;
}
