// SPDX-License-Identifier: Apache-2.0
// The datapath stands without the agent; an agent that comes back takes over what it finds, and goes on from
// there.
#include <gmock/gmock.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "test/support/load.h"
#include "test/support/node_fixture.h"

namespace fairlead::test {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

class RestartTest : public NodeTest {};

TEST_F(RestartTest, AKilledAgentCostsNoConnectionAndNoRequest) {
  Program(Cart(), CartSlice({"10.180.0.11", "10.180.1.11"}));
  Client held(Pod(), Proto::kTcp, Family::kIpv4);
  ASSERT_EQ(held.Connect(At(kVip)), 0);
  ASSERT_EQ(held.Receive().end, End::kReached);
  Client datagrams(Pod(), Proto::kUdp, Family::kIpv4);
  ASSERT_EQ(datagrams.Connect(At(kVip)), 0);
  Load tcp(Pod(), Proto::kTcp, At(kVip));
  Load udp(Host(), Proto::kUdp, At(kVip), 1);
  for (int round = 0; round < 5; ++round) {
    ASSERT_TRUE(tcp.WaitForMore(50));
    TheAgent().Kill();
    ASSERT_TRUE(tcp.WaitForMore(50));
    TheAgent().Start();
    EXPECT_EQ(held.Ask("still there?").payload, "still there?");
    EXPECT_EQ(datagrams.Ask("you too?").payload, "you too?");
  }
  EXPECT_THAT(tcp.Stop(), IsEmpty());
  EXPECT_THAT(udp.Stop(), IsEmpty());
}

TEST_F(RestartTest, WhatChangedInBetweenIsCaughtUp) {
  Service stock("shop/stock"), fresh("shop/fresh");
  stock.ClusterIp("172.30.0.11").Port("tcp", 80, 8080);
  fresh.ClusterIp("172.30.0.12").Port("tcp", 80, 8080);
  Slice stock_slice("shop/stock"), fresh_slice("shop/fresh");
  stock_slice.Port("tcp", 8080).Endpoint("10.180.0.11").On("n1");
  fresh_slice.Port("tcp", 8080).Endpoint("10.180.2.11").On("n3");
  TheLab().Serve("10.180.2.11:8080");
  Program(Cart(), CartSlice({"10.180.0.11"}), stock, stock_slice);
  TheAgent().Kill();
  TheAgent().Put("cluster.json", Manifest({Cart().ToJson(), CartSlice({"10.180.1.11"}).ToJson(),
                                           fresh.ToJson(), fresh_slice.ToJson()}));
  EXPECT_THAT(Spread(Pod(), Proto::kTcp, kVip, 4), ElementsAre(Pair("10.180.0.11:8080", 4)));
  TheAgent().Start();
  EXPECT_THAT(Spread(Pod(), Proto::kTcp, kVip, 4), ElementsAre(Pair("10.180.1.11:8080", 4)));
  EXPECT_THAT(Spread(Pod(), Proto::kTcp, "172.30.0.12:80", 4), ElementsAre(Pair("10.180.2.11:8080", 4)));
  Capture capture(Pod());
  EXPECT_EQ(Connect(Pod(), Proto::kTcp, At("172.30.0.11:80"), {.timeout = milliseconds(50)}).end,
            End::kSilent);
  EXPECT_GE(capture.Take(Proto::kTcp, At("172.30.0.11:80")), 1) << "the deleted Service is still there";
}

TEST_F(RestartTest, ATerminatedAgentLeavesTheDatapathStanding) {
  Program(Cart(), CartSlice({"10.180.1.11"}));
  EXPECT_EQ(TheAgent().Stop(), 0);
  EXPECT_THAT(Spread(Pod(), Proto::kTcp, kVip, 4), ElementsAre(Pair("10.180.1.11:8080", 4)));
  TheAgent().Start();
  EXPECT_THAT(Spread(Pod(), Proto::kTcp, kVip, 4), ElementsAre(Pair("10.180.1.11:8080", 4)));
}

TEST_F(RestartTest, NothingIsPrunedBeforeTheSourceHasSynced) {
  Program(Cart(), CartSlice({"10.180.1.11"}));
  TheAgent().Kill();
  // A second agent on the same pins, whose API server does not answer.
  const std::string kubeconfig = TheAgent().Manifests() + "/../kubeconfig";
  std::ofstream(kubeconfig) << R"(apiVersion: v1
kind: Config
current-context: lab
contexts: [{name: lab, context: {cluster: lab, user: lab}}]
clusters: [{name: lab, cluster: {server: "https://127.0.0.1:6443", insecure-skip-tls-verify: true}}]
users: [{name: lab, user: {token: none}}]
)";
  const auto& sandbox = Sandbox::Get();
  Child waiting = Child::Start(
      {{Sandbox::BuildDir() + "/fairlead", "--kubeconfig", kubeconfig, "--cgroup", sandbox.Cgroup(),
        "--bpffs-dir", sandbox.BpffsDir(), "--hostname-override", "n1", "--proxy-mode", "ebpf"},
       &Host(),
       sandbox.HomeCgroup(),
       kubeconfig + ".log"});
  Load load(Pod(), Proto::kTcp, At(kVip), 1);
  std::this_thread::sleep_for(milliseconds(1500));
  EXPECT_TRUE(waiting.Running());
  EXPECT_THAT(load.Stop(), IsEmpty());
  waiting.Signal(SIGTERM);
  EXPECT_EQ(waiting.Wait(std::chrono::seconds(5)), 0);
  TheAgent().Start();
  EXPECT_EQ(Connect(Pod(), Proto::kTcp, At(kVip)).backend, "10.180.1.11:8080");
}

TEST_F(RestartTest, AnEmptyClusterAfterTheRestartRemovesWhatWasThere) {
  Program(Cart(30001), CartSlice({"10.180.1.11"}));
  TheAgent().Kill();
  TheAgent().Remove("cluster.json");
  TheAgent().Start();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  Outcome outcome;
  do {
    outcome = Connect(Pod(), Proto::kTcp, At(kVip), {.timeout = milliseconds(50)});
  } while (outcome.end != End::kSilent && std::chrono::steady_clock::now() < deadline);
  EXPECT_EQ(Word(outcome.end), Word(End::kSilent));
}

}  // namespace
}  // namespace fairlead::test
