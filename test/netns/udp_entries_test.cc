// SPDX-License-Identifier: Apache-2.0
// The clean-up of nf_conntrack's UDP entries, on the entries of real flows through rules of nft.
#include "agent/datapath/netfilter/udp_flows.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "agent/datapath/netfilter/established.h"
#include "test/support/node_fixture.h"
#include "test/support/world.h"

namespace fairlead::test {
namespace {

using netfilter::UdpFlows;
using std::chrono::milliseconds;

constexpr char kFirst[] = "10.180.1.11:8080";
constexpr char kSecond[] = "10.180.2.11:8080";
constexpr char kOthers[] = "10.180.2.12:8080";

void Nft(const Namespace& host, std::string_view rules) {
  const NetnsScope inside(host);
  const Finished done = Run({"nft", "-f", "-"}, rules);
  ASSERT_EQ(done.status, 0) << done.output;
}

class UdpEntriesTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const auto why = WhyNoLab()) GTEST_SKIP() << *why;
    lab_.emplace();
    for (const auto* at : {kFirst, kSecond, kOthers, "[fd00:10:180:1::11]:8080", "[fd00:10:180:2::11]:8080"})
      lab_->Serve(at);
    const NetnsScope inside(Host());
    auto opened = UdpFlows::Open();
    ASSERT_TRUE(opened) << opened.error().message;
    flows_ = std::move(*opened);
    plan::NodePlan node;
    node.nodeport_addresses = {Addr("192.168.99.11"), Addr("fd00:192:168:99::11")};
    flows_->SetNode(node);
  }

  const Namespace& Host() { return lab_->N1().Net(); }
  const Namespace& Pod() { return lab_->N1().Pod("10.180.0.100"); }

  // With a rule about connections, since an empty chain of type nat does not have them tracked.
  // Makes these the rules of n1's table for service traffic: "ip daddr 172.30.0.10 ... dnat
  // to 10.180.1.11:8080".
  void Rules(std::string_view rules) {
    Nft(Host(), fmt::format(R"(
table inet services
delete table inet services
table inet services {{
  chain translate {{
{0}
}}
  chain in {{ type nat hook prerouting priority dstnat; ct state new jump translate; }}
  chain out {{ type nat hook output priority -100; jump translate; }}
}})",
                            rules));
  }
  // shop/cart with its cluster IPs on port 80/UDP and NodePort 30001.
  void RulesTo(std::string_view backend) {
    Rules(
        fmt::format("ip daddr 172.30.0.10 meta l4proto udp dnat ip to {0}\n"
                    "ip daddr 192.168.99.11 udp dport 30001 dnat ip to {0}\n",
                    backend));
  }
  void RulesToSix(std::string_view backend) {
    Rules(fmt::format("ip6 daddr fd00:172:30::10 meta l4proto udp dnat ip6 to {}\n", backend));
  }

  // Makes the slice the plan's, and tells of it.
  void Plan(const Slice& slice) { Tell(world_.Apply({Cart(30001), slice})); }
  void Plan(std::initializer_list<std::string_view> addresses) {
    Slice slice("shop/cart");
    slice.Port("udp", 8080).Udp();
    for (const auto address : addresses) slice.Endpoint(address).On("n2");
    Plan(slice);
  }
  void Tell(const plan::Delta& delta) { flows_->Note(delta.changes); }

  // Runs the pass that is due, or will be once the one before has been rested from; how many entries it
  // removed.
  uint64_t Pass() {
    for (auto next = flows_->Poll(UdpFlows::Clock::now()); next;
         next = flows_->Poll(UdpFlows::Clock::now())) {
      if (*next > UdpFlows::Clock::now() + std::chrono::seconds(8)) break;  // a later one
      std::this_thread::sleep_until(*next);
    }
    uint64_t deleted = 0;
    for (const auto& pass : flows_->Take()) deleted += pass.deleted;
    return deleted;
  }

  std::unique_ptr<Client> Socket(std::string_view to, Proto proto = Proto::kUdp) {
    auto client = std::make_unique<Client>(Pod(), proto, At(to).address.GetFamily(),
                                           ClientOptions{.timeout = milliseconds(300)});
    EXPECT_EQ(client->Connect(At(to)), 0);
    return client;
  }
  static std::string Reached(Client& client) {
    const Outcome outcome = client.Ask("hello");
    return outcome.end == End::kReached ? outcome.backend : std::string(Word(outcome.end));
  }

  std::optional<Lab> lab_;
  World world_;
  std::unique_ptr<UdpFlows> flows_;
};

TEST_F(UdpEntriesTest, AFixedSocketMovesOffARemovedBackend) {
  RulesTo(kFirst);
  Plan({"10.180.1.11"});
  const auto vip = Socket(kVip);
  const auto node_port = Socket("192.168.99.11:30001");
  EXPECT_EQ(Reached(*vip), kFirst);
  EXPECT_EQ(Reached(*node_port), kFirst);
  EXPECT_EQ(Pass(), 0u);

  RulesTo(kSecond);
  EXPECT_EQ(Reached(*vip), kFirst) << "nf_conntrack goes on with what it began";
  Plan({"10.180.2.11"});
  EXPECT_EQ(Pass(), 2u);
  EXPECT_EQ(Reached(*vip), kSecond);
  EXPECT_EQ(Reached(*node_port), kSecond);
}

TEST_F(UdpEntriesTest, AFixedSocketOfIpv6MovesToo) {
  const auto slice = [](std::string_view address) {
    Slice six("shop/cart");
    return six.Port("udp", 8080).Udp().Endpoint(address).On("n2");
  };
  RulesToSix("[fd00:10:180:1::11]:8080");
  Plan(slice("fd00:10:180:1::11"));
  const auto vip = Socket(kVip6);
  EXPECT_EQ(Reached(*vip), "[fd00:10:180:1::11]:8080");
  RulesToSix("[fd00:10:180:2::11]:8080");
  Plan(slice("fd00:10:180:2::11"));
  EXPECT_EQ(Pass(), 1u);
  EXPECT_EQ(Reached(*vip), "[fd00:10:180:2::11]:8080");
}

TEST_F(UdpEntriesTest, ASocketThatBeganBeforeTheServiceWasReadyIsServed) {
  Rules("");
  const auto vip = Socket(kVip);
  EXPECT_EQ(Reached(*vip), Word(End::kSilent));
  RulesTo(kFirst);
  EXPECT_EQ(Reached(*vip), Word(End::kSilent)) << "its entry says: not translated";
  Plan({"10.180.1.11"});
  EXPECT_EQ(Pass(), 1u);
  EXPECT_EQ(Reached(*vip), kFirst);
}

TEST_F(UdpEntriesTest, NothingReachesABackendOfAServiceThatIsScaledToZero) {
  RulesTo(kFirst);
  Plan({"10.180.1.11"});
  const auto vip = Socket(kVip);
  EXPECT_EQ(Reached(*vip), kFirst);
  Rules("ip daddr 172.30.0.10 drop");
  Plan(std::initializer_list<std::string_view>{});
  EXPECT_EQ(Pass(), 1u);
  EXPECT_EQ(Reached(*vip), Word(End::kSilent));
}

TEST_F(UdpEntriesTest, NothingReachesABackendOfADeletedService) {
  RulesTo(kFirst);
  Plan({"10.180.1.11"});
  const auto vip = Socket(kVip);
  EXPECT_EQ(Reached(*vip), kFirst);
  Rules("");
  Tell(world_.Remove(kube::Kind::kService, "shop/cart"));
  EXPECT_EQ(Pass(), 1u);
  EXPECT_EQ(Reached(*vip), Word(End::kSilent));
}

TEST_F(UdpEntriesTest, OtherEntriesStay) {
  // Somebody else's translation, its connection, one of a zone, and TCP of the Service itself.
  Rules(
      fmt::format("ip daddr 198.51.100.4 meta l4proto udp dnat ip to {}\n"
                  "ip daddr 172.30.0.10 meta l4proto tcp dnat ip to {}\n",
                  kOthers, kFirst));
  Plan({"10.180.1.11"});
  const auto others = Socket("198.51.100.4:80");
  const auto direct = Socket(kOthers);
  const auto tcp = Socket(kVip, Proto::kTcp);
  EXPECT_EQ(tcp->Receive().backend, kFirst);
  EXPECT_EQ(Reached(*others), kOthers);
  EXPECT_EQ(Reached(*direct), kOthers);
  Nft(Host(), R"(table ip zones { chain in { type filter hook prerouting priority raw;
    ip daddr 172.30.0.10 meta l4proto udp ct zone set 7; }; })");
  const auto zone = Socket(kVip);
  zone->Send("nobody can answer: the answer is of no zone");
  Plan({"10.180.2.11"});
  EXPECT_EQ(Pass(), 0u);
  EXPECT_EQ(Reached(*others), kOthers);
  EXPECT_EQ(tcp->Ask("still there?").payload, "still there?");
}

TEST_F(UdpEntriesTest, APassIsDueAgainWhenThePacketsOfTheChangeHaveArrived) {
  Plan({"10.180.1.11"});
  const auto now = UdpFlows::Clock::now();
  EXPECT_LE(flows_->Poll(now), now);  // begins
  Pass();
  const auto next = flows_->Poll(now);
  ASSERT_TRUE(next);
  EXPECT_GT(*next, now + std::chrono::seconds(5));
  EXPECT_LT(*next, now + std::chrono::seconds(11));
}

TEST_F(UdpEntriesTest, WithoutUdpServicesNobodyLooks) {
  Slice tcp("shop/cart");
  Service cart("shop/cart");
  cart.ClusterIp("172.30.0.10").Port("tcp", 80, 8080);
  Tell(world_.Apply({cart, tcp.Port("tcp", 8080).Endpoint("10.180.1.11").On("n2")}));
  EXPECT_FALSE(flows_->Poll(UdpFlows::Clock::now()));
}

TEST_F(UdpEntriesTest, TranslatedConnectionsAreNoticed) {
  const auto translated = [&] {
    const NetnsScope inside(Host());
    return std::pair(netfilter::HasTranslatedFlows().value(), netfilter::HasTranslatedEntries().value());
  };
  RulesTo(kFirst);
  const auto direct = Socket(kFirst, Proto::kTcp);
  EXPECT_EQ(translated(), std::pair(false, false));
  const auto datagrams = Socket(kVip);
  EXPECT_EQ(Reached(*datagrams), kFirst);
  EXPECT_EQ(translated(), std::pair(false, true));
  Rules(fmt::format("ip daddr 172.30.0.10 meta l4proto tcp dnat ip to {}", kFirst));
  const auto stream = Socket(kVip, Proto::kTcp);
  EXPECT_EQ(translated(), std::pair(true, true));
}

TEST_F(UdpEntriesTest, PortsOfMasqueradedConnectionsAreKnown) {
  Nft(Host(), R"(table ip hide { chain out { type nat hook postrouting priority 100;
    ip daddr 10.180.1.11 tcp dport 8080 masquerade to :20000-20000; }; })");
  const auto direct = Socket(kSecond, Proto::kTcp);
  const auto masqueraded = Socket(kFirst, Proto::kTcp);
  const NetnsScope inside(Host());
  EXPECT_EQ(netfilter::MasqueradePorts().value(), std::vector<uint16_t>{20000});
}

}  // namespace
}  // namespace fairlead::test
