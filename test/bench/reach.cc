// SPDX-License-Identifier: Apache-2.0
// bench_reach: sees the moment at which a change of a Service's only endpoint takes effect, as a client sees
// it and in whatever mode: it connects, again and again, until another endpoint answers.
//
//   bench_reach --server-netns PIN --client-netns PIN --cgroup DIR [--timeout-ms N]
//
// Commands on stdin, one line each; answers, one line each:
//
//   watch IP PORT    "watching ENDPOINT", and then "reached NS" (CLOCK_MONOTONIC) or "timeout"
//   quit
//
// A look is one connection and a pause of 50 us, together some 150 us: a change is seen half of that late. A
// connection that fails ends the program, as there is an endpoint at all times.
#include <fmt/format.h>
#include <sys/prctl.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <sstream>
#include <string>

#include "test/bench/bench_cluster.h"
#include "test/bench/figures.h"
#include "test/bench/lab_sockets.h"

namespace fairlead::bench {
namespace {

constexpr timespec kPause{0, 50'000};

struct Options {
  std::string server_netns, client_netns, cgroup;
  int timeout_ms = 10'000;
};

class Watcher {
 public:
  explicit Watcher(const Options& options) : timeout_ns_(int64_t{options.timeout_ms} * 1'000'000) {
    EnterNetns(options.server_netns);
    listener_ = Listen(kEndpointPort);
    EnterNetns(options.client_netns);
    EnterCgroup(options.cgroup);
  }

  std::string Obey(const std::string& line) const {
    std::istringstream words(line);
    std::string command;
    std::string ip;
    uint16_t port = 0;
    words >> command >> ip >> port;
    if (command != "watch" || words.fail()) return "error: expected watch IP PORT, or quit";
    return Watch(ParseIpv4(ip), port);
  }

 private:
  // The address of the endpoint that answers.
  uint32_t Look(uint32_t ip, uint16_t port) const {
    Fd client = TcpSocket();
    Connect(client, ip, port);
    const Fd server = Accept(listener_);
    const uint32_t endpoint = LocalIp(server);
    CloseHard(client);
    return endpoint;
  }

  std::string Watch(uint32_t ip, uint16_t port) const {
    const uint32_t before = Look(ip, port);
    fmt::print("watching {}\n", FormatIpv4(before));
    std::fflush(stdout);
    for (const int64_t end = WallNs() + timeout_ns_;;) {
      if (Look(ip, port) != before) return fmt::format("reached {}", WallNs());
      if (WallNs() > end) return "timeout";
      ::nanosleep(&kPause, nullptr);
    }
  }

  const int64_t timeout_ns_;
  Fd listener_;
};

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("Watches a Service's endpoint change");
  app.add_option("--server-netns", options.server_netns, "holds every endpoint's address")->required();
  app.add_option("--client-netns", options.client_netns)->required();
  app.add_option("--cgroup", options.cgroup, "the client's")->required();
  app.add_option("--timeout-ms", options.timeout_ms);
  CLI11_PARSE(app, argc, argv);
  ::prctl(PR_SET_TIMERSLACK, 1);
  const Watcher watcher(options);
  for (std::string line; std::getline(std::cin, line) && line != "quit";) {
    std::puts(watcher.Obey(line).c_str());
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace fairlead::bench

int main(int argc, char** argv) {
  return fairlead::bench::Main(argc, argv);
}
