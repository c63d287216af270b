// SPDX-License-Identifier: Apache-2.0
// What goes wrong around the netfilter datapaths: rules that somebody else removes, tools that fail, a lock
// that is held, a chain that the kernel will not let go. It is said, tried again and put right, and the other
// Services do not notice.
#include <gmock/gmock.h>
#include <sys/file.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <thread>

#include <fmt/format.h>

#include "test/support/environment.h"
#include "test/support/mode.h"
#include "test/support/node_fixture.h"
#include "test/support/process.h"

namespace fairlead::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using testing::HasSubstr;

namespace fs = std::filesystem;

// A folder of links to programs, to come first in a PATH.
class Tools {
 public:
  // Of those that begin with `prefix`, wherever this host has them.
  explicit Tools(const std::string& prefix) : folder_(Sandbox::Get().Scratch() + "/tools-" + prefix) {
    fs::create_directories(folder_);
    for (const char* from : {"/usr/sbin", "/sbin", "/usr/bin"}) {
      for (const auto& entry : fs::directory_iterator(from)) {
        const std::string name = entry.path().filename();
        if (name.starts_with(prefix)) programs_.try_emplace(name, entry.path());
      }
    }
    Repair();
  }
  ~Tools() { fs::remove_all(folder_); }
  Tools(const Tools&) = delete;
  Tools& operator=(const Tools&) = delete;

  // All of them fail from here on, with kComplaint.
  void Break() {
    for (const auto& [name, program] : programs_) {
      Put(name, [&](const fs::path& path) {
        std::ofstream(path) << "#!/bin/sh\necho '" << kComplaint << "' >&2\nexit 1\n";
        fs::permissions(path, fs::perms::owner_all);
      });
    }
  }
  // Those that restore rules take none with `text` in them.
  void Refuse(const std::string& text) {
    for (const auto& [name, program] : programs_) {
      if (!name.ends_with("-restore")) continue;
      Put(name, [&](const fs::path& path) {
        std::ofstream(path) << "#!/bin/sh\nrules=$(cat)\ncase $rules in *'" << text << "'*) echo '"
                            << kComplaint << "' >&2; exit 1;; esac\nprintf '%s\\n' \"$rules\" | " << program
                            << " \"$@\"\n";
        fs::permissions(path, fs::perms::owner_all);
      });
    }
  }
  void Repair() {
    for (const auto& [name, program] : programs_)
      Put(name, [&](const fs::path& path) { fs::create_symlink(program, path); });
  }
  std::string Path() const { return folder_.string() + ":" + ::getenv("PATH"); }

  static constexpr char kComplaint[] = "the library has gone";

 private:
  // Never absent in between: the agent would find the host's own.
  void Put(const std::string& name, const std::function<void(const fs::path&)>& make) {
    const fs::path scratch = folder_ / ("new-" + name);
    make(scratch);
    fs::rename(scratch, folder_ / name);
  }

  fs::path folder_;
  std::map<std::string, fs::path> programs_;
};

Service Stock() {
  Service stock("shop/stock");
  stock.ClusterIp("172.30.0.20").Port("tcp", 80, 8080);
  return stock;
}
Slice StockSlice() {
  Slice slice("shop/stock");
  slice.Port("tcp", 8080).Endpoint("10.180.0.12").On("n1");
  return slice;
}
constexpr char kStock[] = "172.30.0.20:80";

class NetfilterFaults : public NodeTest {
 protected:
  virtual Mode InMode() const = 0;
  std::vector<std::string> Arguments() const override {
    return {"--proxy-mode", std::string(Word(InMode())), "--iptables-sync-period", "5s"};
  }
  void SetUp() override {
    NodeTest::SetUp();
    if (IsSkipped()) return;
    TheLab().Serve("10.180.0.12:8080");
    Program(Cart(30080), CartSlice({"10.180.0.11"}));
  }

  // A line of shell on n1. Its output.
  std::string OnN1(const std::string& line) {
    const Finished done =
        test::Run({"nsenter", "--net=/run/netns/" + TheLab().N1().Net().Name(), "sh", "-c", line});
    EXPECT_EQ(done.status, 0) << line << "\n" << done.output;
    return done.output;
  }
  bool Served(std::string_view at) {
    ClientOptions quick;
    quick.timeout = milliseconds(200);
    return Connect(Pod(), Proto::kTcp, At(at), quick).end == End::kReached;
  }
  bool ServedWithin(std::string_view at, seconds patience) {
    for (const auto deadline = steady_clock::now() + patience; steady_clock::now() < deadline;) {
      if (Served(at)) return true;
      std::this_thread::sleep_for(milliseconds(50));
    }
    return false;
  }
  // Lines of the agent's log at this level that hold `part`.
  int Said(std::string_view level, std::string_view part) {
    std::istringstream log(TheAgent().Log());
    int lines = 0;
    for (std::string line; std::getline(log, line);)
      lines += line.contains(level) && line.contains(part) ? 1 : 0;
    return lines;
  }
  bool AnErrorNames(std::string_view part, seconds patience) {
    for (const auto deadline = steady_clock::now() + patience; steady_clock::now() < deadline;) {
      if (Said(" E ", part) + Said(" C ", part) > 0) return true;
      std::this_thread::sleep_for(milliseconds(50));
    }
    return false;
  }
  std::string ToolName() const { return InMode() == Mode::kNftables ? "nft" : "iptables-restore"; }
  std::string ToolPrefix() const { return InMode() == Mode::kNftables ? "nft" : "ip"; }
};

class BothFaultsTest : public NetfilterFaults, public testing::WithParamInterface<Mode> {
 protected:
  Mode InMode() const override { return GetParam(); }
  // What a person would type.
  std::string RemoveEverything() const {
    return GetParam() == Mode::kNftables ? "nft delete table inet fairlead"
                                         : "iptables -t nat -F && iptables -t nat -X && iptables -F";
  }
  std::string EmptyAChain() const {
    return GetParam() == Mode::kNftables
               ? "nft flush chain inet fairlead $(nft list table inet fairlead |"
                 " awk '/^\\tchain /{chain = $2} /type nat hook prerouting/{print chain; exit}')"
               : "iptables -t nat -F FAIRLEAD-SERVICES";
  }
};

TEST_P(BothFaultsTest, RulesThatSomebodyElseRemovesComeBack) {
  ASSERT_TRUE(Served(kVip));
  OnN1(RemoveEverything());
  EXPECT_TRUE(ServedWithin(kVip, seconds(10)));
  EXPECT_EQ(Said(" W ", "somebody"), 1);
}

TEST_P(BothFaultsTest, AChainThatSomebodyElseEmptiesIsFilledAgain) {
  // Past our own last write: what others do in the middle of one is seen by the next full pass only.
  std::this_thread::sleep_for(milliseconds(200));
  OnN1(EmptyAChain());
  EXPECT_TRUE(ServedWithin(kVip, seconds(10)));
}

TEST_P(BothFaultsTest, WhatSomebodyElseRemovesAgainComesBackAgain) {
  for (int round = 0; round < 3; ++round) {
    OnN1(RemoveEverything());
    ASSERT_TRUE(ServedWithin(kVip, seconds(10))) << "round " << round;
  }
  TheAgent().Apply("stock.json", Manifest({Stock().ToJson(), StockSlice().ToJson()}));
  EXPECT_TRUE(Served(kStock));
}

TEST_P(BothFaultsTest, AToolThatFailsIsNamedAndWaitedFor) {
  ASSERT_EQ(TheAgent().Stop(), 0);
  Tools tools(ToolPrefix());
  {
    const WithVariable path("PATH", tools.Path());
    TheAgent().Start();
  }
  tools.Break();
  OnN1(RemoveEverything());
  EXPECT_TRUE(AnErrorNames(Tools::kComplaint, seconds(10)));
  std::this_thread::sleep_for(seconds(3));  // it goes on trying
  ASSERT_TRUE(TheAgent().Running());
  EXPECT_LE(Said(" E ", Tools::kComplaint), 2) << "the same again and again";
  tools.Repair();
  EXPECT_TRUE(ServedWithin(kVip, seconds(20))) << TheAgent().Log();
}

TEST_P(BothFaultsTest, AToolThatFailsAtTheStartIsNamed) {
  ASSERT_EQ(TheAgent().Stop(), 0);
  OnN1(RemoveEverything());
  Tools tools(ToolPrefix());
  tools.Break();
  {
    const WithVariable path("PATH", tools.Path());
    TheAgent().Launch();
  }
  EXPECT_TRUE(AnErrorNames(ToolName(), seconds(10)));
  tools.Repair();
  if (!TheAgent().Running()) TheAgent().Launch();  // as the kubelet would
  EXPECT_TRUE(ServedWithin(kVip, seconds(20))) << TheAgent().Log();
}

INSTANTIATE_TEST_SUITE_P(Modes, BothFaultsTest, testing::Values(Mode::kNftables, Mode::kIptables),
                         [](const auto& mode) { return std::string(Word(mode.param)); });

class IptablesFaultsTest : public NetfilterFaults {
 protected:
  Mode InMode() const override { return Mode::kIptables; }
};

TEST_F(IptablesFaultsTest, AChainThatTheKernelKeepsHoldsUpNobodyElse) {
  TheAgent().Apply("stock.json", Manifest({Stock().ToJson(), StockSlice().ToJson()}));
  const std::string chain =
      OnN1("iptables -t nat -S | grep shop/stock | grep -o 'FAIRLEAD-SVC-[A-Z0-9]*' | head -1 | tr -d '\\n'");
  ASSERT_THAT(chain, HasSubstr("FAIRLEAD-SVC-"));
  OnN1("iptables -t nat -N MINE && iptables -t nat -A MINE -j " + chain);  // a chain that is jumped to stays
  TheAgent().Remove("stock.json");
  TheAgent().Apply("cluster.json", Manifest({Cart(30080).ToJson(), CartSlice({"10.180.1.11"}).ToJson()}));
  EXPECT_THAT(Spread(Pod(), Proto::kTcp, kVip, 4),
              testing::ElementsAre(testing::Pair("10.180.1.11:8080", 4)));
  OnN1("iptables -t nat -F MINE && iptables -t nat -X MINE");
  for (const auto deadline = steady_clock::now() + seconds(15); OnN1("iptables -t nat -S").contains(chain);) {
    ASSERT_LT(steady_clock::now(), deadline) << "the chain was not removed when it could be";
    std::this_thread::sleep_for(milliseconds(200));
  }
  EXPECT_FALSE(Served(kStock));
}

TEST_F(IptablesFaultsTest, AServiceThatIsRefusedAtTheStartIsSaidToWaitUntilItIsServed) {
  TheAgent().Apply("stock.json", Manifest({Stock().ToJson(), StockSlice().ToJson()}));
  ASSERT_EQ(TheAgent().Stop(), 0);
  OnN1("iptables -t nat -F; iptables -t filter -F");
  Tools tools(ToolPrefix());
  tools.Refuse("shop/stock");
  {
    const WithVariable path("PATH", tools.Path());
    TheAgent().Start();
  }
  EXPECT_TRUE(Served(kVip));
  EXPECT_FALSE(Served(kStock));
  EXPECT_THAT(TheAgent().Metrics("/metrics").body, HasSubstr("\nfairlead_pending_writes 1\n"));
  EXPECT_THAT(TheAgent().Ctl({"status"}).output, HasSubstr("\nwaiting       1 service ports"));
  tools.Repair();
  EXPECT_TRUE(ServedWithin(kStock, seconds(20))) << TheAgent().Log();
  EXPECT_THAT(TheAgent().Metrics("/metrics").body, HasSubstr("\nfairlead_pending_writes 0\n"));
  EXPECT_THAT(TheAgent().Ctl({"status"}).output, testing::Not(HasSubstr("waiting")));
}

// The lock is that of the legacy programs; those over nf_tables have none.
class LockedOutTest : public IptablesFaultsTest {
 protected:
  void SetUp() override {
    lock_ = Sandbox::Get().Scratch() + "/xtables.lock";
    with_lock_.emplace("XTABLES_LOCKFILE", lock_);
    IptablesFaultsTest::SetUp();
    if (IsSkipped()) return;
    // Where kube-proxy's rules are, ours go too.
    ASSERT_EQ(TheAgent().Stop(), 0);
    OnN1(
        "iptables-legacy -t nat -N KUBE-MARK-MASQ && iptables-legacy -t nat -N KUBE-KUBELET-CANARY && "
        "iptables-legacy -t mangle -N KUBE-KUBELET-CANARY");
    TheAgent().Start();
    ASSERT_THAT(OnN1("iptables-legacy-save -t nat"), HasSubstr("FAIRLEAD-")) << "not in the legacy backend";
  }
  void TearDown() override {
    IptablesFaultsTest::TearDown();
    with_lock_.reset();
  }

  std::string lock_;

 private:
  std::optional<WithVariable> with_lock_;
};

TEST_F(LockedOutTest, ALockThatIsHeldForLongIsReportedAndWaitedFor) {
  {
    const Fd held(::open(lock_.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    ASSERT_EQ(::flock(held.Get(), LOCK_EX), 0);
    TheAgent().Put("stock.json", Manifest({Stock().ToJson(), StockSlice().ToJson()}));
    std::this_thread::sleep_for(seconds(12));
    EXPECT_TRUE(TheAgent().Running());
    EXPECT_TRUE(Served(kVip));
    EXPECT_FALSE(Served(kStock));
    EXPECT_THAT(TheAgent().Log(), HasSubstr("held the lock of xtables"));
  }
  EXPECT_TRUE(ServedWithin(kStock, seconds(20))) << TheAgent().Log();
}

}  // namespace
}  // namespace fairlead::test
