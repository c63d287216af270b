// SPDX-License-Identifier: Apache-2.0
// Which ipsets and virtual servers are kube-proxy's.
#include <gmock/gmock.h>

#include "agent/datapath/modes/kube_proxy_ipvs.h"
#include "agent/datapath/modes/kube_proxy_sets.h"
#include "test/support/objects.h"

namespace fairlead::modes {
namespace {

using plan::Protocol;
using test::Addr;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

TEST(KubeProxySetsTest, AreKnownByNameAlsoWhereTheKernelCutsIt) {
  const auto sets = ReadKubeProxySets(R"(create KUBE-CLUSTER-IP hash:ip,port family inet hashsize 1024
create KUBE-6-NODE-PORT-LOCAL-SCTP-HAS hash:ip,port family inet6 hashsize 1024
create KUBE-SRC-ABCDEFGHIJKLMNOP hash:ip family inet
create KUBE-CLUSTER-IP-OF-MINE hash:ip family inet
create FAIRLEAD-FRONTENDS hash:ip,port family inet
create KUBE-NODE-PORT-TCP bitmap:port range 0-65535
add KUBE-CLUSTER-IP 172.30.0.10,tcp:80
add KUBE-NODE-PORT-TCP 30001
add KUBE-6-NODE-PORT-LOCAL-SCTP-HAS fd00:192:168:99::11,sctp:30003
add KUBE-NODE-PORT-UDP nonsense
)");
  EXPECT_THAT(sets.names,
              ElementsAre("KUBE-6-NODE-PORT-LOCAL-SCTP-HAS", "KUBE-CLUSTER-IP", "KUBE-NODE-PORT-TCP"));
  EXPECT_THAT(sets.node_ports, ElementsAre(Pair(Protocol::kTcp, 30001), Pair(Protocol::kSctp, 30003)));
}

TEST(KubeProxySetsTest, VirtualServersAreThoseOfItsDeviceAndItsNodePorts) {
  const auto server = [](std::string_view address, uint16_t port, Protocol protocol = Protocol::kTcp) {
    return ipvs::ServerKey{Addr(address), port, protocol};
  };
  const ipvs::PresentServers present{{server("172.30.0.10", 80), {}},
                                     {server("172.30.0.11", 80), {}},
                                     {server("192.168.99.11", 30001), {}},
                                     {server("192.168.99.11", 443), {}},
                                     {server("192.168.99.11", 30001, Protocol::kUdp), {}},
                                     {server("198.51.100.77", 30001), {}}};
  const KubeProxySets sets{{}, {{Protocol::kTcp, 30001}}};
  const std::set<Address> device{Addr("172.30.0.10"), Addr("172.30.0.11")}, node{Addr("192.168.99.11")};
  EXPECT_THAT(
      KubeProxyServers(present, device, node, sets, {}),
      ElementsAre(server("172.30.0.10", 80), server("172.30.0.11", 80), server("192.168.99.11", 30001)));
  EXPECT_THAT(KubeProxyServers(present, device, node, sets, {server("172.30.0.11", 80)}),
              ElementsAre(server("172.30.0.10", 80), server("192.168.99.11", 30001)))
      << "ipvs mode of ours has taken one over";
  EXPECT_THAT(KubeProxyServers(present, {}, node, {}, {}), IsEmpty());
}

}  // namespace
}  // namespace fairlead::modes
