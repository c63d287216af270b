// SPDX-License-Identifier: Apache-2.0
// Flows from outside while the cluster changes: streams are left alone, datagrams follow the Service.
#include <gmock/gmock.h>

#include <memory>

#include "test/support/load.h"
#include "test/support/node_fixture.h"

namespace fairlead::test {
namespace {

using std::chrono::milliseconds;
using testing::IsEmpty;

constexpr char kNodePort[] = "192.168.99.11:30001", kNodePort6[] = "[fd00:192:168:99::11]:30001";

class FlowTest : public NodeTest {
 protected:
  // A client outside that has had its first answer.
  std::unique_ptr<Client> Connected(Proto proto, const char* to, const char* backend) {
    auto client = std::make_unique<Client>(Outside(), proto, At(to).address.GetFamily(),
                                           ClientOptions{.timeout = milliseconds(500)});
    EXPECT_EQ(client->Connect(At(to)), 0);
    const Outcome first = proto == Proto::kTcp ? client->Receive() : client->Ask("first");
    EXPECT_EQ(first.backend, backend) << first.ToString();
    return client;
  }
  // Replaces the pods one by one under load.
  void RollUnderLoad();
};

// Packets enter pods past the node's stack, and answers come by the pod's device.
class DirectFlowTest : public FlowTest {
 protected:
  std::vector<std::string> Arguments() const override { return {"--pod-delivery", "direct"}; }
};

TEST_F(FlowTest, AStreamStaysOnARemovedBackendAndEndsWithIt) {
  for (const char* backend : {"10.180.0.11", "10.180.1.11"}) {
    Program(Cart(30001), CartSlice({backend}));
    const auto client = Connected(Proto::kTcp, kNodePort, AddressPort(Addr(backend), 8080).c_str());
    Program(Cart(30001), CartSlice({"10.180.2.11"}));
    EXPECT_EQ(client->Ask("still there?").payload, "still there?") << backend;
    EXPECT_EQ(Connect(Outside(), Proto::kTcp, At(kNodePort)).backend, "10.180.2.11:8080");
    TheLab().Servers().Stop(At(AddressPort(Addr(backend), 8080)));
    EXPECT_NE(client->Ask("and now?").end, End::kReached);
  }
}

TEST_F(FlowTest, AStreamOutlivesItsService) {
  for (const char* backend : {"10.180.0.11", "10.180.1.11"}) {
    Program(Cart(30001), CartSlice({backend}), CartSlice({"fd00:10:180:1::11"}));
    const auto four = Connected(Proto::kTcp, kNodePort, AddressPort(Addr(backend), 8080).c_str());
    const auto six = Connected(Proto::kTcp, kNodePort6, "[fd00:10:180:1::11]:8080");
    Program();
    EXPECT_NE(Connect(Outside(), Proto::kTcp, At(kNodePort)).end, End::kReached);
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(four->Ask("still there?").payload, "still there?") << backend;
      EXPECT_EQ(six->Ask("still there?").payload, "still there?");
    }
  }
}

TEST_F(FlowTest, DatagramsOfOneClientKeepTheirBackend) {
  Program(Cart(30001), CartSlice({"10.180.0.11", "10.180.1.11", "10.180.2.11"}));
  for (int i = 0; i < 10; ++i) {
    Client client(Outside(), Proto::kUdp, Family::kIpv4);
    ASSERT_EQ(client.Connect(At(kNodePort)), 0);
    const std::string backend = client.Ask("first").backend;
    ASSERT_NE(backend, "");
    for (int j = 0; j < 5; ++j) EXPECT_EQ(client.Ask("next").backend, backend);
  }
}

TEST_F(FlowTest, DatagramsMoveOffARemovedBackendAtOnce) {
  for (const char* backend : {"10.180.0.11", "10.180.1.11"}) {
    Program(Cart(30001), CartSlice({backend}));
    const auto client = Connected(Proto::kUdp, kNodePort, AddressPort(Addr(backend), 8080).c_str());
    const uint64_t before = TheLab().Servers().Count(At(AddressPort(Addr(backend), 8080)));
    Program(Cart(30001), CartSlice({"10.180.2.11"}));
    EXPECT_EQ(client->Ask("next").backend, "10.180.2.11:8080") << backend;
    EXPECT_EQ(TheLab().Servers().Count(At(AddressPort(Addr(backend), 8080))), before);
  }
}

TEST_F(FlowTest, DatagramsStayWhileTheirBackendStands) {
  Program(Cart(30001), CartSlice({"10.180.1.11"}));
  const auto client = Connected(Proto::kUdp, kNodePort, "10.180.1.11:8080");
  Program(Cart(30001), CartSlice({"10.180.0.11", "10.180.1.11", "10.180.2.11"}));
  for (int i = 0; i < 10; ++i) EXPECT_EQ(client->Ask("next").backend, "10.180.1.11:8080");
}

TEST_F(FlowTest, DatagramsAreRefusedWhenTheLastBackendGoesAndServedAgainLater) {
  Program(Cart(30001), CartSlice({"10.180.1.11"}));
  const auto client = Connected(Proto::kUdp, kNodePort, "10.180.1.11:8080");
  const uint64_t before = TheLab().Servers().Count(At("10.180.1.11:8080"));
  Program(Cart(30001));
  EXPECT_EQ(Word(client->Ask("anyone?").end), Word(End::kRefused));
  EXPECT_EQ(TheLab().Servers().Count(At("10.180.1.11:8080")), before);
  Program(Cart(30001), CartSlice({"10.180.0.11"}));
  EXPECT_EQ(client->Ask("and now?").backend, "10.180.0.11:8080");
}

TEST_F(FlowTest, NothingReachesTheBackendOfADeletedService) {
  Program(Cart(30001), CartSlice({"10.180.1.11"}));
  const auto client = Connected(Proto::kUdp, kNodePort, "10.180.1.11:8080");
  const uint64_t before = TheLab().Servers().Count(At("10.180.1.11:8080"));
  Program();
  for (int i = 0; i < 3; ++i) EXPECT_NE(client->Ask("lost").end, End::kReached);
  EXPECT_EQ(TheLab().Servers().Count(At("10.180.1.11:8080")), before);
}

TEST_F(FlowTest, DatagramsThatBeganBeforeTheServiceAreServedOnceItIsThere) {
  Client client(Outside(), Proto::kUdp, Family::kIpv4, {.bind_port = 12345, .timeout = milliseconds(100)});
  for (int i = 0; i < 3; ++i) EXPECT_NE(client.AskAt(At("198.51.100.4:80"), "?").end, End::kReached);
  Program(Cart().LoadBalancerIp("198.51.100.4"), CartSlice({"10.180.1.11"}));
  EXPECT_EQ(client.AskAt(At("198.51.100.4:80"), "?").backend, "10.180.1.11:8080");
}

void FlowTest::RollUnderLoad() {
  Program(Cart(30001), CartSlice({"10.180.0.11", "10.180.1.11"}));
  Load tcp(Outside(), Proto::kTcp, At(kNodePort));
  Load udp(Outside(), Proto::kUdp, At(kNodePort));
  const std::vector<std::string> pods{"10.180.0.11", "10.180.1.11", "10.180.0.12", "10.180.1.12"};
  for (size_t turn = 0; turn < 8; ++turn) {
    const std::string& old_pod = pods[turn % pods.size()];
    const std::string& stays = pods[(turn + 1) % pods.size()];
    const std::string& new_pod = pods[(turn + 2) % pods.size()];
    Slice slice = CartSlice({stays, new_pod, old_pod});
    Program(Cart(30001), slice);
    Program(Cart(30001), slice.Ready(false).Terminating());
    Program(Cart(30001), CartSlice({stays, new_pod}));
    ASSERT_TRUE(tcp.WaitForMore(20) && udp.WaitForMore(20));  // what was on its way to the old pod has ended
    TheLab().Servers().Stop(At(old_pod + ":8080"));
  }
  EXPECT_THAT(tcp.Stop(), IsEmpty());
  EXPECT_THAT(udp.Stop(), IsEmpty());
}

TEST_F(FlowTest, ARollingUpdateFailsNoRequestFromOutside) {
  RollUnderLoad();
}

TEST_F(DirectFlowTest, ARollingUpdateFailsNoRequestFromOutside) {
  RollUnderLoad();
}

}  // namespace
}  // namespace fairlead::test
