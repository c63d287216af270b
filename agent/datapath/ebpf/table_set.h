// SPDX-License-Identifier: Apache-2.0
// One set of kernel tables that belong together: their fds, shared memory over the mmap-able ones, and
// interfaces to those that take a system call.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>

#include "agent/base/error.h"
#include "agent/base/fd.h"
#include "agent/datapath/ebpf/bpf_map.h"
#include "agent/datapath/ebpf/table.h"
#include "agent/options.h"
#include "maps/schema.h"

namespace fairlead::ebpf {

// Entries of the tables whose size configuration decides, by name; every other table has the size in its
// header.
std::map<std::string, uint32_t, std::less<>> TableSizes(const Capacities& capacities);

class TableSet {
 public:
  TableSet() = default;
  TableSet(const TableSet&) = delete;
  TableSet& operator=(const TableSet&) = delete;

  std::map<std::string, Fd, std::less<>> fds;  // by table

  // Maps the arrays of `fds`, which must be complete, and sets the tables up.
  Result<void> Map(const schema& schema);
  const Tables& tables() const { return tables_; }
  int Of(std::string_view table) const { return fds.find(table)->second.Get(); }

 private:
  template <typename Table>
  Result<void> MapOne(SharedArray<typename Table::Value>& array);

  SharedArray<frontend_slot> frontends_;
  SharedArray<record> backends_;
  SharedArray<ring_chunk> rings_;
  SharedArray<service_cidr> service_cidrs_;
  SharedArray<traffic> service_traffic_;
  SharedArray<traffic> backend_traffic_;
  SharedArray<flow_set> conntrack_;
  SharedArray<flow_tags> flow_tags_;
  SharedArray<destination_word> destinations_;
  SharedArray<nat_port_word> nat_ports_;
  SharedArray<service_cidr> pod_cidrs_;
  KernelTable<services_table> services_;
  KernelTable<source_ranges_table> source_ranges_;
  KernelTable<devices_table> devices_;
  Tables tables_;
};

// Makes `to` go on where `from` is, a set of other sizes but of the same schema: traffic counts and
// remembered clients, by ids that mean the same in both. What the programs write to `from` afterwards is
// lost, so this comes right before they change over.
Result<void> CarryOver(const TableSet& from, TableSet& to);

// The same for flows, where `to` is another table. May be done again, while no program writes `to`: of two
// entries for one key the one seen last stands. How many found no place.
size_t CopyFlows(FlowSets from, FlowSets to, const schema& schema);

}  // namespace fairlead::ebpf
