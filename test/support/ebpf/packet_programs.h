// SPDX-License-Identifier: Apache-2.0
// The built packet programs in the kernel, over tables of their own, run on one frame at a time
// (BPF_PROG_TEST_RUN). Nothing is attached or pinned.
#pragma once

#include <bpf/libbpf.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "agent/base/fd.h"
#include "agent/options.h"
#include "fairlead/config.h"
#include "test/support/ebpf/packet_world.h"

namespace fairlead::test {

// What a program made of a frame.
struct RunResult {
  int code = 0;
  Bytes frame;
  uint32_t mark = 0;
};

class PacketPrograms {
 public:
  struct Close {
    void operator()(bpf_object* object) const { bpf_object__close(object); }
  };
  using Object = std::unique_ptr<bpf_object, Close>;
  // Any of the built objects in the kernel, with tables for `capacities` and the configuration in it;
  // `shared` gives the descriptors of tables it is to have in place of its own, or -1. Throws
  // std::runtime_error.
  static Object Load(const std::string& name, const Capacities& capacities, const fairlead_config& config,
                     const std::function<int(std::string_view)>& shared);

  // tc_lb and xdp_lb with tables for `capacities`, the configuration in both. With `share`, over the tables
  // of those programs, as a new build replaces an old one. Throws std::runtime_error with what libbpf said.
  PacketPrograms(const PacketWorld& world, const Capacities& capacities, const fairlead_config& config,
                 const PacketPrograms* share = nullptr);

  // "tc_uplink", "tc_pod", "tc_egress", "xdp_uplink"; as if `frame` came in, or were to leave, by `device`.
  RunResult Run(std::string_view program, std::span<const uint8_t> frame, const std::string& device) const;

  int MapFd(std::string_view name) const;
  int ProgramFd(std::string_view program) const;
  const PacketWorld& world() const { return world_; }

 private:
  const PacketWorld& world_;
  Object tc_, xdp_;
  std::map<std::string, unsigned> ifindex_;
};

}  // namespace fairlead::test
