// SPDX-License-Identifier: Apache-2.0
// Every case of test/oracle/cases against the real agent on real sockets, with clients on the node under test
// and elsewhere, in the mode that the program is built for. Cases of one cluster section follow each other
// and share a lab and an agent.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <memory>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "test/support/oracle_runner.h"

namespace fairlead::test {
namespace {

constexpr Mode kMode = Mode::FAIRLEAD_ORACLE_MODE;

// Why nothing can be judged here, or nothing.
std::optional<std::string> WhyNot() {
  if (auto why = WhyNoLab()) return why;
  if (kMode != Mode::kIpvs) return std::nullopt;
  static const bool has_ipvs =
      Run({"modprobe", "ip_vs"}).status == 0 || std::filesystem::exists("/proc/net/ip_vs");
  if (!has_ipvs) return "this kernel has no IPVS";
  return std::nullopt;
}

std::vector<std::string> ArgumentsFor(const OracleCluster& cluster) {
  std::vector<std::string> arguments{"--proxy-mode", std::string(Word(kMode))};
  if (!cluster.cidr.empty()) arguments.insert(arguments.end(), {"--cluster-cidr", cluster.cidr});
  if (cluster.masquerade_all) arguments.push_back("--masquerade-all");
  if (!cluster.nodeport_addresses.empty())
    arguments.insert(arguments.end(),
                     {"--nodeport-addresses", fmt::format("{}", fmt::join(cluster.nodeport_addresses, ","))});
  if (!cluster.localhost_nodeports) arguments.push_back("--iptables-localhost-nodeports=false");
  return arguments;
}

// The lab and the agent of the cluster section in play.
struct Session {
  explicit Session(const OracleCluster& section)
      : cluster(section), lab({.more_addresses = section.more_addresses}), agent(lab, ArgumentsFor(section)) {
    agent.Remove("node.json");  // the cases bring their own
    agent.Start();
  }

  OracleCluster cluster;
  Lab lab;
  Agent agent;
};

std::unique_ptr<Session> session;

// Ends the last session, and says what the cases hold that was not judged.
class Summary : public testing::Environment {
 public:
  void TearDown() override {
    session.reset();
    if (total.Judged() == 0) return;
    std::cout << fmt::format(
        "oracle in {} mode: judged {}; not judged: {} SCTP flows, for which this kernel has no "
        "sockets, and {} in which the cases let the mode differ\n",
        Word(kMode), total.ToString(), total.sctp, total.skipped);
  }
  OracleCount total;
};
Summary* const summary = static_cast<Summary*>(testing::AddGlobalTestEnvironment(new Summary));

class OracleTest : public testing::TestWithParam<OracleCase> {};

TEST_P(OracleTest, Holds) {
  if (const auto why = WhyNot()) GTEST_SKIP() << *why;
  const OracleCase& played = GetParam();
  try {
    if (!session || session->cluster != played.cluster) {
      session.reset();
      session = std::make_unique<Session>(played.cluster);
    }
    OracleRunner runner(session->lab, session->agent, kMode);
    for (const auto& failure : runner.Play(played)) ADD_FAILURE() << failure;
    if (HasFailure()) std::cout << session->agent.Log();
    const OracleCount& count = runner.Count();
    summary->total += count;
    if (count.Judged() > 0) return;
    if (count.sctp > 0) GTEST_SKIP() << "SCTP only, for which this kernel has no sockets";
    GTEST_SKIP() << "the case lets this mode differ in all it holds";
  } catch (const std::exception& e) {
    session.reset();  // in an unknown state
    FAIL() << e.what();
  }
}

std::string NameOf(const testing::TestParamInfo<OracleCase>& info) {
  std::string name = info.param.name;
  std::ranges::replace(name, '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Cases, OracleTest,
                         testing::ValuesIn(ReadOracleCases(FAIRLEAD_SOURCE_DIR "/test/oracle/cases", kMode)),
                         NameOf);

}  // namespace
}  // namespace fairlead::test
