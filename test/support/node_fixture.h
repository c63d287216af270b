// SPDX-License-Identifier: Apache-2.0
// What the netns tests share: a lab, an agent on its node n1, and one Service of everyday shape, shop/cart,
// on port 80 of both protocols and both families. A test that cannot run here is skipped with the reason.
#pragma once

#include <gtest/gtest.h>

#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "test/support/agent.h"
#include "test/support/capture.h"
#include "test/support/lab.h"
#include "test/support/objects.h"

namespace fairlead::test {

constexpr char kVip[] = "172.30.0.10:80";
constexpr char kVip6[] = "[fd00:172:30::10]:80";

inline Target At(std::string_view text) {
  return Target::Parse(text);
}

// shop/cart with its cluster IPs; ports "tcp" and "udp", both number 80, on `node_port` where it is not 0.
Service Cart(uint16_t node_port = 0);

class NodeTest : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;
  virtual std::vector<std::string> Arguments() const { return {}; }
  virtual LabOptions Layout() const { return {}; }

  Lab& TheLab() { return *lab_; }
  Agent& TheAgent() { return *agent_; }
  const Namespace& Pod() { return lab_->N1().Pod("10.180.0.100"); }    // a client on n1
  const Namespace& Other() { return lab_->N1().Pod("10.180.0.101"); }  // another
  const Namespace& Host() { return lab_->N1().Net(); }                 // n1 itself
  const Namespace& Outside() { return lab_->Out(); }                   // a client outside the cluster

  // A slice of shop/cart with these ready endpoints on port 8080, each on the node of its address, and their
  // servers.
  Slice CartSlice(std::initializer_list<std::string_view> addresses);
  // Makes exactly these objects the cluster, and waits until they are in the kernel.
  template <typename... Objects>
  void Program(const Objects&... objects) {
    agent_->Apply("cluster.json", Manifest({objects.ToJson()...}));
  }
  // Connections by the backend they reached; anything else by its end ("refused").
  static std::map<std::string, int> Spread(const Namespace& from, Proto proto, std::string_view to,
                                           int connections, const ClientOptions& options = {});

 private:
  std::optional<Lab> lab_;
  std::optional<Agent> agent_;
};

}  // namespace fairlead::test
