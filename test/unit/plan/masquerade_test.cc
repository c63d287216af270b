// SPDX-License-Identifier: Apache-2.0
// Whose packets are masqueraded, frontend by frontend: the table of kube-proxy, over detectors and policies.
#include <gtest/gtest.h>

#include "test/support/world.h"

namespace fairlead::test {
namespace {

using plan::Masquerade;

Service Cart() {
  return Service("shop/cart")
      .ClusterIp("172.30.0.10")
      .Port("http", 80)
      .NodePort(30001)
      .ExternalIp("198.51.100.22")
      .LoadBalancerIp("198.51.100.4");
}

std::string_view Word(Masquerade masquerade) {
  constexpr std::string_view kWords[] = {"nobody", "outside", "all"};
  return kWords[static_cast<size_t>(masquerade)];
}

// Of the cluster IP; then of the external addresses, which must all have the same.
struct Masquerades {
  std::string_view cluster_ip, external;
  friend bool operator==(const Masquerades&, const Masquerades&) = default;
};
void PrintTo(const Masquerades& m, std::ostream* out) {
  *out << "cluster IP " << m.cluster_ip << ", external " << m.external;
}

Masquerades Of(const plan::NodeFacts& facts, const Service& service) {
  World world(facts);
  world.Apply({service});
  Masquerades of{"-", "-"};
  for (const plan::Frontend& frontend : world.Port("shop/cart:http/TCP IPv4").frontends) {
    std::string_view word = Word(frontend.masquerade);
    if (frontend.kind == plan::FrontendKind::kClusterIp) {
      of.cluster_ip = word;
    } else {
      of.external = of.external == "-" || of.external == word ? word : "differ";
    }
  }
  return of;
}

plan::NodeFacts WithDetector() {
  plan::NodeFacts facts = Facts();
  facts.detects_pods = true;
  facts.cluster_cidrs = {Range("10.180.0.0/16")};
  return facts;
}

plan::NodeFacts WithMasqueradeAll(plan::NodeFacts facts) {
  facts.masquerade_all = true;
  return facts;
}

TEST(MasqueradeOf, PolicyClusterMasqueradesEverybodyAtExternalAddresses) {
  EXPECT_EQ(Of(Facts(), Cart()), (Masquerades{"nobody", "all"}));
  EXPECT_EQ(Of(WithDetector(), Cart()), (Masquerades{"outside", "all"}));
}

TEST(MasqueradeOf, ExternalLocalKeepsTheSourceWithOrWithoutADetector) {
  EXPECT_EQ(Of(Facts(), Cart().ExternalLocal()), (Masquerades{"nobody", "nobody"}));
  EXPECT_EQ(Of(WithDetector(), Cart().ExternalLocal()), (Masquerades{"outside", "nobody"}));
}

TEST(MasqueradeOf, InternalLocalChangesNothing) {
  EXPECT_EQ(Of(WithDetector(), Cart().InternalLocal()), (Masquerades{"outside", "all"}));
}

TEST(MasqueradeOf, MasqueradeAllConcernsClusterIpsAlone) {
  EXPECT_EQ(Of(WithMasqueradeAll(Facts()), Cart()), (Masquerades{"all", "all"}));
  EXPECT_EQ(Of(WithMasqueradeAll(WithDetector()), Cart().ExternalLocal()), (Masquerades{"all", "nobody"}));
}

TEST(MasqueradeOf, DsrKeepsTheSourceAtExternalAddresses) {
  EXPECT_EQ(Of(WithDetector(), Cart().Setting("forwarding", "dsr")), (Masquerades{"outside", "nobody"}));
}

}  // namespace
}  // namespace fairlead::test
