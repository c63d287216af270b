// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/cidr_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/datapath/ebpf/memory_tables.h"
#include "test/support/objects.h"

namespace fairlead::ebpf {
namespace {

using test::Range;
using testing::HasSubstr;

class CidrTableTest : public testing::Test {
 protected:
  // What a program reads: elements up to the first unused one.
  std::string Read() const {
    std::string text;
    for (const service_cidr& element : elements_) {
      if (!element.in_use) break;
      text += (text.empty() ? "" : " ") + Address{element.base}.ToString();
    }
    return text;
  }
  void Settle() {
    while (reclaimer_.Poll()) grace_.Finish();
  }

  std::vector<service_cidr> elements_{4};
  ManualGrace grace_{false};
  Store store_;
  Reclaimer reclaimer_{grace_};
  CidrTable table_{"pod_cidrs", elements_, store_, reclaimer_};
};

TEST_F(CidrTableTest, ElementsBehindTheFirstDifferenceWaitForAGracePeriod) {
  ASSERT_TRUE(table_.Apply({Range("10.0.0.0/8"), Range("10.2.0.0/16")}));
  EXPECT_EQ(Read(), "");
  Settle();
  EXPECT_EQ(Read(), "10.0.0.0 10.2.0.0");
  ASSERT_TRUE(table_.Apply({Range("10.0.0.0/8"), Range("10.1.0.0/16"), Range("10.2.0.0/16")}));
  EXPECT_EQ(Read(), "10.0.0.0") << "what stays is never out of use";
  Settle();
  EXPECT_EQ(Read(), "10.0.0.0 10.1.0.0 10.2.0.0");
}

TEST_F(CidrTableTest, OfSeveralChangesWithinAGracePeriodTheLastOneCounts) {
  ASSERT_TRUE(table_.Apply({Range("10.0.0.0/8"), Range("10.1.0.0/16")}));
  Settle();
  ASSERT_TRUE(table_.Apply({Range("10.0.0.0/8")}));
  ASSERT_TRUE(table_.Apply({Range("10.0.0.0/8"), Range("10.1.0.0/16"), Range("10.9.0.0/16")}));
  ASSERT_TRUE(table_.Apply({Range("10.3.0.0/16"), Range("10.9.0.0/16")}));
  EXPECT_EQ(Read(), "");
  Settle();
  EXPECT_EQ(Read(), "10.3.0.0 10.9.0.0");
}

TEST_F(CidrTableTest, TheSameListAgainStoresNothingAlsoAfterARestart) {
  std::vector<Cidr> cidrs = {Range("0.0.0.0/0"), Range("10.0.0.0/9"), Range("fd00:10::/33")};
  ASSERT_TRUE(table_.Apply(cidrs));
  Settle();
  uint64_t before = store_.bytes();
  ASSERT_TRUE(table_.Apply(cidrs));
  CidrTable next("pod_cidrs", elements_, store_, reclaimer_);
  next.Restore();
  ASSERT_TRUE(next.Apply(cidrs));
  EXPECT_EQ(store_.bytes(), before);
}

TEST_F(CidrTableTest, MorePrefixesThanFitAreRefusedAndWhatStoodStands) {
  ASSERT_TRUE(table_.Apply({Range("10.0.0.0/8")}));
  Settle();
  auto applied = table_.Apply({Range("10.0.0.0/16"), Range("10.1.0.0/16"), Range("10.2.0.0/16"),
                               Range("10.3.0.0/16"), Range("10.4.0.0/16")});
  ASSERT_FALSE(applied);
  EXPECT_EQ(applied.error().kind, ErrorKind::kExhausted);
  EXPECT_THAT(applied.error().message, HasSubstr("pod_cidrs: 5 prefixes, 4 fit"));
  Settle();
  EXPECT_EQ(Read(), "10.0.0.0");
}

}  // namespace
}  // namespace fairlead::ebpf
