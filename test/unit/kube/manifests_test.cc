// SPDX-License-Identifier: Apache-2.0
// The manifests source on real folders with real inotify.
#include <unistd.h>

#include <condition_variable>
#include <deque>
#include <filesystem>
#include <fstream>
#include <mutex>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/kube/source.h"

namespace fairlead::kube {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;
using namespace std::chrono_literals;

class Recorder : public Sink {
 public:
  void Push(Update update) override {
    std::lock_guard lock(mutex_);
    static constexpr const char* kTypes[] = {"upsert", "delete", "replace"};
    std::string text = kTypes[static_cast<int>(update.type)];
    text += " " + std::string(KindName(update.kind));
    if (!update.name.name.empty()) text += " " + update.name.ToString();
    if (update.type == Update::Type::kReplace) text += " " + std::to_string(update.objects.size());
    for (const Object& object : update.objects) {
      if (auto* service = std::get_if<Service>(&object); service && !service->ports.empty()) {
        text += ":" + std::to_string(service->ports[0].port);
      }
    }
    EXPECT_NE(update.received.time_since_epoch().count(), 0);
    lines_.push_back(std::move(text));
    changed_.notify_all();
  }
  void Report(Problem problem) override {
    std::lock_guard lock(mutex_);
    lines_.push_back("problem " + problem.source + ": " + problem.message);
    changed_.notify_all();
  }
  // The next `count` lines; fewer after five seconds.
  std::vector<std::string> Next(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, 5s, [&] { return lines_.size() >= count; });
    std::vector<std::string> next;
    while (next.size() < count && !lines_.empty()) {
      next.push_back(std::move(lines_.front()));
      lines_.pop_front();
    }
    return next;
  }
  // What comes within a time in which everything comes.
  std::vector<std::string> Rest() {
    std::this_thread::sleep_for(300ms);
    return Next(0 + Size());
  }

 private:
  size_t Size() {
    std::lock_guard lock(mutex_);
    return lines_.size();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> lines_;
};

std::string ServiceYaml(const std::string& name, int port) {
  return "---\napiVersion: v1\nkind: Service\nmetadata: {name: " + name +
         ", namespace: shop}\nspec: {clusterIP: 10.96.0.1, ports: [{port: " + std::to_string(port) + "}]}\n";
}

class ManifestsTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = fs::temp_directory_path() / "fairlead-manifests-XXXXXX";
    root_ = ::mkdtemp(pattern.data());
    folder_ = root_ / "manifests";
    fs::create_directory(folder_);
  }
  void TearDown() override {
    source_.reset();
    fs::remove_all(root_);
  }

  void Write(const fs::path& path, const std::string& text) { std::ofstream(path) << text; }
  void WriteAtomically(const fs::path& path, const std::string& text) {
    Write(path.string() + ".tmp", text);
    fs::rename(path.string() + ".tmp", path);
  }
  void Open(const fs::path& path) {
    auto source = OpenManifests(path);
    ASSERT_TRUE(source) << source.error().message;
    source_ = *std::move(source);
    source_->Start(sink_);
  }
  void OpenAndSkipFirst(const fs::path& path) {
    Open(path);
    ASSERT_EQ(sink_.Next(4).size(), 4u);
  }

  fs::path root_;
  fs::path folder_;
  Recorder sink_;
  std::unique_ptr<Source> source_;
};

TEST_F(ManifestsTest, DeliversEveryKindFirstEvenOfAnEmptyFolder) {
  Open(folder_);
  EXPECT_THAT(sink_.Next(4), ElementsAre("replace Service 0", "replace EndpointSlice 0", "replace Node 0",
                                         "replace ServiceCIDR 0"));
  EXPECT_EQ(source_->Describe(), "manifests " + folder_.string());
}

TEST_F(ManifestsTest, FollowsFilesThatComeChangeAndGo) {
  Write(folder_ / "a.yaml", ServiceYaml("a", 1) + ServiceYaml("b", 1));
  Write(folder_ / "ignored.txt", ServiceYaml("x", 1));
  Write(folder_ / ".hidden.yaml", ServiceYaml("x", 1));
  Open(folder_);
  EXPECT_EQ(sink_.Next(4)[0], "replace Service 2:1:1");

  Write(folder_ / "c.json", R"({"apiVersion":"v1","kind":"Node","metadata":{"name":"n"}})");
  EXPECT_THAT(sink_.Next(1), ElementsAre("upsert Node n"));
  Write(folder_ / "a.yaml", ServiceYaml("b", 2) + ServiceYaml("d", 1));
  EXPECT_THAT(sink_.Next(3),
              ElementsAre("delete Service shop/a", "upsert Service shop/b:2", "upsert Service shop/d:1"));
  WriteAtomically(folder_ / "a.yaml", "# formatted anew\n" + ServiceYaml("d", 1) + ServiceYaml("b", 3));
  EXPECT_THAT(sink_.Next(1), ElementsAre("upsert Service shop/b:3"));
  fs::rename(folder_ / "a.yaml", folder_ / "z.yml");
  EXPECT_THAT(sink_.Rest(), testing::Not(testing::Contains(HasSubstr("delete"))));
  fs::remove(folder_ / "z.yml");
  EXPECT_THAT(sink_.Next(2), ElementsAre("delete Service shop/b", "delete Service shop/d"));
  EXPECT_THAT(sink_.Rest(), IsEmpty());
}

TEST_F(ManifestsTest, KeepsTheLastGoodContentsOfABrokenFile) {
  Write(folder_ / "a.yaml", ServiceYaml("a", 1));
  OpenAndSkipFirst(folder_);
  Write(folder_ / "a.yaml", ServiceYaml("a", 2) + "---\na: [\n");
  EXPECT_THAT(sink_.Next(1),
              ElementsAre(AllOf(testing::StartsWith("problem a.yaml:"), HasSubstr("not valid YAML"),
                                HasSubstr("its last good contents stay in force"))));
  Write(folder_ / "a.yaml", "");
  EXPECT_THAT(sink_.Next(1), ElementsAre("problem a.yaml:1: is empty; its last good contents stay in force"));
  Write(folder_ / "a.yaml", ServiceYaml("a", 3));
  EXPECT_THAT(sink_.Next(1), ElementsAre("upsert Service shop/a:3"));
  EXPECT_THAT(sink_.Rest(), IsEmpty());
}

TEST_F(ManifestsTest, KeepsTheLastGoodVersionOfABadObjectWhileTheRestTakesEffect) {
  Write(folder_ / "a.yaml", ServiceYaml("a", 1) + ServiceYaml("b", 1));
  OpenAndSkipFirst(folder_);
  Write(folder_ / "a.yaml", ServiceYaml("a", 70000) + ServiceYaml("b", 2));
  EXPECT_THAT(sink_.Next(2),
              ElementsAre("problem a.yaml:5: Service shop/a: spec.ports[0].port: expected 1-65535, got 70000",
                          "upsert Service shop/b:2"));
  Write(folder_ / "a.yaml", ServiceYaml("a", 70000) + ServiceYaml("b", 3));
  EXPECT_THAT(sink_.Next(1), ElementsAre("upsert Service shop/b:3")) << "the same problem is said once";
  Write(folder_ / "a.yaml", ServiceYaml("b", 3));
  EXPECT_THAT(sink_.Next(1), ElementsAre("delete Service shop/a"));
}

TEST_F(ManifestsTest, TakesAnObjectOfTwoFilesFromTheFirstByName) {
  Write(folder_ / "b.yaml", ServiceYaml("a", 2));
  Open(folder_);
  EXPECT_EQ(sink_.Next(4)[0], "replace Service 1:2");
  Write(folder_ / "c.yaml", ServiceYaml("a", 3));
  EXPECT_THAT(
      sink_.Next(1),
      ElementsAre("problem c.yaml:2: Service shop/a: is in b.yaml too; b.yaml counts, the first by name"));
  Write(folder_ / "a.yaml", ServiceYaml("a", 1));
  EXPECT_THAT(
      sink_.Next(2),
      ElementsAre("problem a.yaml:2: Service shop/a: is in b.yaml too; a.yaml counts, the first by name",
                  "upsert Service shop/a:1"));
  Write(folder_ / "b.yaml", "a: [\n");
  EXPECT_THAT(sink_.Next(1), ElementsAre(HasSubstr("its last good contents stay in force")));
  fs::remove(folder_ / "a.yaml");
  EXPECT_THAT(sink_.Next(1), ElementsAre("upsert Service shop/a:2")) << "from the last good contents";
  fs::remove(folder_ / "b.yaml");
  EXPECT_THAT(sink_.Next(1), ElementsAre("upsert Service shop/a:3"));
}

TEST_F(ManifestsTest, FollowsASingleFileThroughAtomicReplacement) {
  Write(folder_ / "a.yaml", ServiceYaml("a", 1));
  Write(folder_ / "b.yaml", ServiceYaml("b", 1));
  Open(folder_ / "a.yaml");
  EXPECT_EQ(sink_.Next(4)[0], "replace Service 1:1");
  WriteAtomically(folder_ / "a.yaml", ServiceYaml("a", 2));
  EXPECT_THAT(sink_.Next(1), ElementsAre("upsert Service shop/a:2"));
  fs::rename(folder_ / "a.yaml", folder_ / "a.yaml~");  // as editors do before they write the new one
  std::this_thread::sleep_for(30ms);
  Write(folder_ / "a.yaml", ServiceYaml("a", 3));
  EXPECT_THAT(sink_.Next(1), ElementsAre("upsert Service shop/a:3"));
  EXPECT_THAT(sink_.Rest(), IsEmpty());
}

TEST_F(ManifestsTest, FollowsTheSymlinkSwapOfAConfigMapVolume) {
  for (const char* version : {"..v1", "..v2"}) fs::create_directory(folder_ / version);
  Write(folder_ / "..v1" / "a.yaml", ServiceYaml("a", 1));
  Write(folder_ / "..v2" / "a.yaml", ServiceYaml("a", 2));
  fs::create_directory_symlink("..v1", folder_ / "..data");
  fs::create_symlink("..data/a.yaml", folder_ / "a.yaml");
  Open(folder_);
  EXPECT_EQ(sink_.Next(4)[0], "replace Service 1:1");
  fs::create_directory_symlink("..v2", folder_ / "..data_tmp");
  fs::rename(folder_ / "..data_tmp", folder_ / "..data");
  EXPECT_THAT(sink_.Next(1), ElementsAre("upsert Service shop/a:2"));
}

TEST_F(ManifestsTest, KeepsWhatStandsWhileTheFolderIsAwayAndFindsItAgain) {
  Write(folder_ / "a.yaml", ServiceYaml("a", 1));
  OpenAndSkipFirst(folder_);
  fs::rename(folder_, root_ / "aside");
  EXPECT_THAT(sink_.Next(1), ElementsAre(HasSubstr("the folder is gone; its last contents stay in force")));
  EXPECT_THAT(sink_.Rest(), IsEmpty());
  fs::create_directory(folder_);
  EXPECT_THAT(sink_.Next(1), ElementsAre(HasSubstr("the folder is back")));
  WriteAtomically(folder_ / "a.yaml", ServiceYaml("a", 2));
  EXPECT_THAT(sink_.Next(1), ElementsAre("upsert Service shop/a:2"));
}

TEST_F(ManifestsTest, SaysWhyAFileCannotBeRead) {
  fs::create_directory(folder_ / "d.yaml");
  ASSERT_EQ(::mkfifo((folder_ / "f.yaml").c_str(), 0600), 0);
  std::ofstream(folder_ / "g.yaml").close();
  fs::resize_file(folder_ / "g.yaml", (64u << 20) + 1);  // sparse
  Open(folder_);
  EXPECT_THAT(sink_.Next(7), ElementsAre("problem d.yaml: is no regular file; nothing of it is in force",
                                         "problem f.yaml: is no regular file; nothing of it is in force",
                                         "problem g.yaml: is larger than 64 MiB; nothing of it is in force",
                                         "replace Service 0", "replace EndpointSlice 0", "replace Node 0",
                                         "replace ServiceCIDR 0"));
}

TEST_F(ManifestsTest, OpensNothingThatIsNotThere) {
  auto source = OpenManifests(folder_ / "none");
  ASSERT_FALSE(source);
  EXPECT_EQ(source.error().kind, ErrorKind::kInvalid);
  EXPECT_THAT(source.error().message, HasSubstr("expected a file or a folder of manifests"));
}

TEST_F(ManifestsTest, LosesNothingWhenThousandsOfFilesChangeAtOnce) {
  OpenAndSkipFirst(folder_);
  constexpr size_t kFiles = 2000;
  for (size_t i = 0; i < kFiles; ++i) {
    WriteAtomically(folder_ / (std::to_string(i) + ".yaml"), ServiceYaml("s" + std::to_string(i), 1));
  }
  std::vector<std::string> lines = sink_.Next(kFiles);
  std::sort(lines.begin(), lines.end());
  EXPECT_EQ(std::unique(lines.begin(), lines.end()) - lines.begin(), static_cast<ptrdiff_t>(kFiles));
}

}  // namespace
}  // namespace fairlead::kube
