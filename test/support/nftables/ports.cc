// SPDX-License-Identifier: Apache-2.0
#include "test/support/nftables/ports.h"

#include <algorithm>
#include <charconv>
#include <sstream>

#include "test/support/objects.h"

namespace fairlead::test {

plan::Backend NftBackend(std::string_view text) {
  std::istringstream words{std::string(text)};
  std::string word;
  words >> word;
  plan::Backend backend;
  const size_t colon = word.rfind(':');
  std::string address = word.substr(0, colon);
  std::erase_if(address, [](char c) { return c == '[' || c == ']'; });
  backend.address = Addr(address);
  std::from_chars(word.data() + colon + 1, word.data() + word.size(), backend.port);
  while (words >> word) {
    if (word == "local") backend.local = true;
    if (word.starts_with("weight="))
      std::from_chars(word.data() + 7, word.data() + word.size(), backend.weight);
  }
  return backend;
}

NftPort::NftPort(std::string_view service, std::string_view port) {
  port_.key.service = Name(service);
  port_.key.port = port;
}

NftPort& NftPort::Protocol(plan::Protocol protocol) {
  port_.key.protocol = protocol;
  return *this;
}

NftPort& NftPort::Ipv6() {
  port_.key.family = Family::kIpv6;
  return *this;
}

NftPort& NftPort::ClusterIp(std::string_view address, uint16_t port) {
  port_.frontends.push_back(
      {plan::FrontendKind::kClusterIp, Addr(address), port, plan::Masquerade::kOutside});
  return *this;
}

NftPort& NftPort::External(plan::FrontendKind kind, const Address& address, uint16_t port) {
  const auto masquerade = port_.external_local ? plan::Masquerade::kNobody : plan::Masquerade::kAll;
  port_.frontends.push_back({kind, address, port, masquerade});
  return *this;
}

NftPort& NftPort::LoadBalancer(std::string_view address, uint16_t port) {
  return External(plan::FrontendKind::kLoadBalancer, Addr(address), port);
}

NftPort& NftPort::NodePort(uint16_t port) {
  return External(plan::FrontendKind::kNodePort, plan::AnyAddress(port_.key.family), port);
}

NftPort& NftPort::On(std::initializer_list<std::string_view> backends) {
  std::vector<plan::Backend> list;
  for (std::string_view text : backends) list.push_back(NftBackend(text));
  return On(std::move(list));
}

NftPort& NftPort::On(std::vector<plan::Backend> backends) {
  std::ranges::sort(backends);
  port_.cluster = std::move(backends);
  port_.has_any |= !port_.cluster.empty();
  return *this;
}

NftPort& NftPort::LocalOn(std::initializer_list<std::string_view> backends) {
  for (std::string_view text : backends) {
    port_.local.push_back(NftBackend(text));
    port_.local.back().local = true;
  }
  std::ranges::sort(port_.local);
  port_.needs_local = true;
  port_.has_any |= !port_.local.empty();
  return *this;
}

NftPort& NftPort::HasAny() {
  port_.has_any = true;
  return *this;
}

NftPort& NftPort::InternalLocal() {
  port_.internal_local = true;
  return *this;
}

NftPort& NftPort::ExternalLocal() {
  port_.external_local = true;
  return *this;
}

NftPort& NftPort::Affinity(uint32_t timeout_s) {
  port_.affinity_timeout_s = timeout_s;
  return *this;
}

NftPort& NftPort::Ranges(std::initializer_list<std::string_view> cidrs) {
  port_.has_source_ranges = true;
  for (std::string_view cidr : cidrs) port_.source_ranges.push_back(Range(cidr));
  std::ranges::sort(port_.source_ranges);
  return *this;
}

NftPort::operator plan::Change() const {
  return {port_.key, std::make_shared<const plan::ServicePort>(port_)};
}

}  // namespace fairlead::test
