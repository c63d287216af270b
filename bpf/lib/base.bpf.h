// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What every program file needs first: helpers, the configuration, and one-word idioms with their reasons.
#ifndef FAIRLEAD_BPF_BASE_H_
#define FAIRLEAD_BPF_BASE_H_

#include <linux/bpf.h>
#include <linux/in.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "fairlead/config.h"
#include "fairlead/flags.h"
#include "fairlead/limits.h"
#include "fairlead/verdict.h"

#define INLINE static __always_inline

// Set by the agent before load; the verifier knows the values.
const volatile struct fairlead_config config = {};

// One load of the declared width, not repeated and not torn by the compiler.
#define READ_ONCE(lvalue) (*(const volatile __typeof__(lvalue)*)&(lvalue))

// A pointer to the same place whose loads the CPU must not start before `value` is known: the address depends
// on it. Orders "value, then key" on CPUs that reorder loads (arm64), for two instructions and no barrier.
#define AFTER(value, pointer)                        \
  ({                                                 \
    __u64 zero_ = (__u64)(value);                    \
    asm volatile("%0 &= 0" : "+r"(zero_));           \
    (__typeof__(pointer))((void*)(pointer) + zero_); \
  })

INLINE bool same_address(const struct ip_addr* a, const struct ip_addr* b) {
  return a->halves[0] == b->halves[0] && a->halves[1] == b->halves[1];
}

INLINE bool is_ipv4(const struct ip_addr* addr) {
  return addr->halves[0] == 0 && addr->words[2] == IP_ADDR_V4_PREFIX;
}

#endif  // FAIRLEAD_BPF_BASE_H_
