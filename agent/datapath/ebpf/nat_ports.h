// SPDX-License-Identifier: Apache-2.0
// Keeps maps/nat_ports.h: which source ports masqueraded packets may have.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "agent/datapath/ebpf/host_ports.h"
#include "agent/datapath/ebpf/port_set.h"
#include "agent/plan/plan.h"
#include "maps/nat_ports.h"

namespace fairlead::ebpf {

// Ports from 1024 on that are nobody else's: not in the NodePort range nor a NodePort, not the kernel's to
// give, not bound. If that leaves fewer than 1024, the upper half of what the kernel gives is added
// (`scarce`): a collision with a socket then takes the same backend, address and port, and costs the new flow
// another port.
struct NatPortChoice {
  PortSet ports;
  bool scarce = false;
};
NatPortChoice ChooseNatPorts(PortRange nodeport_range, const PortSet& nodeports, const HostPorts& host);

// From maps/nat_ports.h, by the fd of nat_tries: [i] flows found a port after i that were taken; the last
// element: flows that found none.
std::vector<uint64_t> ReadNatTries(int nat_tries_fd);

class NatPorts {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using ReadHost = std::function<Result<HostPorts>()>;

  NatPorts(std::span<nat_port_word> table, PortRange nodeport_range, ReadHost read_host = ReadHostPorts);

  // The NodePorts of a service port are now these.
  void Note(const plan::Change& change);
  // What is bound on the node may have changed.
  void Expect() { next_ = {}; }

  // Brings the table up to date: with new NodePorts at once, with the node's sockets every half minute. When
  // to call again.
  TimePoint Poll(TimePoint now);

  size_t usable() const { return usable_; }  // from any thread

 private:
  void Write(const PortSet& ports);

  std::span<nat_port_word> table_;
  PortRange nodeport_range_;
  ReadHost read_host_;
  std::map<plan::ServicePortKey, std::vector<uint16_t>> nodeports_;
  bool changed_ = false;  // nodeports_, since the table was written
  HostPorts host_;        // as last read
  TimePoint next_{};
  std::atomic<size_t> usable_ = 0;
  bool scarce_ = false;     // said once while it lasts
  std::string last_error_;  // likewise
};

}  // namespace fairlead::ebpf
