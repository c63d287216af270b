// SPDX-License-Identifier: Apache-2.0
// `fairlead --cleanup` leaves nothing of the agent in the kernel. Looked at with bpftool, by the ids of what
// was there: other programs of the machine come and go meanwhile.
#include <gmock/gmock.h>
#include <yaml-cpp/yaml.h>

#include <filesystem>
#include <map>
#include <set>
#include <thread>

#include "test/support/node_fixture.h"

namespace fairlead::test {
namespace {

using testing::IsEmpty;

// Kinds of BPF objects as bpftool names them, each with ids.
using Ids = std::set<std::pair<std::string, std::string>>;

YAML::Node Bpftool(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"bpftool", "-j"});
  const Finished done = Run(arguments);
  return done.status == 0 ? YAML::Load(done.output.empty() ? "[]" : done.output) : YAML::Node();
}

// Every object pinned below `folder`, and the programs and maps these need.
Ids ObjectsOf(const std::string& folder) {
  Ids ids;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    for (const char* kind : {"map", "prog", "link"}) {
      const YAML::Node object = Bpftool({kind, "show", "pinned", entry.path()});
      if (!object.IsMap() || !object["id"]) continue;
      ids.emplace(kind, object["id"].Scalar());
      if (object["prog_id"]) ids.emplace("prog", object["prog_id"].Scalar());
    }
  }
  for (const auto& [kind, id] : Ids(ids)) {
    if (kind != "prog") continue;
    const YAML::Node program = Bpftool({"prog", "show", "id", id});
    if (!program["map_ids"]) continue;
    for (const auto& map : program["map_ids"]) ids.emplace("map", map.as<std::string>());
  }
  return ids;
}

Ids StillThere(const Ids& ids) {
  Ids there;
  for (const auto& [kind, id] : ids) {
    if (Bpftool({kind, "show", "id", id}).IsMap()) there.emplace(kind, id);
  }
  return there;
}

class CleanupTest : public NodeTest {
 protected:
  Finished Cleanup() {
    const auto& sandbox = Sandbox::Get();
    return TheAgent().RunTool("fairlead",
                              {"--cleanup", "--cgroup", sandbox.Cgroup(), "--bpffs-dir", sandbox.BpffsDir()});
  }
};

TEST_F(CleanupTest, LeavesNoPinNoObjectAndNoAttachment) {
  Program(Cart(30001).Affinity().Setting("algorithm", "maglev"), CartSlice({"10.180.1.11"}));
  const auto& sandbox = Sandbox::Get();
  const Ids before = ObjectsOf(sandbox.BpffsDir());
  ASSERT_GE(before.size(), 10u);
  ASSERT_GE(Bpftool({"cgroup", "show", sandbox.Cgroup()}).size(), 8u);
  EXPECT_EQ(TheAgent().Stop(), 0);
  EXPECT_EQ(StillThere(before), before);

  const Finished done = Cleanup();
  EXPECT_EQ(done.status, 0) << done.output;
  EXPECT_FALSE(std::filesystem::exists(sandbox.BpffsDir()));
  EXPECT_EQ(Bpftool({"cgroup", "show", sandbox.Cgroup()}).size(), 0u);
  // The kernel frees programs and maps after a grace period.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (!StillThere(before).empty() && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_THAT(StillThere(before), IsEmpty());
}

TEST_F(CleanupTest, NothingIsTranslatedAfterwardsAndANewAgentStartsAfresh) {
  Program(Cart(), CartSlice({"10.180.1.11"}));
  EXPECT_EQ(TheAgent().Stop(), 0);
  EXPECT_EQ(Cleanup().status, 0);
  EXPECT_EQ(Connect(Pod(), Proto::kTcp, At(kVip), {.timeout = std::chrono::milliseconds(50)}).end,
            End::kSilent);
  TheAgent().Start();
  EXPECT_EQ(Connect(Pod(), Proto::kTcp, At(kVip)).backend, "10.180.1.11:8080");
}

TEST_F(CleanupTest, UnderARunningAgentIsRefused) {
  Program(Cart(), CartSlice({"10.180.1.11"}));
  const Finished refused = Cleanup();
  EXPECT_NE(refused.status, 0);
  EXPECT_NE(refused.output.find("another fairlead is running on it"), std::string::npos) << refused.output;
  EXPECT_EQ(Connect(Pod(), Proto::kTcp, At(kVip)).backend, "10.180.1.11:8080");
}

TEST_F(CleanupTest, WithNothingThereIsNoError) {
  TheAgent().Stop();
  EXPECT_EQ(Cleanup().status, 0);
  const Finished again = Cleanup();
  EXPECT_EQ(again.status, 0) << again.output;
}

}  // namespace
}  // namespace fairlead::test
