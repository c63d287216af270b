// SPDX-License-Identifier: Apache-2.0
// Programs on devices, by links and by filters, in a network namespace of the test's own: what is attached,
// what stays, and that nothing of others is touched.
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <thread>

#include <gtest/gtest.h>

#include "agent/datapath/ebpf/clsact.h"
#include "agent/datapath/ebpf/device_links.h"
#include "agent/datapath/ebpf/device_watch.h"
#include "agent/datapath/ebpf/kernel.h"
#include "agent/datapath/ebpf/probe_load.h"

namespace fairlead::ebpf {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

// "return TC_ACT_UNSPEC", or XDP_PASS.
DeviceProgram Load(const std::string& name, bpf_prog_type type = BPF_PROG_TYPE_SCHED_CLS,
                   bpf_attach_type expected = bpf_attach_type{}) {
  bpf_insn code[2]{};
  code[0].code = BPF_ALU64 | BPF_MOV | BPF_K;
  code[0].imm = type == BPF_PROG_TYPE_XDP ? XDP_PASS : -1;
  code[1].code = BPF_JMP | BPF_EXIT;
  bpf_prog_load_opts options{};
  options.sz = sizeof(options);
  options.expected_attach_type = expected;
  DeviceProgram program{name, bpf_prog_load(type, name.c_str(), "GPL", code, 2, &options), 0};
  bpf_prog_info info{};
  uint32_t size = sizeof(info);
  if (bpf_obj_get_info_by_fd(program.fd, &info, &size) == 0) program.id = info.id;
  return program;
}

// While it lives, this thread has not the capability in effect. What it executes has.
class Without {
 public:
  explicit Without(unsigned capability) : bit_(1U << capability) { Set(false); }
  Without(const Without&) = delete;
  Without& operator=(const Without&) = delete;
  ~Without() { Set(true); }

 private:
  void Set(bool on) const {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2]{};
    ASSERT_EQ(::syscall(SYS_capget, &header, data), 0);
    data[0].effective = on ? data[0].effective | bit_ : data[0].effective & ~bit_;
    ASSERT_EQ(::syscall(SYS_capset, &header, data), 0);
  }
  uint32_t bit_;
};

class AttachTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "attaching BPF programs needs root";
    if (auto prepared = pins_.Prepare(); !prepared) GTEST_SKIP() << prepared.error().message;
    home_ = Fd(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
    // Without link-local addresses and with carriers found, the kernel has no word to say later by itself.
    Shell(
        "ip link add eth0 type veth peer name far0 && "
        "for device in eth0 far0; do ip link set $device addrgenmode none up; done && "
        "for i in $(seq 500); do test $(ip -o link | grep -c 'state UP') = 2 && break; sleep 0.01; done");
    uplink_ = Load("tc_uplink");
    egress_ = Load("tc_egress");
    ASSERT_GE(uplink_.fd, 0);
  }
  void TearDown() override {
    if (!home_) return;
    EXPECT_TRUE(pins_.RemoveAll());
    EXPECT_EQ(::setns(home_.Get(), CLONE_NEWNET), 0);  // the other namespace ends with its devices
  }

  static void Shell(const std::string& command) { ASSERT_EQ(std::system(command.c_str()), 0) << command; }
  static std::string Output(const std::string& command) {
    std::string text;
    FILE* pipe = ::popen(command.c_str(), "r");
    for (int c = 0; (c = std::fgetc(pipe)) != EOF;) text.push_back(static_cast<char>(c));
    ::pclose(pipe);
    return text;
  }
  static Placement On(const std::string& device, const DeviceProgram& program,
                      DeviceHook hook = DeviceHook::kIngress) {
    return {&program, hook, ::if_nametoindex(device.c_str()), device, XdpMode::kNone, XdpMode::kNone};
  }
  Placement XdpOn(const std::string& device, const DeviceProgram& program, XdpMode mode) {
    Placement placement = On(device, program, DeviceHook::kXdp);
    placement.mode = mode;
    placement.present = Devices().at(placement.ifindex).xdp;
    return placement;
  }
  static Inventory Devices() { return *DeviceWatch::Open()->List(); }

  Pins pins_{fmt::format("/sys/fs/bpf/fairlead-attach-{}", ::getpid())};
  Fd home_;
  DeviceProgram uplink_, egress_;
};

// --- links

class LinksTest : public AttachTest {
 protected:
  void SetUp() override {
    AttachTest::SetUp();
    if (!IsSkipped() && !load::Tcx()) GTEST_SKIP() << "this kernel has no tcx";
  }
  struct Seen {
    uint32_t id = 0, program = 0, ifindex = 0;
  };
  Seen At(const std::string& pin) {
    Fd link(bpf_obj_get(pins_.LinkPath(pin).c_str()));
    bpf_link_info info{};
    uint32_t size = sizeof(info);
    if (!link || bpf_obj_get_info_by_fd(link.Get(), &info, &size) != 0) return {};
    return {info.id, info.prog_id, info.xdp.ifindex};
  }
  void Place(std::vector<Placement> wanted) {
    for (const PlacementFailure& failure : links_.Place(wanted)) ADD_FAILURE() << failure.error.message;
  }

  DeviceLinks links_{pins_};
};

TEST_F(LinksTest, ALinkGetsTheNewProgramInPlace) {
  Place({On("eth0", uplink_), On("eth0", egress_, DeviceHook::kEgress)});
  const Seen before = At("tc_uplink@eth0");
  EXPECT_EQ(before.program, uplink_.id);
  EXPECT_EQ(before.ifindex, ::if_nametoindex("eth0"));
  EXPECT_EQ(At("tc_egress@eth0").program, egress_.id);
  DeviceProgram newer = Load("tc_uplink");
  Place({On("eth0", newer)});
  EXPECT_EQ(At("tc_uplink@eth0").id, before.id);
  EXPECT_EQ(At("tc_uplink@eth0").program, newer.id);
}

TEST_F(LinksTest, ADeviceOfTheSameNameGetsALinkOfItsOwn) {
  Place({On("eth0", uplink_)});
  const Seen before = At("tc_uplink@eth0");
  Shell("ip link del eth0 && ip link add eth0 type veth peer name far0");
  EXPECT_EQ(At("tc_uplink@eth0").ifindex, 0U);
  Place({On("eth0", uplink_)});
  EXPECT_NE(At("tc_uplink@eth0").id, before.id);
  EXPECT_EQ(At("tc_uplink@eth0").ifindex, ::if_nametoindex("eth0"));
}

TEST_F(LinksTest, ThePinOfADeviceThatIsGoneGoes) {
  Place({On("eth0", uplink_), On("far0", uplink_)});
  Shell("ip link del eth0");
  Place({});
  EXPECT_THAT(pins_.Links(), IsEmpty());
}

TEST_F(LinksTest, DevicesThatSwapNamesKeepTheirLinks) {
  Place({On("eth0", uplink_), On("far0", uplink_)});
  const Seen eth = At("tc_uplink@eth0"), far = At("tc_uplink@far0");
  Shell("ip link set eth0 name x && ip link set far0 name eth0 && ip link set x name far0");
  Place({On("eth0", uplink_), On("far0", uplink_)});
  EXPECT_EQ(At("tc_uplink@eth0").id, far.id);
  EXPECT_EQ(At("tc_uplink@far0").id, eth.id);
  EXPECT_THAT(pins_.Links(), SizeIs(2));
}

TEST_F(LinksTest, ADeviceWithADotInItsNameIsPinnedToo) {
  Shell("ip link add flannel.1 type vxlan id 7 dstport 8472");
  Place({On("flannel.1", uplink_)});
  EXPECT_EQ(At("tc_uplink@flannel:1").program, uplink_.id);
  Place({On("flannel.1", uplink_)});
  EXPECT_THAT(pins_.Links(), ElementsAre("tc_uplink@flannel:1"));
}

TEST_F(LinksTest, WhatIsNotWantedIsFoundRenewedAndDetached) {
  Place({On("eth0", uplink_), On("far0", uplink_)});
  DeviceProgram newer = Load("tc_uplink");
  const std::vector<Placement> wanted = {On("eth0", newer)};
  Place(wanted);
  const auto others = links_.Others(wanted, {&newer, 1});
  ASSERT_THAT(others, SizeIs(1));
  EXPECT_EQ(others[0].device, "far0");
  EXPECT_EQ(At("tc_uplink@far0").program, newer.id) << "it must not go on over tables that were replaced";
  links_.Detach(others[0]);
  EXPECT_THAT(pins_.Links(), ElementsAre("tc_uplink@eth0"));
}

TEST_F(LinksTest, XdpChangesItsModeByANewLink) {
  DeviceProgram xdp = Load("xdp_uplink", BPF_PROG_TYPE_XDP);
  Place({XdpOn("eth0", xdp, XdpMode::kGeneric)});
  EXPECT_EQ(Devices().at(::if_nametoindex("eth0")).xdp, XdpMode::kGeneric);
  Place({XdpOn("eth0", xdp, XdpMode::kNative)});
  EXPECT_EQ(Devices().at(::if_nametoindex("eth0")).xdp, XdpMode::kNative);
  const Seen native = At("xdp_uplink@eth0");
  Place({XdpOn("eth0", xdp, XdpMode::kNative)});
  EXPECT_EQ(At("xdp_uplink@eth0").id, native.id);
}

TEST_F(LinksTest, AnXdpLinkThatCannotBeUpdatedGivesWayToANewOne) {
  DeviceProgram former = Load("xdp_uplink", BPF_PROG_TYPE_XDP);
  Place({XdpOn("eth0", former, XdpMode::kNative)});
  // The kernel does not update a link to a program of another expected attach type.
  DeviceProgram newer = Load("xdp_uplink", BPF_PROG_TYPE_XDP, BPF_XDP);
  Place({XdpOn("eth0", newer, XdpMode::kNative)});
  EXPECT_EQ(At("xdp_uplink@eth0").program, newer.id);
  uint32_t id = 0;
  ASSERT_EQ(bpf_xdp_query_id(static_cast<int>(::if_nametoindex("eth0")), 0, &id), 0);
  EXPECT_EQ(id, newer.id);
}

TEST_F(LinksTest, ALinkWithoutAProgramInThisRunGoesAtOnce) {
  DeviceProgram xdp = Load("xdp_uplink", BPF_PROG_TYPE_XDP);
  Place({XdpOn("eth0", xdp, XdpMode::kNative), On("eth0", uplink_)});
  const std::vector<Placement> wanted = {On("eth0", uplink_)};  // --xdp off
  EXPECT_THAT(links_.Others(wanted, {&uplink_, 1}), IsEmpty());
  EXPECT_THAT(pins_.Links(), ElementsAre("tc_uplink@eth0"));
  EXPECT_EQ(Devices().at(::if_nametoindex("eth0")).xdp, XdpMode::kNone);
}

TEST_F(LinksTest, ADriverWithoutXdpRefusesAndAForeignProgramStays) {
  DeviceProgram xdp = Load("xdp_uplink", BPF_PROG_TYPE_XDP);
  Shell("ip link add br9 type bridge");
  std::vector<Placement> wanted = {XdpOn("br9", xdp, XdpMode::kNative)};
  auto refused = links_.Place(wanted);
  ASSERT_THAT(refused, SizeIs(1));
  EXPECT_EQ(refused[0].error.code, EOPNOTSUPP) << refused[0].error.message;

  DeviceProgram foreign = Load("foreign", BPF_PROG_TYPE_XDP);
  auto eth0 = static_cast<int>(::if_nametoindex("eth0"));
  ASSERT_EQ(bpf_xdp_attach(eth0, foreign.fd, 0, nullptr), 0);
  wanted = {XdpOn("eth0", xdp, XdpMode::kNative)};
  refused = links_.Place(wanted);
  ASSERT_THAT(refused, SizeIs(1));
  EXPECT_EQ(refused[0].error.code, EBUSY);
  uint32_t id = 0;
  ASSERT_EQ(bpf_xdp_query_id(eth0, 0, &id), 0);
  EXPECT_EQ(id, foreign.id);
}

// --- filters

class FiltersTest : public AttachTest {
 protected:
  void Place(std::vector<Placement> wanted) {
    for (const PlacementFailure& failure : clsact_.Place(wanted)) ADD_FAILURE() << failure.error.message;
  }
  void AddForeign(const std::string& where) {
    DeviceProgram foreign = Load("foreign");
    ASSERT_EQ(bpf_obj_pin(foreign.fd, pins_.ProgramPath("foreign").c_str()), 0);
    Shell(fmt::format("tc filter add dev eth0 ingress {} bpf da object-pinned {}", where,
                      pins_.ProgramPath("foreign")));
  }
  static std::string Filters() {
    return Output("tc filter show dev eth0 ingress; tc filter show dev eth0 egress");
  }
  void DetachAll() {
    for (const Leftover& leftover : clsact_.Others({}, Devices(), {})) EXPECT_TRUE(clsact_.Detach(leftover));
  }

  Clsact clsact_{pins_};
};

TEST_F(FiltersTest, AFilterGetsTheNewProgramInPlace) {
  Place({On("eth0", uplink_), On("eth0", egress_, DeviceHook::kEgress)});
  DeviceProgram newer = Load("tc_uplink");
  Place({On("eth0", newer), On("eth0", egress_, DeviceHook::kEgress)});
  const std::string shown = Filters();
  EXPECT_NE(shown.find(fmt::format("id {} ", newer.id)), std::string::npos) << shown;
  EXPECT_EQ(shown.find(fmt::format("id {} ", uplink_.id)), std::string::npos) << shown;
  EXPECT_NE(shown.find("handle 0xfa1 tc_egress"), std::string::npos) << shown;
}

TEST_F(FiltersTest, NoneOfItTakesSysAdmin) {
  Place({On("eth0", uplink_), On("far0", uplink_)});
  DeviceProgram newer = Load("tc_uplink");
  {
    Without sys_admin(CAP_SYS_ADMIN);
    ASSERT_LT(bpf_prog_get_fd_by_id(newer.id), 0);
    Place({On("eth0", newer)});
    EXPECT_THAT(clsact_.Others({}, Devices(), {}), SizeIs(2));
    EXPECT_TRUE(RemoveFilters(pins_));
  }
  EXPECT_EQ(Filters(), "");
  EXPECT_THAT(clsact_.Others({}, Devices(), {}), IsEmpty());
}

TEST_F(FiltersTest, AQdiscThatStaysHoldsNoProgram) {
  Place({On("eth0", uplink_)});
  AddForeign("prio 7");
  DetachAll();
  EXPECT_THAT(pins_.Programs(), Contains("clsact@eth0"));
  ::close(uplink_.fd);
  // The kernel frees a program after a grace period.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  auto is_there = [this] { return static_cast<bool>(Fd(bpf_prog_get_fd_by_id(uplink_.id))); };
  while (is_there() && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_FALSE(is_there());
}

TEST_F(FiltersTest, WhatIsGoneAlreadyIsNoErrorToDetach) {
  Place({On("eth0", uplink_), On("far0", uplink_)});
  const auto filters = clsact_.Others({}, Devices(), {});
  ASSERT_THAT(filters, SizeIs(2));
  Shell("tc qdisc del dev eth0 clsact");
  for (const Leftover& filter : filters) EXPECT_TRUE(clsact_.Detach(filter)) << filter.device;
  Shell("ip link del eth0");
  for (const Leftover& filter : filters) EXPECT_TRUE(clsact_.Detach(filter)) << filter.device;
  EXPECT_THAT(pins_.Programs(), IsEmpty());
}

TEST_F(FiltersTest, CleanUpUnpinsEverythingThoughAFilterCannotBeRemoved) {
  Place({On("eth0", uplink_)});
  {
    Without net_admin(CAP_NET_ADMIN);
    auto cleaned = Kernel::CleanUp(pins_.dir());
    ASSERT_FALSE(cleaned);
    EXPECT_EQ(cleaned.error().code, EPERM) << cleaned.error().message;
  }
  EXPECT_FALSE(std::filesystem::exists(pins_.dir()));
  EXPECT_TRUE(Kernel::CleanUp(pins_.dir()));
  EXPECT_EQ(Filters(), "");
}

TEST_F(FiltersTest, CleanUpLeavesADeviceAsItWas) {
  const std::string before = Output("tc qdisc show dev eth0");
  Place({On("eth0", uplink_), On("eth0", egress_, DeviceHook::kEgress)});
  EXPECT_NE(Output("tc qdisc show dev eth0"), before);
  EXPECT_TRUE(RemoveFilters(pins_));
  EXPECT_EQ(Output("tc qdisc show dev eth0"), before);
  EXPECT_EQ(Filters(), "");
  EXPECT_THAT(pins_.Programs(), IsEmpty());
}

TEST_F(FiltersTest, FiltersOfOthersStayAndSoDoesTheirQdisc) {
  Place({On("eth0", uplink_)});
  AddForeign("prio 7");
  DetachAll();
  EXPECT_NE(Filters().find("foreign"), std::string::npos);
  EXPECT_EQ(Filters().find("tc_uplink"), std::string::npos);
  EXPECT_NE(Output("tc qdisc show dev eth0").find("clsact"), std::string::npos);
}

TEST_F(FiltersTest, AQdiscThatWasThereBeforeStaysThoughItIsEmpty) {
  Shell("tc qdisc add dev eth0 clsact");
  Place({On("eth0", uplink_)});
  DetachAll();
  EXPECT_EQ(Filters(), "");
  EXPECT_NE(Output("tc qdisc show dev eth0").find("clsact"), std::string::npos);
}

TEST_F(FiltersTest, SomebodyElsesProgramAtOurPlaceIsNotReplaced) {
  Shell("tc qdisc add dev eth0 clsact");
  AddForeign("prio 1 handle 0xfa1");
  std::vector<Placement> wanted = {On("eth0", uplink_)};
  EXPECT_THAT(clsact_.Place(wanted), SizeIs(1));
  EXPECT_NE(Filters().find("foreign"), std::string::npos);
}

TEST_F(FiltersTest, OnlyDevicesThatAreNotWantedAreNamed) {
  Place({On("eth0", uplink_), On("far0", uplink_)});
  const std::vector<Placement> wanted = {On("eth0", uplink_)};
  const auto others = clsact_.Others(wanted, Devices(), {});
  ASSERT_THAT(others, SizeIs(1));
  EXPECT_EQ(others[0].device, "far0");
  EXPECT_EQ(others[0].program, "tc_uplink");
}

TEST_F(FiltersTest, WhatIsNotWantedRunsThePresentProgram) {
  Place({On("far0", uplink_)});
  DeviceProgram newer = Load("tc_uplink");
  ASSERT_THAT(clsact_.Others({}, Devices(), {&newer, 1}), SizeIs(1));
  const std::string shown = Output("tc filter show dev far0 ingress");
  EXPECT_NE(shown.find(fmt::format("id {} ", newer.id)), std::string::npos)
      << shown << "it must not go on over tables that were replaced";
}

// --- what rtnetlink says

class WatchTest : public AttachTest {};

TEST_F(WatchTest, DevicesAreListedWithKindMasterPeerAndAddresses) {
  Shell(
      "ip link add br9 type bridge && ip link set far0 master br9 && ip addr add 10.9.0.1/24 dev eth0 && "
      "ip addr add 10.9.0.2/24 dev eth0 && ip addr add fd00:9::1/64 dev eth0 nodad && "
      "ip link set eth0 up && ip route add default via 10.9.0.9");
  const Inventory devices = Devices();
  const NetDevice& eth0 = devices.at(::if_nametoindex("eth0"));
  EXPECT_EQ(eth0.kind, "veth");
  EXPECT_TRUE(eth0.ethernet);
  EXPECT_TRUE(eth0.default_route);
  EXPECT_FALSE(eth0.peer_elsewhere);
  std::vector<std::string> addresses;
  for (const Address& address : eth0.addresses) addresses.push_back(address.ToString());
  EXPECT_THAT(addresses, ElementsAre("10.9.0.1", "fd00:9::1", "10.9.0.2")) << "the secondary one comes last";
  EXPECT_EQ(devices.at(::if_nametoindex("far0")).master, ::if_nametoindex("br9"));
  EXPECT_TRUE(devices.at(1).loopback);
}

TEST_F(WatchTest, TheDeviceToAnAddressIsThatOfItsRoute) {
  Shell("ip addr add 10.9.0.1/24 dev eth0 && ip route add 10.244.0.7/32 dev far0");
  auto watch = DeviceWatch::Open();
  ASSERT_TRUE(watch);
  auto to = [&](const char* address) { return *watch->DeviceTo(*Address::Parse(address)); };
  EXPECT_EQ(to("10.244.0.7"), ::if_nametoindex("far0"));
  EXPECT_EQ(to("10.9.0.77"), ::if_nametoindex("eth0"));
  EXPECT_EQ(to("10.9.0.1"), std::nullopt) << "its own";
  EXPECT_EQ(to("10.244.0.8"), std::nullopt) << "no route";
  EXPECT_EQ(to("fd00:77::1"), std::nullopt) << "no route";
}

TEST_F(WatchTest, OnlyWhatConcernsUsIsAChange) {
  auto watch = DeviceWatch::Open();
  ASSERT_TRUE(watch);
  auto concerns = [](const Cidr& prefix) { return prefix.ToString() == "10.244.0.7/32"; };
  EXPECT_FALSE(watch->Drain(concerns));
  Shell("ip route add 10.244.0.8/32 dev far0");
  EXPECT_FALSE(watch->Drain(concerns));
  Shell("ip route add 10.244.0.7/32 dev far0");
  EXPECT_TRUE(watch->Drain(concerns));
  Shell("ip link add veth7 type veth");
  EXPECT_TRUE(watch->Drain(concerns));
  EXPECT_FALSE(watch->Drain(concerns));
}

}  // namespace
}  // namespace fairlead::ebpf
