// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/explain_filter.h"

#include <algorithm>
#include <iterator>

#include "agent/datapath/ebpf/bpf_map.h"
#include "agent/datapath/ebpf/destinations.h"

namespace fairlead::ctl {

// As is_nobodys of bpf/lib/destination.bpf.h. A packet of TCP that is explained begins a connection.
bool PassesUnseen(const Question& question, std::span<const Cidr> service_cidrs,
                  const std::function<bool(const Address&)>& has_bit) {
  if (question.at == EXPLAIN_SOCKET || has_bit(question.to.address)) return false;
  if (question.protocol == kube::Protocol::kTcp && has_bit(question.from.address)) return false;
  return question.at == EXPLAIN_EGRESS || std::ranges::none_of(service_cidrs, [&](const Cidr& cidr) {
           return cidr.Contains(question.to.address);
         });
}

Result<bool> PassesUnseen(const Question& question, std::span<const Cidr> service_cidrs,
                          const ebpf::Pins& pins, const fairlead_config& config) {
  const Fd table = pins.OpenMap(destinations_table::kName);
  if (!table) return FailErrno(errno, "{}", pins.MapPath(destinations_table::kName));
  auto words = ebpf::SharedArray<destination_word>::Map(table.Get(), destinations_table::kName,
                                                        DESTINATION_WORDS, false);
  if (!words) return std::unexpected(words.error());
  ebpf::FlowKeys keys;
  std::ranges::copy(config.flow_keys, keys.begin());
  const ebpf::Destinations destinations(words->elements(), keys);
  return PassesUnseen(question, service_cidrs,
                      [&](const Address& address) { return destinations.Has(address.raw); });
}

}  // namespace fairlead::ctl
