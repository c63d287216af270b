// SPDX-License-Identifier: Apache-2.0
// Programs kept on devices by filters of the clsact qdisc, for kernels without tcx (before 6.6). A filter of
// ours has priority 1 and handle 0xfa1 and is known by the name of its program; filters of others are left
// alone. A qdisc that we made (DIR/programs/clsact@<device>, a map of no content, says so) goes with the last
// filter on it. Takes no CAP_SYS_ADMIN.
#pragma once

#include <set>
#include <span>
#include <vector>

#include "agent/datapath/ebpf/pins.h"
#include "agent/datapath/ebpf/placement.h"

namespace fairlead::ebpf {

class Clsact {
 public:
  explicit Clsact(const Pins& pins) : pins_(pins) {}

  // Makes each placement so; a filter that is there gets the program in place.
  std::vector<PlacementFailure> Place(std::span<const Placement> wanted);

  // Filters of ours on devices of `inventory` that no placement is about. Those of `programs` run the present
  // program afterwards. Forgets the qdiscs of devices that are not in the inventory.
  std::vector<Leftover> Others(std::span<const Placement> wanted, const Inventory& inventory,
                               std::span<const DeviceProgram> programs) const;
  // No error if the filter, its qdisc or its device is gone already.
  Result<void> Detach(const Leftover& leftover) const;

 private:
  Result<void> PlaceOne(const Placement& placement) const;
  Result<void> MakeQdisc(const Placement& placement) const;
  std::string QdiscPin(const std::string& device) const;

  const Pins& pins_;
};

// Takes down what Clsact left on any device of this network namespace. Goes on past a device that refuses,
// and returns the first error.
Result<void> RemoveFilters(const Pins& pins);

}  // namespace fairlead::ebpf
