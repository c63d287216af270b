// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// source ranges, seen from a socket that may have no source address yet. The kernel chooses the source after
// the connect hook, so the addresses of the client's network namespace stand for it: a pod has one a family.
// A socket that is bound to an address is judged by that.
//
// The addresses are read from the kernel's own lists; the kfuncs for it are in 6.2 and later. Before that a
// frontend with source ranges is left alone on the socket path.
#ifndef FAIRLEAD_BPF_SOURCE_H_
#define FAIRLEAD_BPF_SOURCE_H_

#include <bpf/bpf_core_read.h>

#include "base.bpf.h"
#include "kernel.bpf.h"
#include "maps/source_ranges.h"

extern void* bpf_cast_to_kern_ctx(void* ctx) __ksym __weak;
extern void* bpf_rdonly_cast(const void* object, __u32 btf_id) __ksym __weak;

#define IFF_LOOPBACK 8
// Devices and addresses a device that are looked at. Devices come in the order they were made: in a pod the
// loopback and one more, on a node the uplinks before the pods' devices.
#define SOURCE_DEVICES 16
#define SOURCE_ADDRESSES 4

INLINE bool source_in_set(__u32 source_set, const struct ip_addr* addr) {
  struct source_range_key key = {.prefix_bits = 32 + 128, .source_set = source_set, .addr = *addr};
  return bpf_map_lookup_elem(&source_ranges, &key) != NULL;
}

INLINE struct ip_addr mapped(__be32 v4) {
  struct ip_addr addr = {.words = {0, 0, IP_ADDR_V4_PREFIX, v4}};
  return addr;
}

INLINE bool device_v4_in_set(struct net_device* device, __u32 source_set) {
  struct in_device* ip = device->ip_ptr;
  if (!ip) return false;
  struct in_ifaddr* entry = ip->ifa_list;
  for (int i = 0; i < SOURCE_ADDRESSES && entry; i++) {
    struct ip_addr addr = mapped(entry->ifa_local);
    if (source_in_set(source_set, &addr)) return true;
    entry = entry->ifa_next;
  }
  return false;
}

INLINE bool device_v6_in_set(struct net_device* device, __u32 source_set) {
  struct inet6_dev* ip = device->ip6_ptr;
  if (!ip) return false;
  const void* head = (void*)ip + bpf_core_field_offset(struct inet6_dev, addr_list);
  struct list_head* at = ip->addr_list.next;
  for (int i = 0; i < SOURCE_ADDRESSES && at && at != head; i++) {
    struct inet6_ifaddr* entry =
        bpf_rdonly_cast((void*)at - bpf_core_field_offset(struct inet6_ifaddr, if_list),
                        bpf_core_type_id_kernel(struct inet6_ifaddr));
    struct ip_addr addr;
    for (int w = 0; w < 4; w++) addr.words[w] = entry->addr.in6_u.u6_addr32[w];
    if (source_in_set(source_set, &addr)) return true;
    at = at->next;
  }
  return false;
}

// VERDICT_TRANSLATED: the client may; VERDICT_DROP_SOURCE_RANGE: it may not; VERDICT_NOT_OURS: this kernel
// cannot say.
INLINE enum verdict source_check(struct bpf_sock_addr* ctx, __u32 source_set, bool v4) {
  if (!bpf_cast_to_kern_ctx || !bpf_rdonly_cast) return VERDICT_NOT_OURS;
  struct bpf_sock_addr_kern* kernel_ctx = bpf_cast_to_kern_ctx(ctx);
  struct sock* sk = kernel_ctx->sk;
  if (!sk) return VERDICT_NOT_OURS;

  struct ip_addr bound = mapped(sk->__sk_common.skc_rcv_saddr);
  if (!v4) {
    for (int w = 0; w < 4; w++) bound.words[w] = sk->__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[w];
  }
  if (v4 ? bound.words[3] != 0 : (bound.halves[0] | bound.halves[1]) != 0)
    return source_in_set(source_set, &bound) ? VERDICT_TRANSLATED : VERDICT_DROP_SOURCE_RANGE;

  struct net* net = sk->__sk_common.skc_net.net;
  const void* head = (void*)net + bpf_core_field_offset(struct net, dev_base_head);
  struct list_head* at = net->dev_base_head.next;
  for (int i = 0; i < SOURCE_DEVICES && at && at != head; i++) {
    struct net_device* device =
        bpf_rdonly_cast((void*)at - bpf_core_field_offset(struct net_device, dev_list),
                        bpf_core_type_id_kernel(struct net_device));
    if (!(device->flags & IFF_LOOPBACK)) {
      bool allowed = v4 ? device_v4_in_set(device, source_set) : device_v6_in_set(device, source_set);
      if (allowed) return VERDICT_TRANSLATED;
    }
    at = at->next;
  }
  return VERDICT_DROP_SOURCE_RANGE;
}

#endif  // FAIRLEAD_BPF_SOURCE_H_
