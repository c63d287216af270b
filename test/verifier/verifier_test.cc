// SPDX-License-Identifier: Apache-2.0
// Every built object loads on this kernel under every shipped configuration, and how much the verifier had to
// look at for it. Maps are not pinned: nothing stays behind.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "agent/datapath/ebpf/program_config.h"
#include "agent/datapath/ebpf/table_set.h"
#include "agent/options.h"
#include "fairlead/config.h"
#include "maps/affinity.h"

namespace {

using fairlead::Capacities;

// A fifth of what the kernel allows (BPF_COMPLEXITY_LIMIT_INSNS, 1,000,000): room for older verifiers, which
// see more paths, and for what the programs will learn. Verification is most of the time that a start takes.
constexpr uint32_t kMostInstructions = 200000;

struct Configuration {
  const char* name;
  Capacities capacities;
  bool pod_devices_are_pods = false;
  fairlead::ConntrackOptions conntrack = {};
  bool strong_order = true;  // false: as on arm64
};

Capacities Scaled(uint32_t frontends) {
  Capacities capacities;
  capacities.frontends = frontends;
  capacities.backends = frontends * 2;
  capacities.services = frontends;
  capacities.ring_slots = frontends * 8;
  capacities.affinity = frontends;
  capacities.source_ranges = frontends;
  capacities.flows = frontends;
  return capacities;
}

const std::vector<Configuration> kConfigurations = {
    {"Smallest", {1, 2, RING_CHUNK_SLOTS, 1, 1, 1, 1}},
    {"Small", Scaled(256), true, {}},
    {"Default", {}},
    {"WeakOrder", {}, false, {}, false},
    {"Large", Scaled(1U << 20)},
};

std::vector<std::filesystem::path> ObjectFiles() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(FAIRLEAD_BINARY_DIR "/bpf")) {
    if (entry.path().extension() == ".o") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

struct CloseObject {
  void operator()(bpf_object* object) const { bpf_object__close(object); }
};
using Object = std::unique_ptr<bpf_object, CloseObject>;

void SetSizes(bpf_object* object, const Capacities& capacities) {
  const auto sizes = fairlead::ebpf::TableSizes(capacities);
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object) {
    auto size = sizes.find(bpf_map__name(map));
    if (size == sizes.end()) continue;
    ASSERT_EQ(bpf_map__set_max_entries(map, size->second), 0) << size->first;
  }
}

// The read-only data as the agent fills it before load. An object without configuration has none.
void SetConfig(bpf_object* object, const Configuration& configuration) {
  schema tables{};
  const auto sizes = fairlead::ebpf::TableSizes(configuration.capacities);
  tables.frontend_slots = sizes.at(frontends_table::kName);
  tables.flow_sets = sizes.at(conntrack_table::kName);
  tables.hash_seed = 0x123456789abcdef0ULL;
  for (auto& key : tables.flow_keys) key = tables.hash_seed | 1;
  fairlead_config config = fairlead::ebpf::ProgramConfig(tables, {1, 250}, configuration.conntrack,
                                                         configuration.pod_devices_are_pods, true, true);
  config.strong_order = configuration.strong_order;
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object) {
    size_t size = 0;
    const auto* initial = static_cast<const char*>(bpf_map__initial_value(map, &size));
    if (!std::string_view(bpf_map__name(map)).ends_with(".rodata") || size < sizeof(config)) continue;
    std::vector<char> data(initial, initial + size);
    std::memcpy(data.data(), &config, sizeof(config));
    ASSERT_EQ(bpf_map__set_initial_value(map, data.data(), size), 0);
  }
}

class VerifierTest : public testing::TestWithParam<std::tuple<std::filesystem::path, Configuration>> {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "loading BPF programs needs root";
    rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
    ::setrlimit(RLIMIT_MEMLOCK, &unlimited);
  }
};

std::string* libbpf_said = nullptr;
int Remember(libbpf_print_level level, const char* format, va_list args) {
  if (level == LIBBPF_DEBUG || !libbpf_said) return 0;
  char line[4096];
  std::vsnprintf(line, sizeof(line), format, args);
  *libbpf_said += line;
  return 0;
}

TEST_P(VerifierTest, EveryProgramLoadsWellWithinTheLimit) {
  const auto& [file, configuration] = GetParam();
  std::string said;
  libbpf_said = &said;
  libbpf_set_print(Remember);
  Object object(bpf_object__open(file.c_str()));
  ASSERT_TRUE(object) << said;
  SetSizes(object.get(), configuration.capacities);
  SetConfig(object.get(), configuration);
  int error = bpf_object__load(object.get());
  libbpf_said = nullptr;
  if (error == -ENOMEM) GTEST_SKIP() << "not enough memory for tables of this size";
  ASSERT_EQ(error, 0) << std::strerror(-error) << "\n" << said;

  bpf_program* program = nullptr;
  size_t programs = 0;
  bpf_object__for_each_program(program, object.get()) {
    ++programs;
    bpf_prog_info info{};
    uint32_t size = sizeof(info);
    ASSERT_EQ(bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size), 0);
    fmt::print("    {:<20} {:>6} instructions, {:>6} verified, {:>6} bytes of machine code\n",
               bpf_program__name(program), info.xlated_prog_len / 8, info.verified_insns,
               info.jited_prog_len);
    EXPECT_LT(info.verified_insns, kMostInstructions) << bpf_program__name(program);
    EXPECT_GT(info.verified_insns, 0U) << bpf_program__name(program);
  }
  EXPECT_GT(programs, 0U);
}

INSTANTIATE_TEST_SUITE_P(Objects, VerifierTest,
                         testing::Combine(testing::ValuesIn(ObjectFiles()),
                                          testing::ValuesIn(kConfigurations)),
                         [](const auto& parameters) {
                           return std::get<0>(parameters.param).stem().stem().string() +
                                  std::get<1>(parameters.param).name;
                         });

}  // namespace
