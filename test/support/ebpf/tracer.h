// SPDX-License-Identifier: Apache-2.0
// The ebpf datapath of the behaviour table: the real programs over real tables. A packet that arrives by an
// uplink goes through TC (kernel_rig.h); a client of the node or of one of its pods is a socket that connects
// under the socket programs, and is asked whom it connects to.
//
// Choices are the programs' own, so every way is found by trying: with the few backends of the table a way is
// missed with odds below 1e-9.
#pragma once

#include <memory>

#include "test/support/behaviour.h"
#include "test/support/ebpf/kernel_rig.h"

namespace fairlead::test {

class EbpfTracer : public Tracer {
 public:
  // Loads programs and attaches the socket programs to the sandbox's cgroup, once a process. Throws
  // std::runtime_error.
  EbpfTracer();
  ~EbpfTracer() override;

  void Program(const plan::Plan& plan, const plan::NodePlan& node) override;
  // Packets with a device "pod..." are their pods' sockets. Throws for SCTP, which ebpf mode leaves alone.
  std::set<Traced> Trace(const TracePacket& packet) override;

 private:
  class Sockets;

  Traced TryPacket(const TracePacket& packet, uint16_t source_port);

  std::unique_ptr<KernelRig> rig_;
  std::shared_ptr<Sockets> sockets_;
  plan::Plan plan_;  // what the tables hold
};

}  // namespace fairlead::test
