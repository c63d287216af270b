// SPDX-License-Identifier: Apache-2.0
#include "test/support/behaviour_table.h"

#include <array>
#include <sstream>
#include <stdexcept>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace fairlead::test {

namespace {

constexpr uint16_t kPort = 80, kBackendPort = 8080, kNodePort = 30080;

struct Place {
  std::string_view word, v4, v6;
};

constexpr std::array kPlaces = {
    Place{"pod", "10.180.0.100", "fd00:10:180:0::100"},
    Place{"pod2", "10.180.0.101", "fd00:10:180:0::101"},
    Place{"remote-pod", "10.180.1.100", "fd00:10:180:1::100"},
    Place{"node", "192.168.99.11", "fd00:192:168:99::11"},
    Place{"second", "192.168.98.11", "fd00:192:168:98::11"},
    Place{"localhost", "127.0.0.1", "::1"},
    Place{"outside", "203.0.113.2", "fd00:203:0:113::2"},
    Place{"outside2", "203.0.113.130", "fd00:203:0:114::2"},
    Place{"local", "10.180.0.11", "fd00:10:180:0::11"},
    Place{"local2", "10.180.0.12", "fd00:10:180:0::12"},
    Place{"remote", "10.180.1.11", "fd00:10:180:1::11"},
    Place{"remote2", "10.180.1.12", "fd00:10:180:1::12"},
    Place{"host", "192.168.99.11", "fd00:192:168:99::11"},
    Place{"vip", "172.30.0.10", "fd00:172:30::10"},
    Place{"unallocated", "172.30.99.99", "fd00:172:30::9999"},
    Place{"lb", "198.51.100.4", "fd00:198:51:100::4"},
    Place{"external", "198.51.100.22", "fd00:198:51:100::22"},
    Place{"elsewhere", "198.51.100.99", "fd00:198:51:100::99"},
};

std::vector<std::string> Words(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

std::string TextOfWord(std::string_view word, Family family) {
  return AddressOfWord(word, family).ToString();
}

Family Other(Family family) {
  return family == Family::kIpv4 ? Family::kIpv6 : Family::kIpv4;
}

Cidr RangeOfOne(const Address& address) {
  return Range(fmt::format("{}/{}", address.ToString(), address.GetFamily() == Family::kIpv4 ? 32 : 128));
}

std::string NodeOf(std::string_view backend) {
  return backend.starts_with("remote") ? "n2" : "n1";
}

}  // namespace

Address AddressOfWord(std::string_view word, Family family) {
  for (const Place& place : kPlaces) {
    if (place.word == word) return Addr(family == Family::kIpv4 ? place.v4 : place.v6);
  }
  throw std::invalid_argument(fmt::format("\"{}\" is no word of the behaviour table", word));
}

std::string Text(const std::set<Traced>& traced, const TracePacket& packet) {
  const Family family = packet.source.GetFamily();
  const bool of_node = packet.of_node && !packet.source.IsLoopback();
  std::set<std::string> ways;
  for (const Traced& way : traced) {
    switch (way.end) {
      case TraceEnd::kRejected:
        ways.insert("reject");
        continue;
      case TraceEnd::kDropped:
        ways.insert("drop");
        continue;
      case TraceEnd::kPassed:
        ways.insert("pass");
        continue;
      case TraceEnd::kReached:
        break;
    }
    std::string name = AddressPort(way.backend, way.backend_port);
    for (std::string_view word : {"local", "local2", "remote", "remote2", "host"}) {
      if (way.backend == AddressOfWord(word, family) && way.backend_port == kBackendPort) name = word;
    }
    ways.insert(name + (way.masqueraded && !of_node ? " masqueraded" : ""));
  }
  return fmt::format("{}", fmt::join(ways, ", "));
}

Web& Web::On(std::string_view backends) {
  backends_.push_back({.words = std::string(backends), .zone = {}, .node_hint = {}});
  return *this;
}

Web& Web::NotReady(std::string_view backends) {
  On(backends).backends_.back().ready = false;
  return *this;
}

Web& Web::Terminating(std::string_view backends) {
  NotReady(backends).backends_.back().terminating = true;
  return *this;
}

Web& Web::Dying(std::string_view backends) {
  Terminating(backends).backends_.back().serving = false;
  return *this;
}

Web& Web::Zone(std::string_view zone) {
  backends_.back().zone = zone;
  return *this;
}

Web& Web::NodeHint(std::string_view node) {
  backends_.back().node_hint = node;
  return *this;
}

Web& Web::Udp() {
  protocol_ = kube::Protocol::kUdp;
  return *this;
}

Web& Web::Sctp() {
  protocol_ = kube::Protocol::kSctp;
  return *this;
}

Web& Web::NodePort() {
  node_port_ = true;
  return *this;
}

Web& Web::LoadBalancer() {
  load_balancer_ = true;
  return NodePort();
}

Web& Web::ExternalIp(std::string_view address) {
  external_ip_ = address;
  return *this;
}

Web& Web::InternalLocal() {
  internal_local_ = true;
  return *this;
}

Web& Web::ExternalLocal() {
  external_local_ = true;
  return *this;
}

Web& Web::Range(std::string_view clients) {
  ranges_ = clients;
  return *this;
}

Web& Web::RangeOfOtherFamily() {
  range_of_other_family_ = true;
  return *this;
}

Web& Web::Affinity() {
  affinity_ = true;
  return *this;
}

Web& Web::OtherProxy() {
  other_proxy_ = true;
  return *this;
}

Web& Web::ExternalName() {
  external_name_ = true;
  return *this;
}

kube::Object Web::SliceOf(Family family) const {
  Slice slice("shop/web");
  if (family == Family::kIpv6) slice.Ipv6();
  slice.Port("http", kBackendPort);
  if (protocol_ == kube::Protocol::kUdp) slice.Udp();
  if (protocol_ == kube::Protocol::kSctp) slice.Sctp();
  for (const Backends& group : backends_) {
    for (const std::string& word : Words(group.words)) {
      slice.Endpoint(TextOfWord(word, family)).On(NodeOf(word));
      slice.Ready(group.ready).Serving(group.serving);
      slice.Terminating(group.terminating);
      if (!group.zone.empty()) slice.Zone(group.zone);
      if (!group.node_hint.empty()) slice.NodeHint(group.node_hint);
    }
  }
  return slice;
}

std::vector<kube::Object> Web::Objects(Family family) const {
  Service service("shop/web");
  service.ClusterIp(TextOfWord("vip", family)).Port("http", kPort, kBackendPort);
  if (protocol_ == kube::Protocol::kUdp) service.Udp();
  if (protocol_ == kube::Protocol::kSctp) service.Sctp();
  if (node_port_) service.NodePort(kNodePort);
  if (load_balancer_) service.LoadBalancerIp(TextOfWord("lb", family));
  if (!external_ip_.empty()) service.ExternalIp(TextOfWord(external_ip_, family));
  for (const std::string& client : Words(ranges_))
    service.SourceRange(RangeOfOne(AddressOfWord(client, family)).ToString());
  if (range_of_other_family_)
    service.SourceRange(RangeOfOne(AddressOfWord("outside2", Other(family))).ToString());
  if (internal_local_) service.InternalLocal();
  if (external_local_) service.ExternalLocal();
  if (affinity_) service.Affinity();
  if (other_proxy_) service.OtherProxy();
  if (external_name_) service.Type(kube::ServiceType::kExternalName);
  return {service, SliceOf(family)};
}

plan::NodeFacts NodeSetup::Facts(Family family) const {
  plan::NodeFacts facts;
  facts.name = "n1";
  facts.zone = "a";
  for (Family each : {Family::kIpv4, Family::kIpv6}) {
    facts.addresses.push_back(AddressOfWord("node", each));
    facts.addresses.push_back(AddressOfWord("second", each));
    facts.primary_addresses.push_back(AddressOfWord("node", each));
  }
  facts.masquerade_all = masquerade_all;
  facts.localhost_nodeports = localhost_nodeports;
  facts.detects_pods = detector != Detector::kNone;
  facts.pods_by_node_cidr = detector == Detector::kNodeCidr;
  if (detector == Detector::kClusterCidr)
    facts.cluster_cidrs = {Range("10.180.0.0/16"), Range("fd00:10:180::/48")};
  facts.node_pod_cidrs = {Range("10.180.0.0/24"), Range("fd00:10:180:0::/64")};
  if (!nodeport_address.empty())
    facts.nodeport_cidrs.push_back(RangeOfOne(AddressOfWord(nodeport_address, family)));
  if (nodeport_range_of_other_family)
    facts.nodeport_cidrs.push_back(RangeOfOne(AddressOfWord("second", Other(family))));
  return facts;
}

Behaviour& Behaviour::Given(Web web) {
  web_ = std::move(web);
  return *this;
}

Behaviour& Behaviour::Before(Web web) {
  before_ = std::move(web);
  return *this;
}

Behaviour& Behaviour::GivenNothing() {
  web_.reset();
  return *this;
}

Behaviour& Behaviour::On(NodeSetup node) {
  node_ = std::move(node);
  return *this;
}

Behaviour& Behaviour::From(std::string_view client) {
  from_ = client;
  return *this;
}

Behaviour& Behaviour::To(std::string_view destination, uint16_t port) {
  to_ = destination;
  port_ = port;
  return *this;
}

Behaviour& Behaviour::Udp() {
  protocol_ = plan::Protocol::kUdp;
  return *this;
}

Behaviour& Behaviour::Sctp() {
  protocol_ = plan::Protocol::kSctp;
  return *this;
}

Behaviour& Behaviour::Is(std::string_view outcome) {
  outcome_ = outcome;
  return *this;
}

Behaviour& Behaviour::In(Mode mode, std::string_view outcome) {
  in_[mode] = outcome;
  return *this;
}

Behaviour& Behaviour::NotIn(Mode mode, std::string_view why) {
  not_in_[mode] = why;
  return *this;
}

Behaviour& Behaviour::Only(Family family) {
  only_ = family;
  return *this;
}

std::vector<std::vector<kube::Object>> Behaviour::States(Family family) const {
  std::vector<std::vector<kube::Object>> states;
  if (before_) states.push_back(before_->Objects(family));
  states.push_back(web_ ? web_->Objects(family) : std::vector<kube::Object>{});
  if (!node_.service_cidrs) return states;
  for (auto& state : states)
    state.push_back(ServiceCidrs("kubernetes", {"172.30.0.0/16", "fd00:172:30::/112"}));
  return states;
}

TracePacket Behaviour::PacketOf(Family family) const {
  TracePacket packet;
  packet.source = AddressOfWord(from_, family);
  packet.destination = AddressOfWord(to_, family);
  packet.destination_port = port_;
  packet.protocol = protocol_;
  packet.of_node = from_ == "node" || from_ == "localhost" || from_ == "lb";
  if (from_ == "pod" || from_ == "pod2") packet.device = "pod1";
  if (from_.starts_with("local") && !packet.of_node) packet.device = "pod11";
  if (packet.of_node) packet.device = "lo";
  return packet;
}

std::string Behaviour::OutcomeIn(Mode mode) const {
  if (const auto own = in_.find(mode); own != in_.end()) return own->second;
  const bool at_socket = mode == Mode::kEbpf && !from_.starts_with("remote") && !from_.starts_with("outside");
  std::string outcome = outcome_;
  constexpr std::string_view kMasqueraded = " masqueraded";
  for (size_t at; at_socket && (at = outcome.find(kMasqueraded)) != std::string::npos;)
    outcome.erase(at, kMasqueraded.size());
  return outcome;
}

std::string Behaviour::WhyNotIn(Mode mode) const {
  const auto why = not_in_.find(mode);
  return why == not_in_.end() ? "" : why->second;
}

}  // namespace fairlead::test
