// SPDX-License-Identifier: Apache-2.0
// The writer's side of a short list of prefixes that programs read in order up to the first unused element
// (maps/service_cidrs.h, maps/pod_cidrs.h). One thread.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "agent/base/address.h"
#include "agent/base/error.h"
#include "agent/datapath/ebpf/reclaim.h"
#include "agent/datapath/ebpf/store.h"
#include "maps/service_cidrs.h"

namespace fairlead::ebpf {

class CidrTable {
 public:
  // `name` is the table's, for errors.
  CidrTable(std::string_view name, std::span<service_cidr> elements, Store& store, Reclaimer& reclaimer)
      : name_(name), elements_(elements), store_(store), reclaimer_(reclaimer) {}

  // Takes over what an earlier run left.
  void Restore();

  // Makes the list equal to `cidrs`. Elements up to the first difference stand; those behind it are out of
  // use for a grace period, in which readers find a shorter list. kExhausted if they do not fit: nothing
  // changes.
  Result<void> Apply(const std::vector<Cidr>& cidrs);

 private:
  void Write(size_t from);

  std::string_view name_;
  std::span<service_cidr> elements_;
  Store& store_;
  Reclaimer& reclaimer_;
  std::vector<Cidr> cidrs_;
  size_t written_ = 0;  // elements in use
  uint64_t changes_ = 0;
};

}  // namespace fairlead::ebpf
