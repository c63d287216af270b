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

class EveryLabTest : public LabTest, public testing::WithParamInterface<LabOptions> {};

TEST_P(EveryLabTest, EveryHostReachesEveryOtherWithItsOwnAddress) {
  Lab lab(GetParam());
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

TEST_P(EveryLabTest, StreamsAndDatagramsArriveWhole) {
  Lab lab(GetParam());
  lab.Serve("10.180.1.11:8080");
  lab.Serve("[fd00:10:180:1::11]:8080");
  const Namespace& pod = lab.N1().Pod("10.180.0.100");
  for (const char* to : {"10.180.1.11:8080", "[fd00:10:180:1::11]:8080"}) {
    const Target server = Target::Parse(to);
    Client stream(pod, Proto::kTcp, server.address.GetFamily());
    ASSERT_EQ(stream.Connect(server), 0);
    ASSERT_EQ(stream.Receive().backend, to);
    const auto wrong = stream.Exchange(1 << 20);
    EXPECT_FALSE(wrong) << *wrong;
    Client datagrams(pod, Proto::kUdp, server.address.GetFamily());
    ASSERT_EQ(datagrams.Connect(server), 0);
    const std::string large(8000, 'x');
    EXPECT_EQ(datagrams.Ask(large).payload, large);
  }
  EXPECT_TRUE(Ping(lab.Out(), "10.180.1.11"));
  EXPECT_TRUE(Ping(lab.Out(), "fd00:10:180:1::11", 1200));
}

std::string NetworkName(const testing::TestParamInfo<LabOptions>& info) {
  if (info.param.overlay) return "Overlay";
  return info.param.offloads ? "Routed" : "WholeChecksums";
}
INSTANTIATE_TEST_SUITE_P(Network, EveryLabTest,
                         testing::Values(LabOptions{}, LabOptions{.offloads = false},
                                         LabOptions{.overlay = true}),
                         NetworkName);

TEST_F(LabTest, WhatOtherHostsSendToAServiceArrivesAtN1AndComesNoFurther) {
  Lab lab;
  for (const Namespace* from : {&lab.Out(), &lab.N2().Net(), &lab.N2().Pod("10.180.1.100")}) {
    for (const char* vip :
         {"172.30.0.10:80", "198.51.100.4:80", "[fd00:172:30::10]:80", "[fd00:198:51:100::4]:80"}) {
      Capture capture(lab.N1().Net());
      const Outcome outcome =
          Connect(*from, Proto::kTcp, Target::Parse(vip), {.timeout = std::chrono::milliseconds(100)});
      EXPECT_EQ(outcome.end, End::kSilent) << vip << ": " << outcome.ToString();
      EXPECT_EQ(capture.TakeSent(Proto::kTcp, Target::Parse(vip)), 1) << vip << " of " << from->Name();
    }
  }
}

TEST_F(LabTest, AnUnconnectedSocketHearsOfAClosedPortIfItWants) {
  Lab lab;
  Client client(lab.Out(), Proto::kUdp, Family::kIpv4, {.hears_errors = true});
  for (int i = 0; i < 2; ++i)
    EXPECT_EQ(client.AskAt(Target::Parse("192.168.99.12:81"), "?").end, End::kRefused);
  lab.Serve("192.168.99.12:82");
  EXPECT_EQ(client.AskAt(Target::Parse("192.168.99.12:82"), "?").end, End::kReached);
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
