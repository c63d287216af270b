// SPDX-License-Identifier: Apache-2.0
#include "test/support/agent.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <thread>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "test/support/objects.h"

namespace fairlead::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// The Service whose port number says which state of the manifests is in force.
constexpr char kMarkerFile[] = "zz-generation.json";
constexpr char kMarkerIp[] = "172.30.255.254";
constexpr uint16_t kMarkerPort = 10000;
constexpr uint16_t kMarkerPorts = 20000;
constexpr char kMarkerBackend[] = "192.168.99.12:7999";  // on n2

std::string Marker(uint16_t port) {
  return Manifest(
      {Service("lab/generation").ClusterIp(kMarkerIp).Port("generation", port).ToJson(),
       Slice("lab/generation").Port("generation", 7999).Endpoint("192.168.99.12").On("n2").ToJson()});
}

// How many times longer than usual everything may take: more on an emulated CPU (scripts/test.sh's VMs).
int Slowness() {
  const char* text = std::getenv("FAIRLEAD_TEST_SLOWNESS");
  return text == nullptr ? 1 : std::max(1, std::atoi(text));
}

std::string ReadFile(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

}  // namespace

std::string Manifest(const std::vector<std::string>& objects) {
  return fmt::format("{{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[{}]}}\n",
                     fmt::join(objects, ",\n"));
}

Agent::Agent(Lab& lab, Node& node, const std::vector<std::string>& arguments) : lab_(lab), node_(node) {
  const auto& sandbox = Sandbox::Get();
  const std::string own = fmt::format("{}/{}", sandbox.Scratch(), node.Net().Name());
  bpffs_dir_ = UnderTest() ? sandbox.BpffsDir() : sandbox.SecondBpffsDir();
  manifests_ = own + "/manifests";
  log_ = own + "/agent.log";
  std::filesystem::create_directories(manifests_);
  argv_ = {Sandbox::BuildDir() + "/fairlead",
           "--manifests",
           manifests_,
           "--cgroup",
           UnderTest() ? sandbox.Cgroup() : sandbox.EmptyCgroup(),
           "--bpffs-dir",
           bpffs_dir_,
           "--hostname-override",
           node.Name(),
           "--proxy-mode",
           "ebpf",
           "--healthz-bind-address",
           "0.0.0.0:10256",
           "--metrics-bind-address",
           "127.0.0.1:10249"};
  argv_.insert(argv_.end(), arguments.begin(), arguments.end());
  lab.Serve(kMarkerBackend);
  Put("node.json", NodeObject(node.Name())
                       .InternalIp(node.Ip())
                       .InternalIp(node.Ip6())
                       .PodCidr(node.PodCidr())
                       .PodCidr(node.PodCidr6())
                       .ToJson());
}

Agent::~Agent() {
  child_.reset();
  if (testing::Test::HasFailure())
    std::cout << "--- " << fmt::format("{}", fmt::join(argv_, " ")) << "\n" << Log();
  Sandbox::RemovePins(bpffs_dir_);
}

void Agent::Launch() {
  child_ = Child::Start({argv_, &node_.Net(), Sandbox::Get().HomeCgroup(), log_});
}

void Agent::Start() {
  Launch();
  Settle(std::chrono::seconds(60));  // the verifier takes seconds on a busy machine
}

int Agent::Stop() {
  child_->Signal(SIGTERM);
  const auto status = child_->Wait(std::chrono::seconds(10));
  child_.reset();
  if (!status) throw std::runtime_error("the agent did not end within 10 s of SIGTERM");
  return *status;
}

void Agent::Kill() {
  child_.reset();
}

Finished Agent::RunTool(std::string_view program, const std::vector<std::string>& arguments) {
  std::vector<std::string> argv{fmt::format("{}/{}", Sandbox::BuildDir(), program)};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  const std::string output = log_ + ".tool";
  std::filesystem::remove(output);
  Child child = Child::Start({argv, &node_.Net(), Sandbox::Get().HomeCgroup(), output});
  const auto status = child.Wait(std::chrono::seconds(20));
  return {status.value_or(-1), ReadFile(output)};
}

Finished Agent::Ctl(std::vector<std::string> arguments) {
  arguments.insert(arguments.end(), {"--bpffs-dir", bpffs_dir_});
  return RunTool("fairleadctl", arguments);
}

Finished Agent::Cleanup() {
  std::vector<std::string> arguments(argv_.begin() + 1, argv_.end());
  arguments.push_back("--cleanup");
  return RunTool("fairlead", arguments);
}

void Agent::Put(std::string_view file, std::string_view text) {
  const std::string scratch = fmt::format("{}/../{}.new", manifests_, file);
  std::ofstream(scratch) << text;
  std::filesystem::rename(scratch, fmt::format("{}/{}", manifests_, file));
}

void Agent::Remove(std::string_view file) {
  std::filesystem::remove(fmt::format("{}/{}", manifests_, file));
}

void Agent::Settle(milliseconds patience) {
  const auto deadline = steady_clock::now() + patience * Slowness();
  // Twice: the first marker may come into force in the midst of the pass that brings what was put before it.
  SettleOnce(deadline);
  SettleOnce(deadline);
}

void Agent::SettleOnce(steady_clock::time_point deadline) {
  const auto port = static_cast<uint16_t>(kMarkerPort + ++generation_ % kMarkerPorts);
  Put(kMarkerFile, Marker(port));
  while (!HasMarker(port)) {
    if (child_ && !child_->Running())
      throw std::runtime_error(
          fmt::format("the agent ended with status {}:\n{}", *child_->Wait(milliseconds(0)), Log()));
    if (steady_clock::now() > deadline)
      throw std::runtime_error(fmt::format("the agent did not take the manifests in time:\n{}", Log()));
    std::this_thread::sleep_for(milliseconds(2));
  }
}

bool Agent::HasMarker(uint16_t port) {
  const std::string marker = fmt::format("{}:{}", kMarkerIp, port);
  if (!UnderTest())
    return Ctl({"services"}).output.contains(marker);  // nobody there is translated at a socket
  ClientOptions quick;
  quick.timeout = milliseconds(50);
  return Connect(node_.Net(), Proto::kTcp, Target::Parse(marker), quick).end == End::kReached;
}

std::string Agent::Log() const {
  const std::string text = ReadFile(log_);
  constexpr size_t kTail = 8000;
  return text.size() > kTail ? "...\n" + text.substr(text.size() - kTail) : text;
}

HttpAnswer Agent::Healthz(std::string_view path) const {
  return HttpGet(node_.Net(), Target::Parse(node_.Ip() + ":10256"), path);
}

HttpAnswer Agent::Metrics(std::string_view path) const {
  return HttpGet(node_.Net(), Target::Parse("127.0.0.1:10249"), path);
}

}  // namespace fairlead::test
