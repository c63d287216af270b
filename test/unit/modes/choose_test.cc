// SPDX-License-Identifier: Apache-2.0
// What auto takes, and the reasons it gives.
#include "agent/datapath/modes/choose.h"

#include <gmock/gmock.h>

#include "test/unit/modes/fake_datapath.h"

namespace fairlead::modes {
namespace {

class ChooseTest : public testing::Test {
 protected:
  Candidate Able(Mode mode) {
    return {mode, [this, mode]() -> Result<std::unique_ptr<datapath::Datapath>> {
              opened_.push_back(mode);
              return std::make_unique<test::FakeDatapath>(std::string(ModeName(mode)), journal_);
            }};
  }
  static Candidate Unable(Mode mode, std::string why) {
    return {mode, [why]() -> Result<std::unique_ptr<datapath::Datapath>> {
              return Fail(ErrorKind::kUnsupported, "{}", why);
            }};
  }

  test::Journal journal_;
  std::vector<Mode> opened_;
};

TEST_F(ChooseTest, TheFirstThatOpensIsTakenAndNoneAfterIt) {
  auto choice = TakeFirst(std::vector{Able(Mode::kEbpf), Able(Mode::kNftables)});
  ASSERT_TRUE(choice);
  EXPECT_EQ(choice->mode, Mode::kEbpf);
  EXPECT_EQ(choice->datapath->Name(), "ebpf");
  EXPECT_EQ(choice->reason, "auto: this node can run it");
  EXPECT_THAT(opened_, testing::ElementsAre(Mode::kEbpf));
}

TEST_F(ChooseTest, TheReasonNamesWhatEachEarlierOneLacked) {
  auto choice = TakeFirst(
      std::vector{Unable(Mode::kEbpf, "missing btf"), Unable(Mode::kNftables, "no nft"), Able(Mode::kIpvs)});
  ASSERT_TRUE(choice);
  EXPECT_EQ(choice->mode, Mode::kIpvs);
  EXPECT_EQ(choice->reason, "auto: this node cannot run ebpf: missing btf; nor nftables: no nft");
}

TEST_F(ChooseTest, NoneIsAnErrorWithEveryReason) {
  auto choice =
      TakeFirst(std::vector{Unable(Mode::kEbpf, "missing btf"), Unable(Mode::kIptables, "no iptables")});
  ASSERT_FALSE(choice);
  EXPECT_EQ(choice.error().kind, ErrorKind::kUnsupported);
  EXPECT_EQ(choice.error().message, "no mode can run on this node: ebpf: missing btf; iptables: no iptables");
}

TEST(ModeNames, AreReadBack) {
  for (Mode mode : kModes) EXPECT_EQ(ParseMode(ModeName(mode)), mode);
  EXPECT_EQ(ParseMode("auto"), std::nullopt);
}

}  // namespace
}  // namespace fairlead::modes
