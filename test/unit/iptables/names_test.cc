// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/iptables/names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test/support/objects.h"

namespace fairlead::iptables {
namespace {

using testing::StartsWith;

plan::ServicePortKey Key(std::string_view name, std::string_view port) {
  return {test::Name(name), std::string(port), plan::Protocol::kTcp, Family::kIpv4};
}

TEST(Names, AChainNameIsOfTheServicePortAndFitsTheKernel) {
  const std::string name = ServiceChain("SVC", Key("shop/cart", "http"));
  EXPECT_THAT(name, StartsWith("FAIRLEAD-SVC-"));
  EXPECT_EQ(name.size(), 28U);
  EXPECT_EQ(name, ServiceChain("SVC", Key("shop/cart", "http")));
  EXPECT_NE(name, ServiceChain("SVC", Key("shop/cart", "https")));
  EXPECT_NE(name, ServiceChain("SVC", Key("shop/cart2", "http")));
}

TEST(Names, ChainsOfIpvsModeAreNotOurs) {
  EXPECT_TRUE(IsOurs("FAIRLEAD-SERVICES"));
  EXPECT_FALSE(IsOurs("FAIRLEAD-IPVS-SERVICES"));
  EXPECT_FALSE(IsOurs("KUBE-SERVICES"));
}

TEST(Names, OnlyChainsOfOneServicePortAreOfAService) {
  EXPECT_TRUE(IsOfService(ServiceChain("GRP", Key("a/b", ""))));
  EXPECT_FALSE(IsOfService("FAIRLEAD-SERVICES"));
  EXPECT_FALSE(IsOfService("FAIRLEAD-10.96.0.0/20"));
}

TEST(Names, NothingInACommentEndsTheTextOrTheLine) {
  EXPECT_EQ(CommentMatch("a/b:c\"\n-A INPUT -j DROP\\"), "-m comment --comment \"a/b:c__-A INPUT -j DROP_\"");
}

TEST(Names, ALongCommentIsCutToWhatIptablesTakes) {
  EXPECT_LT(CommentMatch(std::string(1000, 'x')).size(), 256U);
}

TEST(Names, ACommentStandsBeforeTheFirstTarget) {
  std::string body = "-A X -s 10.0.0.0/8 -j Y\n-A X -j Z\n";
  CommentFirst(body, "a/b:c");
  EXPECT_EQ(body, "-A X -s 10.0.0.0/8 -m comment --comment \"a/b:c\" -j Y\n-A X -j Z\n");
}

}  // namespace
}  // namespace fairlead::iptables
