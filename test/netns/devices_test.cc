// SPDX-License-Identifier: Apache-2.0
// The packet path follows the node's devices: uplinks and pods' devices that come, go, change and come back.
#include <gmock/gmock.h>
#include <yaml-cpp/yaml.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <thread>

#include "test/support/node_fixture.h"

namespace fairlead::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using testing::Contains;
using testing::Key;
using testing::Not;

// It takes some 20 ms; the rest is for a machine that is busy.
constexpr milliseconds kSoon{2000};

struct DeviceLink {
  uint32_t id = 0;
  uint32_t ifindex = 0;
  friend bool operator==(const DeviceLink&, const DeviceLink&) = default;
};
using DeviceLinks = std::map<std::string, DeviceLink>;

class DevicesTest : public NodeTest {
 protected:
  // Links to devices that stand, by the name of their pin.
  DeviceLinks Links() {
    const Finished shown = TheAgent().Ctl({"status", "-o", "json"});
    DeviceLinks links;
    if (shown.status != 0) return links;
    for (const auto& link : YAML::Load(shown.output)["links"]) {
      auto ifindex = link["ifindex"].as<uint32_t>();
      if (ifindex != 0) links[link["name"].as<std::string>()] = {link["link_id"].as<uint32_t>(), ifindex};
    }
    return links;
  }
  // How long it took until it was so; more than kSoon if it was not.
  milliseconds Await(const std::function<bool(const DeviceLinks&)>& so) {
    const auto began = steady_clock::now();
    while (!so(Links()) && steady_clock::now() - began <= kSoon) std::this_thread::sleep_for(milliseconds(5));
    return std::chrono::duration_cast<milliseconds>(steady_clock::now() - began);
  }
  milliseconds Await(const std::string& name, bool there = true) {
    return Await([&](const DeviceLinks& links) { return links.contains(name) == there; });
  }
  std::string Shown(std::vector<std::string> command) {
    command.insert(command.begin(), {"ip", "netns", "exec", Host().Name()});
    return test::Run(command).output;
  }
};

TEST_F(DevicesTest, UplinksAndDevicesToBackendsGetThePacketPath) {
  Program(Cart(), CartSlice({"10.180.0.11", "10.180.1.11"}));
  TheLab().N1().Pod("10.180.0.12");
  Await("tc_pod@pod11");
  const DeviceLinks links = Links();
  EXPECT_THAT(links, Contains(Key("tc_uplink@eth0")));
  EXPECT_THAT(links, Contains(Key("tc_egress@eth0")));
  EXPECT_THAT(links, Contains(Key("tc_pod@pod11")));
  EXPECT_THAT(links, Not(Contains(Key("tc_pod@pod12")))) << "no backend is behind it";
  EXPECT_THAT(links, Not(Contains(Key("xdp_uplink@eth0")))) << "eth0 is a veth";
  EXPECT_TRUE(std::filesystem::exists(Sandbox::Get().BpffsDir() + "/programs/tc_explain"));
}

TEST_F(DevicesTest, APodThatComesAfterItsEndpointIsServedAtOnce) {
  Slice slice("shop/cart");
  slice.Port("tcp", 8080).Endpoint("10.180.0.21").On("n1");
  Program(Cart(), slice);
  EXPECT_THAT(Links(), Not(Contains(Key("tc_pod@pod21"))));
  TheLab().N1().Pod("10.180.0.21");
  EXPECT_LT(Await("tc_pod@pod21"), kSoon);
}

TEST_F(DevicesTest, ThePodsDeviceOfARemovedBackendIsLeftAfterItsFlows) {
  Program(Cart(), CartSlice({"10.180.0.11"}));
  Await("tc_pod@pod11");
  Program(Cart(), CartSlice({"10.180.0.13"}));
  Await("tc_pod@pod13");
  EXPECT_LT(Await("tc_pod@pod11", false), kSoon) << "no flow leads there";
}

TEST_F(DevicesTest, AnUplinkThatIsReplacedGetsItsProgramsAgain) {
  const std::string make = "link add up9 type veth peer name far9\naddress add 10.9.0.1/24 dev up9\n";
  Host().Ip(make);
  EXPECT_LT(Await("tc_egress@up9"), kSoon);
  const DeviceLink first = Links()["tc_uplink@up9"];
  Host().Ip("link del up9\n" + make);
  Await([&](const DeviceLinks& links) {
    auto now = links.find("tc_uplink@up9");
    return now != links.end() && now->second.ifindex != first.ifindex;
  });
  const DeviceLink second = Links()["tc_uplink@up9"];
  EXPECT_NE(second.ifindex, 0u);
  EXPECT_NE(second.ifindex, first.ifindex);
  Host().Ip("link del up9\n");
  const std::string pin = Sandbox::Get().BpffsDir() + "/links/tc_uplink@up9";
  EXPECT_LT(Await([&](const DeviceLinks&) { return !std::filesystem::exists(pin); }), kSoon);
}

TEST_F(DevicesTest, ADeviceBecomesAnUplinkWithItsAddressAndStaysOneForAWhileWithoutIt) {
  Host().Ip("link add up9 type veth peer name far9\n");
  EXPECT_THAT(Links(), Not(Contains(Key("tc_uplink@up9"))));
  Host().Ip("address add 10.9.0.1/24 dev up9\n");
  EXPECT_LT(Await("tc_uplink@up9"), kSoon);
  const DeviceLink before = Links()["tc_uplink@up9"];
  Host().Ip("address del 10.9.0.1/24 dev up9\n");
  std::this_thread::sleep_for(milliseconds(500));  // a pass takes some 20 ms
  EXPECT_EQ(Links()["tc_uplink@up9"], before);
  Host().Ip("address add 10.9.0.2/24 dev up9\n");
  std::this_thread::sleep_for(milliseconds(500));
  EXPECT_EQ(Links()["tc_uplink@up9"], before) << "in place when an address comes back";
}

TEST_F(DevicesTest, ARenamedUplinkKeepsItsLinkUnderItsNewName) {
  Host().Ip("link add up9 type veth peer name far9\naddress add 10.9.0.1/24 dev up9\n");
  Await("tc_egress@up9");
  const DeviceLink before = Links()["tc_uplink@up9"];
  Host().Ip("link set up9 name up.8\n");
  EXPECT_LT(Await("tc_uplink@up:8"), kSoon);
  EXPECT_EQ(Links()["tc_uplink@up:8"], before);
  Await("tc_uplink@up9", false);
}

TEST_F(DevicesTest, ARestartKeepsEveryLink) {
  Program(Cart(), CartSlice({"10.180.0.11"}));
  Await("tc_pod@pod11");
  const DeviceLinks before = Links();
  TheAgent().Kill();
  EXPECT_EQ(Links(), before);
  TheAgent().Start();
  EXPECT_EQ(Links(), before);
}

TEST_F(DevicesTest, AnAgentThatHasNotCommittedDetachesNothing) {
  Program(Cart(), CartSlice({"10.180.0.11"}));
  Await("tc_pod@pod11");
  TheAgent().Kill();
  TheAgent().Put("cluster.json", Manifest({Cart().ToJson()}));
  EXPECT_THAT(Links(), Contains(Key("tc_pod@pod11")));
  TheAgent().Start();
  EXPECT_LT(Await("tc_pod@pod11", false), kSoon) << "once everything is known, it goes";
}

TEST_F(DevicesTest, CleanupLeavesTheDevicesAsTheyWere) {
  const std::vector<std::string> qdiscs = {"tc", "qdisc", "show"};
  TheAgent().Stop();
  ASSERT_EQ(TheAgent().Cleanup().status, 0);
  const std::string before = Shown(qdiscs);
  TheAgent().Start();
  const DeviceLinks links = Links();
  EXPECT_GE(links.size(), 2u);
  TheAgent().Stop();
  ASSERT_EQ(TheAgent().Cleanup().status, 0);
  EXPECT_EQ(Shown(qdiscs), before);
  for (const auto& [name, link] : links) {
    const Finished shown = test::Run({"bpftool", "-j", "link", "show", "id", fmt::format("{}", link.id)});
    EXPECT_NE(shown.status, 0) << name << ": " << shown.output;
  }
}

// --- named by the user

class NamedDevicesTest : public DevicesTest {
 protected:
  std::vector<std::string> Arguments() const override {
    return {"--devices", "eth*,up9", "--pod-devices", "pod3*", "--xdp", "native"};
  }
};

TEST_F(NamedDevicesTest, GlobsChooseAndXdpIsAttachedWhereItIsAskedFor) {
  TheLab().N1().Pod("10.180.0.31");
  Host().Ip("link add up9 type veth peer name far9\n");
  EXPECT_LT(Await("xdp_uplink@up9"), kSoon) << "no address is needed";
  Await("tc_pod@pod31");
  const DeviceLinks links = Links();
  EXPECT_THAT(links, Contains(Key("tc_pod@pod31")));
  EXPECT_THAT(links, Contains(Key("tc_uplink@eth0")));
  EXPECT_THAT(links, Contains(Key("xdp_uplink@eth0")));
  EXPECT_THAT(links, Not(Contains(Key("tc_uplink@far9"))));
}

}  // namespace
}  // namespace fairlead::test
