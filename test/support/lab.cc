// SPDX-License-Identifier: Apache-2.0
#include "test/support/lab.h"

#include <charconv>
#include <stdexcept>

#include <fmt/format.h>

namespace fairlead::test {
namespace {

// Node ends of pod links share one hardware address, so that every pod's gateway entry is the same.
constexpr char kGatewayMac[] = "02:00:00:00:00:01";
constexpr char kGateway4[] = "169.254.1.1";
constexpr char kGateway6[] = "fe80::1";

std::string PodMac(int last) {
  return fmt::format("02:00:00:00:01:{:02x}", last);
}

// What every host here needs: no address checks that delay a test, no source checks, errors without rate
// limit.
void Tune(const Namespace& net) {
  net.Sysctl("ipv4/conf/all/rp_filter", "0");
  net.Sysctl("ipv4/conf/default/rp_filter", "0");
  net.Sysctl("ipv4/icmp_ratelimit", "0");
  net.Sysctl("ipv6/conf/all/accept_dad", "0");
  net.Sysctl("ipv6/conf/default/accept_dad", "0");
}

void Forward(const Namespace& net) {
  net.Sysctl("ipv4/ip_forward", "1");
  net.Sysctl("ipv6/conf/all/forwarding", "1");
}

Namespace MakeOut(const std::string& prefix) {
  Namespace out = Namespace::Create(prefix + "out");
  Tune(out);
  Forward(out);
  // Only what starts here is sent to n1 for Service addresses: a packet a node lets out by its default route
  // ends here in silence instead of circling.
  out.Ip(R"(link add br0 type bridge
link set br0 up
address add 192.168.99.1/24 dev br0
address add fd00:192:168:99::1/64 dev br0 nodad
address add 203.0.113.2/32 dev lo
address add 203.0.113.130/32 dev lo
address add fd00:203:0:113::2/128 dev lo nodad
address add fd00:203:0:114::2/128 dev lo nodad
route add blackhole 0.0.0.0/0
route add blackhole ::/0
)");
  return out;
}

}  // namespace

Node::Node(int number, const std::string& prefix)
    : number_(number),
      name_(fmt::format("n{}", number)),
      prefix_(prefix + name_),
      net_(Namespace::Create(prefix_)) {}

std::string Node::Ip() const {
  return fmt::format("192.168.99.1{}", number_);
}
std::string Node::Ip6() const {
  return fmt::format("fd00:192:168:99::1{}", number_);
}

void Node::JoinWire(const Namespace& out) {
  Tune(net_);
  Forward(net_);
  out.Ip(fmt::format("link add port{0} type veth peer name eth0 netns {1}\nlink set port{0} master br0 up\n",
                     number_, net_.Name()));
  std::string lines = fmt::format(
      "address add {}/24 dev eth0\naddress add {}/64 dev eth0 nodad\nlink set eth0 up\n"
      "route add 0.0.0.0/0 via 192.168.99.1\nroute add ::/0 via fd00:192:168:99::1\n",
      Ip(), Ip6());
  for (int other = 1; other <= 3; ++other) {
    if (other == number_) continue;
    lines += fmt::format(
        "route add 10.180.{0}.0/24 via 192.168.99.1{1}\nroute add fd00:10:180:{0}::/64 via "
        "fd00:192:168:99::1{1}\n",
        other - 1, other);
  }
  net_.Ip(lines);
  net_.AwaitLink("eth0");
  out.AwaitLink(fmt::format("port{}", number_));
}

const Namespace& Node::Pod(std::string_view ipv4) {
  const std::string subnet = fmt::format("10.180.{}.", number_ - 1);
  int last = 0;
  if (!ipv4.starts_with(subnet) ||
      std::from_chars(ipv4.data() + subnet.size(), ipv4.data() + ipv4.size(), last).ptr !=
          ipv4.data() + ipv4.size())
    throw std::invalid_argument(fmt::format("{} is no pod address of {}", ipv4, name_));
  if (const auto known = pods_.find(last); known != pods_.end()) return known->second;

  Namespace& pod = pods_.emplace(last, Namespace::Create(fmt::format("{}-{}", prefix_, last))).first->second;
  Tune(pod);
  const std::string ipv6 = fmt::format("fd00:10:180:{}::{}", number_ - 1, last);
  net_.Ip(fmt::format(
      "link add pod{0} address {1} type veth peer name eth0 address {2} netns {3}\nlink set pod{0} up\n"
      "route add {4}/32 dev pod{0}\nroute add {5}/128 dev pod{0}\n"
      "neighbour add {4} lladdr {2} dev pod{0} nud permanent\n"
      "neighbour add {5} lladdr {2} dev pod{0} nud permanent\n",
      last, kGatewayMac, PodMac(last), pod.Name(), ipv4, ipv6));
  pod.Ip(
      fmt::format("link set eth0 up\naddress add {0}/32 dev eth0\naddress add {1}/128 dev eth0 nodad\n"
                  "route add {2}/32 dev eth0\nroute add 0.0.0.0/0 via {2}\nroute add ::/0 via {3} dev eth0\n"
                  "neighbour add {2} lladdr {4} dev eth0 nud permanent\n"
                  "neighbour add {3} lladdr {4} dev eth0 nud permanent\n",
                  ipv4, ipv6, kGateway4, kGateway6, kGatewayMac));
  net_.AwaitLink(fmt::format("pod{}", last));
  pod.AwaitLink("eth0");
  return pod;
}

Lab::Lab(const std::vector<std::string>& more_addresses)
    : prefix_(Sandbox::Get().NamePrefix()), out_(MakeOut(prefix_)) {
  for (int number = 1; number <= 3; ++number) {
    auto& node = nodes_[static_cast<size_t>(number - 1)];
    node.reset(new Node(number, prefix_));
    node->JoinWire(out_);
  }
  for (const auto& address : more_addresses) N1().Net().Ip(fmt::format("address add {} dev eth0\n", address));
  std::string routes;
  for (int number = 1; number <= 3; ++number) {
    routes += fmt::format(
        "route add 10.180.{0}.0/24 via 192.168.99.1{1}\nroute add fd00:10:180:{0}::/64 via "
        "fd00:192:168:99::1{1}\n",
        number - 1, number);
  }
  routes +=
      "rule add iif lo lookup 100\nroute add 172.30.0.0/16 via 192.168.99.11 table 100\n"
      "route add 198.51.100.0/24 via 192.168.99.11 table 100\n"
      "route add fd00:172:30::/112 via fd00:192:168:99::11 table 100\n"
      "route add fd00:198:51:100::/64 via fd00:192:168:99::11 table 100\n";
  out_.Ip(routes);
  out_.AwaitLink("br0");
}

const Namespace& Lab::HomeOf(const Address& address) {
  const std::string text = address.ToString();
  for (auto& node : nodes_) {
    if (text == node->Ip() || text == node->Ip6()) return node->Net();
    const int net = node->number_ - 1;
    const std::string subnet4 = fmt::format("10.180.{}.", net);
    const auto subnet6 = Cidr::Parse(fmt::format("fd00:10:180:{}::/64", net));
    if (text.starts_with(subnet4)) return node->Pod(text);
    if (subnet6 && subnet6->Contains(address)) return node->Pod(subnet4 + text.substr(text.rfind(':') + 1));
  }
  if (text.starts_with("203.0.113.") || text.starts_with("fd00:203:")) return out_;
  throw std::invalid_argument(fmt::format("{} is nobody's address in the lab", text));
}

void Lab::Serve(std::string_view at) {
  const Target target = Target::Parse(at);
  servers_.Serve(HomeOf(target.address), target);
}

}  // namespace fairlead::test
