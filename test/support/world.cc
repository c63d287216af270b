// SPDX-License-Identifier: Apache-2.0
#include "test/support/world.h"

#include <gtest/gtest.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/plan/print.h"

namespace fairlead::test {

namespace {

template <typename T, typename Render>
std::string Join(const std::vector<T>& items, std::string_view separator, Render render) {
  std::vector<std::string> texts;
  for (const T& item : items) texts.push_back(render(item));
  return fmt::format("{}", fmt::join(texts, separator));
}

}  // namespace

plan::NodeFacts Facts() {
  plan::NodeFacts facts;
  facts.name = "n1";
  facts.zone = "a";
  facts.addresses = {Addr("192.168.99.11"), Addr("fd00:192:168:99::11")};
  return facts;
}

plan::Delta World::Apply(std::vector<kube::Object> objects) {
  for (kube::Object& object : objects) cluster.Apply(Upsert(std::move(object)));
  return PlanDirty();
}

plan::Delta World::Remove(kube::Kind kind, std::string_view name) {
  cluster.Apply(Delete(kind, name));
  return PlanDirty();
}

plan::Delta World::PlanDirty() {
  return planner.Update(cluster, cluster.TakeDirty());
}

plan::Delta World::PlanAll() {
  return planner.Update(cluster, cluster.ServiceNames());
}

bool World::Has(std::string_view key) const {
  for (const auto& [k, port] : planner.plan()) {
    if (k.ToString() == key) return true;
  }
  return false;
}

const plan::ServicePort& World::Port(std::string_view key) const {
  static const plan::ServicePort none;
  for (const auto& [k, port] : planner.plan()) {
    if (k.ToString() == key) return *port;
  }
  ADD_FAILURE() << "no service port " << key << " in the plan:\n" << Print();
  return none;
}

std::string World::Print() const {
  std::string text;
  for (const auto& [key, port] : planner.plan()) text += plan::Print(*port);
  return text;
}

std::string Text(const std::vector<plan::Backend>& backends) {
  return Join(backends, " ", [](const plan::Backend& b) { return AddressPort(b.address, b.port); });
}

std::string Text(const std::vector<plan::Frontend>& frontends) {
  return Join(frontends, ", ", [](const plan::Frontend& f) {
    return f.kind == plan::FrontendKind::kNodePort
               ? fmt::format("NodePort {}", f.port)
               : fmt::format("{} {}", FrontendKindName(f.kind), AddressPort(f.address, f.port));
  });
}

std::string Text(const std::vector<plan::Change>& changes) {
  return Join(changes, "\n", [](const plan::Change& c) { return (c.now ? "+" : "-") + c.key.ToString(); });
}

std::string Text(const std::vector<kube::Problem>& problems) {
  return Join(problems, "\n", [](const kube::Problem& p) { return p.message; });
}

std::string Text(const std::vector<Cidr>& ranges) {
  return Join(ranges, " ", [](const Cidr& c) { return c.ToString(); });
}

}  // namespace fairlead::test
