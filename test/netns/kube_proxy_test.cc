// SPDX-License-Identifier: Apache-2.0
// kube-proxy's rules are found and removed, from each of the places it may have put them, and nothing else
// is.
#include "agent/datapath/modes/kube_proxy.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/file.h>

#include <optional>
#include <sstream>

#include "test/support/environment.h"
#include "test/support/kube_proxy_rules.h"
#include "test/support/node_fixture.h"

namespace fairlead::test {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const std::vector<ProxiedPort> kCart{
    {"shop/cart:tcp", "172.30.0.10", 80, 30001, {"10.180.1.11:8080", "10.180.2.11:8080"}},
    {"shop/cart:tcp", "fd00:172:30::10", 80, 30001, {"[fd00:10:180:1::11]:8080"}},
};

// Rules of others, in all the places kube-proxy has its own; one leads to a chain of kube-proxy's.
constexpr char kIptables[] = R"(*nat
:CNI-HOSTPORT-DNAT - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A POSTROUTING -m comment --comment "not for KUBE-SERVICES" -j ACCEPT
COMMIT
*filter
:KUBE-ROUTER-INPUT - [0:0]
-A INPUT -j KUBE-ROUTER-INPUT
-A KUBE-ROUTER-INPUT -p tcp -m tcp --dport 22 -j ACCEPT
COMMIT
)";
constexpr char kNft[] =
    R"(table inet mine { chain kube-proxy { type filter hook forward priority 0; ct state invalid counter; }; }
table ip kube-proxy-2 { chain services { }; }
)";

class KubeProxyTest : public testing::TestWithParam<KubeProxyMode> {
 protected:
  void SetUp() override {
    if (const auto why = WhyNoLab()) GTEST_SKIP() << *why;
    lab_.emplace();
  }
  const Namespace& Host() { return lab_->N1().Net(); }
  std::string InHost(const std::vector<std::string>& argv, std::string_view input = {}) {
    const NetnsScope inside(Host());
    const Finished done = test::Run(argv, input);
    EXPECT_EQ(done.status, 0) << argv[0] << ": " << done.output;
    return done.output;
  }
  void PutOthers() {
    for (const auto* program : {"iptables-nft-restore", "ip6tables-nft-restore", "iptables-legacy-restore",
                                "ip6tables-legacy-restore"})
      InHost({program, "--noflush"}, kIptables);
    InHost({"nft", "-f", "-"}, kNft);
  }
  // Everything there is, without the counters of packets.
  std::string Dump() {
    std::string dump;
    for (const auto* program :
         {"iptables-nft-save", "ip6tables-nft-save", "iptables-legacy-save", "ip6tables-legacy-save"}) {
      std::istringstream lines(InHost({program}));
      for (std::string line; std::getline(lines, line);) {
        if (!line.starts_with('#')) dump += line.substr(0, line.find(" [")) + "\n";
      }
    }
    return dump + InHost({"nft", "-s", "list", "ruleset", "inet"}) + InHost({"nft", "list", "tables"});
  }
  std::vector<std::string> Found() {
    const NetnsScope inside(Host());
    return modes::FindKubeProxy().value();
  }
  void Remove() {
    const NetnsScope inside(Host());
    const auto removed = modes::RemoveKubeProxy();
    EXPECT_TRUE(removed) << removed.error().message;
  }

  std::optional<Lab> lab_;
};

INSTANTIATE_TEST_SUITE_P(, KubeProxyTest,
                         testing::Values(KubeProxyMode::kIptablesNft, KubeProxyMode::kIptablesLegacy,
                                         KubeProxyMode::kNftables),
                         [](const auto& each) { return std::string(Word(each.param)); });

TEST_P(KubeProxyTest, ItsRulesAreFoundAndRemovedAndThoseOfOthersStay) {
  PutOthers();
  // The kubelet's chains come with kube-proxy's here, and stay.
  PutKubeProxyRules(Host(), GetParam(), {});
  Remove();
  const std::string others = Dump();
  ASSERT_THAT(Found(), IsEmpty());

  if (GetParam() != KubeProxyMode::kNftables) {
    for (const auto* program : {"iptables", "ip6tables"}) {
      const bool legacy = GetParam() == KubeProxyMode::kIptablesLegacy;
      InHost(
          {fmt::format("{}-{}", program, legacy ? "legacy" : "nft"), "-D", "INPUT", "-j", "KUBE-FIREWALL"});
    }
  }
  PutKubeProxyRules(Host(), GetParam(), kCart);
  EXPECT_THAT(Found(), Not(IsEmpty()));
  Remove();
  EXPECT_THAT(Found(), IsEmpty());
  EXPECT_EQ(Dump(), others);
  Remove();
  EXPECT_EQ(Dump(), others) << "removing nothing changes nothing";
}

TEST_P(KubeProxyTest, WhatIsFoundIsNamed) {
  PutKubeProxyRules(Host(), GetParam(), kCart);
  switch (GetParam()) {
    case KubeProxyMode::kIptablesNft:
      EXPECT_THAT(Found(), Contains("iptables nat (nf_tables): chain KUBE-SERVICES, 2 rules"));
      EXPECT_THAT(Found(), Contains("ip6tables filter (nf_tables): chain KUBE-FORWARD, 3 rules"));
      break;
    case KubeProxyMode::kIptablesLegacy:
      EXPECT_THAT(Found(), Contains("iptables nat (legacy): 2 chains KUBE-SEP-*, 4 rules"));
      break;
    case KubeProxyMode::kNftables:
      EXPECT_EQ(Found(), (std::vector<std::string>{"nft table ip kube-proxy", "nft table ip6 kube-proxy"}));
  }
}

using KubeProxyIptablesTest = KubeProxyTest;
INSTANTIATE_TEST_SUITE_P(, KubeProxyIptablesTest,
                         testing::Values(KubeProxyMode::kIptablesNft, KubeProxyMode::kIptablesLegacy),
                         [](const auto& each) { return std::string(Word(each.param)); });

TEST_P(KubeProxyIptablesTest, MasqueradingThatRulesOfOthersRelyOnStays) {
  PutKubeProxyRules(Host(), GetParam(), kCart);
  const std::string program = GetParam() == KubeProxyMode::kIptablesNft ? "iptables-nft" : "iptables-legacy";
  InHost({program + "-restore", "--noflush"},
         "*nat\n:CNI-HOSTPORT-SETMARK - [0:0]\n-A CNI-HOSTPORT-SETMARK -j KUBE-MARK-MASQ\nCOMMIT\n");
  Remove();
  const std::string left = InHost({program + "-save", "-t", "nat"});
  EXPECT_THAT(left, HasSubstr("-A CNI-HOSTPORT-SETMARK -j KUBE-MARK-MASQ"));
  EXPECT_THAT(left, HasSubstr("-j KUBE-POSTROUTING"));
  EXPECT_THAT(left, HasSubstr("-A KUBE-POSTROUTING -j MASQUERADE"));
  EXPECT_THAT(left, Not(HasSubstr("KUBE-SERVICES")));
  EXPECT_THAT(Found(), IsEmpty());
}

using KubeProxyLegacyTest = KubeProxyTest;
INSTANTIATE_TEST_SUITE_P(, KubeProxyLegacyTest, testing::Values(KubeProxyMode::kIptablesLegacy),
                         [](const auto& each) { return std::string(Word(each.param)); });

TEST_P(KubeProxyLegacyTest, AnErrorSaysWhatCouldNotBeRemovedAndTheRestIs) {
  PutKubeProxyRules(Host(), GetParam(), kCart);
  PutKubeProxyRules(Host(), KubeProxyMode::kNftables, kCart);
  const std::string path = Sandbox::Get().Scratch() + "/xtables.lock";
  const Fd lock(::open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
  ASSERT_EQ(::flock(lock.Get(), LOCK_EX), 0);
  {
    const WithVariable lock_file("XTABLES_LOCKFILE", path);
    const NetnsScope inside(Host());
    const auto removed = modes::RemoveKubeProxy();
    ASSERT_FALSE(removed);
    EXPECT_THAT(removed.error().message, HasSubstr("held the lock of xtables"));
  }
  EXPECT_THAT(Found(), Contains(HasSubstr("iptables nat (legacy)")));
  EXPECT_THAT(Found(), Not(Contains(HasSubstr("nft table"))));
  Remove();
  EXPECT_THAT(Found(), IsEmpty());
}

}  // namespace
}  // namespace fairlead::test
