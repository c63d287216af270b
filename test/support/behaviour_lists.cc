// SPDX-License-Identifier: Apache-2.0
// Rows about which endpoints serve: readiness, policies, hints, affinity, changes.
#include "test/support/behaviour_table.h"

namespace fairlead::test {

namespace {

constexpr char kOneList[] = "has one list for a virtual server: no cluster list beside the local one";
constexpr char kItsOwnList[] =
    "the node's own packets to a Local policy: one list a virtual server, and a source of its own";

std::vector<Behaviour> Readiness() {
  return {
      Behaviour("a pod reaches every ready endpoint by the cluster IP")
          .Given(Web().On("local remote"))
          .From("pod")
          .To("vip", 80)
          .Is("local, remote"),
      Behaviour("a UDP client too")
          .Given(Web().Udp().On("local remote"))
          .From("pod")
          .To("vip", 80)
          .Udp()
          .Is("local, remote"),
      Behaviour("the node reaches every ready endpoint")
          .Given(Web().On("local remote remote2"))
          .From("node")
          .To("vip", 80)
          .Is("local, remote, remote2"),
      Behaviour("an endpoint that is serving but not ready is not used")
          .Given(Web().On("local").NotReady("remote"))
          .From("pod")
          .To("vip", 80)
          .Is("local"),
      Behaviour("a terminating endpoint is not used beside a ready one")
          .Given(Web().On("remote").Terminating("local"))
          .From("pod")
          .To("vip", 80)
          .Is("remote"),
      Behaviour("terminating endpoints that still serve are used for want of ready ones")
          .Given(Web().Terminating("local remote"))
          .From("pod")
          .To("vip", 80)
          .Is("local, remote"),
      Behaviour("a terminating endpoint that no longer serves is never used")
          .Given(Web().Terminating("local").Dying("remote"))
          .From("pod")
          .To("vip", 80)
          .Is("local"),
      Behaviour("terminating endpoints serve a NodePort")
          .Given(Web().NodePort().Terminating("remote"))
          .From("outside")
          .To("node", 30080)
          .Is("remote masqueraded"),
  };
}

std::vector<Behaviour> NoEndpoints() {
  return {
      Behaviour("without any endpoint the cluster IP rejects a pod")
          .Given(Web())
          .From("pod")
          .To("vip", 80)
          .Is("reject"),
      Behaviour("and the node").Given(Web()).From("node").To("vip", 80).Is("reject"),
      Behaviour("and a client outside").Given(Web()).From("outside").To("vip", 80).Is("reject"),
      Behaviour("and a UDP client").Given(Web().Udp()).From("pod").To("vip", 80).Udp().Is("reject"),
      Behaviour("an endpoint that is not ready is none")
          .Given(Web().NotReady("local remote"))
          .From("pod")
          .To("vip", 80)
          .Is("reject"),
      Behaviour("an endpoint that terminates and no longer serves is none")
          .Given(Web().Dying("local"))
          .From("pod")
          .To("vip", 80)
          .Is("reject"),
      Behaviour("without any endpoint a NodePort rejects")
          .Given(Web().NodePort())
          .From("outside")
          .To("node", 30080)
          .Is("reject"),
      Behaviour("a NodePort rejects the node itself")
          .Given(Web().NodePort())
          .From("node")
          .To("node", 30080)
          .Is("reject"),
      Behaviour("a load balancer address rejects")
          .Given(Web().LoadBalancer())
          .From("outside")
          .To("lb", 80)
          .Is("reject"),
      Behaviour("a load balancer address rejects the node itself")
          .Given(Web().LoadBalancer())
          .From("node")
          .To("lb", 80)
          .Is("reject"),
      Behaviour("an external IP rejects")
          .Given(Web().ExternalIp("external"))
          .From("outside")
          .To("external", 80)
          .Is("reject"),
      Behaviour("with a Local policy and no endpoint anywhere, too")
          .Given(Web().LoadBalancer().ExternalLocal())
          .From("outside")
          .To("lb", 80)
          .Is("reject"),
      Behaviour("and for the cluster IP").Given(Web().InternalLocal()).From("pod").To("vip", 80).Is("reject"),
  };
}

std::vector<Behaviour> InternalPolicy() {
  return {
      Behaviour("internal Local keeps a pod on this node")
          .Given(Web().InternalLocal().On("local local2 remote"))
          .From("pod")
          .To("vip", 80)
          .Is("local, local2"),
      Behaviour("internal Local keeps the node on itself")
          .Given(Web().InternalLocal().On("local remote"))
          .From("node")
          .To("vip", 80)
          .Is("local"),
      Behaviour("internal Local drops where all endpoints are elsewhere")
          .Given(Web().InternalLocal().On("remote"))
          .From("pod")
          .To("vip", 80)
          .Is("drop")
          .In(Mode::kIpvs, "reject"),
      Behaviour("internal Local drops the node's own packets there")
          .Given(Web().InternalLocal().On("remote"))
          .From("node")
          .To("vip", 80)
          .Is("drop")
          .In(Mode::kIpvs, "reject"),
      Behaviour("internal Local takes a terminating endpoint here before a ready one elsewhere")
          .Given(Web().InternalLocal().On("remote").Terminating("local"))
          .From("pod")
          .To("vip", 80)
          .Is("local"),
      Behaviour("internal Local holds for clients outside")
          .Given(Web().InternalLocal().On("local remote"))
          .From("outside")
          .To("vip", 80)
          .Is("local masqueraded"),
      Behaviour("internal Local is none of a NodePort's business")
          .Given(Web().NodePort().InternalLocal().On("local remote"))
          .From("outside")
          .To("node", 30080)
          .Is("local masqueraded, remote masqueraded"),
  };
}

std::vector<Behaviour> ExternalPolicy() {
  return {
      Behaviour("external Local keeps outside traffic on this node")
          .Given(Web().NodePort().ExternalLocal().On("local local2 remote"))
          .From("outside")
          .To("node", 30080)
          .Is("local, local2"),
      Behaviour("external Local holds for a load balancer address")
          .Given(Web().LoadBalancer().ExternalLocal().On("local remote"))
          .From("outside")
          .To("lb", 80)
          .Is("local"),
      Behaviour("external Local holds for an external IP")
          .Given(Web().ExternalIp("external").ExternalLocal().On("local remote"))
          .From("outside")
          .To("external", 80)
          .Is("local"),
      Behaviour("external Local drops where all endpoints are elsewhere")
          .Given(Web().NodePort().ExternalLocal().On("remote"))
          .From("outside")
          .To("node", 30080)
          .Is("drop"),
      Behaviour("external Local drops UDP there")
          .Given(Web().Udp().LoadBalancer().ExternalLocal().On("remote"))
          .From("outside")
          .To("lb", 80)
          .Udp()
          .Is("drop"),
      Behaviour("external Local takes a terminating endpoint here before a ready one elsewhere")
          .Given(Web().LoadBalancer().ExternalLocal().On("remote").Terminating("local"))
          .From("outside")
          .To("lb", 80)
          .Is("local"),
      Behaviour("external Local lets a pod go to every endpoint by the NodePort")
          .Given(Web().NodePort().ExternalLocal().On("local remote"))
          .From("pod")
          .To("node", 30080)
          .Is("local, remote")
          .In(Mode::kIpvs, "local"),
      Behaviour("external Local lets a pod go elsewhere where there is no endpoint here")
          .Given(Web().LoadBalancer().ExternalLocal().On("remote"))
          .From("pod")
          .To("lb", 80)
          .Is("remote")
          .NotIn(Mode::kIpvs, kOneList),
      Behaviour("external Local lets a pod of another node go to every endpoint")
          .Given(Web().LoadBalancer().ExternalLocal().On("local remote"))
          .From("remote-pod")
          .To("lb", 80)
          .Is("local, remote")
          .In(Mode::kIpvs, "local"),
      Behaviour("external Local lets the node itself go to every endpoint")
          .Given(Web().NodePort().ExternalLocal().On("local remote"))
          .From("node")
          .To("node", 30080)
          .Is("local, remote")
          .NotIn(Mode::kIpvs, kItsOwnList),
      Behaviour("external Local is none of the cluster IP's business")
          .Given(Web().NodePort().ExternalLocal().On("local remote"))
          .From("outside")
          .To("vip", 80)
          .Is("local masqueraded, remote masqueraded"),
  };
}

std::vector<Behaviour> Hints() {
  return {
      Behaviour("zone hints keep a pod in its zone")
          .Given(Web().On("local").Zone("a").On("remote").Zone("b"))
          .From("pod")
          .To("vip", 80)
          .Is("local"),
      Behaviour("hints narrow a NodePort too")
          .Given(Web().NodePort().On("local").Zone("b").On("remote").Zone("a"))
          .From("outside")
          .To("node", 30080)
          .Is("remote masqueraded"),
      Behaviour("one ready endpoint without a hint switches hints off")
          .Given(Web().On("local").Zone("a").On("remote"))
          .From("pod")
          .To("vip", 80)
          .Is("local, remote"),
      Behaviour("hints that name no endpoint for this zone are passed over")
          .Given(Web().On("local").Zone("b").On("remote").Zone("c"))
          .From("pod")
          .To("vip", 80)
          .Is("local, remote"),
      Behaviour("node hints come before zone hints")
          .Given(Web().On("local").Zone("b").NodeHint("n1").On("remote").Zone("a").NodeHint("n2"))
          .From("pod")
          .To("vip", 80)
          .Is("local"),
      Behaviour("hints never narrow what a Local policy has")
          .Given(Web().NodePort().ExternalLocal().On("local").Zone("b").On("remote").Zone("a"))
          .From("outside")
          .To("node", 30080)
          .Is("local"),
  };
}

std::vector<Behaviour> AffinityAndChanges() {
  return {
      Behaviour("session affinity lets a new client go anywhere")
          .Given(Web().Affinity().On("local remote"))
          .From("pod")
          .To("vip", 80)
          .Is("local, remote"),
      Behaviour("session affinity keeps to the local list")
          .Given(Web().NodePort().Affinity().ExternalLocal().On("local local2 remote"))
          .From("outside")
          .To("node", 30080)
          .Is("local, local2"),
      Behaviour("an endpoint that has left is not reached")
          .Before(Web().On("local remote remote2"))
          .Given(Web().On("local remote2"))
          .From("pod")
          .To("vip", 80)
          .Is("local, remote2"),
      Behaviour("a new endpoint is reached")
          .Before(Web().NodePort().On("local"))
          .Given(Web().NodePort().On("local remote"))
          .From("outside")
          .To("node", 30080)
          .Is("local masqueraded, remote masqueraded"),
      Behaviour("a Service scaled to zero rejects")
          .Before(Web().NodePort().On("local remote"))
          .Given(Web().NodePort())
          .From("outside")
          .To("node", 30080)
          .Is("reject"),
      Behaviour("a Service that has endpoints again is served")
          .Before(Web())
          .Given(Web().On("local"))
          .From("node")
          .To("vip", 80)
          .Is("local"),
      Behaviour("a policy that turns Local narrows the list")
          .Before(Web().LoadBalancer().On("local remote"))
          .Given(Web().LoadBalancer().ExternalLocal().On("local remote"))
          .From("outside")
          .To("lb", 80)
          .Is("local"),
      Behaviour("affinity that is switched off is gone")
          .Before(Web().Affinity().On("local remote"))
          .Given(Web().On("local remote"))
          .From("pod")
          .To("vip", 80)
          .Is("local, remote"),
      Behaviour("a deleted Service is nobody's")
          .Before(Web().LoadBalancer().On("local remote"))
          .GivenNothing()
          .From("outside")
          .To("lb", 80)
          .Is("pass"),
      Behaviour("its NodePort is the node's own")
          .Before(Web().NodePort().On("local remote"))
          .GivenNothing()
          .From("outside")
          .To("node", 30080)
          .Is("pass"),
      Behaviour("a NodePort that was taken away is the node's own")
          .Before(Web().NodePort().On("local remote"))
          .Given(Web().On("local remote"))
          .From("outside")
          .To("node", 30080)
          .Is("pass"),
  };
}

}  // namespace

std::vector<Behaviour> BehavioursOfLists() {
  std::vector<Behaviour> rows;
  for (auto section : {Readiness, NoEndpoints, InternalPolicy, ExternalPolicy, Hints, AffinityAndChanges}) {
    auto more = section();
    rows.insert(rows.end(), more.begin(), more.end());
  }
  return rows;
}

}  // namespace fairlead::test
