// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ipvs/sets.h"

#include <gtest/gtest.h>

#include "test/support/objects.h"

namespace fairlead::ipvs {
namespace {

using test::Addr;

const ServerKey kWeb{Addr("172.30.0.10"), 80, plan::Protocol::kTcp};

TEST(Sets, EverySetOfAFamilyIsMade) {
  EXPECT_EQ(CreateSets(Family::kIpv6),
            "create FAIRLEAD-PODS-6 hash:net family inet6 hashsize 1024 maxelem 4194304\n"
            "create FAIRLEAD-HEALTH-6 bitmap:port range 0-65535\n"
            "create FAIRLEAD-RANGES-6 hash:ip,port,net family inet6 hashsize 1024 maxelem 4194304\n"
            "create FAIRLEAD-RANGED-6 hash:ip,port family inet6 hashsize 1024 maxelem 4194304\n"
            "create FAIRLEAD-LOCAL-NONE-6 hash:ip,port family inet6 hashsize 1024 maxelem 4194304\n"
            "create FAIRLEAD-NO-BACKENDS-6 hash:ip,port family inet6 hashsize 1024 maxelem 4194304\n"
            "create FAIRLEAD-MASQ-ALL-6 hash:ip,port family inet6 hashsize 1024 maxelem 4194304\n"
            "create FAIRLEAD-MASQ-OUTSIDE-6 hash:ip,port family inet6 hashsize 1024 maxelem 4194304\n"
            "create FAIRLEAD-HAIRPIN-6 hash:ip,port,ip family inet6 hashsize 1024 maxelem 4194304\n"
            "create FAIRLEAD-FRONTENDS-6 hash:ip,port family inet6 hashsize 1024 maxelem 4194304\n"
            "create FAIRLEAD-ADDRESSES-6 hash:ip family inet6 hashsize 1024 maxelem 4194304\n");
}

TEST(Sets, AGuardIsAddedBeforeItsFrontendAndRemovedAfterIt) {
  const std::vector<Element> elements = {{{SetKind::kRanges, Family::kIpv4}, "172.30.0.10,tcp:80,10.0.0.1"},
                                         {{SetKind::kRanged, Family::kIpv4}, "172.30.0.10,tcp:80"},
                                         FrontendElement(kWeb)};
  EXPECT_EQ(AddElements(elements),
            "add FAIRLEAD-RANGES 172.30.0.10,tcp:80,10.0.0.1\n"
            "add FAIRLEAD-RANGED 172.30.0.10,tcp:80\n"
            "add FAIRLEAD-FRONTENDS 172.30.0.10,tcp:80\n");
  EXPECT_EQ(RemoveElements(elements),
            "del FAIRLEAD-FRONTENDS 172.30.0.10,tcp:80\n"
            "del FAIRLEAD-RANGED 172.30.0.10,tcp:80\n"
            "del FAIRLEAD-RANGES 172.30.0.10,tcp:80,10.0.0.1\n");
}

TEST(Sets, OnlyOursAreReadBackAndThoseWeDoNotKnowByName) {
  const SavedSets saved = ReadSave(
      "create KUBE-CLUSTER-IP hash:ip,port family inet hashsize 1024 maxelem 65536\n"
      "add KUBE-CLUSTER-IP 172.30.0.1,tcp:443\n"
      "create FAIRLEAD-FRONTENDS hash:ip,port family inet hashsize 1024 maxelem 4194304 bucketsize 12\n"
      "add FAIRLEAD-FRONTENDS 172.30.0.10,tcp:80\n"
      "create FAIRLEAD-OF-ANOTHER-RELEASE hash:ip family inet\n"
      "add FAIRLEAD-OF-ANOTHER-RELEASE 172.30.0.10\n");
  EXPECT_EQ(saved.elements, Elements{FrontendElement(kWeb)});
  EXPECT_EQ(saved.names, (std::set<std::string>{"FAIRLEAD-FRONTENDS", "FAIRLEAD-OF-ANOTHER-RELEASE"}));
}

TEST(Sets, AFrontendIsKnownAgainByItsElement) {
  for (const ServerKey& key : {kWeb, ServerKey{Addr("fd00:172:30::10"), 53, plan::Protocol::kUdp},
                               ServerKey{Addr("172.30.0.10"), 65535, plan::Protocol::kSctp}}) {
    ServerKey parsed;
    ASSERT_TRUE(ParseFrontend(FrontendElement(key), parsed)) << key.ToString();
    EXPECT_EQ(parsed, key);
  }
}

TEST(Sets, WhatIsNoFrontendDoesNotReadAsOne) {
  for (const char* text : {"", "172.30.0.10", "172.30.0.10,tcp", "172.30.0.10,icmp:80", "x,tcp:80",
                           "172.30.0.10,tcp:65536", "172.30.0.10,tcp:8x"}) {
    ServerKey parsed;
    EXPECT_FALSE(ParseFrontend({{SetKind::kFrontends, Family::kIpv4}, text}, parsed)) << text;
  }
}

}  // namespace
}  // namespace fairlead::ipvs
