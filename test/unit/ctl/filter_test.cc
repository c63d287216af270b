// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "agent/ctl/snapshot.h"
#include "test/support/objects.h"

namespace fairlead::ctl {
namespace {

Frontend Cart() {
  Frontend frontend;
  frontend.service.service = test::Name("shop/cart");
  frontend.address = test::Addr("172.30.0.10");
  frontend.port = 80;
  frontend.backends = {{.address = test::Addr("10.180.1.11"), .port = 8080},
                       {.address = test::Addr("10.180.1.12"), .port = 9090}};
  return frontend;
}

struct Case {
  const char* what;
  Filter filter;
  bool frontend;
  bool first_backend;
  bool second_backend;
};

Filter Of(std::string ns, std::string name, std::string address, uint16_t port) {
  Filter filter;
  filter.ns = std::move(ns);
  filter.name = std::move(name);
  filter.address = std::move(address);
  filter.port = port;
  return filter;
}

TEST(FilterTest, Matches) {
  const Case cases[] = {
      {"nothing asked", Of("", "", "", 0), true, true, true},
      {"namespace", Of("shop", "", "", 0), true, true, true},
      {"another namespace", Of("blog", "", "", 0), false, false, false},
      {"name", Of("", "cart", "", 0), true, true, true},
      {"part of a name", Of("", "car", "", 0), false, false, false},
      {"a frontend's address", Of("", "", "172.30.0.10", 0), true, true, true},
      {"a backend's address", Of("", "", "10.180.1.12", 0), true, false, true},
      {"a frontend's port", Of("", "", "", 80), true, true, true},
      {"a backend's port", Of("", "", "", 8080), true, true, false},
      {"address and port of different ends", Of("", "", "172.30.0.10", 8080), false, false, false},
      {"address and port of one backend", Of("", "", "10.180.1.11", 8080), true, true, false},
      {"right address, wrong service", Of("", "web", "10.180.1.11", 0), false, false, false},
  };
  const Frontend cart = Cart();
  for (const Case& c : cases) {
    EXPECT_EQ(c.filter.Matches(cart), c.frontend) << c.what;
    EXPECT_EQ(c.filter.Matches(cart, cart.backends[0]), c.first_backend) << c.what;
    EXPECT_EQ(c.filter.Matches(cart, cart.backends[1]), c.second_backend) << c.what;
  }
}

}  // namespace
}  // namespace fairlead::ctl
