// SPDX-License-Identifier: Apache-2.0
// The addresses of the benches' cluster, as test_api_server and scripts/bench/objects.py make it: Service i
// has one cluster IP with port 80, and the endpoints i * M to i * M + M - 1 with port 8080. No two are alike
// up to 62,500 Services and 6,250,000 endpoints.
#pragma once

#include <cstdint>

namespace fairlead::bench {

inline constexpr uint16_t kServicePort = 80;
inline constexpr uint16_t kEndpointPort = 8080;

inline constexpr uint32_t Ipv4(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {  // host order
  return a << 24 | b << 16 | c << 8 | d;
}
inline constexpr uint32_t ClusterIp(uint32_t i) {
  return Ipv4(172, 30, i / 250 % 256, i % 250 + 1);
}
inline constexpr uint32_t EndpointIp(uint32_t n) {
  return Ipv4(10, 128 + n / 62500 % 100, n / 250 % 250, n % 250 + 1);
}

}  // namespace fairlead::bench
