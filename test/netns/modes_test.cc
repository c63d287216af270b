// SPDX-License-Identifier: Apache-2.0
// From one mode to the next on a node that serves: no request fails, connections go on, and of the mode
// before nothing stays. And which mode auto takes, and what stands beside ebpf.
#include <gmock/gmock.h>

#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <sstream>
#include <thread>

#include "test/support/load.h"
#include "test/support/node_fixture.h"

namespace fairlead::test {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::IsEmpty;
using Lines = std::set<std::string>;

constexpr char kNodePort[] = "192.168.99.11:30001";
constexpr char kNodePort6[] = "[fd00:192:168:99::11]:30001";

std::string OutputOf(const Namespace& netns, std::vector<std::string> argv) {
  argv.insert(argv.begin(), {"nsenter", "--net=/run/netns/" + netns.Name()});
  return Run(argv).output;
}

// Everything on a host that a mode of ours might leave, a line each. Chains of iptables' own count only with
// rules in them: looking at a table makes it.
Lines StateOf(const Namespace& host) {
  Lines state;
  const auto add = [&](const std::string& what, const std::string& text, const auto& wanted) {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      if (wanted(line)) state.insert(what + ": " + line.substr(0, line.find(" [")));
    }
  };
  const auto any = [](const std::string& line) { return !line.empty(); };
  const auto ours = [](const std::string& line) {
    const bool own = line.starts_with("table ip ") || line.starts_with("table ip6 ");  // of iptables-nft
    return line.starts_with("table ") && !own;
  };
  const auto rules = [](const std::string& line) {
    return line.starts_with("-A ") || (line.starts_with(":") && line.find(" - ") != std::string::npos);
  };
  add("nft", OutputOf(host, {"nft", "list", "tables"}), ours);
  for (const char* program :
       {"iptables-nft-save", "ip6tables-nft-save", "iptables-legacy-save", "ip6tables-legacy-save"})
    add(program, OutputOf(host, {program}), rules);
  add("device", OutputOf(host, {"ip", "-o", "link", "show", "type", "dummy"}), any);
  add("filter", OutputOf(host, {"tc", "filter", "show", "dev", "eth0", "ingress"}), any);
  add("set", OutputOf(host, {"ipset", "list", "-name"}), any);
  add("setting", OutputOf(host, {"sysctl", "-a", "--pattern", "route_localnet"}),
      [](const std::string& line) { return line.ends_with(" = 1"); });
  if (std::filesystem::exists(Sandbox::Get().BpffsDir())) state.insert("pins");
  return state;
}

// What stands, by the names of modes.
Lines Standing(const Namespace& host) {
  Lines standing;
  for (const std::string& line : StateOf(host)) {
    if (line == "pins") standing.insert("ebpf");
    if (line == "nft: table inet fairlead") standing.insert("nftables");
    if (line.find("FAIRLEAD-") != std::string::npos) standing.insert("iptables");
  }
  return standing;
}

bool Within(std::chrono::seconds patience, const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(milliseconds(50));
  }
  return true;
}

class ModesTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const auto why = WhyNoLab()) GTEST_SKIP() << *why;
    lab_.emplace();
    at_first_ = StateOf(Host());
  }
  void TearDown() override {
    agents_.clear();
    lab_.reset();
  }

  const Namespace& Host() { return lab_->N1().Net(); }
  const Namespace& Pod() { return lab_->N1().Pod("10.180.0.100"); }
  // An agent with these arguments takes the place of the one that runs.
  Agent& Switch(std::vector<std::string> arguments) {
    const int ended = agents_.empty() ? 0 : agents_.back()->Stop();
    EXPECT_EQ(ended, 0);
    agents_.push_back(std::make_unique<Agent>(*lab_, std::move(arguments)));
    agents_.back()->Start();
    return *agents_.back();
  }
  Agent& SwitchTo(const std::string& mode) { return Switch({"--proxy-mode", mode}); }
  // shop/cart of both families, backends here and elsewhere.
  std::string CartObjects() {
    Slice four("shop/cart"), six("shop/cart");
    four.Port("tcp", 8080)
        .Port("udp", 8080)
        .Udp()
        .Endpoint("10.180.0.11")
        .On("n1")
        .Endpoint("10.180.1.11")
        .On("n2");
    six.Named("cart-6").Port("tcp", 8080).Port("udp", 8080).Udp();
    six.Endpoint("fd00:10:180::11").On("n1").Endpoint("fd00:10:180:1::11").On("n2");
    for (const char* at :
         {"10.180.0.11:8080", "10.180.1.11:8080", "[fd00:10:180::11]:8080", "[fd00:10:180:1::11]:8080"})
      lab_->Serve(at);
    return Manifest({Cart(30001).ToJson(), four.ToJson(), six.ToJson()});
  }

  std::optional<Lab> lab_;
  Lines at_first_;
  std::deque<std::unique_ptr<Agent>> agents_;  // those before stay: their end takes the pins down
};

// Connections that are open while the modes change.
class Held {
 public:
  void Open(const Namespace& from, const std::string& to, const std::string& when) {
    auto client = std::make_unique<Client>(from, Proto::kTcp, At(to).address.GetFamily());
    ASSERT_EQ(client->Connect(At(to)), 0) << when << " to " << to;
    ASSERT_EQ(client->Receive().end, End::kReached) << when << " to " << to;
    held_.emplace_back(when + " " + to, std::move(client));
  }
  void ExpectAlive() {
    for (auto& [name, client] : held_) EXPECT_EQ(client->Ask("still there?").payload, "still there?") << name;
  }

 private:
  std::vector<std::pair<std::string, std::unique_ptr<Client>>> held_;
};

TEST_F(ModesTest, SwitchingCostsNoRequestAndNoConnectionAndLeavesNothing) {
  SwitchTo("ebpf").Apply("cluster.json", CartObjects());
  Held held;
  const auto hold = [&](const std::string& mode) {
    for (int i = 0; i < 3; ++i) {
      held.Open(lab_->N1().Pod("10.180.0.101"), kVip, mode);
      held.Open(lab_->Out(), kNodePort, mode);
      held.Open(lab_->Out(), kNodePort6, mode);
    }
  };
  hold("in ebpf");
  std::map<std::string, std::unique_ptr<Load>> loads;
  const auto load = [&](const char* name, const Namespace& from, const char* to) {
    loads[name] = std::make_unique<Load>(from, Proto::kTcp, At(to), 1);
  };
  load("pod", Pod(), kVip);
  load("pod, IPv6", Pod(), kVip6);
  load("node", Host(), kVip);
  load("node, IPv6", Host(), kVip6);
  load("outside", lab_->Out(), kNodePort);
  load("outside, IPv6", lab_->Out(), kNodePort6);
  for (const std::string mode : {"nftables", "iptables", "ebpf", "iptables", "nftables", "ebpf"}) {
    SCOPED_TRACE("to " + mode);
    Agent& agent = SwitchTo(mode);
    EXPECT_TRUE(Within(std::chrono::seconds(15), [&] { return Standing(Host()) == Lines{mode}; }))
        << testing::PrintToString(StateOf(Host()));
    EXPECT_EQ(agent.Metrics("/proxyMode").body, mode);
    held.ExpectAlive();
    hold("in " + mode);
    for (const auto& [name, under_way] : loads) EXPECT_TRUE(under_way->WaitForMore(20)) << name;
  }
  for (const auto& [name, under_way] : loads) EXPECT_THAT(under_way->Stop(), IsEmpty()) << name;
}

TEST_F(ModesTest, CleanUpLeavesTheHostAsItWasInEachMode) {
  for (const std::string mode : {"nftables", "iptables", "ebpf"}) {
    SCOPED_TRACE(mode);
    Agent& agent = SwitchTo(mode);
    agent.Apply("cluster.json", CartObjects());
    ASSERT_EQ(Connect(Pod(), Proto::kTcp, At(kVip)).end, End::kReached);
    EXPECT_NE(StateOf(Host()), at_first_);
    EXPECT_EQ(agent.Stop(), 0);
    agents_.clear();
    Agent cleaner(*lab_, {"--proxy-mode", mode});
    const Finished done = cleaner.Cleanup();
    EXPECT_EQ(done.status, 0) << done.output;
    EXPECT_EQ(StateOf(Host()), at_first_);
  }
}

TEST_F(ModesTest, AutoTakesTheNextWhereEbpfCannotAttachAndSaysWhy) {
  Agent& agent = Switch({"--proxy-mode", "auto", "--cgroup", "/proc"});
  agent.Apply("cluster.json", CartObjects());
  EXPECT_EQ(Standing(Host()), Lines{"nftables"});
  const HttpAnswer mode = agent.Metrics("/proxyMode");
  EXPECT_EQ(mode.body, "nftables");
  EXPECT_THAT(mode.headers.at("x-fairlead-reason"),
              HasSubstr("auto: this node cannot run ebpf: missing cgroup2 (--cgroup /proc: expected a folder "
                        "of a cgroup2 mount)"));
  EXPECT_THAT(agent.Log(), HasSubstr("mode nftables: auto: this node cannot run ebpf"));
  EXPECT_THAT(agent.Metrics("/metrics").body, HasSubstr("fairlead_proxy_mode_info{mode=\"nftables\""));
  EXPECT_EQ(Connect(Pod(), Proto::kTcp, At(kVip)).end, End::kReached);
}

TEST_F(ModesTest, AModeThatIsAskedForAndCannotRunEndsTheAgent) {
  Agent agent(*lab_, {"--proxy-mode", "ebpf", "--cgroup", "/proc"});
  agent.Launch();
  EXPECT_TRUE(Within(std::chrono::seconds(20), [&] { return !agent.Running(); }));
  EXPECT_THAT(agent.Log(),
              HasSubstr("mode ebpf: missing cgroup2 (--cgroup /proc: expected a folder of a cgroup2 mount)"));
}

TEST_F(ModesTest, SctpStandsBesideEbpfAsLongAsAServiceHasIt) {
  Service signalling("shop/signalling");
  signalling.ClusterIp("172.30.0.20").Port("s", 2905, 2905).Sctp();
  Slice slice("shop/signalling");
  slice.Port("s", 2905).Sctp().Endpoint("10.180.1.11").On("n2");
  Agent& agent = SwitchTo("ebpf");
  agent.Apply("cluster.json", CartObjects());
  EXPECT_EQ(Standing(Host()), Lines{"ebpf"});

  agent.Apply("sctp.json", Manifest({signalling.ToJson(), slice.ToJson()}));
  EXPECT_EQ(Standing(Host()), (Lines{"ebpf", "nftables"}));
  EXPECT_THAT(OutputOf(Host(), {"nft", "list", "table", "inet", "fairlead"}), HasSubstr("172.30.0.20"));
  EXPECT_THAT(agent.Metrics("/metrics").body, HasSubstr("fairlead_service_ports{datapath=\"nftables\"} 1"));
  EXPECT_THAT(agent.Ctl({"status"}).output, HasSubstr("nft list table inet fairlead"));
  EXPECT_EQ(Connect(Pod(), Proto::kTcp, At(kVip)).end, End::kReached);

  agent.Remove("sctp.json");
  agent.Settle();
  EXPECT_TRUE(Within(std::chrono::seconds(5), [&] { return Standing(Host()) == Lines{"ebpf"}; }))
      << testing::PrintToString(StateOf(Host()));
}

TEST_F(ModesTest, FairleadctlSaysWhichModeStandsAndWhereToLook) {
  Agent& agent = SwitchTo("nftables");
  const Finished status = agent.Ctl({"status"});
  EXPECT_EQ(status.status, 0);
  EXPECT_EQ(status.output, "mode          nftables\nlook at       nft list table inet fairlead\n");
  const Finished services = agent.Ctl({"services"});
  EXPECT_EQ(services.status, 1);
  EXPECT_EQ(services.output,
            "fairleadctl: services reads the tables of ebpf mode; nftables mode serves this node: `nft list "
            "table inet fairlead` shows it\n");
  const Finished check = agent.RunTool("fairleadctl", {"check", "--cgroup", Sandbox::Get().Cgroup()});
  EXPECT_EQ(check.status, 0) << check.output;
  EXPECT_THAT(check.output, HasSubstr("\nauto takes ebpf: this node can run it\n"));
}

}  // namespace
}  // namespace fairlead::test
