// SPDX-License-Identifier: Apache-2.0
// The datapath over the real programs and kernel, in a network namespace of its own, with both backends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include <fmt/format.h>

#include "agent/base/exec.h"
#include "agent/datapath/iptables/backend.h"
#include "agent/datapath/iptables/iptables.h"
#include "agent/datapath/iptables/localnet.h"
#include "test/support/iptables/own_netns.h"
#include "test/support/objects.h"
#include "test/support/service_port.h"

namespace fairlead::iptables {
namespace {

using plan::Masquerade::kOutside;
using test::OwnNetns;
using test::PortOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::string Shell(const std::string& command) {
  auto ended = Execute({.argv = {"sh", "-c", command}, .input = {}});
  return ended ? ended->output : ended.error().message;
}

class KernelTest : public testing::TestWithParam<Backend::Kind> {
 protected:
  void SetUp() override {
    if (!OwnNetns::CanMake()) GTEST_SKIP() << "no network namespace without root";
    netns_.emplace();
    const auto installed = InstalledBackends(Execute);
    for (const Backend& backend : installed) {
      if (backend.kind == GetParam()) backend_ = backend;
    }
    if (!backend_) GTEST_SKIP() << "no iptables of this backend";
    // Who has rules already says which backend it is.
    for (int port : {1, 2, 3}) {
      Shell(
          fmt::format("{} -A INPUT -p tcp --dport {} -j ACCEPT", backend_->Program(Family::kIpv4, ""), port));
    }
    before_ = Saved();
    options_.local_traffic.by = netfilter::LocalTraffic::By::kPrefix;
  }

  // Rules of both families, without their counters.
  std::string Saved() {
    std::string text;
    for (Family family : {Family::kIpv4, Family::kIpv6}) {
      text += Shell(backend_->Program(family, "save") + " | grep -v '^#' | sed 's/ \\[.*//'");
    }
    return text;
  }
  std::string Ours() {
    return Shell(backend_->Program(Family::kIpv4, "save") + " | grep FAIRLEAD | sed 's/ \\[.*//'");
  }

  std::unique_ptr<datapath::Datapath> Serve(bool localhost = true) {
    auto datapath = Open(options_);
    if (!datapath) {
      ADD_FAILURE() << datapath.error().message;
      return nullptr;
    }
    plan::NodePlan node;
    node.nodeport_addresses = {test::Addr("192.168.99.11"), test::Addr("fd00:192:168:99::11")};
    node.pod_cidrs = {test::Range("10.180.0.0/16"), test::Range("fd00:10:180::/48")};
    node.loopback_nodeports_v4 = localhost;
    EXPECT_TRUE((*datapath)->ApplyNode(node));
    EXPECT_THAT((*datapath)->Apply(EveryKind()), IsEmpty());
    auto committed = (*datapath)->Commit();
    EXPECT_TRUE(committed) << committed.error().message;
    EXPECT_TRUE((*datapath)->Prune());
    return std::move(*datapath);
  }
  static uint64_t Written(const datapath::Datapath& datapath) {
    uint64_t written = 0;
    for (const auto& table : datapath.Rules().tables) written += table.written;
    return written;
  }

  // A service port for every kind of rule there is.
  static std::vector<plan::Change> EveryKind() {
    return {PortOf("shop/cart")
                .ClusterIp("172.30.0.10", 80, kOutside)
                .NodePort(30001)
                .LoadBalancer("198.51.100.4", 80)
                .Ranges({"203.0.113.0/24", "192.168.99.0/24"})
                .On({"10.180.1.11:8080 local", "10.180.2.11:8080"})
                .Affinity(),
            PortOf("shop/local:dns")
                .Udp()
                .ClusterIp("172.30.0.12", 53, kOutside)
                .NodePort(30002)
                .ExternalIp("198.51.100.22", 53)
                .ExternalLocal()
                .HealthCheckNodePort(32001)
                .On({"10.180.1.11:53 local", "10.180.2.11:53"})
                .LocalOn({"10.180.1.11:53"}),
            PortOf("shop/none").ClusterIp("172.30.0.13", 80, kOutside).NodePort(30003),
            PortOf("shop/sctp:s").Sctp().ClusterIp("172.30.0.14", 7, kOutside).On({"10.180.2.11:7"}),
            PortOf("shop/six")
                .ClusterIp("fd00:172:30::10", 80, kOutside)
                .NodePort(30001)
                .Affinity(30)
                .On({"[fd00:10:180:1::11]:8080 local", "[fd00:10:180:2::11]:8080"}),
            PortOf("shop/none:dns").Udp().ClusterIp("172.30.0.13", 53, kOutside),
            PortOf("shop/none:dns").Udp().ClusterIp("fd00:172:30::13", 53, kOutside),
            PortOf("shop/none").ClusterIp("fd00:172:30::13", 80, kOutside),
            PortOf("shop/many").ClusterIp("172.30.0.20", 80, kOutside).On(test::Backends(40))};
  }

  std::optional<OwnNetns> netns_;
  std::optional<Backend> backend_;
  std::string before_;
  netfilter::NetfilterOptions options_;
};

TEST_P(KernelTest, TheBackendThatHasRulesIsTaken) {
  auto probed = Probe();
  ASSERT_TRUE(probed) << probed.error().message;
  EXPECT_THAT(*probed, HasSubstr(fmt::format("({}, ", backend_->Name())));
}

TEST_P(KernelTest, TheBackendWithRulesOfKubernetesIsTakenHoweverFewTheyAre) {
  const bool nft = GetParam() == Backend::Kind::kNfTables;
  Shell(nft ? "iptables-legacy -t mangle -N KUBE-IPTABLES-HINT"
            : "iptables-nft -t mangle -N KUBE-IPTABLES-HINT");
  auto chosen = ChooseBackend(Execute);
  ASSERT_TRUE(chosen);
  EXPECT_NE(chosen->kind, GetParam());
  EXPECT_THAT(chosen->why, HasSubstr("Kubernetes"));
}

// The text of every kind of rule is the text that iptables-save prints.
TEST_P(KernelTest, ARestartWithTheSamePlanWritesNothing) {
  Serve();
  const std::string standing = Saved();
  auto again = Serve();
  EXPECT_EQ(Written(*again), 0U);
  EXPECT_EQ(Saved(), standing);
}

TEST_P(KernelTest, AChangeWritesThatServiceOnly) {
  auto datapath = Serve();
  const std::vector<plan::Change> changes{PortOf("shop/sctp:s")
                                              .Sctp()
                                              .ClusterIp("172.30.0.14", 7, kOutside)
                                              .On({"10.180.2.11:7", "10.180.2.12:7"})};
  EXPECT_THAT(datapath->Apply(changes), IsEmpty());
  EXPECT_LE(datapath->Rules().tables[1].written, 3U);
  EXPECT_THAT(Ours(), HasSubstr("10.180.2.12:7"));
}

TEST_P(KernelTest, ARemovedServiceLeavesNothing) {
  auto datapath = Serve();
  std::vector<plan::Change> removals = EveryKind();
  for (plan::Change& change : removals) change.now = nullptr;
  EXPECT_THAT(datapath->Apply(removals), IsEmpty());
  EXPECT_THAT(Ours(), Not(HasSubstr("shop/")));
  EXPECT_THAT(Ours(), Not(HasSubstr("FAIRLEAD-SVC")));
}

TEST_P(KernelTest, ARemovedServiceIsNotServedThoughARuleOfOthersLeadsToItsChain) {
  auto datapath = Serve();
  const std::string iptables = backend_->Program(Family::kIpv4, "");
  const std::string chain = ServiceChain("SVC", PortOf("shop/held").Get().key);
  const std::vector<plan::Change> changes{
      PortOf("shop/held").ClusterIp("172.30.0.31", 80, kOutside).On({"10.180.2.77:8077"})};
  ASSERT_THAT(datapath->Apply(changes), IsEmpty());
  Shell(iptables + " -t nat -N OTHERS; " + iptables + " -t nat -A OTHERS -j " + chain);
  EXPECT_THAT(datapath->Apply(std::vector{Gone(PortOf("shop/held"))}), IsEmpty());
  EXPECT_THAT(Ours(), Not(HasSubstr("10.180.2.77:8077")));
  EXPECT_THAT(Ours(), Not(HasSubstr("172.30.0.31")));
  EXPECT_THAT(Saved(), HasSubstr("-A OTHERS -j " + chain));
}

TEST_P(KernelTest, RulesThatSomebodyFlushedStandAgainWithinSeconds) {
  auto datapath = Serve();
  const std::string before = Ours();
  for (const char* command :
       {" -t nat -F", " -t filter -F FAIRLEAD-FORWARD", " -t nat -F FAIRLEAD-SERVICES"}) {
    Shell(backend_->Program(Family::kIpv4, "") + command);
    ASSERT_NE(Ours(), before) << command;
    for (int i = 0; i < 40 && Ours() != before; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      datapath->Reconcile();
    }
    EXPECT_EQ(Ours(), before) << command;
  }
}

TEST_P(KernelTest, RulesOfAnEarlierRunInTheOtherBackendGoOnceTheNewOnesStand) {
  const bool nft = GetParam() == Backend::Kind::kNfTables;
  const std::string other = nft ? "iptables-legacy" : "iptables-nft";
  Shell(other + " -t nat -N FAIRLEAD-SERVICES; " + other + " -t nat -A PREROUTING -j FAIRLEAD-SERVICES");
  Serve();
  EXPECT_THAT(Shell(other + "-save"), Not(HasSubstr("FAIRLEAD")));
  EXPECT_THAT(Ours(), HasSubstr("-A PREROUTING"));
}

TEST_P(KernelTest, CleanUpLeavesTheHostAsItWas) {
  Serve();
  ASSERT_TRUE(*ReadRouteLocalnet());
  auto cleaned = CleanUp();
  ASSERT_TRUE(cleaned) << cleaned.error().message;
  EXPECT_TRUE(*cleaned);
  EXPECT_THAT(Saved(), Not(HasSubstr("FAIRLEAD")));
  EXPECT_THAT(Saved(), HasSubstr("-A INPUT -p tcp -m tcp --dport 1 -j ACCEPT"));
  EXPECT_FALSE(*ReadRouteLocalnet());
  EXPECT_FALSE(*CleanUp());
}

TEST_P(KernelTest, RouteLocalnetThatWasSetBeforeUsStays) {
  ASSERT_TRUE(WriteRouteLocalnet(true));
  Serve();
  Serve();
  EXPECT_TRUE(*CleanUp());
  EXPECT_TRUE(*ReadRouteLocalnet());
}

TEST_P(KernelTest, RouteLocalnetGoesWithTheNodePortsOfLocalhost) {
  Serve();
  ASSERT_TRUE(*ReadRouteLocalnet());
  Serve(false);
  EXPECT_FALSE(*ReadRouteLocalnet());
  EXPECT_THAT(Ours(), Not(HasSubstr(kLocalnetNote)));
  EXPECT_THAT(Ours(), Not(HasSubstr(kFirewall)));
}

TEST_P(KernelTest, ThatRouteLocalnetIsOursIsKnownFromTheOtherBackend) {
  const bool nft = GetParam() == Backend::Kind::kNfTables;
  Shell(fmt::format("{} -t filter -N {}", nft ? "iptables-legacy" : "iptables-nft", kLocalnetNote));
  ASSERT_TRUE(WriteRouteLocalnet(true));
  Serve();
  EXPECT_TRUE(*CleanUp());
  EXPECT_FALSE(*ReadRouteLocalnet());
}

// nf_tables has no lock.
class LockTest : public KernelTest {};

TEST_P(LockTest, ALockThatIsHeldIsReportedAndTheChangeGoesInLater) {
  auto datapath = Serve();
  auto held = Execute({.argv = {"sh", "-c", "flock -n /run/xtables.lock true"}, .input = {}});
  ASSERT_EQ(held->status, 0) << "somebody else holds the lock";
  std::jthread holder([] { Shell("flock /run/xtables.lock sleep 7"); });
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  const std::vector<plan::Change> changes{
      PortOf("shop/new").ClusterIp("172.30.0.99", 80, kOutside).On({"10.180.2.99:1"})};
  const auto failures = datapath->Apply(changes);
  ASSERT_EQ(failures.size(), 1U);
  EXPECT_THAT(failures[0].error.message, HasSubstr("held the lock of xtables"));
  holder.join();
  EXPECT_THAT(datapath->Apply(changes), IsEmpty());
  EXPECT_THAT(Ours(), HasSubstr("10.180.2.99:1"));
}

TEST_P(KernelTest, AListOfAffinityLivesThroughAChangeOfAnotherBackend) {
  auto datapath = Serve();
  PortOf cart = PortOf("shop/keep").ClusterIp("172.30.0.30", 80, kOutside).Affinity(600);
  cart.On({"10.180.2.11:1", "10.180.2.12:2"});
  ASSERT_THAT(datapath->Apply(std::vector<plan::Change>{cart}), IsEmpty());
  const std::string list =
      "/proc/net/xt_recent/" + ServiceChain("MEM", cart.Get().key, AddressPort(test::Addr("10.180.2.11"), 1));
  Shell("echo +10.180.1.100 > " + list);
  cart.On({"10.180.2.11:1", "10.180.2.12:2", "10.180.2.13:3"});
  ASSERT_THAT(datapath->Apply(std::vector<plan::Change>{cart}), IsEmpty());
  EXPECT_THAT(Shell("cat " + list), HasSubstr("src=10.180.1.100"));
}

constexpr auto kBackendName = [](const auto& of) {
  return of.param == Backend::Kind::kNfTables ? "NfTables" : "Legacy";
};
INSTANTIATE_TEST_SUITE_P(Both, KernelTest, testing::Values(Backend::Kind::kNfTables, Backend::Kind::kLegacy),
                         kBackendName);
INSTANTIATE_TEST_SUITE_P(One, LockTest, testing::Values(Backend::Kind::kLegacy), kBackendName);

}  // namespace
}  // namespace fairlead::iptables
