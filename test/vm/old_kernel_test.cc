// SPDX-License-Identifier: Apache-2.0
// A kernel that cannot run ebpf mode: auto says why, takes nftables mode, and what clients see is the same.
#include <gmock/gmock.h>
#include <sys/utsname.h>

#include <cstdio>

#include "test/support/node_fixture.h"

namespace fairlead::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Key;
using testing::UnorderedElementsAre;

// Whether this kernel is of a series that ebpf mode is made for.
bool RunsEbpf() {
  utsname name{};
  int major = 0;
  int minor = 0;
  if (::uname(&name) != 0 || std::sscanf(name.release, "%d.%d", &major, &minor) != 2) return true;
  return major > 6 || (major == 6 && minor >= 1);
}

class OldKernelTest : public NodeTest {
 protected:
  void SetUp() override {
    if (RunsEbpf()) GTEST_SKIP() << "ebpf mode runs here: it needs a kernel before Linux 6.1";
    NodeTest::SetUp();
  }
  std::vector<std::string> Arguments() const override { return {"--proxy-mode", "auto"}; }
};

TEST_F(OldKernelTest, IsServedByNftables) {
  Program(Cart(30080), CartSlice({"10.180.0.11", "10.180.1.11"}));
  EXPECT_EQ(TheAgent().Metrics("/proxyMode").body, "nftables");
  EXPECT_THAT(TheAgent().Log(), AllOf(HasSubstr("auto"), HasSubstr("ebpf: ")));
  const auto both = UnorderedElementsAre(Key("10.180.0.11:8080"), Key("10.180.1.11:8080"));
  for (const Proto proto : {Proto::kTcp, Proto::kUdp}) {
    EXPECT_THAT(Spread(Pod(), proto, kVip, 40), both) << ProtocolNumber(proto);
    EXPECT_THAT(Spread(Outside(), proto, "192.168.99.11:30080", 40), both) << ProtocolNumber(proto);
  }
}

TEST_F(OldKernelTest, IsServedSctpToo) {
  if (!KernelHasSctp()) GTEST_SKIP() << "this kernel has no SCTP";
  TheLab().Serve("10.180.1.11:8080");
  Program(Service("shop/cart").ClusterIp("172.30.0.10").Port("sctp", 80, 8080).Sctp(),
          Slice("shop/cart").Port("sctp", 8080).Sctp().Endpoint("10.180.1.11").On("n2"));
  const Outcome outcome = Connect(Pod(), Proto::kSctp, At(kVip));
  EXPECT_EQ(outcome.backend, "10.180.1.11:8080") << outcome.ToString();
}

}  // namespace
}  // namespace fairlead::test
