// SPDX-License-Identifier: Apache-2.0
// bench_connections: what a connection costs through a Service, against the same pods connected directly.
//
// Three ways to the same endpoints, all picked at random:
//   direct   a client of a cgroup without programs connects to an endpoint
//   others   a client under the programs connects to an endpoint: what everybody else pays for them
//   service  a client under the programs connects to a cluster IP; with --packets one without them does,
//            so that its packets are translated on the way
//
// Rules of netfilter slow down even what they do not match. With --bare-*, direct connections are made
// between two other pods of the same kind, on a node without any.
//
// Each round does a block of every way, beginning with another one each time. Figures of a way are medians
// over its blocks; ratios are medians of (direct block / block of the same round), so that a slow spell of
// the machine, which hits neighbours alike, cancels out. 1.00 is DIRECT, above is faster. Prints one JSON
// object.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "test/bench/bench_cluster.h"
#include "test/bench/blocks.h"
#include "test/bench/figures.h"
#include "test/bench/lab_sockets.h"

namespace fairlead::bench {
namespace {

enum Way : size_t { kDirect, kOthers, kService, kWays };
constexpr std::array<const char*, kWays> kWayNames = {"direct", "others", "service"};

struct Options {
  std::string server_netns, client_netns, attached, plain;
  std::string bare_server_netns, bare_client_netns;  // empty: the same as the others'
  uint32_t services = 10;
  uint32_t endpoints = 10;  // of each
  int cpu = 0;
  int rounds = 20;
  int connections = 100;  // a block
  int pings = 500;
  int bulk_mib = 4;
  bool packets = false;
};

using AllBlocks = std::array<Blocks, kWays>;

class Bench {
 public:
  explicit Bench(const Options& options) : options_(options) {}

  void Run() {
    Settle(options_.cpu);
    EnterNetns(options_.server_netns);
    listener_ = Listen(kEndpointPort);
    if (HasBare()) {
      EnterNetns(options_.bare_server_netns);
      bare_listener_ = Listen(kEndpointPort);
    }
    AllBlocks fresh = Rounds(options_.connections, [&](Way way) {
      Enter(way);
      return [this, way] { OneConnection(way); };
    });
    Samples connects = std::exchange(connect_ns_, {});
    std::array<Pair, kWays> pairs;
    for (size_t way = 0; way < kWays; ++way) pairs[way] = Open(static_cast<Way>(way));
    AllBlocks round_trips =
        Rounds(options_.pings, [&](Way way) { return [&pair = pairs[way]] { OneRoundTrip(pair); }; });
    AllBlocks bulk = Rounds(1, [&](Way way) {
      return [this, &pair = pairs[way]] { Stream(pair.client, pair.server, BulkBytes()); };
    });
    Print(fresh, connects, round_trips, bulk);
  }

 private:
  using Samples = std::array<std::vector<int64_t>, kWays>;
  struct Pair {
    Fd client, server;
  };

  size_t BulkBytes() const { return static_cast<size_t>(options_.bulk_mib) << 20; }

  bool HasBare() const { return !options_.bare_server_netns.empty(); }
  const Fd& ListenerOf(Way way) const { return way == kDirect && HasBare() ? bare_listener_ : listener_; }

  void Enter(Way way) const {
    EnterNetns(way == kDirect && HasBare() ? options_.bare_client_netns : options_.client_netns);
    const bool plain = way == kDirect || (way == kService && options_.packets);
    EnterCgroup(plain ? options_.plain : options_.attached);
  }

  Pair Open(Way way) {
    Enter(way);
    Pair pair{.client = TcpSocket(), .server = {}};
    ConnectBy(way, pair.client);
    pair.server = Accept(ListenerOf(way));
    NoDelay(pair.client);
    NoDelay(pair.server);
    return pair;
  }

  void ConnectBy(Way way, const Fd& client) {
    const uint32_t service = random_() % options_.services;
    uint32_t endpoint = service * options_.endpoints + random_() % options_.endpoints;
    // Direct ones take addresses that no Service has: a port that has just gone to an endpoint through a
    // Service as packets, and now goes there directly, would meet what is left of that flow.
    if (options_.packets) endpoint += options_.services * options_.endpoints;
    const uint32_t ip = way == kService ? ClusterIp(service) : EndpointIp(endpoint);
    const int64_t began = WallNs();
    Connect(client, ip, way == kService ? kServicePort : kEndpointPort);
    connect_ns_[way].push_back(WallNs() - began);
  }

  void OneConnection(Way way) {
    Fd client = TcpSocket();
    ConnectBy(way, client);
    Fd server = Accept(ListenerOf(way));
    SendByte(server);
    ReceiveByte(client);
    CloseHard(client);
  }

  static void OneRoundTrip(const Pair& pair) {
    SendByte(pair.client);
    ReceiveByte(pair.server);
    SendByte(pair.server);
    ReceiveByte(pair.client);
  }

  // Blocks of `count` calls of what `prepare` returns. The first round only warms up.
  AllBlocks Rounds(int count, const std::function<std::function<void()>(Way)>& prepare) {
    AllBlocks blocks;
    for (int round = 0; round <= options_.rounds; ++round) {
      if (round == 1) {
        for (auto& samples : connect_ns_) samples.clear();
      }
      for (size_t turn = 0; turn < kWays; ++turn) {
        const size_t way = (turn + static_cast<size_t>(round)) % kWays;
        const std::function<void()> call = prepare(static_cast<Way>(way));
        const int64_t cpu = CpuNs();
        const int64_t wall = WallNs();
        for (int i = 0; i < count; ++i) call();
        if (round == 0) continue;
        blocks[way].wall.push_back((WallNs() - wall) / count);
        blocks[way].cpu.push_back((CpuNs() - cpu) / count);
      }
    }
    return blocks;
  }

  void Print(const AllBlocks& fresh, Samples& connects, const AllBlocks& round_trips, const AllBlocks& bulk) {
    std::string text;
    for (size_t way = 0; way < kWays; ++way) {
      auto& samples = connects[way];
      text += fmt::format(
          R"({}"{}":{{"connection":{{{}}},"connect":{{"p50_ns":{},"p99_ns":{},"samples":{}}},)"
          R"("round_trip":{{{}}},"bulk":{{{},"bytes":{}}}}})",
          way == 0 ? "" : ",", kWayNames[way], Figures(fresh[kDirect], fresh[way]), Quantile(samples, 0.5),
          Quantile(samples, 0.99), samples.size(), Figures(round_trips[kDirect], round_trips[way]),
          Figures(bulk[kDirect], bulk[way]), BulkBytes());
    }
    fmt::print("{{{}}}\n", text);
  }

  const Options options_;
  Random random_{1};
  Fd listener_, bare_listener_;
  Samples connect_ns_;  // since the warm-up
};

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("Costs of connections through a Service and directly");
  app.add_option("--server-netns", options.server_netns, "holds every endpoint's address")->required();
  app.add_option("--client-netns", options.client_netns)->required();
  auto* bare = app.add_option("--bare-server-netns", options.bare_server_netns);
  auto* bare_client = app.add_option("--bare-client-netns", options.bare_client_netns)->needs(bare);
  bare->needs(bare_client);
  app.add_option("--attached", options.attached, "cgroup under the programs")->required();
  app.add_option("--plain", options.plain, "cgroup without programs")->required();
  app.add_option("--services", options.services)->check(CLI::PositiveNumber);
  app.add_option("--endpoints", options.endpoints, "of each Service")->check(CLI::PositiveNumber);
  app.add_option("--cpu", options.cpu);
  app.add_option("--rounds", options.rounds)->check(CLI::PositiveNumber);
  app.add_option("--connections", options.connections, "a block")->check(CLI::PositiveNumber);
  app.add_option("--pings", options.pings, "a block")->check(CLI::PositiveNumber);
  app.add_option("--bulk-mib", options.bulk_mib, "a block")->check(CLI::PositiveNumber);
  app.add_flag("--packets", options.packets, "measure translation of packets, not of sockets");
  CLI11_PARSE(app, argc, argv);
  Bench(options).Run();
  return 0;
}

}  // namespace
}  // namespace fairlead::bench

int main(int argc, char** argv) {
  return fairlead::bench::Main(argc, argv);
}
