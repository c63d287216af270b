// SPDX-License-Identifier: Apache-2.0
// Which devices become uplinks and pods' devices, by what rtnetlink says of them.
#include "agent/datapath/ebpf/devices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fairlead::ebpf {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class DevicesTest : public testing::Test {
 protected:
  // A device of Ethernet frames; its addresses as prefixes, the first one preferred.
  NetDevice& Add(const std::string& name, const std::string& kind = "",
                 const std::vector<std::string>& addresses = {}) {
    auto ifindex = static_cast<uint32_t>(inventory_.size() + 1);
    NetDevice& device = inventory_[ifindex];
    device.ifindex = ifindex;
    device.name = name;
    device.kind = kind;
    device.ethernet = true;
    for (const std::string& text : addresses) {
      size_t slash = text.find('/');
      Address address = *Address::Parse(text.substr(0, slash));
      device.addresses.push_back(address);
      device.prefixes.push_back({address, static_cast<uint8_t>(std::stoi(text.substr(slash + 1)))});
    }
    return device;
  }
  uint32_t IndexOf(const std::string& name) const {
    for (const auto& [ifindex, device] : inventory_) {
      if (device.name == name) return ifindex;
    }
    return 0;
  }
  std::vector<std::string> With(uint32_t flag) const {
    std::vector<std::string> names;
    for (const auto& [ifindex, chosen] : Chosen().devices) {
      if (chosen.row.flags & flag) names.push_back(chosen.name);
    }
    return names;
  }
  std::vector<std::string> Uplinks() const { return With(DEVICE_UPLINK); }
  std::vector<std::string> Pods() const { return With(DEVICE_POD); }
  Choice Chosen() const { return ChooseDevices(inventory_, options_, to_backends_); }
  std::string NatOf(const std::string& name) const {
    return Address{Chosen().devices.at(IndexOf(name)).row.nat_v4}.ToString();
  }

  Inventory inventory_;
  DeviceOptions options_;
  std::set<uint32_t> to_backends_;
};

TEST_F(DevicesTest, AnAddressOfTheNodeOrTheDefaultRouteMakesAnUplink) {
  Add("lo", "", {"10.0.0.1/32"}).loopback = true;
  Add("eth0", "", {"192.168.99.11/24"});
  Add("eth1");
  Add("ppp0").default_route = true;
  EXPECT_THAT(Uplinks(), ElementsAre("eth0", "ppp0"));
}

TEST_F(DevicesTest, OverlayDevicesAreUplinksBecauseAnswersOfOtherNodesArriveThere) {
  Add("flannel.1", "vxlan", {"10.244.0.0/32"});
  Add("eth0.7", "vlan", {"10.7.0.1/24"});
  EXPECT_THAT(Uplinks(), ElementsAre("flannel.1", "eth0.7"));
}

TEST_F(DevicesTest, WhereNothingArrivesIsNoUplink) {
  Add("kube-ipvs0", "dummy", {"172.30.0.10/32"});
  Add("nodelocaldns", "dummy", {"169.254.20.10/32"});
  Add("vrf-blue", "vrf", {"10.9.0.1/24"});
  EXPECT_THAT(Uplinks(), IsEmpty());
}

TEST_F(DevicesTest, ABridgeOfContainersIsNoUplinkButOneWithANetworkCardIs) {
  Add("docker0", "bridge", {"172.17.0.1/16"});
  Add("veth1", "veth").master = IndexOf("docker0");
  Add("virbr0", "bridge", {"192.168.122.1/24"});
  Add("tap0", "tun").master = IndexOf("virbr0");
  Add("br0", "bridge", {"192.168.99.11/24"});
  Add("eth0").master = IndexOf("br0");
  EXPECT_THAT(Uplinks(), ElementsAre("br0"));
}

TEST_F(DevicesTest, ABridgeWithTheDefaultRouteIsAnUplinkWhateverIsBehindIt) {
  Add("br0", "bridge", {"192.168.99.11/24"}).default_route = true;
  Add("veth1", "veth").master = IndexOf("br0");
  EXPECT_THAT(Uplinks(), ElementsAre("br0"));
}

TEST_F(DevicesTest, AVethWithANetworkIsAnUplinkButNotWithAGatewaysHostAddress) {
  Add("eth0", "veth", {"192.168.99.11/24"});
  Add("veth1", "veth", {"10.244.0.1/32"});
  Add("veth2", "veth");
  EXPECT_THAT(Uplinks(), ElementsAre("eth0"));
}

TEST_F(DevicesTest, ADeviceThatLeadsToABackendIsAPodsUnlessItIsAnUplink) {
  Add("eth0", "", {"192.168.99.11/24"});
  Add("cni0", "bridge", {"10.244.0.1/24"});
  Add("veth1", "veth", {"10.244.0.1/32"});
  to_backends_ = {IndexOf("eth0"), IndexOf("cni0"), IndexOf("veth1")};
  EXPECT_THAT(Uplinks(), ElementsAre("eth0"));
  EXPECT_THAT(Pods(), ElementsAre("cni0", "veth1"));
}

TEST_F(DevicesTest, ABackendBehindTheDefaultRouteMakesNoPodsDevice) {
  options_.uplinks = {"eth1"};
  Add("eth0", "", {"192.168.99.11/24"}).default_route = true;
  to_backends_ = {IndexOf("eth0")};
  EXPECT_THAT(Pods(), IsEmpty());
}

TEST_F(DevicesTest, NamesThatAreGivenReplaceTheRules) {
  Add("eth0", "", {"192.168.99.11/24"});
  Add("ens3");
  Add("ens4");
  options_.uplinks = {"ens*"};
  EXPECT_THAT(Uplinks(), ElementsAre("ens3", "ens4"));
  options_.uplinks = {"auto", "ens4"};
  EXPECT_THAT(Uplinks(), ElementsAre("eth0", "ens4"));
}

TEST_F(DevicesTest, AGivenPodsDeviceIsNoUplinkByTheRulesButAGivenUplinkIsNoPods) {
  Add("tap7", "tun", {"10.5.0.1/24"});
  options_.pods = {"tap*"};
  EXPECT_THAT(Pods(), ElementsAre("tap7"));
  options_.uplinks = {"tap7"};
  EXPECT_THAT(Uplinks(), ElementsAre("tap7"));
  EXPECT_THAT(Pods(), IsEmpty());
}

TEST_F(DevicesTest, LoopbackIsNeverChosen) {
  Add("lo").loopback = true;
  options_.uplinks = options_.pods = {"*"};
  EXPECT_THAT(Chosen().devices, IsEmpty());
}

TEST_F(DevicesTest, ADeviceWithoutEthernetHeadersIsLeftOutAndNamed) {
  Add("wg0", "wireguard", {"10.6.0.1/24"}).ethernet = false;
  EXPECT_THAT(Uplinks(), IsEmpty());
  EXPECT_THAT(Chosen().left_out, ElementsAre(testing::StartsWith("wg0: ")));
}

TEST_F(DevicesTest, TheDetectorByDeviceNamesPodsDevices) {
  Options options;
  options.detect_local_mode = "InterfaceNamePrefix";
  options.pod_interface_name_prefix = "cali";
  options.devices = "eth0, ens*";
  options.pod_devices = "tap*";
  options_ = DeviceOptions::From(options);
  EXPECT_THAT(options_.uplinks, ElementsAre("eth0", "ens*"));
  EXPECT_THAT(options_.pods, ElementsAre("tap*", "cali*"));
  EXPECT_TRUE(PodDevicesArePods(options));
}

TEST_F(DevicesTest, OnlyAPairIntoAnotherNamespaceIsEnteredDirectly) {
  options_.direct = true;
  Add("veth1", "veth").peer_elsewhere = true;
  Add("veth2", "veth");
  Add("eth0.7", "vlan").peer_elsewhere = true;
  to_backends_ = {1, 2, 3};
  EXPECT_THAT(With(DEVICE_DIRECT), ElementsAre("veth1"));
  options_.direct = false;
  EXPECT_THAT(With(DEVICE_DIRECT), IsEmpty());
}

TEST_F(DevicesTest, MasqueradedPacketsHaveTheFirstAddressOfTheirDeviceAndElseTheNodes) {
  Add("eth1", "", {"10.1.0.1/24"});
  NetDevice& eth0 = Add("eth0", "", {"192.168.99.11/24", "192.168.99.12/24", "fd00:99::11/64"});
  eth0.default_route = true;
  EXPECT_EQ(NatOf("eth0"), "192.168.99.11");
  EXPECT_EQ(NatOf("eth1"), "10.1.0.1");
  EXPECT_EQ(Address{Chosen().node.nat_v4}.ToString(), "192.168.99.11");
  EXPECT_EQ(Address{Chosen().node.nat_v6}.ToString(), "fd00:99::11");
  EXPECT_TRUE(Address{Chosen().devices.at(IndexOf("eth1")).row.nat_v6}.IsUnspecified());
}

TEST_F(DevicesTest, XdpIsForUplinksAndOnAVethOnlyWhenAskedFor) {
  Add("eth0", "", {"192.168.99.11/24"});
  Add("eth1", "veth", {"192.168.98.11/24"});
  Add("veth1", "veth");
  to_backends_ = {IndexOf("veth1")};
  auto modes = [&] {
    std::vector<XdpMode> found;
    for (const auto& [ifindex, chosen] : Chosen().devices) found.push_back(chosen.xdp);
    return found;
  };
  EXPECT_THAT(modes(), ElementsAre(XdpMode::kNative, XdpMode::kNone, XdpMode::kNone));
  options_.xdp = "native";
  EXPECT_THAT(modes(), ElementsAre(XdpMode::kNative, XdpMode::kNative, XdpMode::kNone));
  options_.xdp = "generic";
  EXPECT_THAT(modes(), ElementsAre(XdpMode::kGeneric, XdpMode::kGeneric, XdpMode::kNone));
  options_.xdp = "off";
  EXPECT_THAT(modes(), ElementsAre(XdpMode::kNone, XdpMode::kNone, XdpMode::kNone));
}

}  // namespace
}  // namespace fairlead::ebpf
