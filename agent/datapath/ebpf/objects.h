// SPDX-License-Identifier: Apache-2.0
// The BPF objects of this build: opened, given their tables and configuration, loaded. All share one set of
// tables, by name.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/fd.h"
#include "fairlead/config.h"

struct bpf_link;
struct bpf_object;
struct bpf_program;
struct sock_lb;
struct sock_sweep;
struct tc_lb;
struct xdp_lb;

namespace fairlead::ebpf {

class Objects {
 public:
  // Without `xdp` that object is neither opened nor loaded.
  static Result<std::unique_ptr<Objects>> Open(bool xdp);
  ~Objects();

  // Sizes of tables by name; others keep theirs.
  void SetSizes(const std::map<std::string, uint32_t, std::less<>>& sizes);
  // Every table some object declares, with its entries.
  std::map<std::string, uint32_t, std::less<>> Tables() const;

  // Loads all over the tables that `fds` has, and adds to it those that are made new.
  Result<void> Load(const fairlead_config& config, std::map<std::string, Fd, std::less<>>& fds);

  // After Load. The programs for the cgroup's socket hooks; programs by name, null if there is none.
  std::vector<const bpf_program*> SocketPrograms() const;
  const bpf_program* Program(std::string_view name) const;

  // An fd to read struct stale_socket from: one pass over the socket storage of `connected_peer_fd`'s table.
  Result<Fd> SweepSockets() const;

 private:
  template <typename Skeleton>
  using Owned = std::unique_ptr<Skeleton, void (*)(Skeleton*)>;

  Objects();
  std::vector<bpf_object*> All() const;
  Result<void> AttachSweep(int connected_peer_fd);

  Owned<sock_lb> sock_lb_;
  Owned<tc_lb> tc_lb_;
  Owned<xdp_lb> xdp_lb_;
  Owned<sock_sweep> sock_sweep_;
  Owned<::bpf_link> sweep_link_;
};

}  // namespace fairlead::ebpf
