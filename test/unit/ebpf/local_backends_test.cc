// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/local_backends.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fairlead::ebpf {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

class LocalBackendsTest : public testing::Test {
 protected:
  static plan::Change Port(const std::string& name, const std::vector<std::string>& local,
                           const std::vector<std::string>& remote = {},
                           const std::vector<std::string>& draining = {}) {
    auto port = std::make_shared<plan::ServicePort>();
    port->key.service.name = name;
    auto add = [](std::vector<plan::Backend>& list, const std::vector<std::string>& addresses, bool here) {
      for (const std::string& text : addresses) {
        plan::Backend backend;
        backend.address = *Address::Parse(text);
        backend.local = here;
        list.push_back(backend);
      }
    };
    add(port->cluster, local, true);
    add(port->cluster, remote, false);
    add(port->draining, draining, true);
    return {port->key, port};
  }
  static plan::Change Gone(const std::string& name) {
    plan::Change change = Port(name, {});
    change.now = nullptr;
    return change;
  }
  bool Apply(const plan::Change& change) { return backends_.Apply({&change, 1}); }
  static Cidr Range(const std::string& text) { return *Cidr::Parse(text); }

  LocalBackends backends_;
};

TEST_F(LocalBackendsTest, OnlyBackendsOfThisNodeCountDrainingOnesIncluded) {
  EXPECT_TRUE(Apply(Port("cart", {"10.0.0.1"}, {"10.0.1.1"}, {"10.0.0.2"})));
  EXPECT_THAT(backends_.uses(), SizeIs(2));
}

TEST_F(LocalBackendsTest, AnAddressGoesWithTheLastServicePortThatHasIt) {
  EXPECT_TRUE(Apply(Port("cart", {"10.0.0.1"})));
  EXPECT_FALSE(Apply(Port("stock", {"10.0.0.1"})));
  EXPECT_FALSE(Apply(Gone("cart")));
  EXPECT_THAT(backends_.uses(), SizeIs(1));
  EXPECT_TRUE(Apply(Gone("stock")));
  EXPECT_THAT(backends_.uses(), IsEmpty());
}

TEST_F(LocalBackendsTest, TheSameAgainIsNoChange) {
  EXPECT_TRUE(Apply(Port("cart", {"10.0.0.1", "fd00::1"})));
  EXPECT_FALSE(Apply(Port("cart", {"10.0.0.1", "fd00::1"})));
  EXPECT_TRUE(Apply(Port("cart", {"10.0.0.1"})));
}

TEST_F(LocalBackendsTest, ARouteConcernsTheAddressesInItsPrefix) {
  Apply(Port("cart", {"10.244.1.7"}));
  EXPECT_TRUE(backends_.AnyIn(Range("10.244.1.7/32")));
  EXPECT_TRUE(backends_.AnyIn(Range("10.244.1.0/24")));
  EXPECT_FALSE(backends_.AnyIn(Range("10.244.2.0/24")));
  EXPECT_FALSE(backends_.AnyIn(Range("10.244.1.8/29")));
  EXPECT_FALSE(backends_.AnyIn(Range("::/0")));
}

}  // namespace
}  // namespace fairlead::ebpf
