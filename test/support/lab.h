// SPDX-License-Identifier: Apache-2.0
// A cluster of three nodes on one machine, dual stack, with the address plan of all tests:
//
//   out   192.168.99.1      fd00:192:168:99::1      the wire (a bridge), the default gateway and everything
//   outside:
//         203.0.113.2, .130 fd00:203:0:113::2, fd00:203:0:114::2. The first are its clients' unless they
//         bind. Swallows what has no place to go.
//   n1-n3 192.168.99.11-13  fd00:192:168:99::11-13  nodes; n1 is the node under test
//   pods  10.180.N.X        fd00:10:180:N::X        N = 0 on n1, 1 on n2, 2 on n3; routed, no bridge
//
// Cluster IPs are of 172.30.0.0/16 and fd00:172:30::/112, load balancer and external addresses of
// 198.51.100.0/24 and fd00:198:51:100::/64; no device has one, and every other host sends them to n1. What n1
// does not serve it sends to `out`. Sockets of all hosts but n1 and its pods are made outside the test's
// cgroup: what they send arrives at n1 as it was sent.
//
// Failures to build throw std::runtime_error, which ends the test with its message.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "test/support/client.h"
#include "test/support/echo_server.h"
#include "test/support/netns.h"
#include "test/support/sandbox.h"

namespace fairlead::test {

class Lab;

struct LabOptions {
  std::vector<std::string> more_addresses = {};  // of n1 beside its own, with prefix length
  bool overlay = false;   // pods of other nodes are reached by a vxlan device, as flannel makes it
  bool offloads = true;   // false: see Namespace::NoOffloads
  int source_checks = 2;  // rp_filter of the nodes: 2 loose, as distributions set it; 1 strict
};

// A host of the cluster. Its pods are made when first named, and live as long as the lab.
class Node {
 public:
  const std::string& Name() const { return name_; }
  const Namespace& Net() const { return net_; }
  std::string Ip() const;   // 192.168.99.1N
  std::string Ip6() const;  // fd00:192:168:99::1N
  std::string PodCidr() const;
  std::string PodCidr6() const;
  // The pod with this IPv4 address; its IPv6 address has the same last number as text.
  const Namespace& Pod(std::string_view ipv4);
  // The node's end of that pod's link.
  static std::string PodDevice(std::string_view ipv4);

 private:
  friend class Lab;
  Node(int number, const std::string& prefix, const LabOptions& options);
  void JoinWire(const Namespace& out);
  void JoinOverlay() const;
  void RoutePods() const;
  void LinkPod(const Namespace& pod, int last) const;

  int number_;  // 1-3
  std::string name_, prefix_;
  LabOptions options_;
  Namespace net_;
  std::map<int, Namespace> pods_;  // by last number of the address
};

class Lab {
 public:
  explicit Lab(LabOptions options = {});

  Node& N1() { return *nodes_[0]; }
  Node& N2() { return *nodes_[1]; }
  Node& N3() { return *nodes_[2]; }
  const Namespace& Out() const { return out_; }
  // Clients in `out` send Service addresses to this node from here on.
  void SendServicesTo(const Node& node);
  // The other nodes send to this client by way of n1 from here on, as where n1 is their router: a backend
  // elsewhere that sees the client's own address answers past n1 otherwise, and nobody gives the answer the
  // Service's address again.
  void AnswerThroughN1(const Address& client);
  // Where an address of the plan lives; makes the pod. Throws std::invalid_argument for an address of nobody.
  const Namespace& HomeOf(const Address& address);
  // True for any address of n1, of its pods not.
  bool IsOfN1(const Address& address);
  // Starts an echo server at "ip:port"; see EchoServer.
  void Serve(std::string_view at);
  EchoServer& Servers() { return servers_; }

 private:
  void RouteOut();

  LabOptions options_;
  std::string prefix_;
  Namespace out_;
  std::array<std::unique_ptr<Node>, 3> nodes_;
  EchoServer servers_;
};

}  // namespace fairlead::test
