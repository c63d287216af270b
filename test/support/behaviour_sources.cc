// SPDX-License-Identifier: Apache-2.0
// Rows about who sees which source: masquerading, with and without a local-traffic detector.
#include "test/support/behaviour_table.h"

namespace fairlead::test {

namespace {

using Detector = NodeSetup::Detector;

constexpr char kBoth[] = "local, remote";
constexpr char kBothMasqueraded[] = "local masqueraded, remote masqueraded";
constexpr char kItsOwnList[] =
    "the node's own packets to a Local policy: one list a virtual server, and a source of its own";

NodeSetup Without() {
  return {.detector = Detector::kNone};
}
NodeSetup ByNodeCidr() {
  return {.detector = Detector::kNodeCidr};
}
NodeSetup All(Detector detector) {
  return {.detector = detector, .masquerade_all = true};
}

std::vector<Behaviour> ClusterIps() {
  const Web web = Web().On("local remote");
  return {
      Behaviour("a pod keeps its source").Given(web).From("pod").To("vip", 80).Is(kBoth),
      Behaviour("a pod of another node keeps its source")
          .Given(web)
          .From("remote-pod")
          .To("vip", 80)
          .Is(kBoth),
      Behaviour("a client outside is masqueraded on a cluster IP")
          .Given(web)
          .From("outside")
          .To("vip", 80)
          .Is(kBothMasqueraded),
      Behaviour("without a detector nobody is masqueraded on a cluster IP")
          .Given(web)
          .On(Without())
          .From("outside")
          .To("vip", 80)
          .Is(kBoth),
      Behaviour("nor a pod").Given(web).On(Without()).From("pod").To("vip", 80).Is(kBoth),
      Behaviour("to a detector by the node's own range a pod of another node is outside")
          .Given(web)
          .On(ByNodeCidr())
          .From("remote-pod")
          .To("vip", 80)
          .Is(kBothMasqueraded),
      Behaviour("and a pod of this node is not")
          .Given(web)
          .On(ByNodeCidr())
          .From("pod")
          .To("vip", 80)
          .Is(kBoth),
      Behaviour("masquerade-all masquerades pods")
          .Given(web)
          .On(All(Detector::kClusterCidr))
          .From("pod")
          .To("vip", 80)
          .Is(kBothMasqueraded),
      Behaviour("masquerade-all masquerades clients outside without a detector")
          .Given(web)
          .On(All(Detector::kNone))
          .From("outside")
          .To("vip", 80)
          .Is(kBothMasqueraded),
      Behaviour("a backend in the node's own network sees a pod as it is")
          .Given(Web().On("host"))
          .From("pod")
          .To("vip", 80)
          .Is("host"),
  };
}

std::vector<Behaviour> External() {
  const Web web = Web().LoadBalancer().On("local remote");
  const Web local = Web(web).ExternalLocal();
  return {
      Behaviour("without a detector a NodePort masquerades all the same")
          .Given(web)
          .On(Without())
          .From("outside")
          .To("node", 30080)
          .Is(kBothMasqueraded),
      Behaviour("a pod of another node is masqueraded on a NodePort")
          .Given(web)
          .From("remote-pod")
          .To("node", 30080)
          .Is(kBothMasqueraded),
      Behaviour("external Local keeps every source with masquerade-all")
          .Given(local)
          .On(All(Detector::kClusterCidr))
          .From("outside")
          .To("lb", 80)
          .Is("local"),
      Behaviour("external Local masquerades localhost")
          .Given(local)
          .From("localhost")
          .To("localhost", 30080)
          .Is(kBothMasqueraded)
          .In(Mode::kNftables, "pass")
          .In(Mode::kIpvs, "pass")
          .Only(Family::kIpv4),
      Behaviour("external Local keeps a pod's source")
          .Given(local)
          .From("pod")
          .To("lb", 80)
          .Is(kBoth)
          .In(Mode::kIpvs, "local"),
      Behaviour("without a detector external Local takes a pod for a client outside")
          .Given(local)
          .On(Without())
          .From("pod")
          .To("lb", 80)
          .Is("local")
          .In(Mode::kEbpf, kBoth),
      Behaviour("without a detector external Local takes a pod of another node for a client outside")
          .Given(local)
          .On(Without())
          .From("remote-pod")
          .To("lb", 80)
          .Is("local"),
      Behaviour("to a detector by the node's own range, likewise")
          .Given(local)
          .On(ByNodeCidr())
          .From("remote-pod")
          .To("lb", 80)
          .Is("local"),
      Behaviour("without a detector the node itself still goes everywhere")
          .Given(local)
          .On(Without())
          .From("node")
          .To("lb", 80)
          .Is(kBoth)
          .NotIn(Mode::kIpvs, kItsOwnList),
  };
}

std::vector<Behaviour> Hairpins() {
  const Web web = Web().LoadBalancer().On("local remote");
  return {
      Behaviour("a pod that reaches itself by the cluster IP is masqueraded")
          .Given(web)
          .From("local")
          .To("vip", 80)
          .Is("local masqueraded, remote"),
      Behaviour("its neighbour on the same node is not")
          .Given(Web().On("local local2"))
          .From("local2")
          .To("vip", 80)
          .Is("local, local2 masqueraded"),
      Behaviour("without a detector a pod that reaches itself is masqueraded")
          .Given(web)
          .On(Without())
          .From("local")
          .To("vip", 80)
          .Is("local masqueraded, remote"),
      Behaviour("a UDP client that reaches itself is masqueraded")
          .Given(Web().Udp().On("local"))
          .From("local")
          .To("vip", 80)
          .Udp()
          .Is("local masqueraded"),
      Behaviour("a pod that reaches itself by a NodePort is masqueraded like everybody")
          .Given(web)
          .From("local")
          .To("node", 30080)
          .Is(kBothMasqueraded),
      Behaviour("a pod that reaches itself with external Local is masqueraded")
          .Given(Web(web).ExternalLocal())
          .From("local")
          .To("lb", 80)
          .Is("local masqueraded, remote")
          .In(Mode::kIpvs, "local masqueraded"),
  };
}

}  // namespace

std::vector<Behaviour> BehavioursOfSources() {
  std::vector<Behaviour> rows;
  for (auto section : {ClusterIps, External, Hairpins}) {
    auto more = section();
    rows.insert(rows.end(), more.begin(), more.end());
  }
  return rows;
}

}  // namespace fairlead::test
