// SPDX-License-Identifier: Apache-2.0
// The change of modes itself: connections that begin while it goes on, and agents that are killed in its
// middle.
#include <gmock/gmock.h>

#include <atomic>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <sstream>
#include <thread>

#include "test/support/node_fixture.h"

namespace fairlead::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;
using Names = std::set<std::string>;

constexpr char kNodePort[] = "192.168.99.11:30001";
constexpr char kNodePort6[] = "[fd00:192:168:99::11]:30001";
// What a change of modes puts up for a moment (agent/datapath/modes/adopt_flows.cc).
constexpr char kGuard[] = R"(table inet fairlead-change {
  chain in { type filter hook prerouting priority -150; ct state new tcp flags & syn == 0 drop; }
  chain out { type filter hook output priority -150; ct state new tcp flags & syn == 0 drop; }
})";

bool Within(seconds patience, const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(milliseconds(10));
  }
  return true;
}

struct Change {
  std::string from, to;
  friend void PrintTo(const Change& change, std::ostream* out) { *out << change.from << " to " << change.to; }
};
std::string NameOf(const testing::TestParamInfo<Change>& change) {
  return fmt::format("From_{}To_{}", change.param.from, change.param.to);
}

class HandOverTest : public testing::TestWithParam<Change> {
 protected:
  void SetUp() override {
    if (const auto why = WhyNoLab()) GTEST_SKIP() << *why;
    lab_.emplace();
  }
  void TearDown() override {
    agents_.clear();
    lab_.reset();
  }

  const Namespace& Host() { return lab_->N1().Net(); }
  std::string InHost(const std::vector<std::string>& argv, std::string_view input = {}) {
    const NetnsScope inside(Host());
    return test::Run(argv, input).output;
  }
  // Modes by what of theirs is on the node, and the tables that a change makes.
  Names Standing() {
    Names standing;
    if (std::filesystem::exists(Sandbox::Get().BpffsDir())) standing.insert("ebpf");
    std::istringstream tables(InHost({"nft", "list", "tables"}));
    for (std::string line; std::getline(tables, line);) {
      if (line == "table inet fairlead") standing.insert("nftables");
      if (line == "table inet fairlead-change") standing.insert("guard");
    }
    for (const char* program : {"iptables-nft-save", "iptables-legacy-save"}) {
      if (InHost({program}).contains("FAIRLEAD-")) standing.insert("iptables");
    }
    return standing;
  }
  bool Comes(const Names& standing) {
    return Within(seconds(20), [&] { return Standing() == standing; });
  }

  Agent& Launch(const std::string& mode) {
    agents_.push_back(std::make_unique<Agent>(*lab_, std::vector<std::string>{"--proxy-mode", mode}));
    log_from_ = AllLogs().size();
    agents_.back()->Launch();
    return *agents_.back();
  }
  // What the last one has said; they all write to the same file.
  std::string NewLog() { return AllLogs().substr(log_from_); }
  std::string AllLogs() {
    std::stringstream text;
    text << std::ifstream(std::filesystem::path(agents_.back()->Manifests()).replace_filename("agent.log"))
                .rdbuf();
    return text.str();
  }
  // Serves shop/cart of both families in this mode, one backend here and one elsewhere.
  Agent& Serve(const std::string& mode) {
    for (const char* at :
         {"10.180.0.11:8080", "10.180.1.11:8080", "[fd00:10:180::11]:8080", "[fd00:10:180:1::11]:8080"})
      lab_->Serve(at);
    Slice four("shop/cart"), six("shop/cart");
    four.Port("tcp", 8080).Endpoint("10.180.0.11").On("n1").Endpoint("10.180.1.11").On("n2");
    six.Named("cart-6").Port("tcp", 8080).Endpoint("fd00:10:180::11").On("n1");
    six.Endpoint("fd00:10:180:1::11").On("n2");
    Agent& agent = Launch(mode);
    agent.Settle(seconds(60));
    agent.Apply("cluster.json", Manifest({Cart(30001).ToJson(), four.ToJson(), six.ToJson()}));
    return agent;
  }
  // A file that nobody can read: Services it may have are not known, so nothing of an earlier mode goes.
  static constexpr char kUnreadable[] = "unreadable.json";
  // The new mode serves, and what the old one left stays while not all Services are known.
  Agent& BothStand(const std::string& from, const std::string& to) {
    Agent& before = Serve(from);
    before.Put(kUnreadable, "{");
    EXPECT_EQ(before.Stop(), 0);
    Agent& after = Launch(to);
    EXPECT_TRUE(Within(seconds(60), [&] { return NewLog().contains("programmed: "); }));
    return after;
  }
  // Services that take the agent a while to read and nothing to serve.
  static std::string Ballast() {
    std::string text;
    for (int i = 0; i < 6000; ++i) {
      text += fmt::format(
          "---\napiVersion: v1\nkind: Service\nmetadata:\n  name: ballast-{}\n  namespace: ballast\nspec:\n"
          "  clusterIP: None\n  ports:\n  - name: http\n    port: 80\n    targetPort: 8080\n",
          i);
    }
    return text;
  }
  struct Way {
    const Namespace& from;
    const char* to;
  };
  std::vector<Way> Ways() {
    return {{lab_->N1().Pod("10.180.0.100"), kVip},
            {lab_->N1().Pod("10.180.0.100"), kVip6},
            {lab_->Out(), kNodePort},
            {lab_->Out(), kNodePort6}};
  }
  // Ways by which nobody is reached.
  std::vector<std::string> Unserved() {
    std::vector<std::string> unserved;
    for (const Way& way : Ways()) {
      const Outcome outcome = Connect(way.from, Proto::kTcp, At(way.to));
      if (outcome.end != End::kReached) unserved.push_back(fmt::format("{}: {}", way.to, outcome.ToString()));
    }
    return unserved;
  }

  std::optional<Lab> lab_;
  std::deque<std::unique_ptr<Agent>> agents_;  // those before stay: their end takes the pins down
  size_t log_from_ = 0;                        // where the last one's log begins
};

INSTANTIATE_TEST_SUITE_P(, HandOverTest,
                         testing::Values(Change{"ebpf", "nftables"}, Change{"ebpf", "iptables"},
                                         Change{"nftables", "ebpf"}, Change{"iptables", "nftables"}),
                         NameOf);

// Connections that are opened one after the other, each way in a thread of its own, and stay open.
class Steady {
 public:
  // `phase` says what goes on; it is kept with each connection that begins.
  explicit Steady(std::function<std::string()> phase) : phase_(std::move(phase)) {}
  ~Steady() { Stop(); }

  void Begin(const Namespace& from, const char* to) {
    threads_.emplace_back([this, &from, to] {
      while (!ending_) Open(from, to);
    });
  }
  void Stop() {
    ending_ = true;
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }
  std::set<std::string> Phases() const {
    std::set<std::string> phases;
    for (const auto& [name, phase, client] : open_) phases.insert(phase);
    return phases;
  }
  // Those that could not be opened, or do not answer any more.
  std::vector<std::string> Dead() {
    std::vector<std::string> dead = failed_;
    for (const auto& [name, phase, client] : open_) {
      const Outcome outcome = client->Ask("still there?");
      if (outcome.payload != "still there?")
        dead.push_back(fmt::format("{}, {}: {}", name, phase, outcome.ToString()));
    }
    return dead;
  }

 private:
  void Open(const Namespace& from, const char* to) {
    const std::string phase = phase_();
    auto client = std::make_unique<Client>(from, Proto::kTcp, At(to).address.GetFamily(),
                                           ClientOptions{.timeout = milliseconds(5000)});
    const int error = client->Connect(At(to));
    const Outcome greeting = error == 0 ? client->Receive() : Outcome();
    std::lock_guard lock(mutex_);
    if (error != 0 || greeting.end != End::kReached) {
      failed_.push_back(
          fmt::format("{}, {}: {}", to, phase, error != 0 ? std::strerror(error) : greeting.ToString()));
    } else {
      open_.push_back({to, phase, std::move(client)});
    }
    std::this_thread::sleep_for(milliseconds(5));
  }

  struct Connection {
    std::string name, phase;
    std::unique_ptr<Client> client;
  };
  std::function<std::string()> phase_;
  std::atomic<bool> ending_ = false;
  std::vector<std::thread> threads_;
  std::mutex mutex_;  // guards what follows while threads run
  std::vector<Connection> open_;
  std::vector<std::string> failed_;
};

TEST_P(HandOverTest, ConnectionsThatBeginWhileTheModeChangesGoOn) {
  const auto& [from, to] = GetParam();
  Agent& before = Serve(from);
  before.Apply("ballast.yaml", Ballast());
  ASSERT_EQ(before.Stop(), 0);

  Launch(to);
  ASSERT_TRUE(Within(seconds(60), [&] { return NewLog().contains("source: "); })) << "the new one has opened";
  Steady connections([&]() -> std::string {
    const std::string log = NewLog();
    if (!log.contains("programmed: ")) return "before the new one serves";
    if (!log.contains(fmt::format("what {} mode had left is removed", from))) return "while the old one goes";
    return "after it";
  });
  for (const Way& way : Ways()) connections.Begin(way.from, way.to);
  ASSERT_TRUE(Comes({to}));
  std::this_thread::sleep_for(milliseconds(300));
  connections.Stop();
  EXPECT_THAT(connections.Dead(), IsEmpty());
  EXPECT_THAT(connections.Phases(),
              UnorderedElementsAre("before the new one serves", "while the old one goes", "after it"));
}

TEST_P(HandOverTest, AnAgentKilledWhileBothModesStandIsFollowedByOneThatServesAlone) {
  const auto& [from, to] = GetParam();
  Agent& killed = BothStand(from, to);
  EXPECT_EQ(Standing(), (Names{from, to})) << "not all Services are known";
  EXPECT_THAT(Unserved(), IsEmpty());
  killed.Kill();
  EXPECT_THAT(Unserved(), IsEmpty()) << "nobody is needed for that";

  killed.Remove(kUnreadable);
  Launch(to).Settle(seconds(60));
  EXPECT_TRUE(Comes({to})) << testing::PrintToString(Standing());
  EXPECT_THAT(Unserved(), IsEmpty());
}

TEST_P(HandOverTest, AnAgentKilledWhileBothModesStandMayBeFollowedByTheOldMode) {
  const auto& [from, to] = GetParam();
  Agent& killed = BothStand(from, to);
  killed.Kill();
  killed.Remove(kUnreadable);
  Launch(from).Settle(seconds(60));
  EXPECT_TRUE(Comes({from})) << testing::PrintToString(Standing());
  EXPECT_THAT(Unserved(), IsEmpty());
}

TEST_P(HandOverTest, TheGuardOfAChangeThatWasCutOffIsGoneWithTheNextStart) {
  const auto& [from, to] = GetParam();
  Serve(from).Kill();
  InHost({"nft", "-f", "-"}, kGuard);
  ASSERT_THAT(Standing(), Contains("guard"));
  Agent& next = Launch(to);
  next.Settle(seconds(60));
  EXPECT_THAT(next.Log(), HasSubstr("a change of modes was cut off"));
  EXPECT_TRUE(Comes({to})) << testing::PrintToString(Standing());
  EXPECT_THAT(Unserved(), IsEmpty());
}

// Later and later in the change, from before anything is written to after its end.
TEST_P(HandOverTest, AnAgentKilledAtAnyMomentOfAChangeLeavesNothingTheNextDoesNotEnd) {
  const auto& [from, to] = GetParam();
  Serve(from);
  for (int i = 0; i < 6; ++i) {
    SCOPED_TRACE(fmt::format("killed for the {}. time", i + 1));
    agents_.back()->Kill();
    Agent& killed = Launch(i % 2 == 0 ? to : from);
    ASSERT_TRUE(Within(seconds(60), [&] { return NewLog().contains("source: "); }));
    std::this_thread::sleep_for(milliseconds(15 * i));
    killed.Kill();
    EXPECT_THAT(Unserved(), IsEmpty()) << "one of them stands";
  }
  Launch(to).Settle(seconds(60));
  EXPECT_TRUE(Comes({to})) << testing::PrintToString(Standing());
  EXPECT_THAT(Unserved(), IsEmpty());
}

}  // namespace
}  // namespace fairlead::test
