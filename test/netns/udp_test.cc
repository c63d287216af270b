// SPDX-License-Identifier: Apache-2.0
// UDP sockets, connected and not: which address the client sees, and what becomes of them when their backend
// goes.
#include <gmock/gmock.h>

#include <chrono>
#include <memory>
#include <set>

#include "test/support/node_fixture.h"

namespace fairlead::test {
namespace {

using std::chrono::milliseconds;

// "closed within a second"
constexpr milliseconds kSoon{1000};

class UdpTest : public NodeTest {
 protected:
  // A socket connected to `to` that has had an answer from `backend`.
  std::unique_ptr<Client> Connected(const Namespace& from, std::string_view to, std::string_view backend,
                                    ClientOptions options = {}) {
    auto client = std::make_unique<Client>(from, Proto::kUdp, At(to).address.GetFamily(), options);
    EXPECT_EQ(client->Connect(At(to)), 0);
    const Outcome outcome = client->Ask("hello");
    EXPECT_EQ(outcome.backend, backend) << outcome.ToString();
    return client;
  }
};

TEST_F(UdpTest, AnUnconnectedSocketTalksToSeveralServicesAndSeesEachAsSource) {
  Service stock("shop/stock");
  stock.ClusterIp("172.30.0.11").Port("udp", 53, 8080).Udp();
  Slice stock_slice("shop/stock");
  stock_slice.Port("udp", 8080).Udp().Endpoint("10.180.2.11").On("n3");
  TheLab().Serve("10.180.2.11:8080");
  TheLab().Serve("203.0.113.2:53");
  Program(Cart(), CartSlice({"10.180.1.11"}), stock, stock_slice);

  Client client(Pod(), Proto::kUdp, Family::kIpv4);
  const auto expect = [&](const char* to, const char* backend) {
    const Outcome outcome = client.AskAt(At(to), "hello");
    EXPECT_EQ(outcome.backend, backend) << outcome.ToString();
    EXPECT_EQ(outcome.peer, At(to));
  };
  for (int round = 0; round < 3; ++round) {
    expect(kVip, "10.180.1.11:8080");
    expect("172.30.0.11:53", "10.180.2.11:8080");
    expect("203.0.113.2:53", "203.0.113.2:53");
    expect("10.180.1.11:8080", "10.180.1.11:8080");
  }
}

TEST_F(UdpTest, AnswersOfTwoServicesWithOneBackendAreToldApartByTheLastAsked) {
  // The datagram alone does not say through which Service it was asked for: the socket's latest choice does.
  Service twin("shop/twin");
  twin.ClusterIp("172.30.0.11").Port("udp", 80, 8080).Udp();
  Slice twin_slice("shop/twin");
  twin_slice.Port("udp", 8080).Udp().Endpoint("10.180.1.11").On("n2");
  Program(Cart(), CartSlice({"10.180.1.11"}), twin, twin_slice);
  Client client(Pod(), Proto::kUdp, Family::kIpv4);
  for (const char* to : {kVip, "172.30.0.11:80", kVip}) EXPECT_EQ(client.AskAt(At(to), "hello").peer, At(to));
}

TEST_F(UdpTest, AnUnconnectedSocketOfIpv6OrMappedIpv4SeesTheServiceAsSource) {
  Program(Cart(), CartSlice({"10.180.1.11"}), CartSlice({"fd00:10:180:1::11"}));
  const Outcome six = SendOne(Pod(), At(kVip6));
  EXPECT_EQ(six.backend, "[fd00:10:180:1::11]:8080") << six.ToString();
  EXPECT_EQ(six.peer, At(kVip6));
  const Outcome mapped = SendOne(Pod(), At(kVip), {.mapped = true});
  EXPECT_EQ(mapped.backend, "10.180.1.11:8080") << mapped.ToString();
  EXPECT_EQ(mapped.peer, At(kVip));
}

TEST_F(UdpTest, AConnectedSocketSeesTheServiceInEveryAnswer) {
  Program(Cart(), CartSlice({"10.180.1.11"}));
  const auto client = Connected(Pod(), kVip, "10.180.1.11:8080");
  EXPECT_EQ(client->Peer(), At(kVip));
  EXPECT_EQ(client->Ask("again").peer, At(kVip));
}

TEST_F(UdpTest, AnUnconnectedSocketKeepsItsBackend) {
  Program(Cart(), CartSlice({"10.180.0.11", "10.180.1.11", "10.180.2.11"}));
  std::set<std::string> chosen;
  for (int i = 0; i < 20; ++i) {
    Client client(Pod(), Proto::kUdp, Family::kIpv4);
    const std::string backend = client.AskAt(At(kVip), "first").backend;
    for (int j = 0; j < 5; ++j) EXPECT_EQ(client.AskAt(At(kVip), "next").backend, backend);
    chosen.insert(backend);
  }
  EXPECT_GE(chosen.size(), 2u);
}

TEST_F(UdpTest, AnUnconnectedSocketKeepsItsBackendBehindSourceRangesToo) {
  const Service cart = Cart(30001).LoadBalancerIp("198.51.100.4");
  Program(Service(cart).SourceRange("10.180.0.100/32"),
          CartSlice({"10.180.0.11", "10.180.1.11", "10.180.2.11"}));
  Client client(Pod(), Proto::kUdp, Family::kIpv4);
  const std::string backend = client.AskAt(At("198.51.100.4:80"), "first").backend;
  ASSERT_NE(backend, "");
  for (int i = 0; i < 10; ++i) EXPECT_EQ(client.AskAt(At("198.51.100.4:80"), "next").backend, backend);
}

TEST_F(UdpTest, AnUnconnectedSocketMovesWithItsService) {
  Program(Cart(), CartSlice({"10.180.1.11"}));
  Client client(Pod(), Proto::kUdp, Family::kIpv4, {.bind_port = 12345});
  EXPECT_EQ(client.AskAt(At(kVip), "?").backend, "10.180.1.11:8080");
  Program(Cart(), CartSlice({"10.180.0.11"}));
  EXPECT_EQ(client.AskAt(At(kVip), "?").backend, "10.180.0.11:8080");
  const uint64_t before = TheLab().Servers().Count(At("10.180.0.11:8080"));
  Program(Cart());
  EXPECT_EQ(client.AskAt(At(kVip), "?").end, End::kRefused);
  EXPECT_EQ(TheLab().Servers().Count(At("10.180.0.11:8080")), before);
  Program(Cart(), CartSlice({"10.180.2.11"}));
  EXPECT_EQ(client.AskAt(At(kVip), "?").backend, "10.180.2.11:8080");
}

TEST_F(UdpTest, ASocketThatStartedBeforeTheServiceIsServedOnceItIsThere) {
  Client client(Pod(), Proto::kUdp, Family::kIpv4, {.bind_port = 12345, .timeout = milliseconds(50)});
  EXPECT_NE(client.AskAt(At(kVip), "?").end, End::kReached);
  Program(Cart(), CartSlice({"10.180.1.11"}));
  EXPECT_EQ(client.AskAt(At(kVip), "?").backend, "10.180.1.11:8080");
}

TEST_F(UdpTest, ConnectedSocketsOfARemovedBackendAreClosedAndOthersAreNot) {
  Program(Cart(), CartSlice({"10.180.1.11"}));
  const auto pod = Connected(Pod(), kVip, "10.180.1.11:8080");
  const auto host = Connected(Host(), kVip, "10.180.1.11:8080");
  const auto mapped = Connected(Pod(), kVip, "10.180.1.11:8080", {.mapped = true});
  const auto direct = Connected(Pod(), "10.180.1.11:8080", "10.180.1.11:8080");
  Program(Cart(), CartSlice({"10.180.1.11", "10.180.2.11"}));
  EXPECT_FALSE(pod->EndedWithin(milliseconds(200)));

  Program(Cart(), CartSlice({"10.180.2.11"}));
  const auto standing = Connected(Pod(), kVip, "10.180.2.11:8080");
  EXPECT_TRUE(pod->EndedWithin(kSoon));
  EXPECT_TRUE(host->EndedWithin(kSoon));
  EXPECT_TRUE(mapped->EndedWithin(kSoon));
  EXPECT_FALSE(standing->EndedWithin(milliseconds(300)));
  EXPECT_FALSE(direct->EndedWithin(milliseconds(0))) << "was connected to the pod, not through a Service";
}

TEST_F(UdpTest, ConnectedSocketsAreClosedAtScaleToZero) {
  Program(Cart(), CartSlice({"10.180.1.11"}), CartSlice({"fd00:10:180:1::11"}));
  const auto four = Connected(Pod(), kVip, "10.180.1.11:8080");
  const auto six = Connected(Pod(), kVip6, "[fd00:10:180:1::11]:8080");
  Program(Cart());
  EXPECT_TRUE(four->EndedWithin(kSoon));
  EXPECT_TRUE(six->EndedWithin(kSoon));
}

TEST_F(UdpTest, ConnectedSocketsAreClosedWhenTheServiceIsDeleted) {
  Program(Cart(), CartSlice({"10.180.1.11"}));
  const auto client = Connected(Pod(), kVip, "10.180.1.11:8080");
  Program();
  EXPECT_TRUE(client->EndedWithin(kSoon));
}

TEST_F(UdpTest, ConnectedSocketsThroughNodePortsAreClosedToo) {
  Program(Cart(30001), CartSlice({"10.180.1.11"}));
  const auto client = Connected(Host(), "127.0.0.1:30001", "10.180.1.11:8080");
  Program(Cart(30001), CartSlice({"10.180.2.11"}));
  EXPECT_TRUE(client->EndedWithin(kSoon));
}

TEST_F(UdpTest, SocketsOfABackendRemovedWhileTheAgentWasAwayAreClosedWhenItIsBack) {
  Program(Cart(), CartSlice({"10.180.1.11"}));
  const auto client = Connected(Pod(), kVip, "10.180.1.11:8080");
  TheAgent().Kill();
  TheAgent().Put("cluster.json", Manifest({Cart().ToJson(), CartSlice({"10.180.2.11"}).ToJson()}));
  EXPECT_EQ(client->Ask("still there?").end, End::kReached);
  TheAgent().Start();
  EXPECT_TRUE(client->EndedWithin(kSoon));
}

TEST_F(UdpTest, NothingIsSentToARemovedBackendAnyMore) {
  Program(Cart(), CartSlice({"10.180.1.11"}));
  const auto client = Connected(Pod(), kVip, "10.180.1.11:8080");
  Program(Cart(), CartSlice({"10.180.2.11"}));
  ASSERT_TRUE(client->EndedWithin(kSoon));
  Capture capture(Pod());
  EXPECT_NE(client->Send("lost"), 0);
  EXPECT_EQ(capture.Take(Proto::kUdp, At("10.180.1.11:8080")), 0);
}

}  // namespace
}  // namespace fairlead::test
