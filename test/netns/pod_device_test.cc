// SPDX-License-Identifier: Apache-2.0
// Pods of this node whose sockets the hooks do not see (virtual machines, sandboxes): their packets are
// translated on the device by which they come, named by --pod-devices.
#include <gmock/gmock.h>

#include <set>

#include "test/support/node_fixture.h"

namespace fairlead::test {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::Ge;
using testing::Pair;

constexpr Proto kProtos[] = {Proto::kTcp, Proto::kUdp};
const ClientOptions kUnseen{.unseen = true};
const ClientOptions kUnseenBriefly{.timeout = milliseconds(150), .unseen = true};

class PodDeviceTest : public NodeTest {
 protected:
  void SetUp() override {
    NodeTest::SetUp();
    if (IsSkipped()) return;
    for (const Namespace* pod : {&Pod(), &Other(), &TheLab().N1().Pod("10.180.0.11")}) AwaitServed(*pod);
  }
  // The agent follows devices as they come; a test is about what happens then.
  void AwaitServed(const Namespace& pod) {
    Program(Cart(), CartSlice({"10.180.1.11"}));
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    Outcome outcome;
    do {
      outcome = Connect(pod, Proto::kTcp, At(kVip), kUnseenBriefly);
    } while (outcome.end != End::kReached && std::chrono::steady_clock::now() < deadline);
    EXPECT_EQ(outcome.backend, "10.180.1.11:8080") << outcome.ToString();
  }
  std::vector<std::string> Arguments() const override {
    return {"--cluster-cidr", "10.180.0.0/16,fd00:10:180::/48", "--pod-devices", "pod*"};
  }
};

TEST_F(PodDeviceTest, ReachesBackendsHereAndElsewhereWithItsOwnAddress) {
  Program(Cart(30001).ExternalIp("198.51.100.22").ExternalLocal(), CartSlice({"10.180.0.11", "10.180.1.11"}),
          CartSlice({"fd00:10:180::11", "fd00:10:180:1::11"}));
  for (const Proto proto : kProtos) {
    for (const char* to : {kVip, "198.51.100.22:80", "192.168.99.11:30001"}) {
      EXPECT_THAT(Spread(Pod(), proto, to, 40, kUnseen),
                  ElementsAre(Pair("10.180.0.11:8080", Ge(1)), Pair("10.180.1.11:8080", Ge(1))))
          << to;
      EXPECT_EQ(Connect(Pod(), proto, At(to), kUnseen).source.address.ToString(), "10.180.0.100") << to;
    }
    for (const char* to : {kVip6, "[fd00:192:168:99::11]:30001"})
      EXPECT_EQ(Connect(Pod(), proto, At(to), kUnseen).source.address.ToString(), "fd00:10:180::100") << to;
  }
}

TEST_F(PodDeviceTest, ReachesItselfThroughItsServiceWithAnAddressOfTheNode) {
  Program(Cart(), CartSlice({"10.180.0.11"}), CartSlice({"fd00:10:180::11"}));
  const Namespace& backend = TheLab().N1().Pod("10.180.0.11");
  for (const Proto proto : kProtos) {
    const Outcome four = Connect(backend, proto, At(kVip), kUnseen);
    EXPECT_EQ(four.backend, "10.180.0.11:8080") << four.ToString();
    EXPECT_EQ(four.source.address.ToString(), "192.168.99.11");
    const Outcome six = Connect(backend, proto, At(kVip6), kUnseen);
    EXPECT_EQ(six.backend, "[fd00:10:180::11]:8080") << six.ToString();
    EXPECT_EQ(six.source.address.ToString(), "fd00:192:168:99::11");
  }
}

TEST_F(PodDeviceTest, IsRefusedAtOnceWhereNothingIsServed) {
  Program(Cart(30001));
  for (const Proto proto : kProtos) {
    for (const char* to : {kVip, kVip6, "172.30.0.10:81", "192.168.99.11:30001"}) {
      const Outcome outcome = Connect(Pod(), proto, At(to), kUnseen);
      EXPECT_EQ(Word(outcome.end), Word(End::kRefused)) << to << ": " << outcome.ToString();
      EXPECT_LT(outcome.took, milliseconds(500)) << to;
    }
  }
}

TEST_F(PodDeviceTest, IsDroppedWhereItsSourceIsInNoRange) {
  Program(Cart(30001).LoadBalancerIp("198.51.100.4").SourceRange("10.180.0.101/32"),
          CartSlice({"10.180.1.11"}));
  EXPECT_EQ(Connect(Pod(), Proto::kTcp, At("198.51.100.4:80"), kUnseenBriefly).end, End::kSilent);
  EXPECT_EQ(Connect(Other(), Proto::kTcp, At("198.51.100.4:80"), kUnseen).end, End::kReached);
}

TEST_F(PodDeviceTest, MovesAMegabyteBothWays) {
  for (const char* backend : {"10.180.0.11", "10.180.1.11"}) {
    Program(Cart(), CartSlice({backend}));
    Client client(Pod(), Proto::kTcp, Family::kIpv4, kUnseen);
    ASSERT_EQ(client.Connect(At(kVip)), 0);
    ASSERT_EQ(client.Receive().backend, std::string(backend) + ":8080");
    const auto wrong = client.Exchange(1 << 20);
    EXPECT_FALSE(wrong) << *wrong;
  }
}

TEST_F(PodDeviceTest, ReachesOtherPodsDirectlyAsBefore) {
  Program(Cart(), CartSlice({"10.180.0.11"}));
  const Outcome outcome = Connect(Pod(), Proto::kTcp, At("10.180.0.11:8080"), kUnseen);
  EXPECT_EQ(outcome.source.address.ToString(), "10.180.0.100") << outcome.ToString();
}

TEST_F(PodDeviceTest, APodThatComesLaterIsServedToo) {
  AwaitServed(TheLab().N1().Pod("10.180.0.150"));
}

class NoPodDeviceTest : public NodeTest {};

TEST_F(NoPodDeviceTest, WithoutTheFlagWhatASocketDidNotTranslateLeavesAsItWas) {
  Program(Cart(), CartSlice({"10.180.1.11"}));
  Capture capture(Host());
  EXPECT_EQ(Connect(Pod(), Proto::kTcp, At(kVip), kUnseenBriefly).end, End::kSilent);
  EXPECT_GE(capture.TakeSent(Proto::kTcp, At(kVip)), 1);
}

}  // namespace
}  // namespace fairlead::test
