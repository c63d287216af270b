// SPDX-License-Identifier: Apache-2.0
// The programs and their tables in the kernel: opened, sized, configured, loaded; adopted from an earlier
// start where they fit; pinned, and attached to the cgroup's hooks, by Commit. (Devices: packet_path.h.)
//
// Tables that do not fit (other capacities, another schema) are made anew beside the old ones. The old ones
// serve until Commit, when the programs over the new tables take their place link by link; ids, remembered
// clients, flows and sockets are carried over where the schema is the same.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/datapath/datapath.h"
#include "agent/datapath/ebpf/objects.h"
#include "agent/datapath/ebpf/packet_path.h"
#include "agent/datapath/ebpf/pins.h"
#include "agent/datapath/ebpf/table_set.h"
#include "agent/options.h"
#include "fairlead/config.h"
#include "maps/schema.h"

namespace fairlead::ebpf {

struct KernelOptions {
  std::string bpffs_dir;
  std::string cgroup;  // empty: root of the cgroup2 mount
  Capacities capacities;
  ConntrackOptions conntrack;
  bool pod_devices_are_pods = false;
  bool direct_delivery = false;
  // TCP connections to Services that no flow of ours knows may be an earlier proxy's: left to the stack,
  // until EbpfDatapath::EndLeaving.
  bool leave_established = false;
  bool xdp = true;  // also load the program for drivers
};

class Kernel {
 public:
  static Result<std::unique_ptr<Kernel>> Open(const KernelOptions& options);
  ~Kernel();

  const Tables& tables() const { return tables_->tables(); }
  int table_fd(std::string_view table) const { return tables_->Of(table); }
  // The tables are those of an earlier start, and the programs attached already serve from them.
  bool adopted() const { return adopted_; }
  // Tables of an earlier start that were too different to adopt but whose ids still mean the same; null if
  // none.
  const Tables* predecessor() const { return old_ ? &old_->tables() : nullptr; }
  // What the programs were told, and the keys of their hashes.
  const fairlead_config& config() const { return config_; }

  // Attaches the socket programs, or replaces those attached, and pins the tables. May be called again until
  // ForgetPredecessor, and then takes over what flows became meanwhile.
  Result<void> Commit();
  // No program writes the predecessor's tables any more.
  void ForgetPredecessor() { old_.reset(); }

  Result<PacketPrograms> packet_programs() const;
  const Pins& pins() const { return pins_; }
  std::vector<datapath::VerdictCount> Verdicts() const;
  uint64_t AffinityCapacity() const { return affinity_capacity_; }
  const std::string& cgroup_path() const { return cgroup_.path; }

  // An fd to read struct stale_socket from: one pass over all sockets.
  Result<Fd> SweepSockets() const { return objects_->SweepSockets(); }

  // Detaches, unpins and removes everything of ours under `bpffs_dir`, and on the devices of this network
  // namespace.
  static Result<void> CleanUp(const std::string& bpffs_dir);

 private:
  explicit Kernel(const KernelOptions& options);
  Result<void> Load(const KernelOptions& options);
  std::unique_ptr<TableSet> FindPinned();
  bool ReadSchema();
  void TakeSchema(const TableSet* found);
  Result<void> TakeOverTables();
  Result<void> AttachSockets();
  Result<void> PinTables();

  Pins pins_;
  Fd lock_;
  Cgroup cgroup_;
  bool adopted_ = false;
  bool carried_over_ = false;
  schema schema_{};
  fairlead_config config_{};
  uint64_t affinity_capacity_ = 0;
  std::unique_ptr<Objects> objects_;
  std::unique_ptr<TableSet> tables_;
  std::unique_ptr<TableSet> old_;
};

}  // namespace fairlead::ebpf
