// SPDX-License-Identifier: Apache-2.0
#include "agent/model/cluster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test/support/objects.h"

namespace fairlead::test {
namespace {

using kube::Kind;
using model::Cluster;
using testing::ElementsAre;
using testing::IsEmpty;

class ClusterTest : public testing::Test {
 protected:
  // Names that became dirty by this update.
  std::vector<std::string> Apply(kube::Update update) {
    cluster_.Apply(std::move(update));
    std::vector<std::string> names;
    for (const kube::ObjectName& name : cluster_.TakeDirty()) names.push_back(name.ToString());
    return names;
  }
  std::vector<std::string> SlicesOf(std::string_view service) const {
    std::vector<std::string> names;
    if (const auto* slices = cluster_.SlicesOf(Name(service))) {
      for (const auto& [name, slice] : *slices) names.push_back(name);
    }
    return names;
  }
  Cluster cluster_{"n1"};
};

TEST_F(ClusterTest, ASliceMakesTheServiceItNamesDirtyEvenBeforeTheServiceIsKnown) {
  EXPECT_THAT(Apply(Upsert(Slice("shop/cart"))), ElementsAre("shop/cart"));
  EXPECT_EQ(cluster_.FindService(Name("shop/cart")), nullptr);
  EXPECT_THAT(SlicesOf("shop/cart"), ElementsAre("cart-1"));
}

TEST_F(ClusterTest, SlicesOfOneServiceAreKeptByNameAndApartFromAnotherNamespace) {
  Apply(Upsert(Slice("shop/cart")));
  Apply(Upsert(Slice("shop/cart").Named("cart-2")));
  Apply(Upsert(Slice("other/cart")));
  EXPECT_THAT(SlicesOf("shop/cart"), ElementsAre("cart-1", "cart-2"));
  EXPECT_THAT(SlicesOf("other/cart"), ElementsAre("cart-1"));
  EXPECT_EQ(cluster_.slice_count(), 3u);
}

TEST_F(ClusterTest, SlicesThatServeNobodyAreAsIfAbsent) {
  EXPECT_THAT(Apply(Upsert(Slice("shop/cart").OfNoService())), IsEmpty());
  EXPECT_THAT(Apply(Upsert(Slice("shop/cart").Headless())), IsEmpty());
  EXPECT_THAT(Apply(Upsert(Slice("shop/cart").Fqdn())), IsEmpty());
  EXPECT_EQ(cluster_.slice_count(), 0u);
  EXPECT_EQ(cluster_.SlicesOf(Name("shop/cart")), nullptr);
}

TEST_F(ClusterTest, ALabelAddedToALiveSliceTakesItAwayAndItsRemovalBringsItBack) {
  Apply(Upsert(Slice("shop/cart")));
  EXPECT_THAT(Apply(Upsert(Slice("shop/cart").Headless())), ElementsAre("shop/cart"));
  EXPECT_THAT(SlicesOf("shop/cart"), IsEmpty());
  EXPECT_THAT(Apply(Upsert(Slice("shop/cart"))), ElementsAre("shop/cart"));
  EXPECT_THAT(SlicesOf("shop/cart"), ElementsAre("cart-1"));
}

TEST_F(ClusterTest, ASliceThatChangesItsServiceMakesBothDirty) {
  Apply(Upsert(Slice("shop/cart").Named("s")));
  EXPECT_THAT(Apply(Upsert(Slice("shop/web").Named("s"))), ElementsAre("shop/cart", "shop/web"));
  EXPECT_THAT(SlicesOf("shop/cart"), IsEmpty());
  EXPECT_THAT(SlicesOf("shop/web"), ElementsAre("s"));
}

TEST_F(ClusterTest, AnEqualObjectIsNoChange) {
  Service service = Service("shop/cart").ClusterIp("172.30.0.10").Port("http", 80);
  Slice slice = Slice("shop/cart").Port("http", 8080).Endpoint("10.180.1.11");
  Apply(Upsert(service));
  Apply(Upsert(slice));
  EXPECT_THAT(Apply(Upsert(service)), IsEmpty());
  EXPECT_THAT(Apply(Upsert(slice)), IsEmpty());
}

TEST_F(ClusterTest, ManyChangesCollapseIntoOneDirtyServiceInSortedOrder) {
  cluster_.Apply(Upsert(Service("shop/web")));
  cluster_.Apply(Upsert(Service("shop/cart").Port("http", 80)));
  cluster_.Apply(Upsert(Service("shop/cart").Port("http", 81)));
  EXPECT_THAT(Apply(Upsert(Slice("shop/cart"))), ElementsAre("shop/cart", "shop/web"));
  EXPECT_FALSE(cluster_.HasDirty());
}

TEST_F(ClusterTest, DeletingASliceRemovesJustItsEndpoints) {
  Apply(Upsert(Slice("shop/cart").Named("a")));
  Apply(Upsert(Slice("shop/cart").Named("b")));
  EXPECT_THAT(Apply(Delete(Kind::kEndpointSlice, "shop/a")), ElementsAre("shop/cart"));
  EXPECT_THAT(SlicesOf("shop/cart"), ElementsAre("b"));
  EXPECT_THAT(Apply(Delete(Kind::kEndpointSlice, "shop/a")), IsEmpty());
}

TEST_F(ClusterTest, DeletingAServiceKeepsItsSlicesForTheNextOfThatName) {
  Apply(Upsert(Service("shop/cart")));
  Apply(Upsert(Slice("shop/cart")));
  EXPECT_THAT(Apply(Delete(Kind::kService, "shop/cart")), ElementsAre("shop/cart"));
  EXPECT_EQ(cluster_.FindService(Name("shop/cart")), nullptr);
  EXPECT_THAT(SlicesOf("shop/cart"), ElementsAre("cart-1"));
  EXPECT_THAT(cluster_.SlicesWithoutService(), ElementsAre(Name("shop/cart-1")));
}

TEST_F(ClusterTest, AReplaceMakesOnlyWhatReallyDiffersDirty) {
  Service same = Service("shop/same").ClusterIp("172.30.0.1").Port("", 80);
  Apply(Replace(Kind::kService, {same, Service("shop/gone"), Service("shop/changed")}));
  EXPECT_THAT(
      Apply(Replace(Kind::kService, {Service("shop/new"), same, Service("shop/changed").InternalLocal()})),
      ElementsAre("shop/changed", "shop/gone", "shop/new"));
  EXPECT_THAT(cluster_.ServiceNames(),
              ElementsAre(Name("shop/changed"), Name("shop/new"), Name("shop/same")));
}

TEST_F(ClusterTest, AReplaceOfSlicesRemovesThoseItDoesNotHold) {
  Apply(Replace(Kind::kEndpointSlice, {Slice("shop/a"), Slice("shop/b"), Slice("shop/c")}));
  EXPECT_THAT(Apply(Replace(Kind::kEndpointSlice, {Slice("shop/a"), Slice("shop/b").Headless()})),
              ElementsAre("shop/b", "shop/c"));
  EXPECT_EQ(cluster_.slice_count(), 1u);
}

TEST_F(ClusterTest, ItIsSyncedOnceServicesSlicesAndNodesHaveArrived) {
  EXPECT_FALSE(cluster_.Synced());
  Apply(Replace(Kind::kService, {}));
  Apply(Replace(Kind::kEndpointSlice, {}));
  Apply(Upsert(NodeObject("n1")));
  EXPECT_FALSE(cluster_.Synced()) << "an upsert is not a complete list";
  Apply(Replace(Kind::kNode, {}));
  EXPECT_TRUE(cluster_.Synced()) << "ServiceCIDRs are not required";
}

TEST_F(ClusterTest, OnlyThisNodeIsKept) {
  Apply(Upsert(NodeObject("n2").Zone("b")));
  EXPECT_EQ(cluster_.ThisNode(), nullptr);
  EXPECT_FALSE(cluster_.TakeNodeChanged());
  Apply(Upsert(NodeObject("n1").Zone("a")));
  ASSERT_NE(cluster_.ThisNode(), nullptr);
  EXPECT_EQ(cluster_.ThisNode()->zone, "a");
  Apply(Replace(Kind::kNode, {NodeObject("n2")}));
  EXPECT_EQ(cluster_.ThisNode(), nullptr);
}

TEST_F(ClusterTest, TheNodeChangesByAnythingThatIsKeptOfIt) {
  kube::Node node = NodeObject("n1").Zone("a").InternalIp("192.168.99.11").Object();
  Apply(Upsert(node));
  EXPECT_TRUE(cluster_.TakeNodeChanged());
  EXPECT_FALSE(cluster_.TakeNodeChanged()) << "said once";

  node.to_be_deleted_taint = true;
  Apply(Upsert(node));
  EXPECT_TRUE(cluster_.TakeNodeChanged()) << "for the health answers";
  EXPECT_TRUE(cluster_.ThisNode()->to_be_deleted_taint);
  Apply(Upsert(node));
  EXPECT_FALSE(cluster_.TakeNodeChanged()) << "nothing is new";

  node.zone = "b";
  Apply(Upsert(node));
  EXPECT_TRUE(cluster_.TakeNodeChanged());
  node.internal_ips.push_back(Addr("fd00:192:168:99::11"));
  Apply(Upsert(node));
  EXPECT_TRUE(cluster_.TakeNodeChanged());
  Apply(Delete(Kind::kNode, "n1"));
  EXPECT_TRUE(cluster_.TakeNodeChanged());
}

TEST_F(ClusterTest, ServiceCidrsOfAllObjectsAreSortedAndGivenOnce) {
  Apply(Upsert(ServiceCidrs("more", {"172.31.0.0/16", "172.30.0.0/16"})));
  Apply(Upsert(ServiceCidrs("kubernetes", {"172.30.0.0/16"})));
  EXPECT_TRUE(cluster_.TakeNodeChanged());
  EXPECT_THAT(cluster_.ServiceCidrs(), ElementsAre(Range("172.30.0.0/16"), Range("172.31.0.0/16")));
  Apply(Replace(Kind::kServiceCidr, {ServiceCidrs("kubernetes", {"172.30.0.0/16"})}));
  EXPECT_TRUE(cluster_.TakeNodeChanged());
  EXPECT_THAT(cluster_.ServiceCidrs(), ElementsAre(Range("172.30.0.0/16")));
}

TEST_F(ClusterTest, AnObjectOfAnotherKindThanTheUpdateIsIgnored) {
  kube::Update update = Replace(Kind::kService, {Slice("shop/cart"), Service("shop/cart")});
  EXPECT_THAT(Apply(std::move(update)), ElementsAre("shop/cart"));
  EXPECT_EQ(cluster_.slice_count(), 0u);
  EXPECT_EQ(cluster_.service_count(), 1u);
}

}  // namespace
}  // namespace fairlead::test
