// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The few kernel structs that are read, with the fields read; the loader finds their real offsets (CO-RE).
#ifndef FAIRLEAD_BPF_KERNEL_H_
#define FAIRLEAD_BPF_KERNEL_H_

#include "base.bpf.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct list_head {
  struct list_head *next, *prev;
};
struct in6_addr {
  union {
    __u32 u6_addr32[4];
  } in6_u;
};
struct ns_common {
  unsigned int inum;
};
struct net {
  struct ns_common ns;
  struct list_head dev_base_head;
};
typedef struct {
  struct net* net;
} possible_net_t;
struct sock_common {
  __be32 skc_daddr;
  __be32 skc_rcv_saddr;
  __be16 skc_dport;
  __u16 skc_num;
  unsigned short skc_family;
  possible_net_t skc_net;
  int skc_bound_dev_if;
  struct in6_addr skc_v6_daddr;
  struct in6_addr skc_v6_rcv_saddr;
  struct {
    long long counter;
  } skc_cookie;
};
struct sock {
  struct sock_common __sk_common;
};

struct bpf_sock_addr_kern {
  struct sock* sk;
};

struct in_ifaddr {
  struct in_ifaddr* ifa_next;
  __be32 ifa_local;
};
struct in_device {
  struct in_ifaddr* ifa_list;
};
struct inet6_ifaddr {
  struct in6_addr addr;
  struct list_head if_list;
};
struct inet6_dev {
  struct list_head addr_list;
};
struct net_device {
  struct list_head dev_list;
  unsigned int flags;
  struct in_device* ip_ptr;
  struct inet6_dev* ip6_ptr;
};

struct seq_file;
struct bpf_iter_meta {
  struct seq_file* seq;
};
struct bpf_iter__bpf_sk_storage_map {
  union {
    struct bpf_iter_meta* meta;
  };
  union {
    struct bpf_map* map;
  };
  union {
    struct sock* sk;
  };
  union {
    void* value;
  };
};

#pragma clang attribute pop

#endif  // FAIRLEAD_BPF_KERNEL_H_
