// SPDX-License-Identifier: Apache-2.0
// Whole tables of nf_tables, of this kernel, in a network namespace; and transactions it does not know.
#include "agent/datapath/netfilter/nft_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <optional>

#include "agent/base/exec.h"
#include "agent/base/netlink.h"
#include "test/support/netns.h"

namespace fairlead::netfilter {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

struct NftTableTest : testing::Test {
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "skipped: needs root for network namespaces";
    netns.emplace(test::Namespace::Create("fl-tab-" + std::to_string(::getpid())));
    inside.emplace(*netns);
  }
  static void Nft(std::string_view script) {
    auto ran = ExecuteOrFail({.argv = {"nft", "-f", "-"}, .input = script});
    ASSERT_TRUE(ran) << ran.error().message;
  }

  std::optional<test::Namespace> netns;
  std::optional<test::NetnsScope> inside;
};

TEST_F(NftTableTest, ATableGoesWithAllThatIsInIt) {
  Nft("add table ip6 kube-proxy; add chain ip6 kube-proxy services; add table inet other");
  EXPECT_THAT(*ListNftTables(),
              ElementsAre(NftTable{NFPROTO_INET, "other"}, NftTable{NFPROTO_IPV6, "kube-proxy"}));
  EXPECT_TRUE(*RemoveNftTable({NFPROTO_IPV6, "kube-proxy"}));
  EXPECT_THAT(*ListNftTables(), ElementsAre(NftTable{NFPROTO_INET, "other"}));
}

TEST_F(NftTableTest, ATableThatIsNotThereIsNoError) {
  EXPECT_FALSE(*RemoveNftTable({NFPROTO_INET, "fairlead"}));
  EXPECT_THAT(*ListNftTables(), IsEmpty());
  EXPECT_TRUE(*HasNfTables());
}

// As a kernel without nf_tables does for that: the error answers the begin of the batch, and is all there is.
TEST_F(NftTableTest, ATransactionNoSubsystemTakesFailsAtOnce) {
  auto netlink = Netlink::Open(NETLINK_NETFILTER);
  ASSERT_TRUE(netlink) << netlink.error().message;
  constexpr uint16_t kNoTransactions = NFNL_SUBSYS_CTNETLINK;
  const nfgenmsg any{NFPROTO_UNSPEC, NFNETLINK_V0, 0};
  const std::array requests{NetlinkRequest(kNoTransactions << 8, 0, any)};
  const auto begin = std::chrono::steady_clock::now();
  auto sent = netlink->Transact(kNoTransactions, requests);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, EOPNOTSUPP);
  EXPECT_TRUE(TellsOfNoNfTables(sent.error()));
}

TEST(NftTable, WhatAKernelWithoutNfTablesAnswersIsToldFromOtherErrors) {
  for (int code : {EPROTONOSUPPORT, EINVAL, EOPNOTSUPP, EAFNOSUPPORT})
    EXPECT_TRUE(TellsOfNoNfTables(FailErrno(code, "netlink").error())) << code;
  for (int code : {EPERM, EAGAIN, EBUSY, ENOENT, ENOMEM})
    EXPECT_FALSE(TellsOfNoNfTables(FailErrno(code, "netlink").error())) << code;
}

}  // namespace
}  // namespace fairlead::netfilter
