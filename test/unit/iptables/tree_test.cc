// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/iptables/tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include <fmt/format.h>

#include "test/support/objects.h"

namespace fairlead::iptables {
namespace {

using test::Addr;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Key;
using testing::Le;
using testing::Pair;

using Written = std::map<std::string, std::string>;

const plan::ServicePortKey kOwner{{"ns", "one"}, "", plan::Protocol::kTcp, Family::kIpv4};
const plan::ServicePortKey kOther{{"ns", "two"}, "", plan::Protocol::kTcp, Family::kIpv4};
constexpr Slot kSlot{false, plan::Protocol::kTcp, 80};

// A tree, and the chains it has written.
struct Grown {
  explicit Grown(Family family = Family::kIpv4)
      : tree({"ROOT",
              [](const Cidr& part) { return part.ToString(); },
              [](const Cidr& part) { return "-d " + part.ToString(); },
              {plan::AnyAddress(family), 0}}) {}

  void Put(std::string_view address, const plan::ServicePortKey& owner = kOwner, std::string rule = "") {
    tree.Put(Addr(address), kSlot, owner, rule.empty() ? fmt::format("-d {} -j ACCEPT", address) : rule);
  }
  void PutMany(int count) {
    for (int i = 0; i < count; ++i) Put(fmt::format("10.96.{}.{}", i / 250, i % 250 + 1));
  }
  // The names of the chains that were written or dropped.
  std::vector<std::string> Refresh() {
    std::vector<std::string> names;
    tree.Refresh([&](const std::string& chain, const std::string* body) {
      if (body == nullptr) {
        chains.erase(chain);
      } else if (chains.contains(chain) && chains[chain] == *body) {
        return;
      } else {
        chains[chain] = *body;
      }
      names.push_back(chain);
    });
    return names;
  }
  // Rules a packet to the address meets on its way to its rule.
  int RulesMet(std::string_view address) const { return RulesMet("ROOT", Addr(address)); }
  int RulesMet(const std::string& chain, const Address& address) const {
    int met = 0;
    std::istringstream rules(chains.at(chain));
    for (std::string line; std::getline(rules, line);) {
      ++met;
      std::istringstream words(line);
      std::string skip, prefix, target;
      words >> skip >> skip >> skip >> prefix >> skip >> target;
      const std::string cidr = prefix.contains('/') ? prefix : prefix + "/32";
      if (!Cidr::Parse(cidr)->Contains(address)) continue;
      return target == "ACCEPT" ? met : met + RulesMet(target, address);
    }
    return 1 << 20;  // not found
  }

  Tree tree;
  Written chains;
};

TEST(Tree, AFewKeysAreOneChain) {
  Grown grown;
  grown.Put("10.96.0.2");
  grown.Put("10.96.0.1");
  grown.Refresh();
  EXPECT_THAT(grown.chains,
              ElementsAre(Pair("ROOT", "-A ROOT -d 10.96.0.1 -j ACCEPT\n-A ROOT -d 10.96.0.2 -j ACCEPT\n")));
}

TEST(Tree, AnEmptyTreeIsAnEmptyChain) {
  Grown grown;
  grown.Refresh();
  EXPECT_THAT(grown.chains, ElementsAre(Pair("ROOT", "")));
}

TEST(Tree, APacketMeetsAFewDozenRulesOfTenThousand) {
  Grown grown;
  grown.PutMany(10000);
  grown.Refresh();
  for (const char* address : {"10.96.0.1", "10.96.39.250", "10.96.20.128"}) {
    EXPECT_THAT(grown.RulesMet(address), Le(16 * 3 + 16)) << address;
  }
}

TEST(Tree, AKeyThatComesToTenThousandRewritesAFewChains) {
  Grown grown;
  grown.PutMany(10000);
  grown.Refresh();
  grown.Put("10.96.7.255");
  EXPECT_THAT(grown.Refresh().size(), Le(3U));
}

TEST(Tree, NothingIsWrittenWhereNothingChanged) {
  Grown grown;
  grown.PutMany(1000);
  grown.Refresh();
  EXPECT_THAT(grown.Refresh(), IsEmpty());
}

TEST(Tree, TheSameKeysGiveTheSameChainsInWhateverOrderTheyCame) {
  std::mt19937 random(1);
  std::vector<int> order(600);
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int>(i);
  Written first;
  for (int round = 0; round < 5; ++round) {
    std::ranges::shuffle(order, random);
    Grown grown;
    for (int i : order) {
      grown.Put(fmt::format("10.{}.{}.{}", i % 3, i / 7, i % 251));
      if (i % 50 == 0) grown.Refresh();
    }
    for (int i : {1, 2, 3}) grown.Put(fmt::format("192.168.0.{}", i));
    grown.Refresh();
    for (int i : {1, 2, 3}) grown.tree.Remove(Addr(fmt::format("192.168.0.{}", i)), kSlot, kOwner);
    grown.Refresh();
    if (round == 0) first = grown.chains;
    EXPECT_EQ(grown.chains, first);
  }
}

TEST(Tree, ABucketThatSplitsAndJoinsAgainLeavesNoChainBehind) {
  Grown grown;
  grown.PutMany(10);
  grown.Refresh();
  const Written before = grown.chains;
  for (int i = 1; i <= 100; ++i) grown.Put(fmt::format("172.30.0.{}", i));
  grown.Refresh();
  for (int i = 1; i <= 100; ++i) grown.tree.Remove(Addr(fmt::format("172.30.0.{}", i)), kSlot, kOwner);
  grown.Refresh();
  EXPECT_EQ(grown.chains, before);
}

TEST(Tree, AnAddressThatMovesToAnotherOwnerHasOneInWhateverOrderTheyAreTold) {
  for (bool leaves_first : {true, false}) {
    Grown grown;
    grown.Put("10.96.0.1", kOwner, "-j OLD");
    grown.Refresh();
    if (leaves_first) grown.tree.Remove(Addr("10.96.0.1"), kSlot, kOwner);
    grown.Put("10.96.0.1", kOther, "-j NEW");
    if (!leaves_first) grown.tree.Remove(Addr("10.96.0.1"), kSlot, kOwner);
    grown.Refresh();
    EXPECT_EQ(grown.chains["ROOT"], "-A ROOT -j NEW\n");
  }
}

TEST(Tree, WhenTheLatestOwnerLeavesTheOneBeforeHasThePlaceAgain) {
  Grown grown;
  grown.Put("10.96.0.1", kOwner, "-j OLD");
  grown.Put("10.96.0.1", kOther, "-j NEW");
  grown.tree.Remove(Addr("10.96.0.1"), kSlot, kOther);
  grown.Refresh();
  EXPECT_EQ(grown.chains["ROOT"], "-A ROOT -j OLD\n");
}

// nf_tables refuses more than 16 jumps.
TEST(Tree, AddressesChosenToMakeItDeepDoNot) {
  Grown grown(Family::kIpv6);
  for (int i = 0; i < 17; ++i) grown.Put(fmt::format("fd00::{:x}", i));
  for (int nibble = 8; nibble < 31; ++nibble) {
    std::string digits(32, '0');
    digits.replace(0, 2, "fd");
    digits[static_cast<size_t>(nibble)] = '1';
    std::string address;
    for (size_t i = 0; i < 32; i += 4) address += (i == 0 ? "" : ":") + digits.substr(i, 4);
    grown.Put(Addr(address).ToString());
  }
  grown.Refresh();
  EXPECT_THAT(grown.chains.size(), Le(2U * Tree::kDepth + 16));
}

}  // namespace
}  // namespace fairlead::iptables
