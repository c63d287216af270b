// SPDX-License-Identifier: Apache-2.0
#include "test/support/ebpf/rig.h"

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <sstream>

#include <gtest/gtest.h>

#include "test/support/ebpf/dump.h"
#include "test/support/ebpf/reader.h"
#include "test/support/objects.h"

namespace fairlead::test {

Capacities SmallCapacities() {
  Capacities capacities;
  capacities.frontends = 256;
  capacities.backends = 4096;
  capacities.ring_slots = 64 * 1024;
  capacities.services = 64;
  capacities.source_ranges = 64;
  return capacities;
}

// --- service ports

PortOf::PortOf(std::string_view service, std::string_view port) {
  port_.key.service = Name(service);
  port_.key.port = port;
}

PortOf& PortOf::Udp() {
  port_.key.protocol = plan::Protocol::kUdp;
  return *this;
}

PortOf& PortOf::ClusterIp(std::string_view address, uint16_t port) {
  port_.frontends.push_back(ClusterIpAt(address, port));
  port_.key.family = port_.frontends.back().address.GetFamily();
  return *this;
}

PortOf& PortOf::ExternalIp(std::string_view address, uint16_t port) {
  return External({plan::FrontendKind::kExternalIp, Addr(address), port});
}

PortOf& PortOf::LoadBalancer(std::string_view address, uint16_t port) {
  return External(LoadBalancerAt(address, port));
}

PortOf& PortOf::NodePort(uint16_t port) {
  return External({plan::FrontendKind::kNodePort, plan::AnyAddress(port_.key.family), port});
}

PortOf& PortOf::External(const plan::Frontend& frontend) {
  port_.frontends.push_back(frontend);
  bool keeps_source = port_.external_local || port_.forwarding == plan::Forwarding::kDsr;
  port_.frontends.back().masquerade = keeps_source ? plan::Masquerade::kNobody : plan::Masquerade::kAll;
  return *this;
}

namespace {

void KeepSources(plan::ServicePort& port) {
  for (plan::Frontend& frontend : port.frontends) {
    if (frontend.kind != plan::FrontendKind::kClusterIp) frontend.masquerade = plan::Masquerade::kNobody;
  }
}

std::vector<plan::Backend> ListOf(std::initializer_list<std::string_view> texts) {
  std::vector<plan::Backend> list;
  for (std::string_view text : texts) list.push_back(BackendOf(text));
  std::sort(list.begin(), list.end());
  return list;
}

}  // namespace

PortOf& PortOf::On(std::initializer_list<std::string_view> backends) {
  return On(ListOf(backends));
}

PortOf& PortOf::On(std::vector<plan::Backend> backends) {
  port_.cluster = std::move(backends);
  port_.has_any |= !port_.cluster.empty();
  return *this;
}

PortOf& PortOf::LocalOn(std::initializer_list<std::string_view> backends) {
  port_.local = ListOf(backends);
  port_.needs_local = true;
  port_.has_any |= !port_.local.empty();
  return *this;
}

PortOf& PortOf::Draining(std::initializer_list<std::string_view> backends) {
  port_.draining = ListOf(backends);
  return *this;
}

PortOf& PortOf::InternalLocal() {
  port_.internal_local = true;
  return *this;
}

PortOf& PortOf::ExternalLocal() {
  port_.external_local = true;
  KeepSources(port_);
  return *this;
}

PortOf& PortOf::Dsr() {
  port_.forwarding = plan::Forwarding::kDsr;
  KeepSources(port_);
  return *this;
}

PortOf& PortOf::MasqueradeClusterIps(plan::Masquerade whom) {
  for (plan::Frontend& frontend : port_.frontends) {
    if (frontend.kind == plan::FrontendKind::kClusterIp) frontend.masquerade = whom;
  }
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

PortOf& PortOf::Ranges(std::initializer_list<std::string_view> cidrs) {
  port_.has_source_ranges = true;
  port_.source_ranges.clear();
  for (std::string_view cidr : cidrs) port_.source_ranges.push_back(Range(cidr));
  return *this;
}

PortOf::operator plan::Change() const {
  return {port_.key, std::make_shared<const plan::ServicePort>(port_)};
}

plan::Change Gone(const PortOf& port) {
  return {port.Get().key, nullptr};
}

plan::Backend BackendOf(std::string_view text) {
  std::istringstream words{std::string(text)};
  std::string at, word;
  words >> at;
  size_t colon = at.rfind(':');
  std::string address = at.substr(0, colon);
  if (address.starts_with('[')) address = address.substr(1, address.size() - 2);
  plan::Backend backend;
  backend.address = Addr(address);
  backend.port = static_cast<uint16_t>(std::stoi(at.substr(colon + 1)));
  while (words >> word) {
    if (word == "local") {
      backend.local = true;
    } else if (word == "terminating") {
      backend.terminating = true;
    } else if (word.starts_with("weight=")) {
      backend.weight = static_cast<uint16_t>(std::stoi(word.substr(7)));
    } else {
      std::cerr << "backend " << text << ": " << word << " is no word of a backend\n";
      std::abort();
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

plan::Frontend ClusterIpAt(std::string_view address, uint16_t port) {
  return {plan::FrontendKind::kClusterIp, Addr(address), port};
}
plan::Frontend NodePortAt(uint16_t port) {
  return {plan::FrontendKind::kNodePort, plan::AnyAddress(Family::kIpv4), port};
}
plan::Frontend LoadBalancerAt(std::string_view address, uint16_t port) {
  return {plan::FrontendKind::kLoadBalancer, Addr(address), port};
}

// --- the rig

Rig::Rig(const Capacities& capacities)
    : memory(capacities), services_(memory.services), source_ranges_(memory.source_ranges) {
  NewWriter();
}

void Rig::NewWriter() {
  writer.reset();
  reclaimer = std::make_unique<ebpf::Reclaimer>(grace);
  ebpf::Tables view = memory.View();
  view.services = &services_;
  view.source_ranges = &source_ranges_;
  writer = std::make_unique<ebpf::Writer>(view, *reclaimer);
  OnStep(step_);
}

void Rig::OnStep(std::function<void()> step) {
  step_ = std::move(step);
  services_.on_write = step_;
  source_ranges_.on_write = step_;
  writer->store().on_store = step_;
}

void Rig::Apply(std::vector<plan::Change> changes) {
  for (const std::string& failure : Try(std::move(changes))) ADD_FAILURE() << failure;
}

std::vector<std::string> Rig::Try(std::vector<plan::Change> changes) {
  std::vector<std::string> messages;
  for (auto& failure : writer->Apply(changes)) messages.push_back(failure.error.message);
  return messages;
}

void Rig::Settle() {
  for (int i = 0; reclaimer->Poll(); ++i) {
    ASSERT_LT(i, 1000) << "the reclaimer does not come to an end";
    grace.Finish();
  }
}

std::vector<std::string> Rig::Restart() {
  NewWriter();
  auto findings = writer->Restore();
  if (!findings) return {findings.error().message};
  return *findings;
}

uint64_t Rig::Cost(const std::function<void()>& work) {
  uint64_t before = writer->store().bytes();
  work();
  return writer->store().bytes() - before;
}

std::map<std::string, std::string> Rig::Entries() {
  return test::Entries(memory.View());
}

std::string Rig::Entry(const plan::Frontend& frontend, frontend_scope scope) {
  return EntryText(memory.View(), ebpf::FrontendKey(frontend, plan::Protocol::kTcp, scope));
}

std::string Rig::Usage() const {
  std::string text;
  for (const auto& usage : writer->Usages()) text += fmt::format("{} {}, ", usage.table, usage.used);
  return text;
}

uint32_t Rig::ServiceId(const plan::Frontend& frontend) {
  Reader reader(memory.View());
  auto found = reader.Find(ebpf::FrontendKey(frontend, plan::Protocol::kTcp, SCOPE_CLUSTER));
  return found ? reader.Head(*found)->service_id : 0;
}

std::vector<uint32_t> Rig::BackendIds(const plan::Frontend& frontend) {
  Reader reader(memory.View());
  std::vector<uint32_t> ids;
  auto found = reader.Find(ebpf::FrontendKey(frontend, plan::Protocol::kTcp, SCOPE_CLUSTER));
  for (uint32_t i = 0; found && i < found->count; ++i) ids.push_back(reader.Backend(*found, i)->id);
  return ids;
}

}  // namespace fairlead::test
