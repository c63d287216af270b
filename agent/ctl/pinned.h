// SPDX-License-Identifier: Apache-2.0
// What an agent left pinned, opened for reading only: whether the agent runs makes no difference.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/fd.h"
#include "agent/ctl/snapshot.h"
#include "agent/datapath/ebpf/bpf_map.h"
#include "agent/datapath/ebpf/pins.h"
#include "agent/datapath/ebpf/table.h"
#include "maps/schema.h"

namespace fairlead::ctl {

class Pinned {
 public:
  // kNotFound if nothing is pinned under `bpffs_dir`, kUnsupported if it has another schema. Waits up to a
  // second for an agent that is replacing the tables at this moment.
  static Result<Pinned> Open(const std::string& bpffs_dir);

  // Tables with how full they are, the remembered clients included.
  Result<Snapshot> ReadSnapshot() const;
  // Names of service ports by id.
  Result<std::map<uint32_t, plan::ServicePortKey>> ReadServices() const;
  // Verdicts of every program, in the order of verdict.h; zeros included.
  Result<std::vector<Counter>> ReadCounters() const;
  // Links, the agent and the cgroup, as this process's /proc and /sys show them.
  Result<Status> ReadStatus() const;

 private:
  explicit Pinned(const std::string& bpffs_dir) : pins_(bpffs_dir) {}
  Result<void> OpenTables();
  Result<int> Table(std::string_view name, bool shared);  // the fd stays open as long as this

  ebpf::Pins pins_;
  schema schema_{};
  std::map<std::string, Fd, std::less<>> fds_;
  ebpf::SharedArray<frontend_slot> frontends_;
  ebpf::SharedArray<record> backends_;
  ebpf::SharedArray<ring_chunk> rings_;
  ebpf::SharedArray<service_cidr> service_cidrs_;
  ebpf::SharedArray<service_cidr> pod_cidrs_;
  ebpf::SharedArray<flow_set> conntrack_;
  ebpf::SharedArray<flow_tags> flow_tags_;
  ebpf::SharedArray<traffic> service_traffic_;
  ebpf::SharedArray<traffic> backend_traffic_;
};

}  // namespace fairlead::ctl
