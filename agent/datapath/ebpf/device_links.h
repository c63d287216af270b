// SPDX-License-Identifier: Apache-2.0
// Programs kept on devices by pinned links: tcx (Linux 6.6) and XDP. A link stands without the agent, gets a
// new program in place, and goes with its device.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/fd.h"
#include "agent/datapath/ebpf/pins.h"
#include "agent/datapath/ebpf/placement.h"

namespace fairlead::ebpf {

class DeviceLinks {
 public:
  explicit DeviceLinks(const Pins& pins) : pins_(pins) {}

  // Makes each placement so. A link found under a device's former name, or of its predecessor of the same
  // name, is put right; the pin of a device that is gone goes.
  std::vector<PlacementFailure> Place(std::span<const Placement> wanted);

  // Whether there is one: programs serve, if only those of an earlier run.
  bool Any() const { return !Read().empty(); }

  // Links that no placement is about. Those of `programs` run the present program afterwards; one with a
  // program that is not among them (--xdp off, another release) is detached at once, not named.
  std::vector<Leftover> Others(std::span<const Placement> wanted,
                               std::span<const DeviceProgram> programs) const;
  void Detach(const Leftover& leftover) const;

 private:
  struct Link {
    LinkName name;
    Fd fd;
    DeviceHook hook = DeviceHook::kIngress;
    uint32_t ifindex = 0;  // 0: its device is gone
    uint32_t program_id = 0;
  };
  std::vector<Link> Read() const;
  Result<void> PlaceOne(const Placement& placement, const Link* there) const;
  Result<void> Renew(const Placement& placement, const Link& link) const;
  Result<void> Create(const Placement& placement) const;

  const Pins& pins_;
};

}  // namespace fairlead::ebpf
