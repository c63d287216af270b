// SPDX-License-Identifier: Apache-2.0
// What every datapath does: make the kernel equal to the plan. Single-threaded: the syncer's thread calls.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
#include "agent/plan/plan.h"

namespace fairlead::datapath {

// A change that did not get into the kernel, and why. What stood before stands; the caller tries again.
struct Failure {
  plan::Change change;
  Error error;
};

// A service port that the kernel refused when the whole was written. The datapath tries it again by itself.
struct Refusal {
  plan::ServicePortKey key;
  Error error;
};

// How full a table is. Rows, not bytes.
struct Usage {
  std::string_view table;
  uint64_t used = 0;
  uint64_t capacity = 0;
};

// A cumulative count of one way a program ended, for /metrics.
struct VerdictCount {
  std::string_view program;
  std::string_view verdict;
  uint64_t count = 0;
};

// What a datapath's own flow table holds, for /metrics; empty where the kernel's conntrack has the flows.
struct FlowReadings {
  struct State {
    std::string_view state;
    uint64_t entries = 0;  // a flow has two
  };
  std::vector<State> states;
  uint64_t capacity = 0;             // entries
  uint64_t collected = 0;            // entries of flows that were over, total
  uint64_t stuck = 0;                // entries lost to a writer that died
  uint64_t source_ports = 0;         // that masqueraded flows may have
  std::vector<uint64_t> port_tries;  // [i]: flows that found one after i that were taken; the last: none was
};

// What a datapath that works by rules says of them, for /metrics; empty elsewhere. Arrays: IPv4, IPv6.
struct RuleReadings {
  struct Table {
    Family family = Family::kIpv4;
    std::string_view table;  // "nat"
    uint64_t rules = 0;      // that we have in it
    uint64_t written = 0;    // by the last transaction
  };
  std::string_view datapath;  // whose they are; set by who puts datapaths together
  std::vector<Table> tables;
  uint64_t failures[2] = {};          // transactions that were refused
  uint64_t partial_failures[2] = {};  // of those, such as held only what had changed
  uint64_t cleanup_failures[2] = {};
  uint64_t flows_deleted[2] = {};              // entries of nf_conntrack removed, for backends that are gone
  std::optional<uint64_t> invalid_dropped;     // packets, counted by the rule
  std::optional<uint64_t> localhost_accepted;  // likewise: NodePorts reached by way of 127.0.0.0/8
};

// How many service ports another datapath serves beside this one.
struct Share {
  std::string_view datapath;
  uint64_t service_ports = 0;
};

// A pass over nf_conntrack, for a histogram.
struct FlowPass {
  Family family = Family::kIpv4;
  double seconds = 0;
};

class Datapath {
 public:
  virtual ~Datapath() = default;

  virtual std::string_view Name() const = 0;  // "ebpf"

  // Makes each service port equal to its change, or removes it. An address that moves from one service to
  // another within one call is never without an owner.
  virtual std::vector<Failure> Apply(std::span<const plan::Change> changes) = 0;
  virtual Result<void> ApplyNode(const plan::NodePlan& node) = 0;

  // Called once the whole plan has been applied for the first time: the kernel starts to serve it. Called
  // again when it failed.
  virtual Result<void> Commit() = 0;
  // Removes what the kernel still holds from an earlier run and the plan does not know. Called after Commit,
  // once the sources know everything that exists; again when it failed.
  virtual Result<void> Prune() = 0;

  // Level-triggered work beside the tables (sockets of removed backends, reuse of retired memory). Cheap when
  // there is nothing to do. When it wants to be called again at the latest; nothing if only after the next
  // change.
  virtual std::optional<std::chrono::steady_clock::time_point> Reconcile() = 0;
  // Readable when Reconcile has something to do before that; -1: never.
  virtual int event_fd() const { return -1; }

  // What Apply took and Commit, ApplyNode or Reconcile then could not write; empty once it is in the kernel.
  // The datapath has logged it.
  virtual std::vector<Refusal> Refused() const { return {}; }

  virtual std::vector<Usage> Usages() const = 0;
  virtual std::vector<VerdictCount> Verdicts() const = 0;
  virtual uint64_t BytesWritten() const = 0;
  // From any thread.
  virtual FlowReadings Flows() const { return {}; }
  // From any thread.
  virtual RuleReadings Rules() const { return {}; }
  // Empty where this one serves them all. The syncer's thread.
  virtual std::vector<Share> Shares() const { return {}; }
  // Those since the last call.
  virtual std::vector<FlowPass> TakeFlowPasses() { return {}; }
};

}  // namespace fairlead::datapath
