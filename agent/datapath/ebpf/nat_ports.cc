// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/nat_ports.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "agent/base/log.h"

namespace fairlead::ebpf {

namespace {

constexpr std::chrono::seconds kResync{30};
constexpr PortRange kPrivileged{0, 1023};
constexpr PortRange kKernelsDefault{32768, 60999};  // net.ipv4.ip_local_port_range
constexpr size_t kEnough = 1024;

// Half: sockets that are given a port then collide half as often.
PortSet UpperHalf(const PortSet& ports) {
  PortSet upper;
  size_t left = ports.Count() / 2;
  for (uint32_t port = 65535; left > 0; --port) {
    if (!ports.Has(static_cast<uint16_t>(port))) continue;
    upper.Add(static_cast<uint16_t>(port));
    --left;
  }
  return upper;
}

}  // namespace

NatPortChoice ChooseNatPorts(PortRange nodeport_range, const PortSet& nodeports, const HostPorts& host) {
  PortSet others = nodeports;
  others.Add(kPrivileged);
  others.Add(nodeport_range);
  others |= host.bound;

  PortSet all;
  all.Add(PortRange{0, 65535});
  NatPortChoice choice;
  choice.ports = all -= others;
  choice.ports -= host.ephemeral;
  choice.scarce = choice.ports.Count() < kEnough;
  if (choice.scarce) {
    PortSet given = host.ephemeral;
    choice.ports |= UpperHalf(given -= others);
  }
  return choice;
}

std::vector<uint64_t> ReadNatTries(int nat_tries_fd) {
  std::vector<nat_try_count> per_cpu(static_cast<size_t>(std::max(libbpf_num_possible_cpus(), 1)));
  std::vector<uint64_t> tries(NAT_TRIES + 1);
  for (uint32_t i = 0; i < tries.size(); ++i) {
    if (bpf_map_lookup_elem(nat_tries_fd, &i, per_cpu.data()) != 0) continue;
    for (const nat_try_count& count : per_cpu) tries[i] += count.flows;
  }
  return tries;
}

NatPorts::NatPorts(std::span<nat_port_word> table, PortRange nodeport_range, ReadHost read_host)
    : table_(table), nodeport_range_(nodeport_range), read_host_(std::move(read_host)) {
  host_.ephemeral.Add(kKernelsDefault);
}

void NatPorts::Note(const plan::Change& change) {
  std::vector<uint16_t> now;
  if (change.now) {
    for (const plan::Frontend& frontend : change.now->frontends) {
      if (frontend.kind == plan::FrontendKind::kNodePort) now.push_back(frontend.port);
    }
  }
  auto known = nodeports_.find(change.key);
  if (known == nodeports_.end() ? now.empty() : known->second == now) return;
  changed_ = true;
  if (now.empty()) {
    nodeports_.erase(known);
  } else {
    nodeports_[change.key] = std::move(now);
  }
}

NatPorts::TimePoint NatPorts::Poll(TimePoint now) {
  if (now >= next_) {
    next_ = now + kResync;
    auto host = read_host_();
    std::string error = host ? "" : host.error().message;
    if (!error.empty() && error != last_error_) {
      spdlog::warn("source ports of masqueraded flows: {}; those chosen before go on", error);
    }
    last_error_ = error;
    if (host) host_ = *host;
    changed_ = true;
  }
  if (!std::exchange(changed_, false)) return next_;
  PortSet nodeports;
  for (const auto& [key, ports] : nodeports_) {
    for (uint16_t port : ports) nodeports.Add(port);
  }
  NatPortChoice choice = ChooseNatPorts(nodeport_range_, nodeports, host_);
  Write(choice.ports);
  if (choice.scarce && !scarce_) {
    spdlog::warn(
        "source ports of masqueraded flows: almost all are bound, NodePorts or in "
        "net.ipv4.ip_local_port_range; half of that range is used too, so that {} are left",
        usable());
  }
  scarce_ = choice.scarce;
  return next_;
}

// Programs take every word as it is: one that has changed and one that has not yet are both right.
void NatPorts::Write(const PortSet& ports) {
  for (size_t i = 0; i < table_.size() && i < PortSet::kWords; ++i) {
    std::atomic_ref word(table_[i].usable);
    if (word.load(std::memory_order_relaxed) != ports.Word(i)) {
      word.store(ports.Word(i), std::memory_order_relaxed);
    }
  }
  usable_ = ports.Count();
}

}  // namespace fairlead::ebpf
