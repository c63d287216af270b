// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/iptables/backend_rules.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

#include <fmt/format.h>

#include "agent/datapath/iptables/names.h"
#include "agent/datapath/iptables/service_rules.h"

namespace fairlead::iptables {

namespace {

using plan::Backend;
using Backends = std::span<const Backend>;

// xt_statistic counts in 1/2^31, and iptables-save prints that with 11 digits.
std::string Chance(uint64_t weight, uint64_t of) {
  constexpr double kUnits = 0x80000000;
  const double units = std::round(kUnits * static_cast<double>(weight) / static_cast<double>(of));
  return fmt::format("-m statistic --mode random --probability {:.11f} ", units / kUnits);
}

class ListRenderer {
 public:
  explicit ListRenderer(const plan::ServicePort& port)
      : port_(port), protocol_(ProtocolWord(port.key.protocol)) {}

  // A client's backend stays its own: these come before the choice by chance.
  void Remembered(std::string& body, const std::string& chain, Backends backends) const {
    if (port_.affinity_timeout_s == 0 || backends.size() < 2) return;
    for (const Backend& backend : backends) {
      AddRule(body, chain,
              fmt::format("-p {} -m recent --update --seconds {} --reap {} {}", protocol_,
                          port_.affinity_timeout_s, Memory(backend), Target(backend)));
    }
  }

  void Chosen(std::string& body, const std::string& chain, Backends backends) const {
    const std::string remember = port_.affinity_timeout_s == 0 ? "" : "-m recent --set ";
    uint64_t left = Weight(backends);
    for (const Backend& backend : backends) {
      const uint64_t weight = Weight({&backend, 1});
      if (weight == 0) continue;
      AddRule(body, chain,
              fmt::format("-p {} {}{}{}{}", protocol_, weight == left ? "" : Chance(weight, left), remember,
                          remember.empty() ? "" : Memory(backend) + " ", Target(backend)));
      left -= weight;
    }
  }

  void Parted(std::string& body, const std::string& chain, Backends backends, NamedChains& into) const {
    const auto size = static_cast<size_t>(std::ceil(std::sqrt(static_cast<double>(backends.size()))));
    uint64_t left = Weight(backends);
    for (size_t begin = 0; begin < backends.size(); begin += size) {
      const Backends part = backends.subspan(begin, std::min(size, backends.size() - begin));
      const uint64_t weight = Weight(part);
      if (weight == 0) continue;
      const std::string name = ServiceChain("GRP", port_.key, fmt::format(" {} {}", chain, begin / size));
      AddRule(body, chain, fmt::format("{}-j {}", weight == left ? "" : Chance(weight, left), name));
      std::string rules;
      Chosen(rules, name, part);
      into.emplace_back(name, std::move(rules));
      left -= weight;
    }
  }

  // Where all weigh nothing, all weigh the same.
  void WeighAll(Backends backends) {
    equal_ = std::ranges::all_of(backends, [](const Backend& backend) { return backend.weight == 0; });
  }

 private:
  uint64_t Weight(Backends backends) const {
    return std::accumulate(
        backends.begin(), backends.end(), uint64_t{0},
        [&](uint64_t sum, const Backend& backend) { return sum + (equal_ ? 1U : backend.weight); });
  }
  std::string Memory(const Backend& backend) const {
    const bool v4 = port_.key.family == Family::kIpv4;
    return fmt::format("--name {} --mask {} --rsource",
                       ServiceChain("MEM", port_.key, AddressPort(backend.address, backend.port)),
                       v4 ? "255.255.255.255" : "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
  }
  static std::string Target(const Backend& backend) {
    return "-j DNAT --to-destination " + AddressPort(backend.address, backend.port);
  }

  const plan::ServicePort& port_;
  std::string_view protocol_;
  bool equal_ = false;
};

}  // namespace

void RenderBackends(const plan::ServicePort& port, const std::vector<Backend>& backends,
                    const std::string& name, std::string head, NamedChains& into) {
  ListRenderer list(port);
  list.WeighAll(backends);
  list.Remembered(head, name, backends);
  if (backends.size() > kLongList) {
    list.Parted(head, name, backends, into);
  } else {
    list.Chosen(head, name, backends);
  }
  into.emplace_back(name, std::move(head));
}

}  // namespace fairlead::iptables
