// SPDX-License-Identifier: Apache-2.0
// What kube-proxy in ipvs mode leaves is found and removed: virtual servers, kube-ipvs0, ipsets and the rules
// that use them. Of others' nothing is, nor what ipvs mode of ours has taken over.
#include <gmock/gmock.h>

#include <fmt/format.h>

#include "agent/datapath/ipvs/kernel.h"
#include "agent/datapath/modes/kube_proxy.h"
#include "test/support/netns.h"
#include "test/support/objects.h"
#include "test/support/process.h"

namespace fairlead::test {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;

// As kube-proxy has them: a cluster IP, a NodePort, its sets and one rule by them. 198.51.100.0/24 and port
// 443 are others'.
constexpr char kNode[] = R"(set -e
ip link add kube-ipvs0 type dummy
ip address add 172.30.0.10/32 dev kube-ipvs0
ip address add 172.30.0.11/32 dev kube-ipvs0
ip link add eth0 type dummy
ip address add 192.168.99.11/24 dev eth0
ip link set eth0 up
ipset create KUBE-CLUSTER-IP hash:ip,port
ipset add KUBE-CLUSTER-IP 172.30.0.10,tcp:80
ipset create KUBE-NODE-PORT-TCP bitmap:port range 0-65535
ipset add KUBE-NODE-PORT-TCP 30001
ipset create KUBE-SRC-OF-A-POLICY hash:ip
ipset create FAIRLEAD-FRONTENDS hash:ip,port
ipset add FAIRLEAD-FRONTENDS 172.30.0.11,tcp:80
iptables -t nat -N KUBE-SERVICES
iptables -t nat -A PREROUTING -j KUBE-SERVICES
iptables -t nat -A KUBE-SERVICES -m set --match-set KUBE-CLUSTER-IP dst,dst -j ACCEPT
)";

ipvs::ServerKey Server(std::string_view address, uint16_t port) {
  return {Addr(address), port, plan::Protocol::kTcp};
}

class KubeProxyIpvsTest : public testing::Test {
 protected:
  void SetUp() override {
    auto kernel = ipvs::NetlinkKernel::Open();
    if (!kernel) GTEST_SKIP() << kernel.error().message;
    const Finished made = test::Run({"sh", "-c", kNode});
    ASSERT_EQ(made.status, 0) << made.output;
    auto inside = ipvs::NetlinkKernel::Open();
    ASSERT_TRUE(inside) << inside.error().message;
    kernel_ = std::move(*inside);
    std::vector<ipvs::Step> steps;
    for (const auto& key :
         {Server("172.30.0.10", 80), Server("172.30.0.11", 80), Server("192.168.99.11", 30001),
          Server("192.168.99.11", 443), Server("198.51.100.4", 80)}) {
      steps.push_back(
          {.verb = ipvs::Verb::kAddServer, .server = key, .options = {.scheduler = "rr"}, .backend = {}});
    }
    const auto done = kernel_->Do(steps);
    ASSERT_TRUE(done) << done.error().message;
    ASSERT_THAT(*done, testing::Each(0));
  }
  std::vector<ipvs::ServerKey> Servers() {
    std::vector<ipvs::ServerKey> keys;
    const auto present = kernel_->List().value();
    for (const auto& [key, server] : present) keys.push_back(key);
    return keys;
  }
  static std::string Output(std::vector<std::string> argv) { return test::Run(argv).output; }

  const Namespace node_ = Namespace::Create("kube-proxy-ipvs");
  const NetnsScope inside_{node_};
  std::unique_ptr<ipvs::NetlinkKernel> kernel_;
};

TEST_F(KubeProxyIpvsTest, GoesAndWhatIsOthersOrOursStays) {
  const auto found = modes::FindKubeProxy().value();
  EXPECT_THAT(found,
              ElementsAre("iptables nat (nf_tables): chain KUBE-SERVICES, 1 rules", "device kube-ipvs0",
                          "virtual server 172.30.0.10:80/TCP", "virtual server 192.168.99.11:30001/TCP",
                          "ipset KUBE-CLUSTER-IP", "ipset KUBE-NODE-PORT-TCP"));
  const auto removed = modes::RemoveKubeProxy();
  EXPECT_TRUE(removed) << removed.error().message;
  EXPECT_THAT(modes::FindKubeProxy().value(), IsEmpty());
  EXPECT_THAT(Servers(), ElementsAre(Server("172.30.0.11", 80), Server("192.168.99.11", 443),
                                     Server("198.51.100.4", 80)));
  EXPECT_EQ(Output({"ipset", "list", "-n"}), "KUBE-SRC-OF-A-POLICY\nFAIRLEAD-FRONTENDS\n");
  EXPECT_NE(test::Run({"ip", "link", "show", "kube-ipvs0"}).status, 0);
  EXPECT_EQ(test::Run({"ip", "link", "show", "eth0"}).status, 0);
}

}  // namespace
}  // namespace fairlead::test
