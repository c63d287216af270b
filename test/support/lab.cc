// SPDX-License-Identifier: Apache-2.0
#include "test/support/lab.h"

#include <algorithm>
#include <charconv>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include "test/support/process.h"

namespace fairlead::test {
namespace {

// Node ends of pod links share one hardware address, so that every pod's gateway entry is the same.
constexpr char kGatewayMac[] = "02:00:00:00:00:01";
constexpr char kGateway4[] = "169.254.1.1";
constexpr char kGateway6[] = "fe80::1";

std::string PodMac(int last) {
  return fmt::format("02:00:00:00:01:{:02x}", last);
}

// What every host here needs: no address checks that delay a test, errors without rate limit, and pings
// without a raw socket.
void Tune(const Namespace& net, int source_checks) {
  net.Sysctl("ipv4/conf/all/rp_filter", std::to_string(source_checks));
  net.Sysctl("ipv4/conf/default/rp_filter", std::to_string(source_checks));
  net.Sysctl("ipv4/icmp_ratelimit", "0");
  net.Sysctl("ipv6/icmp/ratelimit", "0");
  net.Sysctl("ipv4/ping_group_range", "0 2147483647");
  net.Sysctl("ipv6/conf/all/accept_dad", "0");
  net.Sysctl("ipv6/conf/default/accept_dad", "0");
}

void Forward(const Namespace& net) {
  net.Sysctl("ipv4/ip_forward", "1");
  net.Sysctl("ipv6/conf/all/forwarding", "1");
}

Namespace MakeOut(const std::string& prefix) {
  Namespace out = Namespace::Create(prefix + "out", Machine::kOther);
  Tune(out, 0);
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
route add 192.168.99.0/24 dev br0 src 203.0.113.2 table 100
route add fd00:192:168:99::/64 dev br0 src fd00:203:0:113::2 table 100
rule add iif lo lookup 100
)");
  out.Ip6("rule add iif lo lookup 100\n");
  return out;
}

// Routes to every Service address by way of a node; `more` ends each line.
std::string ServiceRoutes(const Node& node, std::string_view more4, std::string_view more6) {
  return fmt::format(
      "route replace 172.30.0.0/16 via {0} {2}\nroute replace 198.51.100.0/24 via {0} {2}\n"
      "route replace fd00:172:30::/112 via {1} {3}\nroute replace fd00:198:51:100::/64 via {1} {3}\n",
      node.Ip(), node.Ip6(), more4, more6);
}

// Of a node in the overlay.
std::string OverlayMac(int number) {
  return fmt::format("02:00:00:00:02:{:02x}", number);
}

}  // namespace

Node::Node(int number, const std::string& prefix, const LabOptions& options)
    : number_(number),
      name_(fmt::format("n{}", number)),
      prefix_(prefix + name_),
      options_(options),
      net_(Namespace::Create(prefix_, number == 1 ? Machine::kUnderTest : Machine::kOther)) {}

std::string Node::Ip() const {
  return fmt::format("192.168.99.1{}", number_);
}
std::string Node::Ip6() const {
  return fmt::format("fd00:192:168:99::1{}", number_);
}

std::string Node::PodCidr() const {
  return fmt::format("10.180.{}.0/24", number_ - 1);
}
std::string Node::PodCidr6() const {
  return fmt::format("fd00:10:180:{}::/64", number_ - 1);
}

void Node::JoinWire(const Namespace& out) {
  Tune(net_, options_.source_checks);
  Forward(net_);
  out.Ip(fmt::format("link add port{0} type veth peer name eth0 netns {1}\nlink set port{0} master br0 up\n",
                     number_, net_.Name()));
  std::string lines = fmt::format(
      "address add {}/24 dev eth0\naddress add {}/64 dev eth0 nodad\nlink set eth0 up\n"
      "route add 0.0.0.0/0 via 192.168.99.1\nroute add ::/0 via fd00:192:168:99::1\n",
      Ip(), Ip6());
  net_.Ip(lines);
  const std::string port = fmt::format("port{}", number_);
  if (!options_.offloads) {
    net_.NoOffloads("eth0");
    out.NoOffloads(port);
  }
  if (options_.overlay) JoinOverlay();
  RoutePods();
  net_.AwaitLink("eth0");
  out.AwaitLink(port);
}

// One tunnel device for all other nodes, which knows each by its hardware address and asks nobody.
void Node::JoinOverlay() const {
  std::string lines = fmt::format(
      "link add vxlan0 address {} type vxlan id 1 dev eth0 local {} dstport 8472 nolearning\n"
      "link set vxlan0 up\naddress add 10.180.{}.0/32 dev vxlan0\naddress add fd00:10:180:{}::ffff/128 dev "
      "vxlan0 nodad\n",
      OverlayMac(number_), Ip(), number_ - 1, number_ - 1);
  net_.Ip(lines);
  std::string bridge;
  for (int other = 1; other <= 3; ++other) {
    if (other == number_) continue;
    net_.Ip(
        fmt::format("neighbour add 10.180.{0}.0 lladdr {1} dev vxlan0 nud permanent\n"
                    "neighbour add fd00:10:180:{0}::ffff lladdr {1} dev vxlan0 nud permanent\n",
                    other - 1, OverlayMac(other)));
    bridge +=
        fmt::format("fdb add {} dev vxlan0 dst 192.168.99.1{} self permanent\n", OverlayMac(other), other);
  }
  const Finished done = Run({"bridge", "-n", net_.Name(), "-batch", "-"}, bridge);
  if (done.status != 0) throw std::runtime_error(fmt::format("bridge -n {}: {}", net_.Name(), done.output));
}

// To the pods of the other nodes.
void Node::RoutePods() const {
  std::string lines;
  for (int other = 1; other <= 3; ++other) {
    if (other == number_) continue;
    lines += options_.overlay
                 ? fmt::format(
                       "route add 10.180.{0}.0/24 via 10.180.{0}.0 dev vxlan0 onlink\n"
                       "route add fd00:10:180:{0}::/64 via fd00:10:180:{0}::ffff dev vxlan0 onlink\n",
                       other - 1)
                 : fmt::format(
                       "route add 10.180.{0}.0/24 via 192.168.99.1{1}\n"
                       "route add fd00:10:180:{0}::/64 via fd00:192:168:99::1{1}\n",
                       other - 1, other);
  }
  net_.Ip(lines);
}

std::string Node::PodDevice(std::string_view ipv4) {
  return fmt::format("pod{}", ipv4.substr(ipv4.rfind('.') + 1));
}

const Namespace& Node::Pod(std::string_view ipv4) {
  const std::string subnet = fmt::format("10.180.{}.", number_ - 1);
  int last = 0;
  if (!ipv4.starts_with(subnet) ||
      std::from_chars(ipv4.data() + subnet.size(), ipv4.data() + ipv4.size(), last).ptr !=
          ipv4.data() + ipv4.size())
    throw std::invalid_argument(fmt::format("{} is no pod address of {}", ipv4, name_));
  if (const auto known = pods_.find(last); known != pods_.end()) return known->second;

  Namespace& pod =
      pods_.emplace(last, Namespace::Create(fmt::format("{}-{}", prefix_, last), net_.OfMachine()))
          .first->second;
  Tune(pod, 0);
  LinkPod(pod, last);
  return pod;
}

void Node::LinkPod(const Namespace& pod, int last) const {
  const std::string ipv4 = fmt::format("10.180.{}.{}", number_ - 1, last);
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
  if (!options_.offloads) {
    net_.NoOffloads(PodDevice(ipv4));
    pod.NoOffloads("eth0");
  }
  net_.AwaitLink(PodDevice(ipv4));
  pod.AwaitLink("eth0");
}

Lab::Lab(LabOptions options)
    : options_(std::move(options)), prefix_(Sandbox::Get().NamePrefix()), out_(MakeOut(prefix_)) {
  for (int number = 1; number <= 3; ++number) {
    auto& node = nodes_[static_cast<size_t>(number - 1)];
    node.reset(new Node(number, prefix_, options_));
    node->JoinWire(out_);
  }
  for (const auto& address : options_.more_addresses)
    N1().Net().Ip(fmt::format("address add {} dev eth0\n", address));
  for (const Node* node : {&N2(), &N3()}) node->Net().Ip(ServiceRoutes(N1(), "", ""));
  RouteOut();
  SendServicesTo(N1());
  out_.AwaitLink("br0");
}

// To the pods, for what starts in `out` and for what passes through it; to n1's further addresses.
void Lab::RouteOut() {
  std::string routes;
  for (const char* table : {"main", "100"}) {
    for (int number = 1; number <= 3; ++number) {
      routes += fmt::format(
          "route add 10.180.{0}.0/24 via 192.168.99.1{1} src 203.0.113.2 table {2}\n"
          "route add fd00:10:180:{0}::/64 via fd00:192:168:99::1{1} src fd00:203:0:113::2 table {2}\n",
          number - 1, number, table);
    }
  }
  for (const auto& address : options_.more_addresses)
    routes +=
        fmt::format("route add {} via {} src 203.0.113.2\n", address.substr(0, address.find('/')), N1().Ip());
  out_.Ip(routes);
}

void Lab::SendServicesTo(const Node& node) {
  out_.Ip(ServiceRoutes(node, "src 203.0.113.2 table 100", "src fd00:203:0:113::2 table 100"));
}

void Lab::AnswerThroughN1(const Address& client) {
  const Namespace& home = HomeOf(client);
  const bool v4 = client.GetFamily() == Family::kIpv4;
  for (const Node* node : {&N2(), &N3()}) {
    const bool at_home = home.Name().starts_with(node->Net().Name());  // of the node, or one of its pods
    if (!at_home)
      node->Net().Ip(fmt::format("route replace {}/{} via {}\n", client.ToString(), v4 ? 32 : 128,
                                 v4 ? N1().Ip() : N1().Ip6()));
  }
}

bool Lab::IsOfN1(const Address& address) {
  const std::string text = address.ToString();
  if (text == N1().Ip() || text == N1().Ip6()) return true;
  if (options_.overlay && (text == "10.180.0.0" || text == "fd00:10:180::ffff")) return true;
  return std::ranges::any_of(options_.more_addresses, [&](const std::string& more) {
    return text == std::string_view(more).substr(0, more.find('/'));
  });
}

const Namespace& Lab::HomeOf(const Address& address) {
  const std::string text = address.ToString();
  for (auto& node : nodes_) {
    if (text == node->Ip() || text == node->Ip6()) return node->Net();
    if (node == nodes_[0] && IsOfN1(address)) return node->Net();
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
