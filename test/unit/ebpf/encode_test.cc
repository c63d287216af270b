// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/encode.h"

#include <algorithm>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/datapath/ebpf/frontend_table.h"
#include "test/support/ebpf/dump.h"
#include "test/support/ebpf/rig.h"
#include "test/support/objects.h"
#include "test/support/service_port.h"

namespace fairlead::ebpf {
namespace {

using test::PortOf;
using testing::ElementsAre;
using testing::IsEmpty;

std::string FlagText(uint8_t flags) {
  std::string text;
  if (!(flags & FRONTEND_LIVE)) text += " DEAD";
  if (flags & FRONTEND_AFFINITY) text += " affinity";
  if (flags & FRONTEND_DROP_IF_EMPTY) text += " drop-if-empty";
  if (flags & FRONTEND_SOURCE_RANGES) text += " ranges";
  if (flags & FRONTEND_TWO_SCOPES) text += " two-scopes";
  if (flags & FRONTEND_MASQUERADE) text += " masquerade";
  if (flags & FRONTEND_MASQUERADE_OUTSIDE) text += " masquerade-outside";
  if (flags & FRONTEND_DSR) text += " dsr";
  return text;
}

// "10.0.0.1:80/TCP: cluster list, flags"
std::vector<std::string> Texts(const PortOf& port) {
  std::vector<std::string> texts;
  for (const Entry& entry : EncodeEntries(port.Get())) {
    texts.push_back(fmt::format("{}: {}{}", test::KeyText(entry.key),
                                entry.list == List::kLocal ? "local" : "cluster", FlagText(entry.flags)));
  }
  std::sort(texts.begin(), texts.end());
  return texts;
}

PortOf Everywhere() {
  return PortOf("shop/cart")
      .ClusterIp("172.30.0.10", 80)
      .ExternalIp("198.51.100.22", 80)
      .LoadBalancer("198.51.100.4", 80)
      .NodePort(30001)
      .On({"10.180.1.11:8080"})
      .LocalOn({"10.180.1.11:8080"});
}

TEST(EncodeEntries, PolicyClusterIsOneEntryAnAddressFromTheClusterList) {
  EXPECT_THAT(Texts(Everywhere()), ElementsAre("172.30.0.10:80/TCP: cluster drop-if-empty",
                                               "198.51.100.22:80/TCP: cluster drop-if-empty masquerade",
                                               "198.51.100.4:80/TCP: cluster drop-if-empty masquerade",
                                               "NodePort 30001/TCP IPv4: cluster drop-if-empty masquerade"));
}

TEST(EncodeEntries, ExternalLocalAnswersOutsideFromTheLocalListAndInsideFromTheClusterList) {
  EXPECT_THAT(Texts(Everywhere().ExternalLocal()),
              ElementsAre("172.30.0.10:80/TCP: cluster drop-if-empty",
                          "198.51.100.22:80/TCP from outside: local drop-if-empty",
                          "198.51.100.22:80/TCP: cluster drop-if-empty two-scopes",
                          "198.51.100.4:80/TCP from outside: local drop-if-empty",
                          "198.51.100.4:80/TCP: cluster drop-if-empty two-scopes",
                          "NodePort 30001/TCP IPv4 from outside: local drop-if-empty",
                          "NodePort 30001/TCP IPv4: cluster drop-if-empty two-scopes"));
}

TEST(EncodeEntries, InternalLocalConcernsTheClusterIpAlone) {
  EXPECT_THAT(Texts(Everywhere().InternalLocal()),
              ElementsAre("172.30.0.10:80/TCP: local drop-if-empty",
                          "198.51.100.22:80/TCP: cluster drop-if-empty masquerade",
                          "198.51.100.4:80/TCP: cluster drop-if-empty masquerade",
                          "NodePort 30001/TCP IPv4: cluster drop-if-empty masquerade"));
}

TEST(EncodeEntries, SourceRangesGuardTheLoadBalancerAddressAlone) {
  EXPECT_THAT(Texts(Everywhere().ExternalLocal().Ranges({"203.0.113.0/24"})),
              ElementsAre("172.30.0.10:80/TCP: cluster drop-if-empty",
                          "198.51.100.22:80/TCP from outside: local drop-if-empty",
                          "198.51.100.22:80/TCP: cluster drop-if-empty two-scopes",
                          "198.51.100.4:80/TCP from outside: local drop-if-empty ranges",
                          "198.51.100.4:80/TCP: cluster drop-if-empty ranges two-scopes",
                          "NodePort 30001/TCP IPv4 from outside: local drop-if-empty",
                          "NodePort 30001/TCP IPv4: cluster drop-if-empty two-scopes"));
}

TEST(EncodeEntries, WhomAFrontendMasqueradesIsThePlansWord) {
  auto cart = [](plan::Masquerade whom) {
    return PortOf("shop/cart").ClusterIp("172.30.0.10", 80, whom).NodePort(30001);
  };
  EXPECT_THAT(Texts(cart(plan::Masquerade::kOutside)),
              ElementsAre("172.30.0.10:80/TCP: cluster masquerade-outside",
                          "NodePort 30001/TCP IPv4: cluster masquerade"));
  EXPECT_THAT(
      Texts(cart(plan::Masquerade::kAll)),
      ElementsAre("172.30.0.10:80/TCP: cluster masquerade", "NodePort 30001/TCP IPv4: cluster masquerade"));
}

TEST(EncodeEntries, DsrConcernsBothScopesOfAddressesThatClientsOutsideUse) {
  EXPECT_THAT(Texts(PortOf("shop/cart")
                        .ClusterIp("172.30.0.10", 80)
                        .LoadBalancer("198.51.100.4", 80)
                        .NodePort(30001)
                        .ExternalLocal()
                        .Dsr()),
              ElementsAre("172.30.0.10:80/TCP: cluster", "198.51.100.4:80/TCP from outside: local dsr",
                          "198.51.100.4:80/TCP: cluster two-scopes dsr",
                          "NodePort 30001/TCP IPv4 from outside: local dsr",
                          "NodePort 30001/TCP IPv4: cluster two-scopes dsr"));
}

TEST(EncodeEntries, WithoutAnyEndpointNothingIsDroppedForBeingEmpty) {
  EXPECT_THAT(Texts(PortOf("shop/cart").ClusterIp("172.30.0.10", 80)),
              ElementsAre("172.30.0.10:80/TCP: cluster"));
}

TEST(EncodeEntries, AffinityIsEveryEntrys) {
  EXPECT_THAT(Texts(PortOf("shop/cart").ClusterIp("172.30.0.10", 80).NodePort(30001).Affinity(60)),
              ElementsAre("172.30.0.10:80/TCP: cluster affinity",
                          "NodePort 30001/TCP IPv4: cluster affinity masquerade"));
}

TEST(EncodeEntries, AreSortedByKey) {
  auto entries = EncodeEntries(Everywhere().ExternalLocal().Get());
  EXPECT_TRUE(std::is_sorted(entries.begin(), entries.end(),
                             [](const Entry& a, const Entry& b) { return FrontendKeyLess()(a.key, b.key); }));
}

std::map<std::string, size_t> Copies(const std::vector<plan::Backend>& list) {
  std::map<std::string, size_t> copies;
  for (const auto& backend : list) ++copies[AddressPort(backend.address, backend.port)];
  return copies;
}

TEST(EncodeBackends, AWeightIsSoManyCopiesOverTheCommonDivisor) {
  auto run = EncodeBackends(
      PortOf("shop/cart").On({"10.0.0.1:80 weight=2", "10.0.0.2:80 weight=4", "10.0.0.3:80 weight=6"}).Get(),
      List::kCluster);
  EXPECT_EQ(Copies(run.offered),
            (std::map<std::string, size_t>{{"10.0.0.1:80", 1}, {"10.0.0.2:80", 2}, {"10.0.0.3:80", 3}}));
}

TEST(EncodeBackends, EqualWeightsAreNoWeights) {
  auto run = EncodeBackends(PortOf("shop/cart").On({"10.0.0.1:80 weight=7", "10.0.0.2:80 weight=7"}).Get(),
                            List::kCluster);
  EXPECT_EQ(run.offered.size(), 2U);
}

TEST(EncodeBackends, LargeWeightsAreScaledAndNobodyFallsOut) {
  auto backends = test::Backends(100);
  for (size_t i = 0; i < backends.size(); ++i) backends[i].weight = i == 0 ? 1 : 999;
  auto run = EncodeBackends(PortOf("shop/cart").On(backends).Get(), List::kCluster);
  auto copies = Copies(run.offered);
  EXPECT_EQ(copies.size(), 100U);
  EXPECT_EQ(copies.begin()->second, 1U);
  EXPECT_LE(run.offered.size(), 4196U);
  EXPECT_GT(std::next(copies.begin())->second, 30U);
}

TEST(EncodeBackends, MaglevHasEachOnceAndWeighsInTheRing) {
  auto run =
      EncodeBackends(PortOf("shop/cart").On({"10.0.0.1:80 weight=2", "10.0.0.2:80 weight=3"}).Maglev().Get(),
                     List::kCluster);
  EXPECT_EQ(run.offered.size(), 2U);
  EXPECT_EQ(run.offered[1].weight, 3);
}

TEST(EncodeBackends, AUdpFlowMayStayOnWhateverServesAndIsNotOffered) {
  auto port = PortOf("shop/dns")
                  .Udp()
                  .On({"10.0.0.1:53", "10.0.0.2:53 local"})
                  .LocalOn({"10.0.0.2:53"})
                  .Draining({"10.0.0.3:53 terminating"});
  auto cluster = EncodeBackends(port.Get(), List::kCluster);
  EXPECT_EQ(Copies(cluster.draining), (std::map<std::string, size_t>{{"10.0.0.3:53", 1}}));
  auto local = EncodeBackends(port.Get(), List::kLocal);
  EXPECT_EQ(Copies(local.draining), (std::map<std::string, size_t>{{"10.0.0.1:53", 1}, {"10.0.0.3:53", 1}}));
}

TEST(EncodeBackends, ATcpRunHasNothingThatDrains) {
  auto run = EncodeBackends(
      PortOf("shop/cart").On({"10.0.0.1:80"}).Draining({"10.0.0.3:80 terminating"}).Get(), List::kCluster);
  EXPECT_THAT(run.draining, IsEmpty());
}

TEST(EncodeService, NamesComeBackWhole) {
  plan::ServicePortKey key{{std::string(63, 'n'), std::string(63, 's')},
                           std::string(63, 'p'),
                           plan::Protocol::kUdp,
                           Family::kIpv6};
  EXPECT_EQ(DecodeService(EncodeService(key)), key);
  key.port.clear();
  EXPECT_EQ(DecodeService(EncodeService(key)), key);
}

TEST(EncodeSourceRanges, PrefixesCountTheSetAndTheMappedAddress) {
  auto keys =
      EncodeSourceRanges(PortOf("shop/cart").Ranges({"0.0.0.0/0", "203.0.113.0/24", "fd00::/16"}).Get(), 5);
  ASSERT_EQ(keys.size(), 3U);
  EXPECT_EQ(keys[0].prefix_bits, 32U + 96);
  EXPECT_EQ(keys[1].prefix_bits, 32U + 96 + 24);
  EXPECT_EQ(keys[2].prefix_bits, 32U + 16);
  for (const auto& key : keys) EXPECT_EQ(key.source_set, 5U);
}

TEST(FrontendKey, NetworkOrderAndNothingUnnamed) {
  auto key = FrontendKey(test::ClusterIpAt("172.30.0.10", 80), plan::Protocol::kTcp, SCOPE_EXTERNAL);
  EXPECT_EQ(key.addr.bytes[12], 172);
  EXPECT_EQ(key.addr.bytes[15], 10);
  EXPECT_EQ(reinterpret_cast<const uint8_t*>(&key.port)[1], 80);
  EXPECT_EQ(key.proto, 6);
  EXPECT_EQ(key.scope, SCOPE_EXTERNAL);
  EXPECT_EQ(key.reserved, 0U);
  EXPECT_EQ(PortFromWire(PortToWire(0x1234)), 0x1234);
}

}  // namespace
}  // namespace fairlead::ebpf
