// SPDX-License-Identifier: Apache-2.0
// From kube-proxy to each mode and back, under load: no request fails, connections of before go on, and of
// whoever left nothing stays.
#include <gmock/gmock.h>

#include <deque>
#include <memory>
#include <set>
#include <sstream>
#include <thread>
#include <tuple>

#include "agent/datapath/modes/kube_proxy.h"
#include "test/support/kube_proxy_rules.h"
#include "test/support/load.h"
#include "test/support/node_fixture.h"

namespace fairlead::test {
namespace {

using std::chrono::milliseconds;
using testing::IsEmpty;

constexpr char kNodePort[] = "192.168.99.11:30001";
// One local, one elsewhere.
const std::vector<ProxiedPort> kCart{
    {"shop/cart:tcp", "172.30.0.10", 80, 30001, {"10.180.0.11:8080", "10.180.1.11:8080"}},
    {"shop/cart:tcp", "fd00:172:30::10", 80, 30001, {"[fd00:10:180::11]:8080", "[fd00:10:180:1::11]:8080"}},
};
constexpr char kOthersIptables[] = R"(*nat
:CNI-HOSTPORT-DNAT - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
COMMIT
*filter
:MINE - [0:0]
-A INPUT -j MINE
-A MINE -s 203.0.113.130/32 -p tcp -m tcp --dport 22 -j DROP
COMMIT
)";
constexpr char kOthersNft[] = R"(table inet mine {
  set blocked { type ipv4_addr; elements = { 203.0.113.99 }; }
  chain input { type filter hook input priority 10; ip saddr @blocked drop; }
})";

using Way = std::tuple<KubeProxyMode, std::string>;  // from, and to

std::string NameOf(const testing::TestParamInfo<Way>& way) {
  return fmt::format("From{}To_{}", Word(std::get<0>(way.param)), std::get<1>(way.param));
}

class MigrateTest : public testing::TestWithParam<Way> {
 protected:
  void SetUp() override {
    if (const auto why = WhyNoLab()) GTEST_SKIP() << *why;
    lab_.emplace();
    for (const auto* at :
         {"10.180.0.11:8080", "10.180.1.11:8080", "[fd00:10:180::11]:8080", "[fd00:10:180:1::11]:8080"})
      lab_->Serve(at);
    agent_.emplace(*lab_, std::vector<std::string>{"--proxy-mode", std::get<1>(GetParam()), "--cluster-cidr",
                                                   "10.180.0.0/16,fd00:10:180::/46"});
    PutOthers();
    PutKubeProxyRules(Host(), std::get<0>(GetParam()), kCart);
  }
  void TearDown() override {
    agent_.reset();
    lab_.reset();
  }

  const Namespace& Host() { return lab_->N1().Net(); }
  const Namespace& Pod() { return lab_->N1().Pod("10.180.0.100"); }
  std::string InHost(const std::vector<std::string>& argv, std::string_view input = {}) {
    const NetnsScope inside(Host());
    const Finished done = test::Run(argv, input);
    EXPECT_EQ(done.status, 0) << argv[0] << ": " << done.output;
    return done.output;
  }
  std::string Backend() const {
    return std::get<0>(GetParam()) == KubeProxyMode::kIptablesLegacy ? "legacy" : "nft";
  }

  void PutOthers() {
    for (const auto* program : {"iptables", "ip6tables"})
      InHost({fmt::format("{}-{}-restore", program, Backend()), "--noflush"},
             program == std::string_view("iptables") ? kOthersIptables : "*nat\nCOMMIT\n");
    InHost({"nft", "-f", "-"}, kOthersNft);
  }
  // The rules that are neither kube-proxy's nor ours, in their order.
  std::vector<std::string> Others() {
    std::istringstream lines(InHost({fmt::format("iptables-{}-save", Backend())}) +
                             InHost({"nft", "-s", "list", "table", "inet", "mine"}));
    std::vector<std::string> others;
    for (std::string line; std::getline(lines, line);) {
      const bool known = line.starts_with('#') || line.starts_with(':') ||
                         line.find("KUBE-") != std::string::npos ||
                         line.find("FAIRLEAD") != std::string::npos;
      if (!known) others.push_back(line);
    }
    return others;
  }
  // Chains, tables and devices of ours.
  std::set<std::string> Ours() {
    std::set<std::string> ours;
    for (const auto* program :
         {"iptables-nft-save", "ip6tables-nft-save", "iptables-legacy-save", "ip6tables-legacy-save"}) {
      std::istringstream lines(InHost({program}));
      for (std::string line; std::getline(lines, line);) {
        if (line.find("FAIRLEAD") != std::string::npos) ours.insert(line);
      }
    }
    std::istringstream tables(InHost({"nft", "list", "tables"}));
    for (std::string line; std::getline(tables, line);) {
      if (line.find("fairlead") != std::string::npos) ours.insert(line);
    }
    return ours;
  }
  std::vector<std::string> KubeProxys() {
    const NetnsScope inside(Host());
    return modes::FindKubeProxy().value();
  }
  bool KubeProxyIsGone() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!KubeProxys().empty() && std::chrono::steady_clock::now() < deadline)
      std::this_thread::sleep_for(milliseconds(50));
    return KubeProxys().empty();
  }

  void Program() {
    Slice four("shop/cart"), six("shop/cart");
    four.Port("tcp", 8080).Endpoint("10.180.0.11").On("n1").Endpoint("10.180.1.11").On("n2");
    six.Named("cart-6")
        .Port("tcp", 8080)
        .Endpoint("fd00:10:180::11")
        .On("n1")
        .Endpoint("fd00:10:180:1::11")
        .On("n2");
    Service cart("shop/cart");
    cart.ClusterIp("172.30.0.10").ClusterIp("fd00:172:30::10").Port("tcp", 80, 8080).NodePort(30001);
    agent_->Put("cluster.json", Manifest({cart.ToJson(), four.ToJson(), six.ToJson()}));
  }

  // Connections through the Service that stay open: from a pod and from outside, over both families, to both
  // backends.
  void Connect() {
    const struct {
      const Namespace& from;
      const char* to;
    } ways[] = {{Pod(), kVip}, {Pod(), kVip6}, {lab_->Out(), kNodePort}, {Host(), kVip}};
    for (const auto& way : ways) {
      std::set<std::string> backends;
      for (int i = 0; i < 40 && backends.size() < 2; ++i) {
        auto& client =
            held_.emplace_back(std::make_unique<Client>(way.from, Proto::kTcp, At(way.to).address.GetFamily(),
                                                        ClientOptions{.timeout = milliseconds(5000)}));
        ASSERT_EQ(client->Connect(At(way.to)), 0) << way.to;
        backends.insert(client->Receive().backend);
      }
      EXPECT_EQ(backends.size(), 2u) << way.to;
    }
  }
  // Those that do not answer.
  std::vector<std::string> Dead() {
    std::vector<std::string> dead;
    for (const auto& client : held_) {
      const Outcome outcome = client->Ask("still there?");
      if (outcome.payload != "still there?")
        dead.push_back(fmt::format("{} to {}: {}", client->Local().ToString(), client->Peer().ToString(),
                                   outcome.ToString()));
    }
    return dead;
  }

  bool InEbpfMode() const { return std::get<1>(GetParam()) == "ebpf"; }

  // Steady requests from a pod and from outside, well under way before and after what is done meanwhile.
  struct Loads {
    explicit Loads(MigrateTest& test)
        : pod(test.Pod(), Proto::kTcp, At(kVip)), outside(test.lab_->Out(), Proto::kTcp, At(kNodePort), 1) {
      Wait();
    }
    void Wait() { EXPECT_TRUE(pod.WaitForMore(100) && outside.WaitForMore(100)); }
    std::vector<std::string> Stop() {
      Wait();
      std::vector<std::string> failures = pod.Stop();
      for (const auto& failure : outside.Stop()) failures.push_back("from outside: " + failure);
      return failures;
    }
    Load pod, outside;
  };

  std::optional<Lab> lab_;
  std::optional<Agent> agent_;
  std::deque<std::unique_ptr<Client>> held_;
};

INSTANTIATE_TEST_SUITE_P(, MigrateTest,
                         testing::Combine(testing::Values(KubeProxyMode::kIptablesNft,
                                                          KubeProxyMode::kIptablesLegacy,
                                                          KubeProxyMode::kNftables),
                                          testing::Values("nftables", "iptables", "ebpf")),
                         NameOf);

TEST_P(MigrateTest, NoRequestFailsAndConnectionsGoOnThereAndBack) {
  const auto others = Others();
  Connect();
  ASSERT_THAT(Dead(), IsEmpty());
  Loads there(*this);
  Program();
  agent_->Start();
  ASSERT_TRUE(KubeProxyIsGone()) << KubeProxys().front();
  EXPECT_THAT(there.Stop(), IsEmpty());
  EXPECT_THAT(Dead(), IsEmpty()) << "of " << held_.size() << " connections of before";
  EXPECT_EQ(Others(), others);
  // Modes with rules of their own need no table to keep connections alive.
  EXPECT_EQ(Ours().contains("table inet fairlead-established"), InEbpfMode());

  Loads back(*this);
  EXPECT_EQ(agent_->Stop(), 0);
  PutKubeProxyRules(Host(), std::get<0>(GetParam()), kCart);
  const Finished cleaned = agent_->Cleanup();
  EXPECT_EQ(cleaned.status, 0) << cleaned.output;
  EXPECT_THAT(back.Stop(), IsEmpty());
  EXPECT_THAT(Dead(), IsEmpty()) << "of " << held_.size() << " connections of before";
  EXPECT_EQ(Others(), others);
  EXPECT_THAT(Ours(), IsEmpty());
}

using MigrateBesideTest = MigrateTest;
INSTANTIATE_TEST_SUITE_P(, MigrateBesideTest,
                         testing::Values(Way{KubeProxyMode::kIptablesNft, "nftables"},
                                         Way{KubeProxyMode::kNftables, "ebpf"}),
                         NameOf);

TEST_P(MigrateBesideTest, KubeProxysRulesStayWhereTheyAreWanted) {
  const auto rules = KubeProxys();
  agent_.emplace(
      *lab_, std::vector<std::string>{"--proxy-mode", std::get<1>(GetParam()), "--remove-kube-proxy=false"});
  Program();
  agent_->Start();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  const auto said = [&] {
    return agent_->Log().find("stays, as removeKubeProxy is off") != std::string::npos;
  };
  while (!said() && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(milliseconds(50));
  EXPECT_TRUE(said());
  EXPECT_EQ(KubeProxys(), rules);
}

}  // namespace
}  // namespace fairlead::test
