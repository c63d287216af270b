// SPDX-License-Identifier: Apache-2.0
#include "test/support/service_port.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <sstream>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "test/support/objects.h"

namespace fairlead::test {

using plan::FrontendKind;
using plan::Masquerade;

namespace {

std::vector<plan::Backend> ListOf(std::initializer_list<std::string_view> texts) {
  std::vector<plan::Backend> list;
  for (std::string_view text : texts) list.push_back(BackendOf(text));
  return list;
}

}  // namespace

// --- what it is

PortOf::PortOf(std::string_view name) {
  const size_t colon = name.find(':');
  port_.key.service = Name(name.substr(0, colon));
  port_.key.port = colon == name.npos ? "http" : name.substr(colon + 1);
}

PortOf& PortOf::Udp() {
  port_.key.protocol = plan::Protocol::kUdp;
  return *this;
}
PortOf& PortOf::Sctp() {
  port_.key.protocol = plan::Protocol::kSctp;
  return *this;
}

void PortOf::SetFamily(Family family) {
  port_.key.family = family;
  for (plan::Frontend& frontend : port_.frontends) {
    if (frontend.kind == FrontendKind::kNodePort) frontend.address = plan::AnyAddress(family);
  }
}

// --- frontends

PortOf& PortOf::Add(FrontendKind kind, const Address& address, uint16_t port, Masquerade masquerade) {
  SetFamily(address.GetFamily());
  port_.frontends.push_back({kind, address, port, masquerade});
  std::ranges::sort(port_.frontends);
  return *this;
}

PortOf& PortOf::AddExternal(FrontendKind kind, const Address& address, uint16_t port) {
  const bool keeps_source = port_.external_local || port_.forwarding == plan::Forwarding::kDsr;
  return Add(kind, address, port, keeps_source ? Masquerade::kNobody : Masquerade::kAll);
}

void PortOf::KeepSources() {
  for (plan::Frontend& frontend : port_.frontends) {
    if (frontend.kind != FrontendKind::kClusterIp) frontend.masquerade = Masquerade::kNobody;
  }
}

PortOf& PortOf::ClusterIp(std::string_view address, uint16_t port, Masquerade masquerade) {
  return Add(FrontendKind::kClusterIp, Addr(address), port, masquerade);
}
PortOf& PortOf::ExternalIp(std::string_view address, uint16_t port) {
  return AddExternal(FrontendKind::kExternalIp, Addr(address), port);
}
PortOf& PortOf::LoadBalancer(std::string_view address, uint16_t port) {
  return AddExternal(FrontendKind::kLoadBalancer, Addr(address), port);
}
PortOf& PortOf::NodePort(uint16_t port) {
  return AddExternal(FrontendKind::kNodePort, plan::AnyAddress(port_.key.family), port);
}

// --- backends

void PortOf::Fill(std::vector<plan::Backend>& list, std::vector<plan::Backend> backends) {
  if (!backends.empty()) SetFamily(backends.front().address.GetFamily());
  std::ranges::sort(backends);
  list = std::move(backends);
}

PortOf& PortOf::On(std::initializer_list<std::string_view> backends) {
  return On(ListOf(backends));
}
PortOf& PortOf::On(std::vector<plan::Backend> backends) {
  Fill(port_.cluster, std::move(backends));
  port_.has_any |= !port_.cluster.empty();
  return *this;
}
PortOf& PortOf::LocalOn(std::initializer_list<std::string_view> backends) {
  auto list = ListOf(backends);
  for (plan::Backend& backend : list) backend.local = true;
  Fill(port_.local, std::move(list));
  port_.needs_local = true;
  port_.has_any |= !port_.local.empty();
  return *this;
}
PortOf& PortOf::Draining(std::initializer_list<std::string_view> backends) {
  Fill(port_.draining, ListOf(backends));
  return *this;
}
PortOf& PortOf::Elsewhere() {
  port_.has_any = true;
  return *this;
}

// --- policy

PortOf& PortOf::InternalLocal() {
  port_.internal_local = true;
  return *this;
}
PortOf& PortOf::ExternalLocal() {
  port_.external_local = true;
  KeepSources();
  return *this;
}
PortOf& PortOf::Dsr() {
  port_.forwarding = plan::Forwarding::kDsr;
  KeepSources();
  return *this;
}
PortOf& PortOf::Affinity(uint32_t timeout_s) {
  port_.affinity_timeout_s = timeout_s;
  return *this;
}
PortOf& PortOf::Maglev() {
  port_.algorithm = plan::Algorithm::kMaglev;
  return *this;
}
PortOf& PortOf::Scheduler(std::string_view scheduler) {
  port_.scheduler = scheduler;
  return *this;
}
PortOf& PortOf::Ranges(std::initializer_list<std::string_view> cidrs) {
  port_.has_source_ranges = true;
  port_.source_ranges.clear();
  for (std::string_view cidr : cidrs) port_.source_ranges.push_back(Range(cidr));
  std::ranges::sort(port_.source_ranges);
  return *this;
}
PortOf& PortOf::HealthCheckNodePort(uint16_t port) {
  port_.health_check_node_port = port;
  return *this;
}

PortOf::operator plan::Change() const {
  return {port_.key, std::make_shared<const plan::ServicePort>(port_)};
}

plan::Change Gone(const PortOf& port) {
  return {port.Get().key, nullptr};
}

// --- backends in words

namespace {

[[noreturn]] void Refuse(std::string_view text, std::string_view why) {
  spdlog::critical("backend \"{}\": {}", text, why);
  std::abort();
}

uint16_t Number(std::string_view digits, std::string_view text) {
  uint16_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size())
    Refuse(text, fmt::format("\"{}\" is no number of 16 bits", digits));
  return number;
}

}  // namespace

plan::Backend BackendOf(std::string_view text) {
  std::istringstream words{std::string(text)};
  std::string at, word;
  words >> at;
  const size_t colon = at.rfind(':');
  if (colon == at.npos) Refuse(text, "it has no port");
  std::string_view address = std::string_view(at).substr(0, colon);
  if (address.starts_with('[') && address.ends_with(']')) address = address.substr(1, address.size() - 2);
  plan::Backend backend;
  backend.address = Addr(address);
  backend.port = Number(std::string_view(at).substr(colon + 1), text);
  while (words >> word) {
    if (word == "local") {
      backend.local = true;
    } else if (word == "terminating") {
      backend.terminating = true;
    } else if (word.starts_with("weight=")) {
      backend.weight = Number(std::string_view(word).substr(7), text);
    } else {
      Refuse(text, fmt::format("\"{}\" is no word of a backend", word));
    }
  }
  return backend;
}

std::vector<plan::Backend> Backends(uint32_t count, uint32_t first) {
  std::vector<plan::Backend> list;
  for (uint32_t i = first; i < first + count; ++i) {
    list.push_back(BackendOf(fmt::format("10.{}.{}.{}:8080", 200 + i / 65536, i / 256 % 256, i % 256)));
  }
  return list;
}

}  // namespace fairlead::test
