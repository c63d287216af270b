// SPDX-License-Identifier: Apache-2.0
// When the packet path puts programs on devices and when it takes them away, in a network namespace of the
// test's own. How they are attached is attach_test.cc's.
#include <bpf/bpf.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <thread>

#include "agent/datapath/ebpf/memory_tables.h"
#include "agent/datapath/ebpf/packet_path.h"
#include "agent/datapath/ebpf/probe_load.h"

namespace fairlead::ebpf {
namespace {

using std::chrono::milliseconds;
using Clock = PacketPath::Clock;

// "return TC_ACT_UNSPEC".
DeviceProgram Load(const std::string& name) {
  bpf_insn code[2]{};
  code[0].code = BPF_ALU64 | BPF_MOV | BPF_K;
  code[0].imm = -1;
  code[1].code = BPF_JMP | BPF_EXIT;
  DeviceProgram program{name, bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, name.c_str(), "GPL", code, 2, nullptr),
                        0};
  bpf_prog_info info{};
  uint32_t size = sizeof(info);
  if (bpf_obj_get_info_by_fd(program.fd, &info, &size) == 0) program.id = info.id;
  return program;
}

// An uplink eth0, and devices pod1 and pod2 to the backends 10.244.0.1 and 10.244.0.2.
class PacketPathTest : public testing::Test {
 protected:
  static constexpr std::chrono::seconds kUplinkStays{1};

  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "attaching BPF programs needs root";
    if (!load::Tcx()) GTEST_SKIP() << "this kernel has no tcx";
    if (auto prepared = pins_.Prepare(); !prepared) GTEST_SKIP() << prepared.error().message;
    home_ = Fd(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
    Shell(
        "for device in eth0 pod1 pod2; do ip link add $device type veth && ip link set $device up; done && "
        "ip addr add 10.9.0.1/24 dev eth0 && "
        "for i in 1 2; do ip route add 10.244.0.$i/32 dev pod$i; done");
    auto path = PacketPath::Open({}, {pins_,
                                      {Load("tc_uplink"), Load("tc_egress"), Load("tc_pod"), {}},
                                      devices_,
                                      [] { return std::set<uint32_t>(); },
                                      true,
                                      {.uplink = kUplinkStays}});
    ASSERT_TRUE(path) << path.error().message;
    path_ = std::move(*path);
    Backends({"10.244.0.1"});
    ASSERT_TRUE(path_->Commit());
    path_->Prune();
  }
  void TearDown() override {
    if (!home_) return;
    path_.reset();
    EXPECT_TRUE(pins_.RemoveAll());
    EXPECT_EQ(::setns(home_.Get(), CLONE_NEWNET), 0);  // the other namespace ends with its devices
  }

  static void Shell(const std::string& command) { ASSERT_EQ(std::system(command.c_str()), 0) << command; }
  // From now on these are the backends here.
  void Backends(const std::vector<std::string>& addresses) {
    auto port = std::make_shared<plan::ServicePort>();
    for (const std::string& address : addresses) {
      plan::Backend& backend = port->cluster.emplace_back();
      backend.address = *Address::Parse(address);
      backend.local = true;
    }
    const plan::Change change{port->key, port};
    path_->Apply({&change, 1});
  }
  bool Has(const std::string& link) const { return std::filesystem::exists(pins_.LinkPath(link)); }
  // How long it took until it was so.
  milliseconds PollUntil(const std::function<bool()>& so, milliseconds patience = milliseconds(3000)) {
    const auto began = Clock::now();
    while (!so() && Clock::now() - began < patience) {
      path_->Poll(Clock::now());
      std::this_thread::sleep_for(milliseconds(5));
    }
    return std::chrono::duration_cast<milliseconds>(Clock::now() - began);
  }
  void PollFor(milliseconds time) {
    PollUntil([] { return false; }, time);
  }

  Pins pins_{fmt::format("/sys/fs/bpf/fairlead-path-{}", ::getpid())};
  Fd home_;
  MemoryTable<devices_table> devices_{64};
  std::unique_ptr<PacketPath> path_;
};

TEST_F(PacketPathTest, ANewBackendsDeviceIsServedBeforeTheOldOnesIsLeft) {
  ASSERT_TRUE(Has("tc_pod@pod1"));
  Backends({"10.244.0.2"});
  EXPECT_TRUE(Has("tc_pod@pod2"));
  EXPECT_TRUE(Has("tc_pod@pod1")) << "frontends still point at its backend";
  EXPECT_LT(PollUntil([this] { return !Has("tc_pod@pod1"); }), milliseconds(1000));
}

TEST_F(PacketPathTest, ABackendWhoseDeviceIsServedCostsNoLookAtTheDevices) {
  Shell("ip route add 10.244.0.3/32 dev pod1");
  PollFor(milliseconds(50));
  pins_.Detach("tc_pod@pod1");  // a pass would put it back
  Backends({"10.244.0.1", "10.244.0.3"});
  EXPECT_FALSE(Has("tc_pod@pod1"));
  PollUntil([this] { return Has("tc_pod@pod1"); });
  EXPECT_TRUE(Has("tc_pod@pod1")) << "with the next pass";
}

TEST_F(PacketPathTest, AnUplinkWithoutItsAddressKeepsItsProgramsForItsTime) {
  ASSERT_TRUE(Has("tc_uplink@eth0"));
  Shell("ip addr del 10.9.0.1/24 dev eth0");
  const auto took = PollUntil([this] { return !Has("tc_uplink@eth0"); });
  EXPECT_GE(took, kUplinkStays - milliseconds(100));
  EXPECT_LT(took, kUplinkStays + milliseconds(1000));
  EXPECT_FALSE(Has("tc_egress@eth0"));
}

TEST_F(PacketPathTest, AnUplinkWhoseAddressComesBackIsNotTouched) {
  Shell("ip addr del 10.9.0.1/24 dev eth0");
  PollFor(kUplinkStays / 2);
  Shell("ip addr add 10.9.0.2/24 dev eth0");
  PollFor(kUplinkStays);
  EXPECT_TRUE(Has("tc_uplink@eth0"));
  EXPECT_TRUE(Has("tc_egress@eth0"));
}

TEST_F(PacketPathTest, ABackendThatNoRouteLeadsToHoldsNothingUp) {
  Backends({"10.244.0.2", "10.77.0.1", "fd00:77::1"});
  EXPECT_TRUE(Has("tc_pod@pod2"));
  EXPECT_LT(PollUntil([this] { return !Has("tc_pod@pod1"); }), milliseconds(1000));
}

}  // namespace
}  // namespace fairlead::ebpf
