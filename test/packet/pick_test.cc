// SPDX-License-Identifier: Apache-2.0
// Which backend a new flow gets: random, by weight, by affinity, by Maglev.
#include <map>
#include <set>

#include "test/support/ebpf/packet_test.h"

namespace fairlead::test {
namespace {

using PickTest = PacketTest;
INSTANTIATE_TEST_SUITE_P(Everywhere, PickTest, kEveryPath, PathName);

std::string BackendOf(const KernelRig& rig, const Packet& packet) {
  auto flow = rig.FlowOf(packet);
  return flow ? Address{flow->to_dst}.ToString() : "none";
}

// A connection's first packet; its backend.
std::string Connect(KernelRig& rig, const Packet& syn) {
  rig.In(syn);
  return BackendOf(rig, syn);
}

TEST_P(PickTest, RandomReachesEveryBackendAboutAsOften) {
  rig().Apply({Cart().On(
      {who.At(who.remote, 8080), who.At(who.other_remote, 8080), who.At(who.remote_second, 8080)})});
  std::map<std::string, int> times;
  for (uint16_t i = 0; i < 300; ++i) ++times[Connect(rig(), SynTo(who.load_balancer, 80, 20000 + i))];
  EXPECT_EQ(times.size(), 3U);
  for (const auto& [backend, count] : times) EXPECT_NEAR(count, 100, 50) << backend;  // 6 sigma
}

TEST_P(PickTest, AWeightIsAShareOfNewConnections) {
  rig().Apply({Cart().On({who.At(who.remote, 8080) + " weight=3", who.At(who.other_remote, 8080)})});
  int heavy = 0;
  for (uint16_t i = 0; i < 400; ++i)
    heavy += Connect(rig(), SynTo(who.load_balancer, 80, 20000 + i)) == who.remote;
  EXPECT_NEAR(heavy, 300, 52);  // 6 sigma
}

TEST_P(PickTest, ConnectionsAreCountedOnce) {
  PortOf cart = Cart().On({who.At(who.remote, 8080)});
  rig().Apply({cart});
  for (uint16_t i = 0; i < 5; ++i) {
    rig().In(SynTo(who.load_balancer, 80, 20000 + i));
    rig().In(Ip(who.client, who.load_balancer).Tcp(20000 + i, 80).Ack());
  }
  EXPECT_EQ(rig().Connections(cart.Get().key), 5U);
}

// --- session affinity

TEST_P(PickTest, AClientWithAffinityKeepsItsBackendThroughEveryAddress) {
  rig().Apply({Cart().Affinity(600).On({who.At(who.remote, 8080), who.At(who.other_remote, 8080),
                                        who.At(who.remote_second, 8080), who.At(who.pod, 8080) + " local"})});
  std::string first = Connect(rig(), SynTo(who.load_balancer, 80, 20000));
  for (uint16_t i = 1; i < 10; ++i) {
    EXPECT_EQ(Connect(rig(), SynTo(who.load_balancer, 80, 20000 + i)), first);
    EXPECT_EQ(Connect(rig(), SynTo(who.node, 30080, 20100 + i)), first);
    EXPECT_EQ(Connect(rig(), SynTo(who.external_ip, 80, 20200 + i)), first);
  }
  EXPECT_EQ(rig().AffinityEntries(), 1U);
}

TEST_P(PickTest, AffinityEndsWithItsTimeout) {
  rig().Apply({Cart().Affinity(600).On({who.At(who.remote, 8080), who.At(who.other_remote, 8080)})});
  std::set<std::string> seen;
  for (uint16_t i = 0; i < 40; ++i) {  // all the same by chance: 2^-39
    seen.insert(Connect(rig(), SynTo(who.load_balancer, 80, 20000 + i)));
    rig().PassAffinity(600);
  }
  EXPECT_EQ(seen.size(), 2U);
}

TEST_P(PickTest, ANewConnectionRenewsAffinity) {
  rig().Apply({Cart().Affinity(600).On({who.At(who.remote, 8080), who.At(who.other_remote, 8080)})});
  std::string first = Connect(rig(), SynTo(who.load_balancer, 80, 20000));
  for (uint16_t i = 1; i < 20; ++i) {
    rig().PassAffinity(400);
    EXPECT_EQ(Connect(rig(), SynTo(who.load_balancer, 80, 20000 + i)), first);
  }
}

TEST_P(PickTest, ABackendThatLeftIsForgottenAndTheNextOneKept) {
  rig().Apply({Cart().Affinity(600).On({who.At(who.remote, 8080)})});
  EXPECT_EQ(Connect(rig(), SynTo(who.load_balancer, 80, 20000)), who.remote);
  rig().Apply({Cart().Affinity(600).On({who.At(who.other_remote, 8080)})});
  EXPECT_EQ(Connect(rig(), SynTo(who.load_balancer, 80, 20001)), who.other_remote);
  rig().Apply({Cart().Affinity(600).On({who.At(who.remote, 8080), who.At(who.other_remote, 8080)})});
  for (uint16_t i = 2; i < 20; ++i)
    EXPECT_EQ(Connect(rig(), SynTo(who.load_balancer, 80, 20000 + i)), who.other_remote);
}

TEST_P(PickTest, AffinityIsOfEachClient) {
  rig().Apply({Cart().Affinity(600).On({who.At(who.remote, 8080)})});
  Connect(rig(), SynTo(who.load_balancer, 80));
  Connect(rig(), SynTo(who.load_balancer, 80).From(who.other_client));
  EXPECT_EQ(rig().AffinityEntries(), 2U);
}

// --- Maglev

// Another node: other seeds, and packets that do not pass XDP.
KernelRig OtherNode() {
  return KernelRig({.configure =
                        [](fairlead_config& config) {
                          for (auto& key : config.flow_keys) key = key * 0x9e3779b97f4a7c15ULL | 1;
                        },
                    .configured = "other flow keys"});
}

TEST_P(PickTest, MaglevGivesAFlowTheSameBackendOnEveryNode) {
  PortOf cart = Cart().Maglev().On({who.At(who.remote, 8080), who.At(who.other_remote, 8080),
                                    who.At(who.remote_second, 8080), who.At(who.remote_small, 8080)});
  rig().Apply({cart});
  KernelRig other = OtherNode();
  other.Apply({cart});
  std::set<std::string> seen;
  for (uint16_t i = 0; i < 64; ++i) {
    Packet syn = SynTo(who.load_balancer, 80, 20000 + i);
    std::string here = Connect(rig(), syn);
    EXPECT_EQ(Connect(other, syn), here);
    seen.insert(here);
  }
  EXPECT_EQ(seen.size(), 4U);
}

TEST_P(PickTest, MaglevWithAffinityGoesByTheClientAlone) {
  PortOf cart =
      Cart().Maglev().Affinity(600).On({who.At(who.remote, 8080), who.At(who.other_remote, 8080),
                                        who.At(who.remote_second, 8080), who.At(who.remote_small, 8080)});
  rig().Apply({cart});
  std::string first = Connect(rig(), SynTo(who.load_balancer, 80));
  for (uint16_t i = 1; i < 20; ++i) {
    rig().PassAffinity(600);  // nothing is remembered
    EXPECT_EQ(Connect(rig(), SynTo(who.load_balancer, 80, 20000 + i)), first);
  }
}

}  // namespace
}  // namespace fairlead::test
