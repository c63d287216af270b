// SPDX-License-Identifier: Apache-2.0
// The lab itself, with no agent: what the other tests see is then the agent's doing.
#include <gtest/gtest.h>

#include <filesystem>

#include "test/support/capture.h"
#include "test/support/lab.h"

namespace fairlead::test {
namespace {

class LabTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const auto why = WhyNoLab()) GTEST_SKIP() << *why;
  }
};

TEST_F(LabTest, EveryHostReachesEveryOtherWithItsOwnAddress) {
  Lab lab;
  for (const char* server :
       {"10.180.0.11:8080", "10.180.1.11:8080", "192.168.99.11:8080", "203.0.113.2:8080",
        "[fd00:10:180::11]:8080", "[fd00:10:180:2::11]:8080", "[fd00:192:168:99::13]:8080"})
    lab.Serve(server);
  const auto from = [&](const char* client, const char* server, Proto proto) {
    const Address own = *Address::Parse(client);
    const Outcome outcome = Connect(lab.HomeOf(own), proto, Target::Parse(server), {.bind = own});
    EXPECT_EQ(outcome.backend, server) << client << ": " << outcome.ToString();
    EXPECT_EQ(outcome.source.address.ToString(), client);
  };
  for (const Proto proto : {Proto::kTcp, Proto::kUdp}) {
    for (const char* server :
         {"10.180.0.11:8080", "10.180.1.11:8080", "192.168.99.11:8080", "203.0.113.2:8080"}) {
      for (const char* client :
           {"10.180.0.100", "10.180.2.100", "192.168.99.11", "192.168.99.13", "203.0.113.130"})
        from(client, server, proto);
    }
    for (const char* server :
         {"[fd00:10:180::11]:8080", "[fd00:10:180:2::11]:8080", "[fd00:192:168:99::13]:8080"}) {
      for (const char* client :
           {"fd00:10:180::100", "fd00:10:180:1::100", "fd00:192:168:99::11", "fd00:203:0:114::2"})
        from(client, server, proto);
    }
  }
}

TEST_F(LabTest, AServiceAddressIsSilentAndSeenOnTheWire) {
  Lab lab;
  const Namespace& pod = lab.N1().Pod("10.180.0.100");
  for (const char* vip : {"172.30.0.10:80", "198.51.100.4:80", "[fd00:172:30::10]:80"}) {
    Capture capture(pod);
    const Outcome outcome =
        Connect(pod, Proto::kTcp, Target::Parse(vip), {.timeout = std::chrono::milliseconds(100)});
    EXPECT_EQ(outcome.end, End::kSilent) << outcome.ToString();
    EXPECT_GE(capture.Take(Proto::kTcp, Target::Parse(vip)), 1);
  }
}

TEST_F(LabTest, AClosedPortRefusesOnBothProtocols) {
  Lab lab;
  const Namespace& pod = lab.N1().Pod("10.180.0.100");
  EXPECT_EQ(Connect(pod, Proto::kTcp, Target::Parse("192.168.99.12:81")).end, End::kRefused);
  EXPECT_EQ(Connect(pod, Proto::kUdp, Target::Parse("192.168.99.12:81")).end, End::kRefused);
}

TEST_F(LabTest, NothingStaysBehind) {
  std::string name;
  {
    Lab lab;
    name = lab.N1().Pod("10.180.0.100").Name();
    EXPECT_TRUE(std::filesystem::exists("/run/netns/" + name));
  }
  EXPECT_FALSE(std::filesystem::exists("/run/netns/" + name));
}

}  // namespace
}  // namespace fairlead::test
