// SPDX-License-Identifier: Apache-2.0
#include "test/support/ebpf/packet_world.h"

#include <bpf/bpf.h>
#include <net/if.h>

#include <array>
#include <cstring>
#include <stdexcept>

#include <fmt/format.h>

#include "test/support/objects.h"
#include "test/support/sandbox.h"

namespace fairlead::test {

namespace {

std::string Device(std::string_view name, const Mac& mac, const Namespace& wire) {
  return fmt::format(
      "link add {0} address {1} type veth peer name {0} netns {2}\n"
      "link set {0} up\n",
      name, MacText(mac), wire.Name());
}

std::string Neighbour(std::string_view address, std::string_view device, const Mac& mac) {
  return fmt::format("neigh add {} lladdr {} dev {} nud permanent\n", address, MacText(mac), device);
}

std::string Links(const Namespace& wire) {
  return Device("eth0", kNodeMac, wire) + Device("eth1", kSecondMac, wire) + Device("pod11", kHostMac, wire) +
         Device("pod12", kHostMac, wire);
}

// `wire` and `pods` are what the addresses of a family begin with.
std::string Addresses(Family family) {
  bool v4 = family == Family::kIpv4;
  auto wire = [&](int net, int host) {
    return v4 ? fmt::format("192.168.{}.{}", net, host) : fmt::format("fd00:192:168:{}::{}", net, host);
  };
  auto pod = [&](int net, int host) {
    return v4 ? fmt::format("10.180.{}.{}", net, host) : fmt::format("fd00:10:180:{}::{}", net, host);
  };
  auto pods = [&](int net) {
    return v4 ? fmt::format("10.180.{}.0/24", net) : fmt::format("fd00:10:180:{}::/64", net);
  };
  std::string tail = v4 ? "/24" : "/64 nodad";
  std::string lines;
  for (int net : {98, 99}) {
    std::string device = net == 99 ? "eth0" : "eth1";
    lines += fmt::format("addr add {}{} dev {}\n", wire(net, 11), tail, device);
    lines += Neighbour(wire(net, 1), device, net == 99 ? kGatewayMac : kRouterMac);
  }
  lines += Neighbour(wire(99, 12), "eth0", kN2Mac);
  lines += fmt::format("route add default via {}\n", wire(99, 1));
  lines += fmt::format("route add {} via {}\n", pods(1), wire(99, 12));
  lines += fmt::format("route add {} via {}\n", pods(2), wire(99, 13));
  lines += fmt::format("route add {} via {}\n", pods(3), wire(98, 1));
  lines += fmt::format("route add {} via {} mtu lock 1400\n", pods(4), wire(99, 12));
  lines += fmt::format("route add unreachable {}\n", pods(9));
  for (int host : {11, 12}) {
    std::string device = fmt::format("pod{}", host);
    lines += fmt::format("route add {} dev {}\n", pod(0, host), device);
    lines += Neighbour(pod(0, host), device, host == 11 ? kPodMac : kOtherPodMac);
  }
  return lines;
}

}  // namespace

std::string Who::At(std::string_view address, uint16_t port) {
  return AddressPort(Addr(address), port);
}

Who WhoOf(Family family) {
  if (family == Family::kIpv4) return {};
  return {.client = "fd00:203:0:113::2",
          .other_client = "fd00:203:0:114::2",
          .node = "fd00:192:168:99::11",
          .second_node_address = "fd00:192:168:98::11",
          .gateway = "fd00:192:168:99::1",
          .pod = "fd00:10:180:0::11",
          .other_pod = "fd00:10:180:0::12",
          .remote = "fd00:10:180:1::11",
          .other_remote = "fd00:10:180:1::12",
          .remote_unknown = "fd00:10:180:2::11",
          .remote_second = "fd00:10:180:3::11",
          .remote_small = "fd00:10:180:4::11",
          .remote_nowhere = "fd00:10:180:9::11",
          .cluster_ip = "fd00:172:30::10",
          .load_balancer = "fd00:198:51:100::4",
          .other_load_balancer = "fd00:198:51:100::8",
          .external_ip = "fd00:198:51:100::22",
          .unallocated = "fd00:172:30::9999",
          .family = Family::kIpv6};
}

PacketWorld::PacketWorld()
    : node_(Namespace::Create(Sandbox::Get().NamePrefix() + "node")),
      wire_(Namespace::Create(Sandbox::Get().NamePrefix() + "wire")) {
  node_.Sysctl("ipv4/ip_forward", "1");
  node_.Sysctl("ipv6/conf/all/forwarding", "1");
  node_.Ip(Links(wire_));
  std::string up;
  for (std::string_view device : {"eth0", "eth1", "pod11", "pod12"})
    up += fmt::format("link set {} up\n", device);
  wire_.Ip(up);
  node_.Ip(Addresses(Family::kIpv4));
  node_.Ip6(Addresses(Family::kIpv6));
  EnableXdp("eth0");
  EnableXdp("eth1");
}

void PacketWorld::EnableXdp(const std::string& device) {
  constexpr std::array<bpf_insn, 2> kPass = {
      {{BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, XDP_PASS}, {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}}};
  if (!pass_)
    pass_ = Fd(bpf_prog_load(BPF_PROG_TYPE_XDP, "pass", "GPL", kPass.data(), kPass.size(), nullptr));
  NetnsScope inside(node_);
  enabled_.emplace_back(
      bpf_link_create(pass_.Get(), static_cast<int>(::if_nametoindex(device.c_str())), BPF_XDP, nullptr));
  if (!enabled_.back()) throw std::runtime_error(fmt::format("XDP on {}: {}", device, std::strerror(errno)));
}

unsigned PacketWorld::IfIndex(const std::string& device) const {
  NetnsScope inside(node_);
  unsigned index = ::if_nametoindex(device.c_str());
  if (index == 0) throw std::runtime_error(fmt::format("no device {}", device));
  return index;
}

}  // namespace fairlead::test
