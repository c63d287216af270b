// SPDX-License-Identifier: Apache-2.0
// Whose address and port a backend sees, when packets of clients elsewhere come to it through n1.
#include <gmock/gmock.h>

#include <set>

#include "test/support/node_fixture.h"

namespace fairlead::test {
namespace {

using testing::AllOf;
using testing::Ge;
using testing::Le;
using testing::Not;

constexpr char kLb[] = "198.51.100.4:80", kExternal[] = "198.51.100.22:80",
               kNodePort[] = "192.168.99.11:30001";
constexpr char kNode[] = "192.168.99.11", kClient[] = "203.0.113.2", kRemotePod[] = "10.180.1.100";
constexpr char kHere[] = "10.180.0.11", kElsewhere[] = "10.180.2.11";

class MasqueradeTest : public NodeTest {
 protected:
  static Service Shop() { return Cart(30001).LoadBalancerIp("198.51.100.4").ExternalIp("198.51.100.22"); }
  // The address that a backend on `backend` sees of `client` through `to`.
  void ExpectSource(const char* client, const char* to, const char* source) {
    const Namespace& from = TheLab().HomeOf(Addr(client));
    TheLab().AnswerThroughN1(Addr(client));
    for (const Proto proto : {Proto::kTcp, Proto::kUdp}) {
      const Outcome outcome = Connect(from, proto, At(to), {.bind = Addr(client)});
      EXPECT_EQ(outcome.source.address.ToString(), source)
          << client << " to " << to << ": " << outcome.ToString();
    }
  }
};

class ClusterCidrTest : public MasqueradeTest {
 protected:
  std::vector<std::string> Arguments() const override { return {"--cluster-cidr", "10.180.0.0/16"}; }
};

TEST_F(ClusterCidrTest, OutsideClientsAreMasqueradedAndPodsAreNotOnAClusterIp) {
  for (const char* backend : {kHere, kElsewhere}) {
    Program(Shop(), CartSlice({backend}));
    ExpectSource(kClient, kVip, kNode);
    ExpectSource(kRemotePod, kVip, kRemotePod);
  }
}

TEST_F(ClusterCidrTest, EverybodyIsMasqueradedOnExternalAddresses) {
  for (const char* backend : {kHere, kElsewhere}) {
    Program(Shop(), CartSlice({backend}));
    for (const char* to : {kLb, kExternal, kNodePort}) {
      ExpectSource(kClient, to, kNode);
      ExpectSource(kRemotePod, to, kNode);
    }
  }
}

TEST_F(ClusterCidrTest, NobodyIsMasqueradedUnderALocalPolicy) {
  Program(Shop().ExternalLocal(), CartSlice({kHere}));
  for (const char* to : {kLb, kExternal, kNodePort}) {
    ExpectSource(kClient, to, kClient);
    ExpectSource(kRemotePod, to, kRemotePod);
  }
}

TEST_F(MasqueradeTest, WithoutADetectorAClusterIpKeepsEveryonesAddress) {
  for (const char* backend : {kHere, kElsewhere}) {
    Program(Shop(), CartSlice({backend}));
    ExpectSource(kRemotePod, kVip, kRemotePod);
    ExpectSource(kClient, kLb, kNode);
  }
}

class MasqueradeAllTest : public MasqueradeTest {
  std::vector<std::string> Arguments() const override {
    return {"--cluster-cidr", "10.180.0.0/16", "--masquerade-all"};
  }
};

TEST_F(MasqueradeAllTest, PodsElsewhereAreMasqueradedOnAClusterIpToo) {
  for (const char* backend : {kHere, kElsewhere}) {
    Program(Shop(), CartSlice({backend}));
    ExpectSource(kRemotePod, kVip, kNode);
  }
}

TEST_F(MasqueradeTest, TheClientsPortIsKeptWhereItIsFree) {
  Program(Shop(), CartSlice({kHere}));
  const Outcome outcome = Connect(Outside(), Proto::kTcp, At(kLb), {.bind_port = 20001});
  EXPECT_EQ(outcome.source, At("192.168.99.11:20001")) << outcome.ToString();
}

TEST_F(MasqueradeTest, NoPortOfTheNodePortRangeAndNoneTheNodeMayUseIsTaken) {
  Program(Shop(), CartSlice({kHere, kElsewhere}));
  for (const uint16_t port : {uint16_t{30001}, uint16_t{32767}, uint16_t{40000}, uint16_t{53}}) {
    for (int i = 0; i < 4; ++i) {
      // The same port again and again: UDP, as a TCP port would rest for a minute.
      const Outcome outcome = Connect(Outside(), Proto::kUdp, At(kLb), {.bind_port = port});
      ASSERT_EQ(outcome.end, End::kReached) << outcome.ToString();
      EXPECT_THAT(outcome.source.port, Not(AllOf(Ge(30000), Le(32767))));
      EXPECT_THAT(outcome.source.port, Not(AllOf(Ge(32768), Le(60999)))) << "ip_local_port_range";
      EXPECT_GE(outcome.source.port, 1024);
    }
  }
}

TEST_F(MasqueradeTest, ClientsWithOnePortAreToldApart) {
  Program(Shop(), CartSlice({kElsewhere}));
  std::set<uint16_t> ports;
  std::vector<std::unique_ptr<Client>> clients;
  for (const char* client : {kClient, "203.0.113.130"}) {
    clients.push_back(std::make_unique<Client>(Outside(), Proto::kTcp, Family::kIpv4,
                                               ClientOptions{.bind = Addr(client), .bind_port = 20003}));
    ASSERT_EQ(clients.back()->Connect(At(kLb)), 0);
    ports.insert(clients.back()->Receive().source.port);
  }
  EXPECT_EQ(ports.size(), 2u);
  for (auto& client : clients) EXPECT_EQ(client->Ask("still there?").payload, "still there?");
}

// Three tuples of one client port that would be one towards the backend.
TEST_F(MasqueradeTest, OneBackendThroughThreeAddressesFromOneClientPort) {
  struct Case {
    bool local_policy;
    const char* backend;
  };
  uint16_t port = 20010;
  for (const auto& [local_policy, backend] :
       {Case{false, kHere}, Case{false, kElsewhere}, Case{true, kHere}}) {
    Program(Shop().ExternalLocal(local_policy), CartSlice({backend}));
    ++port;
    for (const Proto proto : {Proto::kTcp, Proto::kUdp}) {
      std::vector<std::unique_ptr<Client>> clients;
      for (const char* to : {kLb, kExternal, kNodePort}) {
        clients.push_back(
            std::make_unique<Client>(Outside(), proto, Family::kIpv4, ClientOptions{.bind_port = port}));
        ASSERT_EQ(clients.back()->Connect(At(to)), 0) << to;
        if (proto == Proto::kTcp) {
          ASSERT_EQ(clients.back()->Receive().end, End::kReached) << to;
        }
      }
      for (int round = 0; round < 3; ++round) {
        for (auto& client : clients) {
          const Outcome outcome = client->Ask("mine");
          EXPECT_EQ(outcome.payload, "mine") << outcome.ToString();
          EXPECT_EQ(client->Peer(), outcome.peer);
        }
      }
    }
  }
}

}  // namespace
}  // namespace fairlead::test
