// SPDX-License-Identifier: Apache-2.0
// Which backend is chosen, of programs that say what the test wants.
#include "agent/datapath/iptables/backend.h"

#include <gtest/gtest.h>

#include <map>

namespace fairlead::iptables {
namespace {

// Programs by name; others are not there.
using Programs = std::map<std::string, Executed>;

Run RunOf(Programs programs) {
  return [programs = std::move(programs)](const ExecOptions& options) -> Result<Executed> {
    const auto program = programs.find(options.argv.front());
    if (program == programs.end()) return Fail(ErrorKind::kNotFound, "no {} in PATH", options.argv.front());
    return program->second;
  };
}

const Executed kNft{0, "iptables v1.8.9 (nf_tables)\n", {}};
const Executed kLegacy{0, "iptables v1.8.9 (legacy)\n", {}};

TEST(Backend, OneWhoseRulesCannotBeReadIsNotChosen) {
  const auto chosen = ChooseBackend(RunOf({{"iptables-restore", kNft},
                                           {"iptables-nft-restore", kNft},
                                           {"iptables-legacy-restore", kLegacy},
                                           {"iptables-nft-save", {1, {}, "Invalid argument\n"}},
                                           {"ip6tables-nft-save", {1, {}, "Invalid argument\n"}},
                                           {"iptables-legacy-save", {0, {}, {}}},
                                           {"ip6tables-legacy-save", {0, {}, {}}}}));
  ASSERT_TRUE(chosen) << chosen.error().message;
  EXPECT_EQ(chosen->kind, Backend::Kind::kLegacy);
  EXPECT_EQ(chosen->why, "nf_tables does not work here");
}

TEST(Backend, WithoutAProgramThePackageIsNamed) {
  const auto chosen = ChooseBackend(RunOf({}));
  ASSERT_FALSE(chosen);
  EXPECT_EQ(chosen.error().kind, ErrorKind::kNotFound);
  EXPECT_EQ(chosen.error().message, "no iptables-restore in PATH; expected the package iptables");
}

TEST(Backend, AProgramThatFailsIsNotSaidToBeMissing) {
  const auto chosen =
      ChooseBackend(RunOf({{"iptables-restore", {127, {}, "libxtables.so.12: no such file\n"}}}));
  ASSERT_FALSE(chosen);
  EXPECT_EQ(chosen.error().kind, ErrorKind::kUnavailable);
  EXPECT_EQ(chosen.error().message, "iptables-restore --version: libxtables.so.12: no such file");
}

}  // namespace
}  // namespace fairlead::iptables
