// SPDX-License-Identifier: Apache-2.0
// fairleadctl explain against the programs and tables of a running agent: what it says is what then happens,
// and asking changes nothing.
#include <gmock/gmock.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "agent/datapath/ebpf/bpf_map.h"
#include "agent/datapath/ebpf/pins.h"
#include "maps/destinations.h"
#include "test/support/node_fixture.h"

namespace fairlead::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr char kLb[] = "198.51.100.4:80";
constexpr char kClient[] = "203.0.113.2";

class ExplainTest : public NodeTest {
 protected:
  std::vector<std::string> Arguments() const override {
    return {"--cluster-cidr", "10.180.0.0/16,fd00:10:180::/48"};
  }
  static Service Shop() {
    return Cart(30001).LoadBalancerIp("198.51.100.4").LoadBalancerIp("fd00:198:51:100::4");
  }

  std::string Explain(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "explain");
    const Finished finished = TheAgent().Ctl(std::move(arguments));
    EXPECT_EQ(finished.status, 0) << finished.output;
    return finished.output;
  }
  YAML::Node ExplainJson(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"-o", "json"});
    return YAML::Load(Explain(std::move(arguments)));
  }
  // The first step of this name; undefined if there is none.
  static YAML::Node Step(const YAML::Node& explanation, std::string_view name) {
    for (const YAML::Node& step : explanation["steps"]) {
      if (step["step"].Scalar() == name) return step;
    }
    return YAML::Node(YAML::NodeType::Undefined);
  }
  // A client outside that has had an answer from this port of its own: "ip:port" of the backend.
  std::string Talk(Proto proto, std::string_view to, uint16_t port) {
    ClientOptions options;
    options.bind = Addr(kClient);
    options.bind_port = port;
    return Connect(Outside(), proto, At(to), options).backend;
  }
};

TEST_F(ExplainTest, ANewConnectionFromOutsideIsWalkedToItsBackend) {
  Program(Shop(), CartSlice({"10.180.1.11"}), CartSlice({"fd00:10:180:1::11"}));
  for (const char* proto : {"tcp", "udp"}) {
    const std::string text = Explain({kClient, kLb, "--proto", proto});
    EXPECT_THAT(
        text, AllOf(HasSubstr("203.0.113.2:40000 -> 198.51.100.4:80, in by "),
                    HasSubstr("conntrack no entry: a new flow\n"), HasSubstr(" is shop/cart:"),
                    HasSubstr("203.0.113.2 is outside (no pod CIDR holds it)\n"),
                    HasSubstr("choose    the only backend\n"),
                    HasSubstr("backend   10.180.1.11:8080 (on another node)\n"),
                    HasSubstr("source    192.168.99.11:40000 instead of 203.0.113.2:40000"),
                    HasSubstr("route     out by "), HasSubstr("verdict   TRANSLATED: sent to a backend\n")));
  }
  const YAML::Node six = ExplainJson({"fd00:203:0:113::2", "[fd00:198:51:100::4]:80"});
  EXPECT_EQ(six["verdict"].Scalar(), "TRANSLATED");
  EXPECT_EQ(Step(six, "backend")["address"].Scalar(), "fd00:10:180:1::11");
  EXPECT_EQ(Step(six, "masquerade")["address"].Scalar(), "fd00:192:168:99::11");
}

TEST_F(ExplainTest, ALocalPolicyShowsTheEntryForClientsOutside) {
  Program(Shop().ExternalLocal(), CartSlice({"10.180.0.11", "10.180.1.11"}));
  const YAML::Node outside = ExplainJson({kClient, "192.168.99.11:30001"});
  EXPECT_EQ(Step(outside, "frontend")["scope"].Scalar(), "external");
  EXPECT_EQ(Step(outside, "backend")["address"].Scalar(), "10.180.0.11");
  EXPECT_FALSE(Step(outside, "masquerade").IsDefined()) << "the client's address is kept";
  EXPECT_EQ(Step(outside, "route")["egress"].Scalar(), "stack");
  const YAML::Node pod = ExplainJson({"10.180.1.100", kLb});
  EXPECT_EQ(Step(pod, "frontend")["scope"].Scalar(), "cluster");
  EXPECT_THAT(Step(pod, "client")["words"].Scalar(), HasSubstr("10.180.0.0/16 holds it"));
}

TEST_F(ExplainTest, RefusalsSayWhy) {
  Program(Shop().SourceRange("192.0.2.0/24"), CartSlice({"10.180.1.11"}));
  EXPECT_EQ(ExplainJson({kClient, kLb})["verdict"].Scalar(), "DROP_SOURCE_RANGE");
  EXPECT_EQ(ExplainJson({kClient, "172.30.0.10:81"})["verdict"].Scalar(), "REJECT_UNDEFINED_PORT");
  EXPECT_EQ(ExplainJson({kClient, "172.30.0.99:80"})["verdict"].Scalar(), "NOT_OURS");
  Program(Shop().ExternalLocal(), CartSlice({"10.180.1.11"}));
  const YAML::Node drop = ExplainJson({kClient, kLb});
  EXPECT_EQ(drop["verdict"].Scalar(), "DROP_NO_LOCAL_ENDPOINT");
  EXPECT_EQ(drop["action"].Scalar(), "drop");
  EXPECT_EQ(drop["name"].Scalar(), "cart");
  Program(Shop(), CartSlice({}));
  EXPECT_EQ(ExplainJson({kClient, kLb})["verdict"].Scalar(), "REJECT_NO_ENDPOINT");
}

TEST_F(ExplainTest, AFilterThatWronglyCallsAServiceNobodysIsToldAndTrue) {
  Program(Shop(), CartSlice({"10.180.1.11"}));
  EXPECT_EQ(ExplainJson({kClient, kLb})["unseen"].Scalar(), "false");
  const Fd table = ebpf::Pins(Sandbox::Get().BpffsDir()).OpenMap(destinations_table::kName);
  auto words = ebpf::SharedArray<destination_word>::Map(table.Get(), destinations_table::kName,
                                                        DESTINATION_WORDS, true);
  ASSERT_TRUE(words) << words.error().message;
  const std::vector<destination_word> before(words->elements().begin(), words->elements().end());
  std::ranges::fill(words->elements(), destination_word{});
  const std::string told = Explain({kClient, kLb});
  const Outcome happens = Connect(Outside(), Proto::kTcp, At(kLb), {.bind = Addr(kClient)});
  std::ranges::copy(before, words->elements().begin());
  EXPECT_THAT(told, HasSubstr("filter    WRONG: neither 198.51.100.4 nor 203.0.113.2 has a bit"));
  EXPECT_EQ(happens.backend, "");
  EXPECT_EQ(Connect(Outside(), Proto::kTcp, At(kLb), {.bind = Addr(kClient)}).backend, "10.180.1.11:8080");
}

TEST_F(ExplainTest, AKnownFlowIsFoundByItsPorts) {
  Program(Shop(), CartSlice({"10.180.1.11", "10.180.2.11"}));
  const std::string backend = Talk(Proto::kUdp, kLb, 41000);
  const YAML::Node known = ExplainJson({"203.0.113.2:41000", kLb, "--proto", "udp"});
  const YAML::Node hit = Step(known, "flow_hit");
  ASSERT_TRUE(hit.IsDefined()) << known << TheAgent().Ctl({"conntrack"}).output;
  EXPECT_EQ(hit["address"].Scalar() + ":" + hit["port"].Scalar(), backend);
  EXPECT_EQ(hit["state"].Scalar(), "stream");
  EXPECT_EQ(known["verdict"].Scalar(), "KEPT");
  EXPECT_TRUE(Step(ExplainJson({"203.0.113.2:41001", kLb, "--proto", "udp"}), "flow_miss").IsDefined());
}

TEST_F(ExplainTest, ARememberedClientKeepsItsBackendInTheAnswer) {
  Program(Shop().Affinity(), CartSlice({"10.180.1.11", "10.180.2.11"}));
  EXPECT_THAT(Explain({kClient, kLb}), HasSubstr("affinity  none remembered\n"));
  const std::string backend = Talk(Proto::kTcp, kLb, 41000);
  for (int i = 0; i < 5; ++i) {
    EXPECT_THAT(Explain({kClient, kLb}),
                AllOf(HasSubstr("affinity  remembered: " + backend), HasSubstr("backend   " + backend)));
  }
}

TEST_F(ExplainTest, AClientOnThisNodeIsExplainedAtItsSocket) {
  Program(Shop().Affinity(), CartSlice({"10.180.1.11", "10.180.2.11"}));
  const std::string backend = Connect(Pod(), Proto::kTcp, At(kVip)).backend;
  const YAML::Node pod = ExplainJson({"10.180.0.100", kVip});
  EXPECT_EQ(pod["at"].Scalar(), "socket");
  EXPECT_THAT(Step(pod, "affinity")["words"].Scalar(), HasSubstr(backend)) << "by its network namespace";
  EXPECT_FALSE(Step(pod, "masquerade").IsDefined());
  const YAML::Node node = ExplainJson({"192.168.99.11", kVip});
  EXPECT_EQ(node["at"].Scalar(), "socket");
  EXPECT_EQ(node["verdict"].Scalar(), "TRANSLATED");
  EXPECT_EQ(ExplainJson({"127.0.0.1", "127.0.0.1:30001"})["verdict"].Scalar(), "TRANSLATED");
}

// What asking could have changed.
std::string LiveState(Agent& agent) {
  std::string state;
  for (const auto& words : std::vector<std::vector<std::string>>{{"counters", "--all"},
                                                                 {"services"},
                                                                 {"backends"},
                                                                 {"conntrack", "count"},
                                                                 {"affinity", "count"}}) {
    const Finished said = agent.Ctl(words);
    EXPECT_EQ(said.status, 0) << said.output;
    state += said.output;
  }
  // With the times of last use.
  state += Run({"bpftool", "map", "dump", "pinned", Sandbox::Get().BpffsDir() + "/maps/affinity"}).output;
  return state;
}

TEST_F(ExplainTest, AskingChangesNothing) {
  Program(Shop().Affinity(), CartSlice({"10.180.1.11", "10.180.2.11"}));
  ASSERT_THAT(Talk(Proto::kUdp, kLb, 41000), HasSubstr("10.180."));
  ASSERT_THAT(Connect(Pod(), Proto::kTcp, At(kVip)).backend, HasSubstr("10.180."));
  const std::string before = LiveState(TheAgent());
  ASSERT_THAT(before, HasSubstr("last_used_ns")) << "there is something to disturb";
  for (const char* from : {"203.0.113.2:41000", "203.0.113.2:41001", "203.0.113.130", "10.180.0.100"}) {
    for (const char* to : {kLb, kVip, "192.168.99.11:30001", "172.30.0.10:81"}) {
      for (const char* proto : {"tcp", "udp"}) Explain({from, to, "--proto", proto});
    }
  }
  EXPECT_EQ(LiveState(TheAgent()), before);
}

TEST_F(ExplainTest, WhoAsksTogetherGetsHisOwnAnswer) {
  Program(Shop(), CartSlice({"10.180.1.11"}));
  const std::string scratch = Sandbox::Get().Scratch();
  std::vector<Child> askers;
  for (int i = 0; i < 12; ++i) {
    askers.push_back(
        Child::Start({{Sandbox::BuildDir() + "/fairleadctl", "explain", kClient,
                       i % 2 == 0 ? kLb : "172.30.0.10:81", "--bpffs-dir", Sandbox::Get().BpffsDir()},
                      &Host(),
                      Sandbox::Get().HomeCgroup(),
                      fmt::format("{}/asker{}", scratch, i)}));
  }
  for (int i = 0; i < 12; ++i) {
    EXPECT_EQ(askers[static_cast<size_t>(i)].Wait(std::chrono::seconds(20)), 0);
    std::ostringstream said;
    said << std::ifstream(fmt::format("{}/asker{}", scratch, i)).rdbuf();
    EXPECT_THAT(said.str(),
                HasSubstr(i % 2 == 0 ? "verdict   TRANSLATED" : "verdict   REJECT_UNDEFINED_PORT"));
  }
}

TEST_F(ExplainTest, WrongWordsAndMissingPinsAreDifferentErrors) {
  EXPECT_EQ(TheAgent().Ctl({"explain", kClient}).status, 2);
  EXPECT_EQ(TheAgent().Ctl({"explain", kClient, "shop/cart"}).status, 2);
  EXPECT_EQ(TheAgent().Ctl({"explain", kClient, kLb, "--proto", "sctp"}).status, 2);
  const Finished no_device = TheAgent().Ctl({"explain", kClient, kLb, "--device", "nodev"});
  EXPECT_EQ(no_device.status, 1);
  EXPECT_THAT(no_device.output, HasSubstr("no such device"));
  const Finished no_pins =
      TheAgent().RunTool("fairleadctl", {"explain", kClient, kLb, "--bpffs-dir", "/sys/fs/bpf/none"});
  EXPECT_EQ(no_pins.status, 1);
}

TEST_F(ExplainTest, TheAgentNeedNotRun) {
  Program(Shop(), CartSlice({"10.180.1.11"}));
  TheAgent().Kill();
  EXPECT_EQ(ExplainJson({kClient, kLb})["verdict"].Scalar(), "TRANSLATED");
}

}  // namespace
}  // namespace fairlead::test
