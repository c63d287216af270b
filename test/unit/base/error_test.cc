// SPDX-License-Identifier: Apache-2.0
#include "agent/base/error.h"

#include <gtest/gtest.h>

namespace fairlead {
namespace {

TEST(Error, AMessageGrowsFromTheCauseOutwards) {
  Result<int> result = Fail(ErrorKind::kInvalid, "expected 1-65535, got {}", 70000);
  ASSERT_FALSE(result.has_value());
  Error error = std::move(result.error()).In("spec.ports[0].port").In("Service shop/cart");
  EXPECT_EQ(error.message, "Service shop/cart: spec.ports[0].port: expected 1-65535, got 70000");
  EXPECT_EQ(error.kind, ErrorKind::kInvalid);
  EXPECT_EQ(error.code, 0);
}

TEST(Error, AnErrnoIsKeptNamedAndSorted) {
  struct Row {
    int code;
    ErrorKind kind;
  };
  for (const Row& row : {Row{ENOENT, ErrorKind::kNotFound},
                         {E2BIG, ErrorKind::kExhausted},
                         {ENOSPC, ErrorKind::kExhausted},
                         {EOPNOTSUPP, ErrorKind::kUnsupported},
                         {ECONNREFUSED, ErrorKind::kUnavailable}}) {
    Result<> result = FailErrno(row.code, "map {}", "frontends");
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().kind, row.kind);
    EXPECT_EQ(result.error().code, row.code);
    EXPECT_EQ(result.error().message, std::string("map frontends: ") + ::strerror(row.code));
  }
}

}  // namespace
}  // namespace fairlead
