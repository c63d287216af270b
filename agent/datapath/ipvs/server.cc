// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ipvs/server.h"

#include <linux/ip_vs.h>

#include <fmt/format.h>

namespace fairlead::ipvs {

std::string ServerKey::ToString() const {
  return fmt::format("{}/{}", AddressPort(address, port), kube::ProtocolName(protocol));
}

std::string BackendKey::ToString() const {
  return AddressPort(address, port);
}

uint32_t SchedulerFlags(std::string_view scheduler) {
  if (scheduler == "sh") return IP_VS_SVC_F_SCHED_SH_FALLBACK;
  if (scheduler == "mh") return IP_VS_SVC_F_SCHED1 | IP_VS_SVC_F_SCHED2;  // mh-fallback, mh-port
  return 0;
}

}  // namespace fairlead::ipvs
