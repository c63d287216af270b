// SPDX-License-Identifier: Apache-2.0
// The behaviour table: what becomes of the first packet of a connection, in words that are the same for every
// datapath and both families.
//
//   Behaviour("a pod reaches every ready endpoint by the cluster IP")
//       .Given(Web().On("local remote")).From("pod").To("vip", 80).Is("local, remote")
//
// Words for addresses (objects.h has the plan):
//
//   clients       pod, pod2 (on this node), remote-pod, node, localhost, outside, outside2, and every backend
//   backends      local, local2, remote, remote2; host: the node's own network. Port 8080.
//   destinations  vip, lb, external, node, second (another address of the node), localhost,
//                 unallocated (of the range of cluster IPs), elsewhere (no Service's), and every backend
//
// An outcome is "reject", "drop", "pass" (nothing is translated), or the backends that may be reached, each
// with "masqueraded" behind it if it sees an address of the node instead of the client's. The node's own
// packets have one anyway; only those from localhost are said to be masqueraded.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "test/support/behaviour.h"
#include "test/support/mode.h"
#include "test/support/objects.h"

namespace fairlead::test {

// The address of a word; of a family. Throws std::invalid_argument for a word that is none.
Address AddressOfWord(std::string_view word, Family family);
// What became of a packet: "local, remote masqueraded"; an address that has no word as it is.
std::string Text(const std::set<Traced>& traced, const TracePacket& packet);

// shop/web: port 80 of the cluster IP, NodePort 30080 where it has one. Backends are words with spaces
// between.
class Web {
 public:
  Web& On(std::string_view backends);           // ready
  Web& NotReady(std::string_view backends);     // but serving, and not terminating
  Web& Terminating(std::string_view backends);  // and still serving
  Web& Dying(std::string_view backends);        // terminating, and not serving any more
  Web& Zone(std::string_view zone);             // hint of the backends of the last call
  Web& NodeHint(std::string_view node);         // likewise
  Web& Udp();
  Web& Sctp();
  Web& NodePort();
  Web& LoadBalancer();                        // the address "lb", and a NodePort
  Web& ExternalIp(std::string_view address);  // a word
  Web& InternalLocal();
  Web& ExternalLocal();
  Web& Range(std::string_view clients);  // source ranges of one address each
  Web& RangeOfOtherFamily();
  Web& Affinity();
  Web& OtherProxy();
  Web& ExternalName();

  std::vector<kube::Object> Objects(Family family) const;

 private:
  struct Backends {
    std::string words, zone, node_hint;
    bool ready = true, serving = true, terminating = false;
  };
  kube::Object SliceOf(Family family) const;

  std::vector<Backends> backends_;
  kube::Protocol protocol_ = kube::Protocol::kTcp;
  bool node_port_ = false, load_balancer_ = false, internal_local_ = false, external_local_ = false;
  bool affinity_ = false, other_proxy_ = false, external_name_ = false, range_of_other_family_ = false;
  std::string external_ip_, ranges_;
};

// How the node is set up. By default the detector knows every pod of the cluster, and no ServiceCIDR is
// known.
struct NodeSetup {
  enum class Detector { kNone, kClusterCidr, kNodeCidr };
  Detector detector = Detector::kClusterCidr;
  bool masquerade_all = false;
  bool localhost_nodeports = true;
  bool service_cidrs = false;
  std::string nodeport_address = {};            // a word: the only one that answers NodePorts
  bool nodeport_range_of_other_family = false;  // the only range given

  plan::NodeFacts Facts(Family family) const;
};

class Behaviour {
 public:
  explicit Behaviour(std::string name) : name_(std::move(name)) {}

  Behaviour& Given(Web web);
  Behaviour& Before(Web web);  // stood before what is given
  Behaviour& GivenNothing();   // no Service; after Before: it is gone
  Behaviour& On(NodeSetup node);
  Behaviour& From(std::string_view client);
  Behaviour& To(std::string_view destination, uint16_t port);
  Behaviour& Udp();
  Behaviour& Sctp();
  Behaviour& Is(std::string_view outcome);
  // Where a mode differs, and is meant to. In ebpf mode clients of this node are translated at their sockets:
  // they keep their source, which no row repeats.
  Behaviour& In(Mode mode, std::string_view outcome);
  Behaviour& NotIn(Mode mode, std::string_view why);
  Behaviour& Only(Family family);

  const std::string& name() const { return name_; }
  const NodeSetup& node() const { return node_; }
  bool Has(Family family) const { return !only_ || *only_ == family; }
  // The states one after the other; the packet comes in the last.
  std::vector<std::vector<kube::Object>> States(Family family) const;
  TracePacket PacketOf(Family family) const;
  std::string OutcomeIn(Mode mode) const;
  // Why the row says nothing of a mode; empty: it does.
  std::string WhyNotIn(Mode mode) const;

 private:
  std::string name_, from_, to_, outcome_;
  uint16_t port_ = 0;
  plan::Protocol protocol_ = plan::Protocol::kTcp;
  std::optional<Web> before_, web_;
  NodeSetup node_;
  std::map<Mode, std::string> in_, not_in_;
  std::optional<Family> only_;
};

// Every row. In three files, by sections of what a Service must do.
std::vector<Behaviour> BehavioursOfLists();         // which endpoints serve
std::vector<Behaviour> BehavioursOfDestinations();  // what is a Service's, and who may use it
std::vector<Behaviour> BehavioursOfSources();       // who sees which source

}  // namespace fairlead::test
