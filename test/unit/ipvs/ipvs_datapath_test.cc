// SPDX-License-Identifier: Apache-2.0
// The whole datapath on a host in memory.
#include "agent/datapath/ipvs/ipvs_datapath.h"

#include <gtest/gtest.h>

#include "test/support/ipvs/fake_host.h"
#include "test/support/objects.h"
#include "test/support/service_port.h"

namespace fairlead::ipvs {
namespace {

using plan::Masquerade::kOutside;
using test::Addr;
using test::FakeDevice;
using test::FakeKernel;
using test::FakeTools;
using test::PortOf;

PortOf Cart() {
  return PortOf("shop/cart").ClusterIp("172.30.0.10", 80, kOutside).On({"10.180.1.11:8080"});
}
PortOf Dns() {
  return PortOf("kube-system/dns:dns").ClusterIp("172.30.0.11", 53, kOutside).On({"10.180.1.12:53"});
}

const ServerKey kCart{Addr("172.30.0.10"), 80, plan::Protocol::kTcp};
const ServerKey kDns{Addr("172.30.0.11"), 53, plan::Protocol::kTcp};
const BackendKey kCartBackend{Addr("10.180.1.11"), 8080};

class IpvsDatapathTest : public testing::Test {
 protected:
  void SetUp() override { Start(); }

  // A new agent on the same host.
  void Start(IpvsDatapathOptions options = {}) {
    options.netfilter.sync_period = std::chrono::milliseconds(0);  // every Reconcile heals
    auto made = IpvsDatapath::Create({.kernel = std::make_unique<KernelOf>(kernel_),
                                      .device = std::make_unique<DeviceOf>(device_),
                                      .run = tools_.Run(),
                                      .flows = nullptr,
                                      .settings = nullptr,
                                      .families = {Family::kIpv4},
                                      .leave_others = nullptr},
                                     options);
    ASSERT_TRUE(made) << made.error().message;
    datapath_ = std::move(*made);
  }
  std::vector<std::string> Apply(std::vector<plan::Change> changes) {
    std::vector<std::string> failures;
    for (const datapath::Failure& failure : datapath_->Apply(changes))
      failures.push_back(failure.error.message);
    return failures;
  }
  void Commit() {
    const auto committed = datapath_->Commit();
    ASSERT_TRUE(committed) << committed.error().message;
  }
  void Serve(std::vector<plan::Change> changes) {
    ASSERT_EQ(Apply(std::move(changes)), std::vector<std::string>());
    Commit();
    ASSERT_TRUE(datapath_->Prune());
  }
  void Forget() {
    kernel_.log.clear();
    device_.log.clear();
    tools_.log.clear();
  }
  void ExpectUntouched() {
    EXPECT_EQ(kernel_.log, std::vector<std::string>());
    EXPECT_EQ(device_.log, std::vector<std::string>());
  }

  FakeKernel kernel_;
  FakeDevice device_;
  FakeTools tools_;
  std::unique_ptr<IpvsDatapath> datapath_;

 private:
  // The host outlives the agents that work on it.
  class KernelOf final : public Kernel {
   public:
    explicit KernelOf(FakeKernel& fake) : fake_(fake) {}
    Result<PresentServers> List() override { return fake_.List(); }
    Result<std::map<BackendKey, Connections>> ConnectionsOf(const ServerKey& server) override {
      return fake_.ConnectionsOf(server);
    }
    Result<std::vector<int>> Do(std::span<const Step> steps) override { return fake_.Do(steps); }
    Result<void> TryScheduler(const std::string& name) override { return fake_.TryScheduler(name); }

   private:
    FakeKernel& fake_;
  };
  class DeviceOf final : public Device {
   public:
    explicit DeviceOf(FakeDevice& fake) : fake_(fake) {}
    Result<void> Ensure() override { return fake_.Ensure(); }
    Result<Addresses> List() override { return fake_.List(); }
    Result<void> Add(const Address& address) override { return fake_.Add(address); }
    Result<void> Remove(const Address& address) override { return fake_.Remove(address); }

   private:
    FakeDevice& fake_;
  };
};

TEST_F(IpvsDatapathTest, NothingIsWrittenBeforeCommitAndAllOfItThen) {
  EXPECT_TRUE(Apply({Cart()}).empty());
  ExpectUntouched();
  EXPECT_TRUE(tools_.log.empty());
  Commit();
  EXPECT_EQ(kernel_.Text(), "172.30.0.10:80/TCP rr: 10.180.1.11:8080=1");
  EXPECT_EQ(device_.Text(), "172.30.0.10");
  EXPECT_EQ(tools_.Sets(),
            "FAIRLEAD-ADDRESSES 172.30.0.10\n"
            "FAIRLEAD-FRONTENDS 172.30.0.10,tcp:80\n"
            "FAIRLEAD-MASQ-OUTSIDE 172.30.0.10,tcp:80\n");
  EXPECT_NE(tools_.Rules("nat").find("-A PREROUTING -j FAIRLEAD-IPVS-SERVICES"), std::string::npos);
}

TEST_F(IpvsDatapathTest, TheNumberOfRulesDoesNotDependOnTheNumberOfServices) {
  Serve({Cart()});
  const std::string rules = tools_.Rules("mangle") + tools_.Rules("filter") + tools_.Rules("nat");
  std::vector<plan::Change> changes;
  for (int i = 1; i <= 200; ++i) {
    changes.push_back(PortOf("shop/many:" + std::to_string(i))
                          .ClusterIp("172.30.1." + std::to_string(i), 80, kOutside)
                          .NodePort(static_cast<uint16_t>(30000 + i))
                          .On({"10.180.0.11:8080 local"}));
  }
  EXPECT_TRUE(Apply(changes).empty());
  EXPECT_EQ(kernel_.servers.size(), 201u);
  EXPECT_EQ(tools_.Rules("mangle") + tools_.Rules("filter") + tools_.Rules("nat"), rules);
}

TEST_F(IpvsDatapathTest, AChangeOfBackendsCostsItsStepsAndRunsNoProgram) {
  Serve({Cart()});
  Forget();
  EXPECT_TRUE(Apply({Cart().On({"10.180.1.11:8080", "10.180.2.11:8080"})}).empty());
  EXPECT_EQ(kernel_.log, std::vector<std::string>{"add 10.180.2.11:8080 of 172.30.0.10:80/TCP weight 1"});
  EXPECT_TRUE(tools_.log.empty());
}

TEST_F(IpvsDatapathTest, ARestartWritesOnlyTheDifferenceAndPruneTakesWhatNobodyNames) {
  Serve({Cart(), Dns()});
  Start();
  Forget();
  EXPECT_TRUE(Apply({Cart()}).empty());
  Commit();
  ExpectUntouched();
  ASSERT_TRUE(datapath_->Prune());
  datapath_->Reconcile();
  EXPECT_EQ(kernel_.Text(), "172.30.0.10:80/TCP rr: 10.180.1.11:8080=1");
  EXPECT_EQ(device_.Text(), "172.30.0.10");
  EXPECT_EQ(tools_.Sets(),
            "FAIRLEAD-ADDRESSES 172.30.0.10\n"
            "FAIRLEAD-FRONTENDS 172.30.0.10,tcp:80\n"
            "FAIRLEAD-MASQ-OUTSIDE 172.30.0.10,tcp:80\n");
}

TEST_F(IpvsDatapathTest, AVirtualServerMadeByHandIsNeverTouched) {
  const ServerKey by_hand{Addr("198.51.100.99"), 443, plan::Protocol::kTcp};
  kernel_.servers[by_hand] = {{"wlc", 0, 0}, {{kCartBackend, 9}}};
  Serve({Cart()});
  datapath_->Reconcile();
  EXPECT_EQ(kernel_.servers[by_hand], (PresentServer{{"wlc", 0, 0}, {{kCartBackend, 9}}}));
}

TEST_F(IpvsDatapathTest, InExcludeCidrsServicesAreServedAndServersOfOthersStay) {
  IpvsDatapathOptions options;
  options.ipvs.exclude_cidrs = {"172.30.0.0/24"};
  const ServerKey by_hand{Addr("172.30.0.10"), 443, plan::Protocol::kTcp};
  kernel_.servers[by_hand] = {{"wlc", 0, 0}, {{kCartBackend, 9}}};
  Start(options);
  Serve({Cart()});
  Start(options);
  Serve({Cart()});
  datapath_->Reconcile();
  EXPECT_EQ(kernel_.Text(),
            "172.30.0.10:80/TCP rr: 10.180.1.11:8080=1\n172.30.0.10:443/TCP wlc: 10.180.1.11:8080=9");
}

TEST_F(IpvsDatapathTest, AMalformedExcludeCidrIsSaid) {
  IpvsDatapathOptions options;
  options.ipvs.exclude_cidrs = {"10.0.0.0/99"};
  const auto made = IpvsDatapath::Create({}, options);
  ASSERT_FALSE(made);
  EXPECT_TRUE(made.error().message.starts_with("ipvs.excludeCIDRs: ")) << made.error().message;
}

TEST_F(IpvsDatapathTest, ASchedulerTheKernelLacksFailsItsServiceAloneAndWhatStoodStands) {
  Serve({Cart()});
  kernel_.missing_schedulers = {"lblcr"};
  const PortOf asks = Cart().On({"10.180.1.11:8080", "10.180.2.11:8080"}).Scheduler("lblcr");
  EXPECT_EQ(Apply({asks, Dns()}),
            std::vector<std::string>{
                "shop/cart:http/TCP IPv4: IPVS: scheduler lblcr: this kernel has no module ip_vs_lblcr"});
  EXPECT_EQ(kernel_.Text(),
            "172.30.0.10:80/TCP rr: 10.180.1.11:8080=1\n172.30.0.11:53/TCP rr: 10.180.1.12:53=1");
}

TEST_F(IpvsDatapathTest, AServerTheKernelRefusesFailsItsServiceAlone) {
  Serve({Cart()});
  kernel_.refused = {kDns};
  const auto failures = Apply({Cart().On({"10.180.1.11:8080", "10.180.2.11:8080"}), Dns()});
  ASSERT_EQ(failures.size(), 1u);
  EXPECT_TRUE(failures[0].starts_with("kube-system/dns:dns/TCP IPv4: IPVS: ")) << failures[0];
  EXPECT_EQ(kernel_.Text(), "172.30.0.10:80/TCP rr: 10.180.1.11:8080=1 10.180.2.11:8080=1");
  EXPECT_EQ(device_.Text(), "172.30.0.10") << "no address without its server";
}

TEST_F(IpvsDatapathTest, AnElementThatIsRefusedFailsItsServiceAlone) {
  Serve({});
  tools_.refused_element = "172.30.0.11,tcp:53";
  EXPECT_EQ(Apply({Cart(), Dns()}).size(), 1u);
  EXPECT_EQ(kernel_.Text(), "172.30.0.10:80/TCP rr: 10.180.1.11:8080=1");
  EXPECT_EQ(device_.Text(), "172.30.0.10");
}

TEST_F(IpvsDatapathTest, AnAddressThatIsRefusedFailsItsServiceAlone) {
  Serve({});
  device_.refused = {Addr("172.30.0.11")};
  const auto failures = Apply({Cart(), Dns()});
  ASSERT_EQ(failures.size(), 1u);
  EXPECT_TRUE(failures[0].starts_with("kube-system/dns:dns/TCP IPv4: device: add 172.30.0.11"))
      << failures[0];
  datapath_->Reconcile();  // what was begun of it drains
  EXPECT_EQ(kernel_.Text(), "172.30.0.10:80/TCP rr: 10.180.1.11:8080=1");
  EXPECT_EQ(device_.Text(), "172.30.0.10");
}

TEST_F(IpvsDatapathTest, WhatTheKernelRefusesAtCommitKeepsNobodyElseFromServing) {
  kernel_.refused = {kDns};
  EXPECT_TRUE(Apply({Cart(), Dns()}).empty());
  Commit();
  ASSERT_TRUE(datapath_->Prune());
  ASSERT_TRUE(datapath_->ApplyNode({}));
  EXPECT_EQ(kernel_.Text(), "172.30.0.10:80/TCP rr: 10.180.1.11:8080=1");
  EXPECT_EQ(device_.Text(), "172.30.0.10") << "no address without its server";
  ASSERT_EQ(datapath_->Refused().size(), 1u);
  EXPECT_EQ(datapath_->Refused()[0].key, Dns().Get().key);
  kernel_.refused.clear();
  datapath_->Reconcile();
  EXPECT_TRUE(datapath_->Refused().empty());
  EXPECT_EQ(device_.Text(), "172.30.0.10 172.30.0.11") << "tried again";
}

TEST_F(IpvsDatapathTest, AnElementThatIsRefusedAtCommitKeepsNobodyElseFromServing) {
  tools_.refused_element = "172.30.0.11,tcp:53";
  EXPECT_TRUE(Apply({Cart(), Dns()}).empty());
  Commit();
  EXPECT_EQ(kernel_.Text(), "172.30.0.10:80/TCP rr: 10.180.1.11:8080=1")
      << "what is not guarded does not serve";
  tools_.refused_element.clear();
  datapath_->Reconcile();
  EXPECT_EQ(device_.Text(), "172.30.0.10 172.30.0.11");
}

TEST_F(IpvsDatapathTest, CommitFailsWithoutTheTool) {
  EXPECT_TRUE(Apply({Cart()}).empty());
  tools_.missing = {"ipset"};
  EXPECT_FALSE(datapath_->Commit());
  tools_.missing = {};
  Commit();
  EXPECT_EQ(device_.Text(), "172.30.0.10");
}

TEST_F(IpvsDatapathTest, AToolThatRefusesEverythingIsNotTriedElementByElement) {
  Serve({});
  Forget();
  tools_.refuses_all = true;
  std::vector<plan::Change> changes;
  for (int i = 0; i < 1000; ++i)
    changes.push_back(PortOf("shop/many:" + std::to_string(i))
                          .ClusterIp("172.30." + std::to_string(i / 200) + "." + std::to_string(i % 200 + 1),
                                     80, kOutside));
  EXPECT_EQ(Apply(changes).size(), 1000u);
  EXPECT_LT(tools_.log.size(), 100u);
}

TEST_F(IpvsDatapathTest, AToolThatIsGoneFailsWhatNeedsItAndComesBack) {
  Serve({Cart()});
  tools_.missing = {"ipset"};
  EXPECT_EQ(Apply({Dns()}), std::vector<std::string>{"kube-system/dns:dns/TCP IPv4: ipset: no such program"});
  EXPECT_EQ(kernel_.Text(), "172.30.0.10:80/TCP rr: 10.180.1.11:8080=1");
  tools_.missing = {};
  EXPECT_TRUE(Apply({Dns()}).empty());
  EXPECT_EQ(device_.Text(), "172.30.0.10 172.30.0.11");
}

TEST_F(IpvsDatapathTest, AnAddressThatMovesToAnotherServiceIsNeverWithoutAServer) {
  Serve({Cart()});
  Forget();
  auto heir = PortOf("shop/basket").ClusterIp("172.30.0.10", 80, kOutside).On({"10.180.2.11:8080"});
  EXPECT_TRUE(Apply({heir, Gone(Cart())}).empty());
  EXPECT_EQ(kernel_.log, (std::vector<std::string>{"add 10.180.2.11:8080 of 172.30.0.10:80/TCP weight 1",
                                                   "set 10.180.1.11:8080 of 172.30.0.10:80/TCP weight 0"}));
  EXPECT_TRUE(device_.log.empty());
}

TEST_F(IpvsDatapathTest, ADeletedServiceKeepsItsEstablishedConnectionsAndTakesNoNewOne) {
  Serve({Cart()});
  kernel_.connections[kCart][kCartBackend] = {1, 0};
  EXPECT_TRUE(Apply({Gone(Cart())}).empty());
  datapath_->Reconcile();
  EXPECT_EQ(kernel_.Text(), "172.30.0.10:80/TCP rr: 10.180.1.11:8080=0");
  EXPECT_EQ(device_.Text(), "172.30.0.10");
  EXPECT_EQ(tools_.Sets(), "FAIRLEAD-ADDRESSES 172.30.0.10\nFAIRLEAD-FRONTENDS 172.30.0.10,tcp:80\n");
}

TEST_F(IpvsDatapathTest, ADeletedServiceWithoutConnectionsLeavesNothing) {
  Serve({Cart()});
  EXPECT_TRUE(Apply({Gone(Cart())}).empty());
  datapath_->Reconcile();
  EXPECT_EQ(kernel_.Text(), "");
  EXPECT_EQ(device_.Text(), "");
  EXPECT_EQ(tools_.Sets(), "");
}

TEST_F(IpvsDatapathTest, AnAddressTwoServicePortsShareStaysWithTheSecond) {
  auto https = PortOf("shop/cart:https").ClusterIp("172.30.0.10", 443, kOutside).On({"10.180.1.11:8443"});
  Serve({Cart(), https});
  EXPECT_TRUE(Apply({Gone(Cart())}).empty());
  datapath_->Reconcile();
  EXPECT_EQ(device_.Text(), "172.30.0.10");
  EXPECT_EQ(kernel_.Text(), "172.30.0.10:443/TCP rr: 10.180.1.11:8443=1");
}

TEST_F(IpvsDatapathTest, AnExternalIpThatIsTheNodesOwnTakesItsPortsAndNothingElse) {
  device_.addresses.others = {Addr("192.168.99.11")};
  Serve({PortOf("shop/cart").ExternalIp("192.168.99.11", 80).On({"10.180.1.11:8080"})});
  EXPECT_EQ(kernel_.Text(), "192.168.99.11:80/TCP rr: 10.180.1.11:8080=1");
  EXPECT_EQ(device_.Text(), "");
  EXPECT_EQ(tools_.Sets().find("FAIRLEAD-ADDRESSES"), std::string::npos)
      << "its other ports would be refused";
}

TEST_F(IpvsDatapathTest, NodePortsFollowTheNodesAddresses) {
  plan::NodePlan node;
  node.nodeport_addresses = {Addr("192.168.99.11")};
  ASSERT_TRUE(datapath_->ApplyNode(node));
  Serve({PortOf("shop/cart").NodePort(30001).On({"10.180.1.11:8080"})});
  EXPECT_EQ(kernel_.Text(), "192.168.99.11:30001/TCP rr: 10.180.1.11:8080=1");
  node.nodeport_addresses = {Addr("192.168.99.12")};
  ASSERT_TRUE(datapath_->ApplyNode(node));
  datapath_->Reconcile();
  EXPECT_EQ(kernel_.Text(), "192.168.99.12:30001/TCP rr: 10.180.1.11:8080=1");
}

TEST_F(IpvsDatapathTest, AnAddressOfTheNodeThatCouldNotBeWrittenIsWrittenAtTheRetry) {
  Serve({PortOf("shop/cart").NodePort(30001).On({"10.180.1.11:8080"})});
  plan::NodePlan node;
  node.nodeport_addresses = {Addr("192.168.99.11")};
  tools_.missing = {"ipset"};
  EXPECT_FALSE(datapath_->ApplyNode(node));
  tools_.missing = {};
  EXPECT_TRUE(datapath_->ApplyNode(node));
  EXPECT_EQ(kernel_.Text(), "192.168.99.11:30001/TCP rr: 10.180.1.11:8080=1");
}

TEST_F(IpvsDatapathTest, WhatSomebodyTookAwayIsPutRight) {
  Serve({Cart(), Dns()});
  const std::string servers = kernel_.Text(), sets = tools_.Sets(), rules = tools_.Rules("nat");
  kernel_.servers.erase(kCart);
  kernel_.servers[kDns].backends.clear();
  device_.there = false;
  device_.addresses.ours.clear();
  tools_.sets.erase("FAIRLEAD-FRONTENDS");
  tools_.chains.clear();
  datapath_->Reconcile();
  EXPECT_EQ(kernel_.Text(), servers);
  EXPECT_EQ(device_.Text(), "172.30.0.10 172.30.0.11");
  EXPECT_EQ(tools_.Sets(), sets);
  EXPECT_EQ(tools_.Rules("nat"), rules);
}

TEST_F(IpvsDatapathTest, WhatSomebodyAddedToOursIsTakenAway) {
  Serve({Cart()});
  kernel_.servers[kCart].backends[{Addr("10.180.9.9"), 1}] = 1;
  device_.addresses.ours.insert(Addr("172.30.0.99"));
  tools_.sets["FAIRLEAD-MASQ-ALL"].insert("172.30.0.10,tcp:80");
  datapath_->Reconcile();
  datapath_->Reconcile();
  EXPECT_EQ(device_.Text(), "172.30.0.10");
  EXPECT_TRUE(tools_.sets["FAIRLEAD-MASQ-ALL"].empty());
  EXPECT_EQ(kernel_.servers[kCart].backends.count({Addr("10.180.9.9"), 1}), 0u);
}

TEST_F(IpvsDatapathTest, AFamilyTheNodeDoesNotHaveIsRefusedByService) {
  EXPECT_EQ(Apply({PortOf("shop/cart").ClusterIp("fd00:172:30::10", 80, kOutside)}),
            std::vector<std::string>{"shop/cart:http/TCP IPv6: this node has no IPv6"});
}

TEST_F(IpvsDatapathTest, TheRulesAreCountedByTable) {
  Serve({Cart()});
  const datapath::RuleReadings readings = datapath_->Rules();
  ASSERT_EQ(readings.tables.size(), 3u);
  EXPECT_EQ(readings.tables[2].table, "nat");
  EXPECT_EQ(readings.tables[2].rules, 12u);
}

}  // namespace
}  // namespace fairlead::ipvs
