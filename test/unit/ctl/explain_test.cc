// SPDX-License-Identifier: Apache-2.0
// What `fairleadctl explain` makes of its words, of the routes, and of the steps that tc_explain recorded.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "agent/ctl/explain_filter.h"
#include "agent/ctl/explain_packet.h"
#include "agent/ctl/explanation.h"
#include "agent/datapath/ebpf/encode.h"
#include "fairlead/verdict.h"
#include "test/support/objects.h"
#include "test/support/packet/expect.h"
#include "test/support/packet/packet.h"

namespace fairlead::ctl {
namespace {

using test::Addr;
using testing::EndsWith;
using testing::HasSubstr;

Endpoint At(std::string_view text) {
  return ParseEndpoint(text, kExplainSourcePort).value();
}

// --- the words of the command line

TEST(ExplainRequestTest, AnEndpointIsAnAddressWithOrWithoutPort) {
  EXPECT_EQ(At("203.0.113.2:1234"), (Endpoint{Addr("203.0.113.2"), 1234}));
  EXPECT_EQ(At("203.0.113.2"), (Endpoint{Addr("203.0.113.2"), kExplainSourcePort}));
  EXPECT_EQ(At("[fd00::1]:80"), (Endpoint{Addr("fd00::1"), 80}));
  EXPECT_EQ(At("[fd00::1]"), (Endpoint{Addr("fd00::1"), kExplainSourcePort}));
  EXPECT_EQ(At("fd00::1"), (Endpoint{Addr("fd00::1"), kExplainSourcePort}));
}

TEST(ExplainRequestTest, AnythingElseIsNoEndpoint) {
  for (const char* text : {"", "shop/cart", "10.0.0.1:", "10.0.0.1:0", "10.0.0.1:65536", "10.0.0.1:80x",
                           "10.0.0.1:-1", "[fd00::1", "[fd00::1]80", "[fd00::1]:", "[]:80", "10.0.0.1:1:2"}) {
    EXPECT_FALSE(ParseEndpoint(text, 1)) << text;
  }
  auto portless = ParseEndpoint("fd00::1", 0);
  ASSERT_FALSE(portless);
  EXPECT_THAT(portless.error().message, HasSubstr("as in [fd00::1]:80"));
}

TEST(ExplainRequestTest, WordsThatCannotBeAPacketAreRefused) {
  EXPECT_TRUE(ParseExplainRequest({"10.0.0.1", "10.0.0.2:80", "udp", "eth0", "pod"}));
  EXPECT_FALSE(ParseExplainRequest({"10.0.0.1", "10.0.0.2", "tcp", "", ""})) << "no port";
  EXPECT_FALSE(ParseExplainRequest({"10.0.0.1", "[fd00::1]:80", "tcp", "", ""})) << "two families";
  EXPECT_FALSE(ParseExplainRequest({"10.0.0.1", "10.0.0.2:80", "sctp", "", ""}));
  EXPECT_FALSE(ParseExplainRequest({"10.0.0.1", "10.0.0.2:80", "tcp", "", "moon"}));
}

// --- where the packet is

constexpr uint32_t kEth0 = 2, kEth1 = 3, kVeth = 7;

NodeDevices Devices() {
  return {{{1, "lo"}, {kEth0, "eth0"}, {kEth1, "eth1"}, {kVeth, "veth7"}, {9, "wg0"}},
          {{kEth0, DEVICE_UPLINK}, {kEth1, DEVICE_UPLINK}, {kVeth, DEVICE_POD}}};
}

struct Placed {
  const char* says;
  EndRoutes routes;
  std::string device;
  std::optional<explain_at> at;
  std::string expected;  // "uplink eth0", or a part of the error
};

TEST(ExplainPlaceTest, RoutesAndDevicesSayWhereThePacketIs) {
  const Route own{1, true, false}, pod{kVeth, false, false}, other_pod{9, false, false};
  const Route by_eth1{kEth1, false, true}, by_wg0{9, false, true};
  const Placed kCases[] = {
      {"the node's own client connects", {own, {}}, "", {}, "socket "},
      {"a pod of this node connects", {pod, {}}, "", {}, "socket "},
      {"a pod by a device without programs connects too", {other_pod, {}}, "", {}, "socket "},
      {"a client elsewhere comes by the uplink that leads to it", {by_eth1, {}}, "", {}, "uplink eth1"},
      {"a client nobody knows comes by the first uplink", {{}, {}}, "", {}, "uplink eth0"},
      {"a client behind a device without programs is not translated",
       {by_wg0, {}},
       "",
       {},
       "wg0 has no program"},
      {"--device wins over routes", {own, {}}, "eth1", {}, "uplink eth1"},
      {"--device of a pod is the pod's hook", {by_eth1, {}}, "veth7", {}, "pod veth7"},
      {"--device without programs", {by_eth1, {}}, "wg0", {}, "those that have: eth0, eth1, veth7"},
      {"--device without programs, --at all the same", {by_eth1, {}}, "wg0", EXPLAIN_UPLINK, "uplink wg0"},
      {"--device that is not there", {by_eth1, {}}, "eth9", {}, "--device eth9: no such device"},
      {"--at socket needs no device", {by_eth1, {}}, "", EXPLAIN_SOCKET, "socket "},
      {"--at pod is the pod's own device", {pod, {}}, "", EXPLAIN_POD, "pod veth7"},
      {"--at egress goes by the route to TO", {pod, by_eth1}, "", EXPLAIN_EGRESS, "egress eth1"},
  };
  for (const Placed& c : kCases) {
    const ExplainRequest request{At("10.0.0.1"), At("10.0.0.2:80"), kube::Protocol::kTcp, c.device, c.at};
    auto question = PlaceQuestion(request, Devices(), c.routes);
    const std::string got =
        question ? fmt::format("{} {}", AtName(question->at), question->device) : question.error().message;
    EXPECT_THAT(got, HasSubstr(c.expected)) << c.says;
    EXPECT_EQ(question.has_value(), !c.expected.contains("program") && !c.expected.contains("such") &&
                                        !c.expected.contains("those"))
        << c.says;
  }
}

TEST(ExplainPlaceTest, WithoutAnUplinkNothingFromOutsideIsTranslated) {
  auto question = PlaceQuestion({At("10.0.0.1"), At("10.0.0.2:80"), kube::Protocol::kTcp, "", {}}, {}, {});
  ASSERT_FALSE(question);
  EXPECT_EQ(question.error().message, "no uplink has a program of fairlead");
}

// --- the packet

Question Asked(std::string_view from, std::string_view to, kube::Protocol protocol = kube::Protocol::kTcp,
               explain_at at = EXPLAIN_UPLINK) {
  return {
      At(from), At(to), protocol, at, at == EXPLAIN_SOCKET ? 0 : kEth0, at == EXPLAIN_SOCKET ? "" : "eth0",
      0};
}

TEST(ExplainPacketTest, IsAFirstPacketWithRightChecksums) {
  for (const auto& [from, to] : {std::pair("203.0.113.2", "198.51.100.4"), std::pair("fd00::2", "fd00::4")}) {
    const Endpoint client = At(from), service{Addr(to), 80};
    const auto frame = [&](kube::Protocol protocol) {
      return MakePacket({client, service, protocol, EXPLAIN_UPLINK, kEth0, "eth0", 0}, test::kNodeMac);
    };
    test::ExpectPacket(frame(kube::Protocol::kTcp), test::Ip(from, to)
                                                        .Link({2, 0, 0, 0, 0, 1}, test::kNodeMac)
                                                        .DontFragment()
                                                        .Tcp(kExplainSourcePort, 80)
                                                        .Syn()
                                                        .Seq(1));
    test::ExpectPacket(frame(kube::Protocol::kUdp), test::Ip(from, to)
                                                        .Link({2, 0, 0, 0, 0, 1}, test::kNodeMac)
                                                        .DontFragment()
                                                        .Udp(kExplainSourcePort, 80));
  }
}

// --- the answer in words

constexpr uint32_t kService = 5;

Backend BackendAt(uint32_t id, std::string_view address) {
  Backend backend;
  backend.id = id;
  backend.address = Addr(address);
  backend.port = 8080;
  return backend;
}

// shop/cart behind a load balancer with externalTrafficPolicy: Local, a NodePort, and two backends.
Snapshot Shop() {
  Frontend balancer;
  balancer.service = {test::Name("shop/cart"), "http", plan::Protocol::kTcp, Family::kIpv4};
  balancer.service_id = kService;
  balancer.kind = Kind::kExternal;
  balancer.address = Addr("198.51.100.4");
  balancer.port = 80;
  balancer.scope = Scope::kCluster;
  balancer.backends = {BackendAt(7, "10.180.0.11"), BackendAt(9, "10.180.1.11")};
  Frontend outside = balancer;
  outside.scope = Scope::kExternal;
  Frontend node_port = balancer;
  node_port.kind = Kind::kNodePort;
  node_port.address = Addr("0.0.0.0");
  node_port.port = 30001;
  node_port.scope = Scope::kAll;
  Snapshot snapshot;
  snapshot.frontends = {balancer, outside, node_port};
  snapshot.service_cidrs = {test::Range("172.30.0.0/16")};
  snapshot.pod_cidrs = {test::Range("10.180.0.0/16")};
  return snapshot;
}

// An answer under construction.
class Walk {
 public:
  explicit Walk(Question question) {
    made_.question = std::move(question);
    made_.answer.at = made_.question.at;
    made_.snapshot = Shop();
    made_.devices = Devices();
  }
  Walk& Step(uint32_t kind, std::string_view address = "::", uint64_t first = 0, uint64_t second = 0) {
    made_.answer.step[made_.answer.steps++] = {kind, 0, Addr(address).raw, {first, second}};
    return *this;
  }
  Walk& Frontend(std::string_view address, uint16_t count, int flags, frontend_scope scope = SCOPE_CLUSTER,
                 uint8_t algorithm = ALGORITHM_RANDOM) {
    const frontend word{17, count, algorithm, static_cast<uint8_t>(flags | FRONTEND_LIVE)};
    uint64_t number = 0;
    std::memcpy(&number, &word, sizeof(number));
    return Step(EXPLAIN_STEP_FRONTEND, address, number, scope);
  }
  Walk& Backend(std::string_view address, uint32_t id, uint64_t flags = 0) {
    return Step(EXPLAIN_STEP_BACKEND, address, id, uint64_t{ebpf::PortToWire(8080)} << 8 | flags);
  }
  Walk& Verdict(verdict how) { return Step(EXPLAIN_STEP_VERDICT, "::", how, PROGRAM_UPLINK); }
  Explanation& Made() { return made_; }
  std::string Text(Format format = Format::kTable) const { return RenderExplanation(made_, format); }

 private:
  Explanation made_;
};

Walk ToRemoteBackend() {
  Walk walk(Asked("203.0.113.2", "198.51.100.4:80"));
  walk.Step(EXPLAIN_STEP_PACKET, "::", EXPLAIN_UPLINK, 6)
      .Step(EXPLAIN_STEP_FLOW_MISS)
      .Frontend("198.51.100.4", 3, FRONTEND_MASQUERADE | FRONTEND_SOURCE_RANGES | FRONTEND_AFFINITY,
                SCOPE_EXTERNAL)
      .Step(EXPLAIN_STEP_CLIENT, "203.0.113.2", 0)
      .Step(EXPLAIN_STEP_SOURCE_RANGES, "::", 1, 4)
      .Step(EXPLAIN_STEP_AFFINITY)
      .Step(EXPLAIN_STEP_RUN, "::", kService, 3 << 8 | ALGORITHM_RANDOM)
      .Backend("10.180.1.11", 9)
      .Step(EXPLAIN_STEP_MASQUERADE, "192.168.99.11", ebpf::PortToWire(40000))
      .Step(EXPLAIN_STEP_ROUTE, "::", kEth0, EGRESS_DEVICE)
      .Verdict(VERDICT_TRANSLATED);
  return walk;
}

TEST(ExplainRenderTest, AWholeWalkReadsAsSentences) {
  EXPECT_EQ(ToRemoteBackend().Text(),
            R"(packet    TCP 203.0.113.2:40000 -> 198.51.100.4:80, in by eth0
conntrack no entry: a new flow
frontend  198.51.100.4:80/TCP is shop/cart:http, an external address (of a load balancer, or an external IP); this is its entry for clients outside (externalTrafficPolicy: Local)
client    203.0.113.2 is outside (no pod CIDR holds it)
ranges    allowed by loadBalancerSourceRanges
affinity  none remembered
choose    random among 3 backends: another packet, and another explain, may get another one
backend   10.180.1.11:8080 (on another node)
source    192.168.99.11:40000 instead of 203.0.113.2:40000 (masqueraded); another port if that one is taken
route     out by eth0
verdict   TRANSLATED: sent to a backend
)");
}

// --- the filter in front of the walk

TEST(ExplainFilterTest, APacketPassesUnseenWhoseAddressesHaveNoBitAndAreInNoServiceCidr) {
  struct Case {
    const char* says;
    explain_at at;
    kube::Protocol protocol;
    const char* to;
    const char* with_bit;
    bool unseen;
  };
  constexpr auto kTcp = kube::Protocol::kTcp, kUdp = kube::Protocol::kUdp;
  const Case kCases[] = {
      {"nobody's", EXPLAIN_UPLINK, kTcp, "198.51.100.4", "::", true},
      {"its destination has a bit", EXPLAIN_UPLINK, kTcp, "198.51.100.4", "198.51.100.4", false},
      {"its source has one, and a connection begins", EXPLAIN_UPLINK, kTcp, "198.51.100.4", "203.0.113.2",
       false},
      {"its source has one, which says nothing of a datagram", EXPLAIN_POD, kUdp, "198.51.100.4",
       "203.0.113.2", true},
      {"in a ServiceCIDR, where an address without Service is refused", EXPLAIN_POD, kTcp, "172.30.9.9",
       "::", false},
      {"in a ServiceCIDR, on its way out, where nothing is refused", EXPLAIN_EGRESS, kTcp, "172.30.9.9",
       "::", true},
      {"at the socket there is no filter", EXPLAIN_SOCKET, kTcp, "198.51.100.4", "::", false},
  };
  const Cidr cidrs[] = {test::Range("172.30.0.0/16")};
  for (const Case& c : kCases) {
    Question question{At("203.0.113.2"), At(fmt::format("{}:80", c.to)), c.protocol, c.at, kEth0, "eth0", 0};
    EXPECT_EQ(
        PassesUnseen(question, cidrs, [&](const Address& address) { return address == Addr(c.with_bit); }),
        c.unseen)
        << c.says;
  }
}

TEST(ExplainRenderTest, AServiceThatTheFilterPassesUnseenIsSaidToBeWrongBeforeTheWalk) {
  Walk walk = ToRemoteBackend();
  walk.Made().unseen = true;
  EXPECT_THAT(walk.Text(),
              HasSubstr("in by eth0\nfilter    WRONG: neither 198.51.100.4 nor 203.0.113.2 has a bit in "
                        "the table destinations, so the programs pass this packet and nothing below "
                        "happens; please report it\nconntrack "));
  EXPECT_THAT(walk.Text(Format::kJson), HasSubstr("\"unseen\": true,\n  \"filter\": \"WRONG: neither"));
}

TEST(ExplainRenderTest, WhatIsNobodysPassesUnseenAndThatIsRight) {
  Walk walk(Asked("203.0.113.2", "8.8.8.8:53"));
  walk.Made().question.protocol = kube::Protocol::kUdp;
  walk.Made().unseen = true;
  walk.Step(EXPLAIN_STEP_PACKET, "::", EXPLAIN_UPLINK, 17)
      .Step(EXPLAIN_STEP_FLOW_MISS)
      .Step(EXPLAIN_STEP_NO_FRONTEND)
      .Verdict(VERDICT_NOT_OURS);
  EXPECT_THAT(walk.Text(),
              HasSubstr("filter    8.8.8.8 does not have a bit in the table destinations: passed "
                        "without a look at the tables\n"));
  walk.Made().answer.step[2].number[0] = ADDRESS_CLUSTER_IP;
  EXPECT_THAT(walk.Text(), HasSubstr("filter    WRONG: 8.8.8.8 does not have"))
      << "a role is a reason to look";
}

TEST(ExplainRenderTest, JsonHasTheSameAndItsNumbers) {
  const std::string json = ToRemoteBackend().Text(Format::kJson);
  EXPECT_THAT(json, testing::StartsWith(R"json({
  "protocol": "TCP",
  "at": "uplink",
  "device": "eth0",
  "from": {
    "address": "203.0.113.2",
    "port": 40000
  },
  "to": {
    "address": "198.51.100.4",
    "port": 80
  },
  "namespace": "shop",
  "name": "cart",
  "port_name": "http",
  "unseen": false,
  "verdict": "TRANSLATED",
  "action": "pass",
  "meaning": "sent to a backend",
  "steps": [
    {
      "step": "packet",
      "words": "TCP 203.0.113.2:40000 -> 198.51.100.4:80, in by eth0"
    },
)json"));
  EXPECT_THAT(json, HasSubstr(R"json(
      "step": "frontend",
      "words": "198.51.100.4:80/TCP is shop/cart:http, an external address (of a load balancer, or an external IP); this is its entry for clients outside (externalTrafficPolicy: Local)",
      "address": "198.51.100.4",
      "port": 80,
      "scope": "external",
      "two_scopes": true,
      "backend_count": 3,
      "algorithm": "random",
      "affinity": true,
      "source_ranges": true,
      "masquerade": "all",
      "dsr": false,
      "when_empty": "reject",
      "kind": "External"
    },)json"));
  EXPECT_THAT(json, HasSubstr(R"json(
      "step": "backend",
      "words": "10.180.1.11:8080 (on another node)",
      "id": 9,
      "address": "10.180.1.11",
      "port": 8080,
      "local": false,
      "terminating": false
    },)json"));
  EXPECT_THAT(json, HasSubstr(R"json(
      "step": "route",
      "words": "out by eth0",
      "egress": "device",
      "ifindex": 2,
      "device": "eth0"
    },)json"));
}

// The line of a walk that has just this step.
std::string Line(explain_step_kind kind, std::string_view address, uint64_t first, uint64_t second,
                 Question question = Asked("203.0.113.2", "198.51.100.4:80")) {
  const std::string text = Walk(std::move(question)).Step(kind, address, first, second).Text();
  return text.substr(0, text.find('\n'));
}

uint64_t PortWord(uint16_t port) {
  return ebpf::PortToWire(port);
}

TEST(ExplainRenderTest, ThePacketSaysWhereItIs) {
  const auto packet = [](explain_at at) {
    return Line(EXPLAIN_STEP_PACKET, "::", 0, 0,
                Asked("fd00::2", "[fd00:172:30::10]:80", kube::Protocol::kUdp, at));
  };
  EXPECT_EQ(packet(EXPLAIN_SOCKET),
            "packet    UDP to [fd00:172:30::10]:80 by a socket of fd00::2, on this node");
  EXPECT_EQ(packet(EXPLAIN_POD),
            "packet    UDP [fd00::2]:40000 -> [fd00:172:30::10]:80, in by the pod device eth0");
  EXPECT_EQ(packet(EXPLAIN_EGRESS),
            "packet    UDP [fd00::2]:40000 -> [fd00:172:30::10]:80, about to leave by eth0");
}

TEST(ExplainRenderTest, AKnownFlowSaysItsStateAndWhereItGoes) {
  EXPECT_EQ(
      Line(EXPLAIN_STEP_FLOW_HIT, "10.180.1.11", FLOW_MASQUERADED << 8 | FLOW_ESTABLISHED, PortWord(8080)),
      "conntrack a packet of a known flow (established): to 10.180.1.11:8080, masqueraded");
  EXPECT_EQ(
      Line(EXPLAIN_STEP_FLOW_HIT, "203.0.113.2", FLOW_REPLY << 8 | FLOW_STREAM, PortWord(40000)),
      "conntrack an answer of a known flow (stream): to 203.0.113.2:40000, from the Service's address again");
}

TEST(ExplainRenderTest, AFlowThatIsOverIsSaidToBeginAnew) {
  Walk walk(Asked("203.0.113.2", "198.51.100.4:80", kube::Protocol::kUdp));
  walk.Step(EXPLAIN_STEP_FLOW_HIT, "10.180.1.11", FLOW_UNREPLIED, PortWord(8080))
      .Frontend("198.51.100.4", 0, 0)
      .Verdict(VERDICT_REJECT_NO_ENDPOINT);
  EXPECT_THAT(walk.Text(),
              HasSubstr("to 10.180.1.11:8080; it is over, or its backend is gone: a new flow begins\n"));
  EXPECT_THAT(walk.Text(), EndsWith("verdict   REJECT_NO_ENDPOINT: the Service has no endpoint anywhere\n"));
}

TEST(ExplainRenderTest, AnAddressWithoutFrontendSaysWhatIsKnownOfIt) {
  const auto none = [](uint64_t roles, std::string_view to) {
    return Line(EXPLAIN_STEP_NO_FRONTEND, "::", roles, 0, Asked("203.0.113.2", to));
  };
  EXPECT_EQ(none(0, "10.1.1.1:80"), "frontend  none: 10.1.1.1 is no Service's");
  EXPECT_EQ(none(0, "172.30.9.9:80"),
            "frontend  none: no Service has 172.30.9.9, which is in ServiceCIDR 172.30.0.0/16");
  EXPECT_EQ(none(ADDRESS_CLUSTER_IP, "172.30.0.10:81"),
            "frontend  none: the Service of cluster IP 172.30.0.10 has no port 81/TCP");
  EXPECT_EQ(none(ADDRESS_EXTERNAL, "198.51.100.4:81"),
            "frontend  none: no Service of external address 198.51.100.4 has a port 81/TCP");
  EXPECT_EQ(none(ADDRESS_NODE, "192.168.99.11:30002"),
            "frontend  none: 192.168.99.11 is this node's, but no Service has NodePort 30002/TCP");
}

TEST(ExplainRenderTest, ANodePortIsFoundUnderEveryAddress) {
  Walk walk(Asked("203.0.113.2", "192.168.99.11:30001"));
  walk.Frontend("0.0.0.0", 0, FRONTEND_DROP_IF_EMPTY).Verdict(VERDICT_DROP_NO_LOCAL_ENDPOINT);
  EXPECT_THAT(walk.Text(),
              HasSubstr("frontend  0.0.0.0:30001/TCP is shop/cart:http, NodePort; no backend that "
                        "its policy allows\n"));
}

TEST(ExplainRenderTest, AClientIsAPodByItsAddressOrByItsDevice) {
  EXPECT_EQ(Line(EXPLAIN_STEP_CLIENT, "10.180.3.4", 1, 0),
            "client    10.180.3.4 counts as a pod: 10.180.0.0/16 holds it");
  EXPECT_EQ(Line(EXPLAIN_STEP_CLIENT, "10.9.3.4", 1, 0),
            "client    10.9.3.4 counts as a pod: it comes from a pod's device");
}

TEST(ExplainRenderTest, ARememberedBackendIsNamedAndIsTheChoice) {
  Walk walk(Asked("203.0.113.2", "198.51.100.4:80"));
  walk.Step(EXPLAIN_STEP_AFFINITY, "::", 7).Step(EXPLAIN_STEP_RUN, "::", kService, 3 << 8);
  EXPECT_THAT(walk.Text(), HasSubstr("affinity  remembered: 10.180.0.11:8080\n"
                                     "choose    the remembered one among 3 backends\n"));
}

TEST(ExplainRenderTest, AnInvisiblePodHasNoKnownAffinity) {
  EXPECT_EQ(
      Line(EXPLAIN_STEP_AFFINITY, "::", 0, 0,
           Asked("10.180.0.100", "172.30.0.10:80", kube::Protocol::kTcp, EXPLAIN_SOCKET)),
      "affinity  not known: the client's network namespace, which stands for it, is not visible from here");
}

TEST(ExplainRenderTest, ABackendSaysHowItIsReached) {
  Walk tunnel(Asked("203.0.113.2", "198.51.100.4:80"));
  tunnel.Frontend("198.51.100.4", 2, FRONTEND_DSR).Backend("10.180.1.11", 9);
  EXPECT_THAT(tunnel.Text(), HasSubstr("backend   10.180.1.11:8080 (on another node, in a tunnel)\n"));
  Walk local(Asked("203.0.113.2", "198.51.100.4:80"));
  local.Backend("10.180.0.11", 7, BACKEND_LOCAL | BACKEND_TERMINATING)
      .Step(EXPLAIN_STEP_ROUTE, "::", kVeth, EGRESS_PEER);
  EXPECT_THAT(local.Text(), HasSubstr("backend   10.180.0.11:8080 (on this node, terminating)\n"
                                      "route     straight into the pod behind veth7\n"));
}

TEST(ExplainRenderTest, AWalkWithoutItsEndSaysSo) {
  Walk walk(Asked("203.0.113.2", "198.51.100.4:80"));
  walk.Step(EXPLAIN_STEP_FLOW_MISS);
  EXPECT_THAT(walk.Text(), EndsWith("verdict   not reached: the walk has more steps than are kept\n"));
}

TEST(ExplainRenderTest, NumbersOfAnotherReleaseAreNotReadBeyondTheirLists) {
  Walk walk(Asked("203.0.113.2", "198.51.100.4:80"));
  walk.Step(99).Step(EXPLAIN_STEP_VERDICT, "::", 4711);
  EXPECT_THAT(walk.Text(), HasSubstr("?         a step of kind 99, unknown here\n"
                                     "verdict   of number 4711, unknown here\n"));
  walk.Made().answer.steps = 100000;
  EXPECT_EQ(walk.Made().Steps().size(), EXPLAIN_STEPS_MAX);
  EXPECT_THAT(walk.Text(Format::kJson), HasSubstr("\"step\": \"unknown_99\""));
}

}  // namespace
}  // namespace fairlead::ctl
