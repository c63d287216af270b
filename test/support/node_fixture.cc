// SPDX-License-Identifier: Apache-2.0
#include "test/support/node_fixture.h"

#include <fmt/format.h>

namespace fairlead::test {
namespace {

// By the address plan: pods and host addresses alike carry their node's number.
std::string NodeOf(std::string_view address) {
  for (int node = 1; node <= 3; ++node) {
    for (const auto& prefix :
         {fmt::format("10.180.{}.", node - 1), fmt::format("fd00:10:180:{}:", node - 1),
          fmt::format("192.168.99.1{}", node), fmt::format("fd00:192:168:99::1{}", node)}) {
      if (address.starts_with(prefix)) return fmt::format("n{}", node);
    }
  }
  return "n1";  // fd00:10:180::X
}

}  // namespace

Service Cart(uint16_t node_port) {
  Service cart("shop/cart");
  cart.ClusterIp("172.30.0.10").ClusterIp("fd00:172:30::10").Port("tcp", 80, 8080);
  if (node_port != 0) cart.NodePort(node_port);
  cart.Port("udp", 80, 8080).Udp();
  if (node_port != 0) cart.NodePort(node_port);
  return cart;
}

void NodeTest::SetUp() {
  if (const auto why = WhyNoLab()) GTEST_SKIP() << *why;
  lab_.emplace(Layout());
  agent_.emplace(*lab_, Arguments());
  agent_->Start();
}

void NodeTest::TearDown() {
  agent_.reset();
  lab_.reset();
}

Slice NodeTest::CartSlice(std::initializer_list<std::string_view> addresses) {
  Slice slice("shop/cart");
  slice.Port("tcp", 8080).Port("udp", 8080).Udp();
  for (const auto address : addresses) {
    slice.Endpoint(address).On(NodeOf(address));
    lab_->Serve(AddressPort(Addr(address), 8080));
  }
  if (addresses.size() != 0 && Addr(*addresses.begin()).GetFamily() == Family::kIpv6) slice.Named("cart-6");
  return slice;
}

std::map<std::string, int> NodeTest::Spread(const Namespace& from, Proto proto, std::string_view to,
                                            int connections, const ClientOptions& options) {
  std::map<std::string, int> spread;
  const std::string silent(Word(End::kSilent));
  for (int i = 0; i < connections && spread[silent] < 3; ++i) {  // each silence takes a whole timeout
    const Outcome outcome = Connect(from, proto, At(to), options);
    ++spread[outcome.end == End::kReached ? outcome.backend : std::string(Word(outcome.end))];
  }
  std::erase_if(spread, [](const auto& end) { return end.second == 0; });
  return spread;
}

}  // namespace fairlead::test
