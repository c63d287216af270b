// SPDX-License-Identifier: Apache-2.0
// The filter in front of the walk: what is nobody's passes by a bit of its destination, and nothing that is
// ours does. A table whose bits are all set is a program without the filter.
#include <netinet/in.h>

#include <cstring>
#include <random>

#include "agent/datapath/ebpf/collector.h"
#include "agent/datapath/ebpf/destinations.h"
#include "test/support/ebpf/packet_test.h"
#include "test/support/objects.h"

namespace fairlead::test {
namespace {

using ebpf::Destinations;

Destinations BitsOf(const KernelRig& rig) {
  return {rig.tables().destinations, rig.tables().flow_keys};
}
void SetAllBits(const KernelRig& rig) {
  auto words = rig.tables().destinations;
  std::memset(words.data(), 0xff, words.size_bytes());
}

// One pass of the agent's collector, in which nothing is over. `roles`: addresses that have one.
void Renew(const KernelRig& rig, const std::vector<std::string>& roles) {
  fairlead_config times{};
  std::fill(std::begin(times.flow_timeout), std::end(times.flow_timeout), UINT32_MAX / 4);
  ebpf::ManualGrace grace;
  ebpf::Reclaimer reclaimer(grace);
  ebpf::Collector collector(
      ebpf::FlowTable(rig.tables().conntrack, rig.tables().flow_keys), times,
      []() -> Result<uint32_t> { return 0; },
      ebpf::Collector::Refresh{BitsOf(rig), reclaimer, [&](Destinations& bits) {
                                 for (const std::string& address : roles) bits.Keep(Addr(address).raw);
                               }});
  ebpf::Collector::TimePoint now{};
  for (auto next = now; next - now < std::chrono::seconds(1);) {
    now = next;
    reclaimer.Poll();
    next = collector.Poll(now);
  }
}

class FilterTest : public PacketTest {
 protected:
  std::vector<std::string> Roles() const {
    return {who.cluster_ip, who.load_balancer, who.external_ip, who.node, who.second_node_address};
  }
  bool MayBeOurs(const std::string& address) { return BitsOf(rig()).Has(Addr(address).raw); }
  PortOf Elsewhere() const { return Cart().On({who.At(who.remote, 8080)}); }
};
INSTANTIATE_TEST_SUITE_P(Everywhere, FilterTest, kEveryPath, PathName);

TEST_P(FilterTest, AddressesOfServicesAndOfTheNodeHaveABitAndOthersHaveNone) {
  rig().Apply({Elsewhere()});
  for (const std::string& address : Roles()) EXPECT_TRUE(MayBeOurs(address)) << address;
  for (const std::string& address : {who.pod, who.remote, who.client, who.other_load_balancer})
    EXPECT_FALSE(MayBeOurs(address)) << address;
}

TEST_P(FilterTest, TheBitOfAServiceThatWentGoesWithTheNextPass) {
  rig().Apply({Elsewhere()});
  rig().Apply({Gone(Elsewhere())});
  EXPECT_TRUE(MayBeOurs(who.load_balancer));
  Renew(rig(), {who.node});
  EXPECT_FALSE(MayBeOurs(who.load_balancer));
  EXPECT_TRUE(MayBeOurs(who.node));
}

TEST_P(FilterTest, AConnectionThatOutlivesItsServiceKeepsItsBitInBothDirections) {
  rig().Apply({Elsewhere()});
  Packet data = Ip(who.client, who.load_balancer).Tcp(20000, 80).Ack();
  Packet answer = Ip(who.remote, who.node).Tcp(8080, 20000).Ack().Link(kN2Mac, kNodeMac);
  rig().In(SynTo(who.load_balancer, 80));
  rig().In(Packet(answer).Syn());
  rig().Apply({Gone(Elsewhere())});
  Renew(rig(), {});  // not even the node has a role
  EXPECT_EQ(Outcome(rig().In(data)), "sent to a backend");
  EXPECT_EQ(Outcome(rig().In(answer)), "sent to the client");
}

// The answer's entry is for the client's own address, which has no role.
TEST_P(FilterTest, AnAnswerToAClientThatTheBackendSeesIsUndoneOnItsWayOut) {
  rig().Apply({Cart().LocalOn({who.At(who.pod, 8080)}).ExternalLocal()});
  rig().In(SynTo(who.load_balancer, 80));
  Renew(rig(), Roles());
  Packet answer = Ip(who.pod, who.client).Tcp(8080, 20000).Syn().Ack();
  EXPECT_EQ(Outcome(rig().Egress(answer)), "passed to the client");
}

TEST_P(FilterTest, AHalfThatIsMadeAnewFromTheOtherGetsItsBit) {
  rig().Apply({Elsewhere()});
  rig().In(SynTo(who.load_balancer, 80));
  Packet answer = Ip(who.remote, who.node).Tcp(8080, 20000).Ack().Link(kN2Mac, kNodeMac);
  ASSERT_TRUE(rig().Lose(answer));
  Renew(rig(), {});
  rig().Pass(1);
  rig().In(Ip(who.client, who.load_balancer).Tcp(20000, 80).Ack());
  EXPECT_EQ(Outcome(rig().In(answer)), "sent to the client");
}

TEST_P(FilterTest, AnUnallocatedAddressOfAServiceCidrIsDroppedWithoutABit) {
  rig().Apply({Elsewhere()});
  ASSERT_FALSE(MayBeOurs(who.unallocated));
  EXPECT_EQ(Outcome(rig().In(SynTo(who.unallocated, 80))), "drop: DROP_UNALLOCATED");
  EXPECT_EQ(Outcome(rig().In(Ip(who.client, who.unallocated).Udp(20000, 53))), "drop: DROP_UNALLOCATED");
}

// --- whatever comes, nothing changes by the filter

class Traffic {
 public:
  Traffic(const Who& who, unsigned seed) : who_(who), random_(seed) {}

  std::vector<plan::Change> Services() {
    auto cart = PortOf("shop/cart").ClusterIp(who_.cluster_ip, 80).LoadBalancer(who_.load_balancer, 80);
    cart.NodePort(30080);
    auto dns = PortOf("shop/dns:dns").Udp().ClusterIp(who_.cluster_ip, 53).NodePort(30053);
    return {cart.On({who_.At(who_.remote, 8080)}), dns.On({who_.At(who_.remote, 53)})};
  }
  Packet Next() {
    Packet packet = Ip(Any(Clients()), Any(Destinations()));
    const auto sport = static_cast<uint16_t>(20000 + random_() % 4);
    const uint16_t dport = std::vector<uint16_t>{80, 53, 30080, 30053, 20000, 20001, 8080, 9}[random_() % 8];
    if (random_() % 3 == 0) {
      packet.Udp(random_() % 2 ? sport : 53, dport).Payload("some bytes");
    } else {
      packet.Tcp(random_() % 2 ? sport : 8080, dport);
      if (random_() % 2) packet.Syn();
      if (random_() % 2) packet.Ack();
      if (random_() % 8 == 0) packet.Fin();
      if (random_() % 16 == 0) packet.Rst();
    }
    if (random_() % 16 == 0) packet.ClaimTransportWords(static_cast<uint8_t>(random_() % 16));
    if (random_() % 16 == 0) packet.ClaimIpLength(static_cast<uint16_t>(random_() % 80));
    if (random_() % 32 == 0) packet.Protocol(IPPROTO_SCTP);
    return packet;
  }
  std::string Program() { return Any({"tc_uplink", "tc_pod", "tc_egress", "xdp_uplink"}); }
  unsigned Draw(unsigned below) { return static_cast<unsigned>(random_()) % below; }

 private:
  std::string Any(const std::vector<std::string>& of) { return of[random_() % of.size()]; }
  std::vector<std::string> Clients() const { return {who_.client, who_.other_client, who_.pod, who_.remote}; }
  std::vector<std::string> Destinations() const {
    return {who_.cluster_ip,  who_.load_balancer, who_.node,   who_.unallocated, who_.pod,
            who_.external_ip, who_.client,        who_.remote, who_.other_client};
  }

  const Who& who_;
  std::minstd_rand random_;
};

TEST_P(FilterTest, EveryPacketIsTreatedAsWithoutIt) {
  constexpr int kPackets = 3000;
  KernelRig without({.xdp = GetParam().xdp});
  Traffic traffic(who, 1);
  for (KernelRig* each : {&rig(), &without}) each->Apply(traffic.Services());
  int passed_by = 0;
  for (int i = 0; i < kPackets; ++i) {
    SetAllBits(without);
    const Packet packet = traffic.Next();
    const std::string program = traffic.Program();
    const std::string device = program == "tc_pod" ? "pod11" : "eth0";
    const Ran with = rig().Run(program, packet, device), bare = without.Run(program, packet, device);
    ASSERT_EQ(with.Text(), bare.Text()) << i << ": " << program;
    ASSERT_EQ(with.frame, bare.frame) << i << ": " << program;
    passed_by += with.Text() == "pass";
    if (traffic.Draw(50) == 0) Renew(rig(), Roles());
    if (traffic.Draw(200) == 0) {
      for (KernelRig* each : {&rig(), &without}) each->Apply({Gone(PortOf("shop/cart"))});
      for (KernelRig* each : {&rig(), &without}) each->Apply(traffic.Services());
    }
  }
  EXPECT_EQ(rig().Flows(), without.Flows());
  EXPECT_GT(passed_by, kPackets / 10);
  EXPECT_LT(passed_by, kPackets * 19 / 20);
}

}  // namespace
}  // namespace fairlead::test
