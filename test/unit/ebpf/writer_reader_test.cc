// SPDX-License-Identifier: Apache-2.0
// A reader on another CPU while the writer churns, with grace periods that really wait for it.
#include <atomic>
#include <chrono>
#include <cstring>
#include <random>
#include <thread>

#include <gtest/gtest.h>

#include "test/support/ebpf/reader.h"
#include "test/support/ebpf/rig.h"
#include "test/support/service_port.h"

namespace fairlead::ebpf {
namespace {

using test::PortOf;

constexpr uint32_t kServices = 12;

// Over when the reader has passed a point at which it holds nothing, since the start.
class ReaderGrace : public Grace {
 public:
  void Start() override { started_ = passed.load(); }
  bool Done() override { return passed.load() != started_; }
  std::atomic<uint64_t> passed{0};

 private:
  uint64_t started_ = 0;
};

// Backends of service n are 10.n.x.x, so that a reader can tell whose one is.
PortOf Nth(uint32_t n, std::minstd_rand& random) {
  PortOf port(fmt::format("shop/s{}", n));
  port.ClusterIp(fmt::format("172.30.0.{}", n), 80);
  std::vector<plan::Backend> backends;
  size_t count = random() % 20;
  for (size_t i = 0; i < count; ++i) {
    backends.push_back(
        test::BackendOf(fmt::format("10.{}.{}.{}:8080", n, random() % 3, 1 + i * 10 + random() % 10)));
  }
  std::sort(backends.begin(), backends.end());
  backends.erase(std::unique(backends.begin(), backends.end()), backends.end());
  port.On(backends);
  if (random() % 2 == 0) port.Maglev();
  return port;
}

// What one lookup found wrong; empty if nothing.
std::string Look(const test::Reader& reader, uint32_t n, uint32_t hash) {
  auto found = reader.Find(
      FrontendKey(test::ClusterIpAt(fmt::format("172.30.0.{}", n), 80), plan::Protocol::kTcp, SCOPE_CLUSTER));
  if (!found || found->count == 0) return {};
  const run* head = reader.Head(*found);
  if (!head || head->kind != RECORD_RUN) return fmt::format("service {}: no run", n);
  const backend* chosen =
      found->algorithm == ALGORITHM_MAGLEV
          ? reader.Maglev(*found, *head, hash)
          : reader.Backend(*found, static_cast<uint32_t>(uint64_t{hash} * found->count >> 32));
  if (!chosen || chosen->kind != RECORD_BACKEND) return fmt::format("service {}: no backend", n);
  if (chosen->addr.bytes[13] != n)
    return fmt::format("service {}: a backend of service {}", n, chosen->addr.bytes[13]);
  if (!reader.Holds(*found, *head, chosen->id)) return fmt::format("service {}: its backend is not held", n);
  return {};
}

TEST(ConcurrentReader, NeverFindsABackendOfAnotherService) {
  Capacities capacities = test::SmallCapacities();
  capacities.backends = 600;  // little, so that memory is used again soon
  capacities.ring_slots = 32 * 1024;
  capacities.frontends = 32;
  MemoryTables memory(capacities);
  ReaderGrace grace;
  Reclaimer reclaimer(grace);
  Writer writer(memory.View(), reclaimer);
  std::atomic<bool> stop{false};
  std::string fault;
  uint64_t found = 0;

  std::thread client([&] {
    test::Reader reader(memory.View());
    std::minstd_rand random(3);
    while (!stop) {
      auto n = static_cast<uint32_t>(1 + random() % kServices);
      std::string wrong = Look(reader, n, static_cast<uint32_t>(random() << 2));
      if (!wrong.empty() && fault.empty()) fault = wrong;
      ++found;
      grace.passed.fetch_add(1);
    }
  });

  std::minstd_rand random(5);
  uint64_t applied = 0;
  auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  while (std::chrono::steady_clock::now() < end) {
    auto n = static_cast<uint32_t>(1 + random() % kServices);
    PortOf port = Nth(n, random);
    plan::Change change = random() % 10 == 0 ? Gone(port) : plan::Change(port);
    applied += writer.Apply(std::vector{change}).empty();  // the small arena is full at times
    reclaimer.Poll();
  }
  stop = true;
  client.join();
  EXPECT_EQ(fault, "");
  EXPECT_GT(applied, 1000U);
  EXPECT_GT(found, 10000U);
}

}  // namespace
}  // namespace fairlead::ebpf
