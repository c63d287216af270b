// SPDX-License-Identifier: Apache-2.0
// One table of behaviours {from, to -> reached, source kept?}, run on all four datapaths: each gives its own
// Tracer, which walks an imaginary packet through what it has rendered from the plan.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "agent/plan/plan.h"

namespace fairlead::test {

// The first packet of a connection, as it is seen by the node under test. Ports are host order.
struct TracePacket {
  Address source, destination;
  uint16_t source_port = 40000;
  uint16_t destination_port = 0;
  plan::Protocol protocol = plan::Protocol::kTcp;
  bool of_node = false;  // a process of the node sends it; else it arrives by `device`
  std::string device = "eth0";
};

enum class TraceEnd : uint8_t {
  kReached,   // a backend
  kRejected,  // the client is told
  kDropped,   // nobody is told
  kPassed,    // not translated: it goes where it was going
};

// One way the packet may go.
struct Traced {
  TraceEnd end = TraceEnd::kPassed;
  Address backend;            // kReached
  uint16_t backend_port = 0;  // kReached
  bool masqueraded = false;   // kReached: the backend sees an address of the node

  friend auto operator<=>(const Traced&, const Traced&) = default;
};

class Tracer {
 public:
  virtual ~Tracer() = default;
  // Makes it hold what the plan says; called again for each later state.
  virtual void Program(const plan::Plan& plan, const plan::NodePlan& node) = 0;
  // Every way the packet may go: random choices are all taken. Throws std::runtime_error for a rule or a
  // state it does not understand.
  virtual std::set<Traced> Trace(const TracePacket& packet) = 0;
};

}  // namespace fairlead::test
