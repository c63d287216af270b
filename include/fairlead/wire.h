// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// The words both sides of the kernel line use: integers of fixed width, one address type, layout asserts.
// Compiled by clang for BPF and by g++ for the agent. Promise: nothing here has padding that is not named.
#ifndef FAIRLEAD_WIRE_H_
#define FAIRLEAD_WIRE_H_

#include <linux/types.h>

#ifdef __cplusplus
#define WIRE_ASSERT(condition, why) static_assert(condition, why)
#else
#define WIRE_ASSERT(condition, why) _Static_assert(condition, why)
#endif

// One address for both families, network byte order. IPv4 is IPv4-mapped (::ffff:a.b.c.d, RFC 4291 2.5.5.2),
// so tables and lookups know one family only; rewrite and checksum code is where families part.
struct ip_addr {
  union {
    __u8 bytes[16];
    __be32 words[4];
    __u64 halves[2];
  };
};
WIRE_ASSERT(sizeof(struct ip_addr) == 16, "an address is 16 bytes");

// The third 32-bit word of an IPv4-mapped address, in host terms 0x0000ffff.
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define IP_ADDR_V4_PREFIX 0xffff0000U
#else
#define IP_ADDR_V4_PREFIX 0x0000ffffU
#endif

#endif  // FAIRLEAD_WIRE_H_
