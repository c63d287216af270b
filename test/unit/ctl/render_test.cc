// SPDX-License-Identifier: Apache-2.0
// What a user sees, as golden text.
#include "agent/ctl/render.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/ctl/agent_metrics.h"
#include "test/support/objects.h"

namespace fairlead::ctl {
namespace {

Backend At(uint32_t id, std::string_view address, uint16_t port, uint64_t connections) {
  Backend backend;
  backend.id = id;
  backend.address = test::Addr(address);
  backend.port = port;
  backend.connections = connections;
  return backend;
}

Frontend Front(std::string_view service, std::string_view port_name, plan::Protocol protocol,
               std::string_view address, uint16_t port) {
  Frontend frontend;
  frontend.address = test::Addr(address);
  frontend.port = port;
  frontend.service = {test::Name(service), std::string(port_name), protocol, frontend.address.GetFamily()};
  frontend.algorithm = "random";
  return frontend;
}

Snapshot Shop() {
  Frontend cart = Front("shop/cart", "http", plan::Protocol::kTcp, "172.30.0.10", 80);
  cart.service_id = 1;
  cart.run_offset = 17;
  cart.affinity_timeout_s = 10800;
  cart.connections = 1234;
  cart.backends = {At(1, "10.180.1.11", 8080, 1000), At(2, "10.180.2.11", 8080, 234)};
  cart.backends[0].local = true;

  Frontend node_port = cart;
  node_port.kind = Kind::kNodePort;
  node_port.address = test::Addr("0.0.0.0");
  node_port.port = 30001;
  node_port.scope = Scope::kExternal;
  node_port.source_ranges = true;
  node_port.masquerade = true;
  node_port.run_offset = 20;
  node_port.backends.pop_back();

  Frontend dns = Front("shop/dns", "", plan::Protocol::kUdp, "fd00:172:30::53", 53);
  dns.service_id = 2;
  dns.backends = {At(3, "fd00:10:180:1::11", 53, 5), At(4, "fd00:10:180:1::12", 53, 0)};
  dns.backends[1].draining = true;
  dns.backends[1].terminating = true;
  dns.backends[1].weight = 2;

  Frontend empty = Front("shop/empty", "", plan::Protocol::kTcp, "172.30.0.12", 80);
  Frontend remote = empty;
  remote.service.service.name = "remote";
  remote.drops_if_empty = true;
  Frontend moving = empty;
  moving.service.service.name = "moving";
  moving.changing = true;

  Snapshot snapshot;
  snapshot.frontends = {cart, node_port, dns, empty, moving, remote};
  return snapshot;
}

TEST(RenderTest, ServicesAsATable) {
  EXPECT_EQ(
      RenderServices(Shop(), {}, Format::kTable),
      R"(SERVICE         PROTOCOL  KIND       ADDRESS               SCOPE     BACKENDS      ALGORITHM  AFFINITY  FLAGS                     CONNECTIONS
shop/cart:http  TCP       ClusterIP  172.30.0.10:80        all       2             random     10800s    -                                1234
shop/cart:http  TCP       NodePort   0.0.0.0:30001         external  1             random     10800s    source-ranges,masquerade         1234
shop/dns        UDP       ClusterIP  [fd00:172:30::53]:53  all       1+1 draining  random     -         -                                   0
shop/empty      TCP       ClusterIP  172.30.0.12:80        all       0             random     -         rejects                             0
shop/moving     TCP       ClusterIP  172.30.0.12:80        all       ?             random     -         changing                            0
shop/remote     TCP       ClusterIP  172.30.0.12:80        all       0             random     -         drops                               0
)");
}

TEST(RenderTest, WideServicesNameTheirBackends) {
  Filter filter;
  filter.name = "dns";
  EXPECT_EQ(
      RenderServices(Shop(), filter, Format::kWide),
      R"(SERVICE   PROTOCOL  KIND       ADDRESS               SCOPE  BACKENDS      ALGORITHM  AFFINITY  FLAGS  CONNECTIONS  ID  RUN  BACKEND ADDRESSES
shop/dns  UDP       ClusterIP  [fd00:172:30::53]:53  all    1+1 draining  random     -         -                0   2    0  [fd00:10:180:1::11]:53,[fd00:10:180:1::12]:53(draining)
)");
}

TEST(RenderTest, ServicesAsJson) {
  Filter filter;
  filter.port = 30001;
  EXPECT_EQ(RenderServices(Shop(), filter, Format::kJson), R"([
  {
    "namespace": "shop",
    "name": "cart",
    "port_name": "http",
    "protocol": "TCP",
    "family": 4,
    "service_id": 1,
    "kind": "NodePort",
    "address": "0.0.0.0",
    "port": 30001,
    "scope": "external",
    "backend_count": 1,
    "draining_count": 0,
    "algorithm": "random",
    "affinity_timeout_s": 10800,
    "when_empty": "reject",
    "source_ranges": true,
    "masquerade": true,
    "connections": 1234,
    "run_offset": 20,
    "changing": false,
    "backends": [
      {
        "id": 1,
        "address": "10.180.1.11",
        "port": 8080,
        "draining": false
      }
    ]
  }
]
)");
}

TEST(RenderTest, BackendsAsATableOncePerServicePort) {
  EXPECT_EQ(RenderBackends(Shop(), {}, Format::kWide),
            R"(SERVICE         PROTOCOL  BACKEND                 STATE     WHERE   CONNECTIONS  WEIGHT  ID
shop/cart:http  TCP       10.180.1.11:8080        ready     local          1000       1   1
shop/cart:http  TCP       10.180.2.11:8080        ready     remote          234       1   2
shop/dns        UDP       [fd00:10:180:1::11]:53  ready     remote            5       1   3
shop/dns        UDP       [fd00:10:180:1::12]:53  draining  remote            0       2   4
)");
}

TEST(RenderTest, ABackendThatOneFrontendOffersIsNotDraining) {
  Snapshot snapshot;
  snapshot.frontends = {Front("shop/dns", "", plan::Protocol::kUdp, "172.30.0.53", 53),
                        Front("shop/dns", "", plan::Protocol::kUdp, "198.51.100.4", 53)};
  snapshot.frontends[0].backends = {At(3, "10.180.1.11", 53, 0)};
  snapshot.frontends[1].backends = {At(3, "10.180.1.11", 53, 0)};
  snapshot.frontends[0].backends[0].draining = true;
  EXPECT_EQ(RenderBackends(snapshot, {}, Format::kTable),
            "SERVICE   PROTOCOL  BACKEND         STATE  WHERE   CONNECTIONS\n"
            "shop/dns  UDP       10.180.1.11:53  ready  remote            0\n");
}

TEST(RenderTest, BackendsAsJson) {
  Filter filter;
  filter.address = "10.180.1.11";
  EXPECT_EQ(RenderBackends(Shop(), filter, Format::kJson), R"([
  {
    "namespace": "shop",
    "name": "cart",
    "port_name": "http",
    "protocol": "TCP",
    "family": 4,
    "id": 1,
    "address": "10.180.1.11",
    "port": 8080,
    "local": true,
    "terminating": false,
    "draining": false,
    "weight": 1,
    "connections": 1000
  }
]
)");
}

TEST(RenderTest, NothingFoundIsSaidToPeopleAndAnEmptyListToTools) {
  Filter filter;
  filter.ns = "nowhere";
  EXPECT_EQ(RenderServices(Shop(), filter, Format::kTable), "no services\n");
  EXPECT_EQ(RenderBackends(Shop(), filter, Format::kTable), "no backends\n");
  EXPECT_EQ(RenderServices(Shop(), filter, Format::kJson), "[]\n");
  EXPECT_EQ(RenderBackends(Shop(), filter, Format::kJson), "[]\n");
}

Status Served() {
  Status status;
  status.bpffs_dir = "/sys/fs/bpf/fairlead";
  status.schema_version = 1;
  status.agent_pid = 4242;
  status.agent_started_s = 1767323045;
  status.agent_visible = true;
  status.cgroup_id = 1;
  status.cgroup_path = "/sys/fs/cgroup";
  status.links = {{"sock_connect4", "cgroup_inet4_connect", 7, 91, 1, "", 0},
                  {"tc_uplink@eth0:7", "tcx_ingress", 8, 92, 0, "eth0.7", 3}};
  return status;
}

TEST(RenderTest, StatusOfANodeThatIsServed) {
  Snapshot snapshot = Shop();
  snapshot.nodeport_addresses = {test::Addr("127.0.0.1"), test::Addr("192.168.99.11")};
  snapshot.service_cidrs = {test::Range("172.30.0.0/16")};
  snapshot.tables = {{"frontends", 6, 65536}, {"backends", 9, 524288}, {"source_ranges", 0, 0}};
  EXPECT_EQ(RenderStatus(Served(), snapshot, {}, Format::kTable),
            R"(mode          ebpf
pins          /sys/fs/bpf/fairlead (schema 1)
agent         pid 4242, started 2026-01-02T03:04:05Z, running
cgroup        /sys/fs/cgroup (id 1)
hooks         complete
services      5 (5 ports)
frontends     6
backends      4
NodePorts on  127.0.0.1 192.168.99.11
ServiceCIDRs  172.30.0.0/16

TABLE          USED  CAPACITY  FULL
frontends         6     65536  0.0%
backends          9    524288  0.0%
source_ranges     0         0     -

LINK              HOOK                  LINK ID  PROGRAM  ON
sock_connect4     cgroup_inet4_connect        7       91  cgroup 1
tc_uplink@eth0:7  tcx_ingress                 8       92  eth0.7
)");
}

TEST(RenderTest, StatusSaysWhatIsMissing) {
  Status status = Served();
  status.agent_visible = false;
  status.cgroup_path.clear();
  status.links[0].cgroup_id = 0;
  status.links[1].ifindex = 0;
  status.missing_hooks = {"cgroup_inet4_connect", "cgroup_udp4_sendmsg"};
  const std::string text = RenderStatus(status, {}, {}, Format::kTable);
  EXPECT_NE(text.find("agent         pid 4242, started 2026-01-02T03:04:05Z, not visible from here\n"),
            std::string::npos);
  EXPECT_NE(text.find("cgroup        not visible from here (id 1)\n"), std::string::npos);
  EXPECT_NE(text.find("hooks         INCOMPLETE, missing cgroup_inet4_connect, cgroup_udp4_sendmsg\n"),
            std::string::npos);
  EXPECT_NE(text.find("NodePorts on  none\n"), std::string::npos);
  EXPECT_NE(text.find("7       91  cgroup (removed)\n"), std::string::npos) << text;
  EXPECT_NE(text.find("8       92  eth0.7 (removed)\n"), std::string::npos) << text;
}

TEST(RenderTest, StatusAsJson) {
  Snapshot snapshot;
  snapshot.tables = {{"frontends", 6, 65536}};
  EXPECT_EQ(RenderStatus(Served(), snapshot, {}, Format::kJson), R"({
  "mode": "ebpf",
  "bpffs_dir": "/sys/fs/bpf/fairlead",
  "schema_version": 1,
  "agent_pid": 4242,
  "agent_started": "2026-01-02T03:04:05Z",
  "agent_visible": true,
  "cgroup_id": 1,
  "cgroup_path": "/sys/fs/cgroup",
  "complete": true,
  "missing_hooks": [],
  "beside": [],
  "services": 0,
  "service_ports": 0,
  "frontends": 0,
  "backends": 0,
  "nodeport_addresses": [],
  "service_cidrs": [],
  "links": [
    {
      "name": "sock_connect4",
      "hook": "cgroup_inet4_connect",
      "link_id": 7,
      "program_id": 91,
      "cgroup_id": 1,
      "device": "",
      "ifindex": 0
    },
    {
      "name": "tc_uplink@eth0:7",
      "hook": "tcx_ingress",
      "link_id": 8,
      "program_id": 92,
      "cgroup_id": 0,
      "device": "eth0.7",
      "ifindex": 3
    }
  ],
  "tables": [
    {
      "name": "frontends",
      "used": 6,
      "capacity": 65536
    }
  ]
}
)");
}

const Counter kCounters[] = {{"connect", "TRANSLATED", "pass", "sent to a backend", 12},
                             {"connect", "DROP_SOURCE_RANGE", "drop", "not from there", 0}};

TEST(RenderTest, CountersHideZerosUnlessAsked) {
  EXPECT_EQ(RenderCounters(kCounters, false, Format::kTable),
            "PROGRAM  VERDICT     ACTION  COUNT\n"
            "connect  TRANSLATED  pass       12\n");
  EXPECT_EQ(RenderCounters(kCounters, true, Format::kWide),
            "PROGRAM  VERDICT            ACTION  COUNT  MEANING\n"
            "connect  TRANSLATED         pass       12  sent to a backend\n"
            "connect  DROP_SOURCE_RANGE  drop        0  not from there\n");
  EXPECT_EQ(RenderCounters({}, false, Format::kTable), "nothing counted yet\n");
}

TEST(RenderTest, CountersAsJson) {
  EXPECT_EQ(RenderCounters(kCounters, false, Format::kJson), R"([
  {
    "program": "connect",
    "verdict": "TRANSLATED",
    "action": "pass",
    "meaning": "sent to a backend",
    "count": 12
  }
]
)");
}

using ebpf::Outcome;
using ebpf::ProbeResult;

TEST(RenderTest, CheckEndsWithTheModeAndItsReason) {
  const modes::Survey survey{{{"btf", Outcome::kYes, "/sys/kernel/btf/vmlinux", "fits", true},
                              {"ipvs", Outcome::kNo, "not loaded", "ipvs mode", false}},
                             modes::Mode::kEbpf,
                             "this node can run it"};
  EXPECT_EQ(RenderCheck(survey, Format::kTable),
            "PROBE  RESULT  FOUND                    WHAT IT MEANS\n"
            "btf    yes     /sys/kernel/btf/vmlinux  fits (required by ebpf mode)\n"
            "ipvs   no      not loaded               ipvs mode\n"
            "\n"
            "auto takes ebpf: this node can run it\n");
}

TEST(RenderTest, CheckWithoutAModeSaysWhatEachOneLacks) {
  const modes::Survey survey{{{"btf", Outcome::kNo, "no file", "fits", true}},
                             std::nullopt,
                             "no mode can run on this node: ebpf: missing btf (no file)"};
  const std::string text = RenderCheck(survey, Format::kTable);
  EXPECT_TRUE(text.ends_with("\nno mode can run on this node: ebpf: missing btf (no file)\n")) << text;
  EXPECT_EQ(RenderCheck(survey, Format::kJson), R"json({
  "mode": "",
  "reason": "no mode can run on this node: ebpf: missing btf (no file)",
  "probes": [
    {
      "name": "btf",
      "outcome": "no",
      "required": true,
      "detail": "no file",
      "meaning": "fits"
    }
  ]
}
)json");
}

TEST(RenderTest, CanRunEbpfNamesEverythingThatIsMissing) {
  const ProbeResult probes[] = {{"btf", Outcome::kNo, "no file", "fits", true},
                                {"cgroup2", Outcome::kYes, "/sys/fs/cgroup", "attach", true},
                                {"tcx", Outcome::kNo, "link: Invalid argument", "later", false},
                                {"set_retval", Outcome::kNo, "load: Invalid argument", "errno", true}};
  std::string reason;
  EXPECT_FALSE(ebpf::CanRunEbpf(probes, &reason));
  EXPECT_EQ(reason, "missing btf (no file), set_retval (load: Invalid argument)");
}

TEST(RenderTest, StatusNamesWhatStandsBesideEbpf) {
  const modes::Standing standing[] = {{modes::Mode::kEbpf, "fairleadctl services"},
                                      {modes::Mode::kNftables, "nft list table inet fairlead"}};
  const std::string text = RenderStatus(Served(), {}, standing, Format::kTable);
  EXPECT_NE(
      text.find("\nbeside        nftables, for SCTP or of an earlier run (`nft list table inet fairlead`)\n"),
      std::string::npos)
      << text;
  EXPECT_NE(RenderStatus(Served(), {}, standing, Format::kJson).find("\"beside\": [\n    \"nftables\"\n  ]"),
            std::string::npos);
}

TEST(RenderTest, StatusSaysHowManyServicePortsWaitAndNothingWhereNoneDoes) {
  constexpr char kLine[] =
      "waiting       2 service ports, whose last change is not in the kernel: see the agent's log\n";
  const modes::Standing standing[] = {{modes::Mode::kIptables, "iptables-save | grep FAIRLEAD"}};
  EXPECT_THAT(RenderStandingStatus(standing, Format::kTable, 2), testing::EndsWith(kLine));
  EXPECT_THAT(RenderStatus(Served(), {}, {}, Format::kTable, 2), testing::HasSubstr(kLine));
  for (std::optional<uint64_t> none : {std::optional<uint64_t>(0), std::optional<uint64_t>()}) {
    EXPECT_THAT(RenderStandingStatus(standing, Format::kTable, none),
                testing::Not(testing::HasSubstr("waiting")));
    EXPECT_THAT(RenderStatus(Served(), {}, {}, Format::kTable, none),
                testing::Not(testing::HasSubstr("waiting")));
  }
  EXPECT_THAT(RenderStandingStatus(standing, Format::kJson, 0),
              testing::HasSubstr("\"pending_service_ports\": 0"));
  EXPECT_THAT(RenderStatus(Served(), {}, {}, Format::kJson, 2),
              testing::HasSubstr("\"pending_service_ports\": 2"));
}

TEST(RenderTest, WhatWaitsIsReadFromTheAgentsMetrics) {
  EXPECT_EQ(WaitingIn("# TYPE fairlead_pending_writes gauge\nfairlead_pending_writes 12\nother 3\n"), 12U);
  EXPECT_EQ(WaitingIn("HTTP/1.1 404 Not Found\r\n\r\n"), std::nullopt);
  EXPECT_EQ(WaitingIn("\nfairlead_pending_writes \n"), std::nullopt);
}

TEST(RenderTest, FlowsOfOtherModesAreTheKernelsOwn) {
  const modes::Standing nftables[] = {{modes::Mode::kNftables, "nft list table inet fairlead"}};
  EXPECT_EQ(FlowsElsewhereText(nftables),
            "conntrack reads the flows of ebpf mode; in nftables mode `conntrack -L --dst-nat` shows them");
  const modes::Standing ipvs[] = {{modes::Mode::kIpvs, "ipvsadm -Ln"}};
  EXPECT_EQ(FlowsElsewhereText(ipvs),
            "conntrack reads the flows of ebpf mode; in ipvs mode `ipvsadm -Lnc` shows them");
}

TEST(RenderTest, StatusOfAnotherModeSaysWhereToLook) {
  const modes::Standing standing[] = {{modes::Mode::kIpvs, "ipvsadm -Ln"}};
  EXPECT_EQ(RenderStandingStatus(standing, Format::kTable),
            "mode          ipvs\n"
            "look at       ipvsadm -Ln\n");
  EXPECT_EQ(StandingText(standing), "ipvs mode serves this node: `ipvsadm -Ln` shows it");
  EXPECT_EQ(RenderStandingStatus(standing, Format::kJson), R"({
  "mode": "ipvs",
  "standing": [
    {
      "mode": "ipvs",
      "look": "ipvsadm -Ln"
    }
  ]
}
)");
}

TEST(RenderTest, WithoutTheRightToAskTheFirstRefusalIsTheReason) {
  const ProbeResult probes[] = {
      {"capabilities", Outcome::kError, "this process has no CAP_BPF", "rights", true},
      {"set_retval", Outcome::kError, "load: Operation not permitted", "errno", true}};
  std::string reason;
  EXPECT_FALSE(ebpf::CanRunEbpf(probes, &reason));
  EXPECT_EQ(reason, "missing capabilities (this process has no CAP_BPF)");
}

TEST(RenderTest, NoProbesAreNoReasonToRun) {
  std::string reason;
  EXPECT_FALSE(ebpf::CanRunEbpf({}, &reason));
  EXPECT_EQ(reason, "nothing was probed");
}

}  // namespace
}  // namespace fairlead::ctl
