// SPDX-License-Identifier: Apache-2.0
// The programs and their tables in the kernel: opened, sized, configured, loaded; adopted from an earlier
// start where they fit; attached and pinned by Commit.
//
// Tables that do not fit (other capacities, another schema) are made anew beside the old ones. The old ones
// serve until Commit, when the programs over the new tables take their place link by link; ids, remembered
// clients and sockets are carried over where the schema is the same.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/datapath/datapath.h"
#include "agent/datapath/ebpf/bpf_map.h"
#include "agent/datapath/ebpf/pins.h"
#include "agent/datapath/ebpf/table.h"
#include "agent/options.h"
#include "maps/schema.h"

struct bpf_link;
struct sock_lb;
struct sock_sweep;

namespace fairlead::ebpf {

struct KernelOptions {
  std::string bpffs_dir;
  std::string cgroup;  // empty: root of the cgroup2 mount
  Capacities capacities;
};

// Entries of the tables whose size configuration decides, by name; every other table has the size in its
// header.
std::map<std::string, uint32_t, std::less<>> TableSizes(const Capacities& capacities);

class Kernel {
 public:
  static Result<std::unique_ptr<Kernel>> Open(const KernelOptions& options);
  ~Kernel();

  const Tables& tables() const { return tables_; }
  // The tables are those of an earlier start, and the programs attached already serve from them.
  bool adopted() const { return adopted_; }
  // Tables of an earlier start that were too different to adopt but whose ids still mean the same; null if
  // none.
  const Tables* predecessor() const;

  // Attaches the programs, or replaces those attached, and pins the tables.
  Result<void> Commit();

  std::vector<datapath::VerdictCount> Verdicts() const;
  uint64_t AffinityCapacity() const { return affinity_capacity_; }
  const std::string& cgroup_path() const { return cgroup_.path; }

  // An fd to read struct stale_socket from: one pass over all sockets.
  Result<Fd> SweepSockets() const;

  // Detaches, unpins and removes everything of ours under `bpffs_dir`.
  static Result<void> CleanUp(const std::string& bpffs_dir);

 private:
  struct View;  // fds, shared memory and keyed tables of one set of tables

  explicit Kernel(const KernelOptions& options);
  Result<void> Load(const KernelOptions& options);
  Result<void> CarryOver();

  Pins pins_;
  Fd lock_;
  Cgroup cgroup_;
  bool adopted_ = false;
  bool carried_over_ = false;
  schema schema_{};
  uint64_t affinity_capacity_ = 0;
  sock_lb* programs_ = nullptr;
  sock_sweep* sweep_ = nullptr;
  ::bpf_link* sweep_link_ = nullptr;
  std::unique_ptr<View> view_;
  std::unique_ptr<View> old_;
  Tables tables_;
};

}  // namespace fairlead::ebpf
