// SPDX-License-Identifier: Apache-2.0
// Rows about what is a Service's and what is not, and who may use it.
#include "test/support/behaviour_table.h"

namespace fairlead::test {

namespace {

constexpr char kBeside[] = "SCTP is the business of the nftables or iptables datapath beside";
constexpr char kBothMasqueraded[] = "local masqueraded, remote masqueraded";

// Every way in, with endpoints here and elsewhere.
Web Everywhere() {
  return Web().LoadBalancer().ExternalIp("external").On("local remote");
}

std::vector<Behaviour> Frontends() {
  return {
      Behaviour("a NodePort is served on the node's address")
          .Given(Everywhere())
          .From("outside")
          .To("node", 30080)
          .Is(kBothMasqueraded),
      Behaviour("and to the node itself")
          .Given(Everywhere())
          .From("node")
          .To("node", 30080)
          .Is("local, remote"),
      Behaviour("and to a pod").Given(Everywhere()).From("pod").To("node", 30080).Is(kBothMasqueraded),
      Behaviour("a UDP NodePort likewise")
          .Given(Web().Udp().NodePort().On("local remote"))
          .From("outside")
          .To("node", 30080)
          .Udp()
          .Is(kBothMasqueraded),
      Behaviour("a load balancer address is served to clients outside")
          .Given(Everywhere())
          .From("outside")
          .To("lb", 80)
          .Is(kBothMasqueraded),
      Behaviour("to a pod without leaving the node")
          .Given(Everywhere())
          .From("pod")
          .To("lb", 80)
          .Is(kBothMasqueraded),
      Behaviour("and to the node itself, too")
          .Given(Everywhere())
          .From("node")
          .To("lb", 80)
          .Is("local, remote"),
      Behaviour("an external IP is served to clients outside")
          .Given(Everywhere())
          .From("outside")
          .To("external", 80)
          .Is(kBothMasqueraded),
      Behaviour("an external IP is served to the node")
          .Given(Everywhere())
          .From("node")
          .To("external", 80)
          .Is("local, remote"),
      Behaviour("an external IP may be the node's own address")
          .Given(Web().ExternalIp("node").On("local remote"))
          .From("outside")
          .To("node", 80)
          .Is(kBothMasqueraded),
      Behaviour("whose other ports stay the node's")
          .Given(Web().ExternalIp("node").On("local remote"))
          .From("outside")
          .To("node", 22)
          .Is("pass"),
      Behaviour("SCTP is served by the cluster IP")
          .Given(Web().Sctp().On("local remote"))
          .From("pod")
          .To("vip", 80)
          .Sctp()
          .Is("local, remote")
          .NotIn(Mode::kEbpf, kBeside),
      Behaviour("SCTP is served by a NodePort")
          .Given(Web().Sctp().NodePort().On("local remote"))
          .From("outside")
          .To("node", 30080)
          .Sctp()
          .Is(kBothMasqueraded)
          .NotIn(Mode::kEbpf, kBeside),
  };
}

std::vector<Behaviour> NodePortAddresses() {
  return {
      Behaviour("a NodePort is served on every address of the node")
          .Given(Everywhere())
          .From("outside")
          .To("second", 30080)
          .Is(kBothMasqueraded)
          .In(Mode::kNftables, "pass"),
      Behaviour("a NodePort is served on the address that is asked for")
          .Given(Everywhere())
          .On({.nodeport_address = "second"})
          .From("outside")
          .To("second", 30080)
          .Is(kBothMasqueraded),
      Behaviour("and on no other")
          .Given(Everywhere())
          .On({.nodeport_address = "second"})
          .From("outside")
          .To("node", 30080)
          .Is("pass"),
      Behaviour("a range of the other family restricts nothing")
          .Given(Everywhere())
          .On({.nodeport_range_of_other_family = true})
          .From("outside")
          .To("node", 30080)
          .Is(kBothMasqueraded),
      Behaviour("127.0.0.1 answers NodePorts")
          .Given(Everywhere())
          .From("localhost")
          .To("localhost", 30080)
          .Is(kBothMasqueraded)
          .In(Mode::kNftables, "pass")
          .In(Mode::kIpvs, "pass")
          .Only(Family::kIpv4),
      Behaviour("::1 answers NodePorts at the socket alone")
          .Given(Everywhere())
          .From("localhost")
          .To("localhost", 30080)
          .Is("pass")
          .In(Mode::kEbpf, "local, remote")
          .Only(Family::kIpv6),
      Behaviour("localhost NodePorts may be switched off")
          .Given(Everywhere())
          .On({.localhost_nodeports = false})
          .From("localhost")
          .To("localhost", 30080)
          .Is("pass"),
      Behaviour("addresses without loopback switch them off")
          .Given(Everywhere())
          .On({.nodeport_address = "node"})
          .From("localhost")
          .To("localhost", 30080)
          .Is("pass"),
  };
}

std::vector<Behaviour> NoServices() {
  return {
      Behaviour("an undefined port of a cluster IP is refused")
          .Given(Everywhere())
          .From("pod")
          .To("vip", 81)
          .Is("reject")
          .In(Mode::kIptables, "pass"),
      Behaviour("to the node as well")
          .Given(Everywhere())
          .From("node")
          .To("vip", 81)
          .Is("reject")
          .In(Mode::kIptables, "pass"),
      Behaviour("and to clients outside")
          .Given(Everywhere())
          .From("outside")
          .To("vip", 81)
          .Is("reject")
          .In(Mode::kIptables, "pass"),
      Behaviour("an undefined protocol of a cluster IP is refused")
          .Given(Everywhere())
          .From("pod")
          .To("vip", 80)
          .Udp()
          .Is("reject")
          .In(Mode::kIptables, "pass"),
      Behaviour("a NodePort is no port of the cluster IP")
          .Given(Everywhere())
          .From("pod")
          .To("vip", 30080)
          .Is("reject")
          .In(Mode::kIptables, "pass"),
      Behaviour("an undefined port of a load balancer address is not ours")
          .Given(Everywhere())
          .From("outside")
          .To("lb", 81)
          .Is("pass")
          .In(Mode::kIpvs, "reject"),
      Behaviour("an undefined port of an external IP is not ours")
          .Given(Everywhere())
          .From("outside")
          .To("external", 81)
          .Is("pass")
          .In(Mode::kIpvs, "reject"),
      Behaviour("an unallocated address of a ServiceCIDR is dropped")
          .Given(Everywhere())
          .On({.service_cidrs = true})
          .From("pod")
          .To("unallocated", 80)
          .Is("drop")
          .In(Mode::kIptables, "pass")
          .In(Mode::kIpvs, "pass"),
      Behaviour("for clients outside as well")
          .Given(Everywhere())
          .On({.service_cidrs = true})
          .From("outside")
          .To("unallocated", 80)
          .Is("drop")
          .In(Mode::kIptables, "pass")
          .In(Mode::kIpvs, "pass"),
      Behaviour("and for the node")
          .Given(Everywhere())
          .On({.service_cidrs = true})
          .From("node")
          .To("unallocated", 80)
          .Is("drop")
          .In(Mode::kIptables, "pass")
          .In(Mode::kIpvs, "pass"),
      Behaviour("without ServiceCIDRs nobody knows that it is unallocated")
          .Given(Everywhere())
          .From("pod")
          .To("unallocated", 80)
          .Is("pass"),
      Behaviour("a ServiceCIDR does not catch an address that a Service has")
          .Given(Everywhere())
          .On({.service_cidrs = true})
          .From("pod")
          .To("vip", 80)
          .Is("local, remote"),
      Behaviour("a service port is not served on the node's address")
          .Given(Everywhere())
          .From("outside")
          .To("node", 80)
          .Is("pass"),
      Behaviour("a NodePort of another protocol is the node's own")
          .Given(Everywhere())
          .From("outside")
          .To("node", 30080)
          .Udp()
          .Is("pass"),
      Behaviour("a pod talks to an endpoint as before")
          .Given(Everywhere())
          .From("pod")
          .To("remote", 8080)
          .Is("pass"),
      Behaviour("a client outside talks to an endpoint as before")
          .Given(Everywhere())
          .From("outside")
          .To("local", 8080)
          .Is("pass"),
      Behaviour("the node talks to the world as before")
          .Given(Everywhere())
          .From("node")
          .To("elsewhere", 80)
          .Is("pass"),
      Behaviour("a Service of another proxy is not ours")
          .Given(Web().OtherProxy().LoadBalancer().On("local remote"))
          .From("outside")
          .To("lb", 80)
          .Is("pass"),
      Behaviour("an ExternalName Service has no address")
          .Given(Web().ExternalName().On("local remote"))
          .From("pod")
          .To("vip", 80)
          .Is("pass"),
  };
}

std::vector<Behaviour> SourceRanges() {
  constexpr char kNoSuchSocket[] = "a socket has this address only where a device of the node has it";
  const auto open_to = [](std::string_view clients) { return Everywhere().Range(clients); };
  return {
      Behaviour("a client in a source range is served")
          .Given(open_to("outside"))
          .From("outside")
          .To("lb", 80)
          .Is(kBothMasqueraded),
      Behaviour("a client in the second source range is served")
          .Given(open_to("outside2 outside"))
          .From("outside")
          .To("lb", 80)
          .Is(kBothMasqueraded),
      Behaviour("a client in no source range is dropped")
          .Given(open_to("outside"))
          .From("outside2")
          .To("lb", 80)
          .Is("drop"),
      Behaviour("a pod in no source range is dropped")
          .Given(open_to("outside"))
          .From("pod")
          .To("lb", 80)
          .Is("drop"),
      Behaviour("a pod in a source range is served")
          .Given(open_to("pod"))
          .From("pod")
          .To("lb", 80)
          .Is(kBothMasqueraded),
      Behaviour("the node in no source range is dropped")
          .Given(open_to("outside"))
          .From("node")
          .To("lb", 80)
          .Is("drop"),
      Behaviour("the node in a source range is served")
          .Given(open_to("node"))
          .From("node")
          .To("lb", 80)
          .Is("local, remote"),
      Behaviour("the node may use the load balancer address as its source where it may use the Service")
          .Given(open_to("node"))
          .From("lb")
          .To("lb", 80)
          .Is("local, remote")
          .NotIn(Mode::kEbpf, kNoSuchSocket),
      Behaviour("source ranges do not guard the NodePort")
          .Given(open_to("outside"))
          .From("outside2")
          .To("node", 30080)
          .Is(kBothMasqueraded),
      Behaviour("nor the external IP")
          .Given(open_to("outside"))
          .From("outside2")
          .To("external", 80)
          .Is(kBothMasqueraded),
      Behaviour("nor the cluster IP")
          .Given(open_to("outside"))
          .From("outside2")
          .To("vip", 80)
          .Is(kBothMasqueraded),
      Behaviour("source ranges of the other family restrict nothing")
          .Given(Everywhere().RangeOfOtherFamily())
          .From("outside")
          .To("lb", 80)
          .Is(kBothMasqueraded),
      Behaviour("source ranges hold with external Local")
          .Given(open_to("outside").ExternalLocal())
          .From("outside2")
          .To("lb", 80)
          .Is("drop"),
      Behaviour("and who is in one keeps its source")
          .Given(open_to("outside").ExternalLocal())
          .From("outside")
          .To("lb", 80)
          .Is("local"),
      Behaviour("source ranges that were taken away restrict nothing")
          .Before(open_to("outside"))
          .Given(Everywhere())
          .From("outside2")
          .To("lb", 80)
          .Is(kBothMasqueraded),
      Behaviour("a client in no source range of a Service without endpoints is turned away")
          .Given(Web().LoadBalancer().Range("outside"))
          .From("outside2")
          .To("lb", 80)
          .Is("drop")
          .In(Mode::kEbpf, "reject")
          .In(Mode::kIptables, "reject"),
  };
}

}  // namespace

std::vector<Behaviour> BehavioursOfDestinations() {
  std::vector<Behaviour> rows;
  for (auto section : {Frontends, NodePortAddresses, NoServices, SourceRanges}) {
    auto more = section();
    rows.insert(rows.end(), more.begin(), more.end());
  }
  return rows;
}

}  // namespace fairlead::test
