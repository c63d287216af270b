// SPDX-License-Identifier: Apache-2.0
// Connections through IPVS, of ipvs mode or kube-proxy's, go on when another mode takes over, and back; and
// those by kube-proxy's rules when ipvs mode does.
#include <gmock/gmock.h>

#include <deque>
#include <fstream>
#include <memory>
#include <thread>

#include <fmt/format.h>

#include "agent/datapath/ipvs/kernel.h"
#include "test/support/kube_proxy_rules.h"
#include "test/support/node_fixture.h"
#include "test/support/process.h"

namespace fairlead::test {
namespace {

using std::chrono::milliseconds;
using testing::IsEmpty;

constexpr char kNodePort[] = "192.168.99.11:30001";
constexpr char kNodePort6[] = "[fd00:192:168:99::11]:30001";
constexpr std::chrono::seconds kPatience{180};  // an emulated processor, and others on it

// As kube-proxy has it: addresses on its device, a set of NodePorts, who comes from outside is masqueraded.
constexpr char kKubeProxy[] = R"(set -e
sysctl -qw net.ipv4.vs.conntrack=1
ip link add kube-ipvs0 type dummy
ip address add 172.30.0.10/32 dev kube-ipvs0
ipset create KUBE-NODE-PORT-TCP bitmap:port range 0-65535
ipset add KUBE-NODE-PORT-TCP 30001
iptables -t nat -N KUBE-POSTROUTING
iptables -t nat -A POSTROUTING -j KUBE-POSTROUTING
iptables -t nat -A KUBE-POSTROUTING ! -s 10.180.0.0/16 -p tcp --dport 8080 -j MASQUERADE
)";

class HandOver : public testing::Test {
 protected:
  void SetUp() override {
    if (auto kernel = ipvs::NetlinkKernel::Open(); !kernel) GTEST_SKIP() << kernel.error().message;
    if (const auto why = WhyNoLab()) GTEST_SKIP() << *why;
    lab_.emplace();
    for (const char* at :
         {"10.180.0.11:8080", "10.180.1.11:8080", "[fd00:10:180::11]:8080", "[fd00:10:180:1::11]:8080"})
      lab_->Serve(at);
  }
  void TearDown() override {
    agents_.clear();
    lab_.reset();
  }

  const Namespace& Host() { return lab_->N1().Net(); }
  const Namespace& Pod() { return lab_->N1().Pod("10.180.0.100"); }
  // An agent in this mode takes the place of the one that runs.
  void SwitchTo(const std::string& mode) {
    if (!agents_.empty()) agents_.back()->Stop();
    agents_.push_back(std::make_unique<Agent>(
        *lab_,
        std::vector<std::string>{"--proxy-mode", mode, "--cluster-cidr", "10.180.0.0/16,fd00:10:180::/46"}));
    Slice four("shop/cart"), six("shop/cart");
    four.Port("tcp", 8080).Endpoint("10.180.0.11").On("n1").Endpoint("10.180.1.11").On("n2");
    six.Named("cart-6").Port("tcp", 8080);
    six.Endpoint("fd00:10:180::11").On("n1").Endpoint("fd00:10:180:1::11").On("n2");
    agents_.back()->Put("cluster.json", Manifest({Cart(30001).ToJson(), four.ToJson(), six.ToJson()}));
    agents_.back()->Launch();
    agents_.back()->Settle(kPatience);
  }
  bool Said(std::string_view text) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (agents_.back()->Log().find(text) == std::string::npos) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(milliseconds(100));
    }
    return true;
  }

  // Connections that IPVS would end when it forgets them.
  size_t KnownToIpvs() {
    const NetnsScope inside(Host());
    std::ifstream table("/proc/thread-self/net/ip_vs_conn");
    size_t known = 0;
    for (std::string line; std::getline(table, line);) known += line.find("ESTABLISHED") != std::string::npos;
    return known;
  }

  // Two connections a way, which IPVS gives to both backends in turn. Of the node itself none: its sockets
  // have the Service's own address, which goes with the device.
  void Hold(const std::string& when, bool six) {
    HoldOne(when, Pod(), kVip);
    HoldOne(when, lab_->Out(), kVip);
    HoldOne(when, lab_->Out(), kNodePort);
    if (!six) return;
    HoldOne(when, Pod(), kVip6);
    HoldOne(when, lab_->Out(), kNodePort6);
  }
  // Those that do not answer.
  std::vector<std::string> Dead() {
    std::vector<std::string> dead;
    for (auto& [name, client] : held_) {
      const Outcome outcome = client->Ask("still there?");
      if (outcome.payload != "still there?") dead.push_back(name + ": " + outcome.ToString());
    }
    return dead;
  }
  void MakeKubeProxy() {
    const NetnsScope inside(Host());
    const Finished made = test::Run({"sh", "-c", kKubeProxy});
    ASSERT_EQ(made.status, 0) << made.output;
    std::vector<ipvs::Step> steps;
    for (const ipvs::ServerKey& server :
         {ipvs::ServerKey{Addr("172.30.0.10"), 80, plan::Protocol::kTcp},
          ipvs::ServerKey{Addr("192.168.99.11"), 30001, plan::Protocol::kTcp}}) {
      steps.push_back({ipvs::Verb::kAddServer, server, {.scheduler = "rr"}, {}, 0});
      for (const char* backend : {"10.180.0.11", "10.180.1.11"})
        steps.push_back({ipvs::Verb::kAddBackend, server, {}, {Addr(backend), 8080}, 1});
    }
    ASSERT_THAT((*ipvs::NetlinkKernel::Open())->Do(steps).value(), testing::Each(0));
  }

 private:
  void HoldOne(const std::string& when, const Namespace& from, const char* to) {
    for (int i = 0; i < 2; ++i) {
      auto client = std::make_unique<Client>(from, Proto::kTcp, At(to).address.GetFamily());
      ASSERT_EQ(client->Connect(At(to)), 0) << when << ": " << from.Name() << " to " << to;
      ASSERT_EQ(client->Receive().end, End::kReached) << when << ": " << from.Name() << " to " << to;
      held_.emplace_back(fmt::format("{}: {} to {}", when, from.Name(), to), std::move(client));
    }
  }

  std::optional<Lab> lab_;
  std::deque<std::unique_ptr<Agent>> agents_;  // those before stay: their end takes the pins down
  std::vector<std::pair<std::string, std::unique_ptr<Client>>> held_;
};

class IpvsHandOverTest : public HandOver, public testing::WithParamInterface<std::string> {};
INSTANTIATE_TEST_SUITE_P(, IpvsHandOverTest, testing::Values("nftables", "iptables", "ebpf"),
                         [](const auto& mode) { return mode.param; });

TEST_P(IpvsHandOverTest, ConnectionsOfIpvsModeGoOnThereAndBack) {
  SwitchTo("ipvs");
  Hold("in ipvs", true);
  SwitchTo(GetParam());
  EXPECT_TRUE(Said("connections of IPVS go on by nf_conntrack"));
  EXPECT_EQ(KnownToIpvs(), 0u);
  EXPECT_THAT(Dead(), IsEmpty());
  Hold("in " + GetParam(), true);
  SwitchTo("ipvs");
  EXPECT_TRUE(Said(fmt::format("what {} mode had left is removed", GetParam())));
  Hold("in ipvs again", true);
  EXPECT_THAT(Dead(), IsEmpty());
}

TEST_P(IpvsHandOverTest, ConnectionsOfKubeProxysIpvsGoOn) {
  MakeKubeProxy();
  Hold("by kube-proxy", false);
  SwitchTo(GetParam());
  EXPECT_TRUE(Said("connections of kube-proxy's IPVS go on by nf_conntrack"));
  EXPECT_EQ(KnownToIpvs(), 0u);
  EXPECT_THAT(Dead(), IsEmpty());
}

class IpvsHandOverFromRulesTest : public HandOver, public testing::WithParamInterface<KubeProxyMode> {};
INSTANTIATE_TEST_SUITE_P(, IpvsHandOverFromRulesTest,
                         testing::Values(KubeProxyMode::kIptablesNft, KubeProxyMode::kNftables),
                         [](const auto& mode) { return std::string(Word(mode.param)); });

TEST_P(IpvsHandOverFromRulesTest, ConnectionsOfKubeProxyGoOnInIpvsMode) {
  PutKubeProxyRules(Host(), GetParam(),
                    {{"shop/cart:tcp", "172.30.0.10", 80, 30001, {"10.180.0.11:8080", "10.180.1.11:8080"}}});
  Hold("by kube-proxy's rules", false);
  SwitchTo("ipvs");
  EXPECT_TRUE(Said("kube-proxy: removed"));
  EXPECT_THAT(Dead(), IsEmpty());
}

}  // namespace
}  // namespace fairlead::test
