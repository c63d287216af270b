// SPDX-License-Identifier: Apache-2.0
// Entries of the kernel's nf_conntrack by ctnetlink (linux/netfilter/nfnetlink_conntrack.h), as far as
// translation goes: of one network namespace, in zone 0. Entries of other zones are not seen: rules that put
// packets there belong to somebody else.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "agent/base/address.h"
#include "agent/base/error.h"
#include "agent/base/netlink.h"

namespace fairlead::netfilter {

// A connection as its first packet had it, and as answers have it. Ports are host order.
struct ConntrackEntry {
  struct End {
    Address address;
    uint16_t port = 0;
    friend auto operator<=>(const End&, const End&) = default;
  };

  uint8_t protocol = 0;  // IPPROTO_*
  End source, destination;
  End reply_source, reply_destination;
  uint32_t status = 0;          // IPS_*
  uint32_t id = 0;              // tells it from a later one with the same ends
  uint8_t tcp_state = 0;        // enum tcp_conntrack; of TCP
  std::chrono::seconds left{};  // without a packet it is over then
};

// Which entries a dump gives. The kernel leaves out the others where it can (protocol: Linux 5.8, status:
// 5.15); whoever asks gets what matches either way.
struct ConntrackFilter {
  Family family = Family::kIpv4;
  uint8_t protocol = 0;  // 0: any
  uint32_t status = 0;   // has all of these bits
};

class Conntrack {
 public:
  static Result<Conntrack> Open();

  // A walk in parts: each Continue reads a hundred entries or so, and is true while there are more. Entries
  // may come and go meanwhile; while the kernel resizes the table one may be missed, or visited twice.
  using Visit = std::function<void(const ConntrackEntry&)>;
  Result<void> Begin(const ConntrackFilter& filter);
  Result<bool> Continue(const Visit& visit);

  // Counts those that were still there. An error names the first entry that could not be removed; the others
  // are.
  Result<void> Delete(std::span<const ConntrackEntry> entries, uint64_t& deleted);

 private:
  Netlink walk_, write_;  // deleting does not disturb a walk
  ConntrackFilter filter_;
};

// Whether there is an entry that passes all of the tests: walks no further than to the first.
Result<bool> AnyConntrackEntry(const ConntrackFilter& filter,
                               const std::function<bool(const ConntrackEntry&)>& test);

}  // namespace fairlead::netfilter
