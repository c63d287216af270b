// SPDX-License-Identifier: Apache-2.0
// What auto would take, from the answers of the probes.
#include "agent/datapath/modes/survey.h"

#include <gtest/gtest.h>

namespace fairlead::modes {
namespace {

using ebpf::Outcome;
using ebpf::ProbeResult;

const ProbeResult kBtf = {"btf", Outcome::kYes, "there", "fits", true};
const ProbeResult kNoBtf = {"btf", Outcome::kNo, "no file", "fits", true};
const ProbeResult kNft = {"nftables", Outcome::kYes, "nft 1.0.6", "nftables mode", false};
const ProbeResult kNoNft = {"nftables", Outcome::kNo, "no such program", "nftables mode", false};
const ProbeResult kNoIpvs = {"ipvs", Outcome::kNo, "no module", "ipvs mode", false};
const ProbeResult kNoIptables = {"iptables", Outcome::kError, "not permitted", "iptables mode", false};

TEST(Survey, EbpfComesFirst) {
  const Survey survey = Judge({kBtf, kNft});
  EXPECT_EQ(survey.taken, Mode::kEbpf);
  EXPECT_EQ(survey.reason, "this node can run it");
}

TEST(Survey, TheNextIsTakenForTheReasonTheFirstIsNot) {
  const Survey survey = Judge({kNoBtf, kNft, kNoIpvs});
  EXPECT_EQ(survey.taken, Mode::kNftables);
  EXPECT_EQ(survey.reason, "this node cannot run ebpf: missing btf (no file)");
}

TEST(Survey, WithoutAnyEachReasonIsGiven) {
  const Survey survey = Judge({kNoBtf, kNoNft, kNoIpvs, kNoIptables});
  EXPECT_EQ(survey.taken, std::nullopt);
  EXPECT_EQ(survey.reason,
            "no mode can run on this node: ebpf: missing btf (no file); nftables: no such program; ipvs: no "
            "module; iptables: not permitted");
}

}  // namespace
}  // namespace fairlead::modes
