// SPDX-License-Identifier: Apache-2.0
#include "test/support/ebpf/rig.h"

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
