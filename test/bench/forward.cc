// SPDX-License-Identifier: Apache-2.0
// bench_forward: datagrams a second through a node and out again by the device they came in by, against a
// node that only routes.
//
// Three nodes of the same kind, each with a client and a server behind its one device:
//   direct   without programs; the client sends to endpoints
//   tc, xdp  under the programs at that hook: to endpoints of no Service (others), or to cluster IPs
//            (service), whose endpoints are elsewhere: masqueraded
//
// Datagrams are sent in two ways:
//   frames   put on the wire 64 at a time, each of another flow, before there is an skb, which is what XDP
//            gets of a network card; counted at the server's socket, and dropped there
//   sockets  by the clients' sockets, a burst of one flow at a time, and received. An skb that comes to XDP
//            on a veth is copied into a frame first.
//
// As in bench_connections all is done by one thread, and a round has a block of every way. Figures are
// medians, ratios those of (direct block / block of the same round), by CPU time: 1.00 is DIRECT, above is
// faster. Prints one JSON object.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/if_link.h>
#include <sys/socket.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "feed.skel.h"
#include "test/bench/bench_cluster.h"
#include "test/bench/blocks.h"
#include "test/bench/datagrams.h"
#include "test/bench/feed.h"
#include "test/bench/lab_sockets.h"
#include "test/support/packet/packet.h"

namespace fairlead::bench {
namespace {

enum Node : size_t { kDirectNode, kTcNode, kXdpNode, kNodes };
constexpr std::array<const char*, kNodes> kNodeNames = {"direct", "tc", "xdp"};

struct Way {
  const char* name;
  Node node;
  bool service;
};
constexpr std::array<Way, 5> kWays = {{{"direct", kDirectNode, false},
                                       {"tc_others", kTcNode, false},
                                       {"tc_service", kTcNode, true},
                                       {"xdp_others", kXdpNode, false},
                                       {"xdp_service", kXdpNode, true}}};

constexpr int64_t kWarmUpNs = 3'000'000'000;    // a flow's route, by which XDP sends, is found once a second
constexpr int64_t kPatienceNs = 1'000'000'000;  // for what is still on its way
// Of a block: a queue overflows when the other CPU has taken it up, and does not get to it.
constexpr int kTries = 5;

struct Options {
  std::string lab;  // /run/netns/NAME of namespaces NAME-{direct,tc,xdp}-{node,client,server}
  std::string device = "wire";
  uint32_t services = 10;
  uint32_t endpoints = 10;  // of each
  uint32_t flows = 512;
  uint32_t datagrams = 2048;  // a block of what sockets send
  uint32_t frames = 16384;    // a block: many, since to begin and end a run takes its time too
  int rounds = 20;
  int cpu = 0;
};

// A node's one device, and who is behind it.
struct Site {
  Device node, client;
  Fd server;
};

// What became of a block.
struct Sent {
  uint64_t sent, arrived;
  int64_t wall_ns;
};
struct Tally {
  Blocks blocks;  // ns of a datagram that arrived
  uint64_t sent = 0, lost = 0;
};
using Tallies = std::array<Tally, kWays.size()>;

class Bench {
 public:
  explicit Bench(const Options& options) : options_(options) { Load(); }
  ~Bench() { feed::destroy(objects_); }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  void Run() {
    Settle(options_.cpu);
    for (size_t node = 0; node < kNodes; ++node) sites_[node] = Open(kNodeNames[node]);
    for (size_t way = 0; way < kWays.size(); ++way) clients_[way] = Begin(way);
    const Tallies sockets = Rounds([this](size_t way) { return BySockets(way); });
    for (Site& site : sites_) CountOnly(site.server);
    const Tallies frames = Rounds([this](size_t way) { return ByFrames(way); });
    Print(frames, sockets);
  }

 private:
  Site Open(const std::string& node) {
    const std::string netns = fmt::format("{}-{}-", options_.lab, node);
    Site site;
    EnterNetns(netns + "server");
    site.server = UdpServer(kEndpointPort);
    EnterNetns(netns + "node");
    PrepareForFrames(options_.device);
    site.node = FindDevice(options_.device);
    EnterNetns(netns + "client");
    PrepareForFrames(options_.device);
    site.client = FindDevice(options_.device);
    return site;
  }

  void EnterClient(size_t way) const {
    EnterNetns(fmt::format("{}-{}-client", options_.lab, kNodeNames[kWays[way].node]));
  }

  // While XDP sends: the program that the client's end has to have (feed.bpf.c). What the node routes would
  // be copied for it.
  Fd AttachPass(size_t way) const {
    if (kWays[way].node != kXdpNode || !kWays[way].service) return {};
    LIBBPF_OPTS(bpf_link_create_opts, native, .flags = XDP_FLAGS_DRV_MODE);
    const auto device = static_cast<int>(sites_[kXdpNode].client.ifindex);
    Fd link(bpf_link_create(bpf_program__fd(objects_->progs.pass), device, BPF_XDP, &native));
    if (!link) DieOfErrno("attach a program to the client's device");
    return link;
  }

  // The flows of a way, and the frames of each.
  std::vector<Fd> Begin(size_t way) {
    EnterClient(way);
    const Fd pass = AttachPass(way);
    const Site& site = sites_[kWays[way].node];
    std::vector<Fd> clients;
    for (uint32_t flow = 0; flow < options_.flows; ++flow) {
      const uint32_t taken = options_.services * options_.endpoints;  // by endpoints of Services
      Fd client = kWays[way].service ? UdpClient(ClusterIp(random_() % options_.services), kServicePort)
                                     : UdpClient(EndpointIp(taken + random_() % taken), kEndpointPort);
      Exchange(client, site.server);
      StoreFrame(FirstFrame(way) + flow, FrameOf(EndsOf(client), site));
      clients.push_back(std::move(client));
    }
    return clients;
  }

  uint32_t FirstFrame(size_t way) const { return static_cast<uint32_t>(way) * options_.flows; }

  static test::Bytes FrameOf(const UdpEnds& ends, const Site& site) {
    return test::Ip(FormatIpv4(ends.local.ip), FormatIpv4(ends.remote.ip))
        .Udp(ends.local.port, ends.remote.port)
        .Payload(kDatagramBytes)
        .Link(site.client.mac, site.node.mac)
        .Frame();
  }

  void StoreFrame(uint32_t at, test::Bytes frame) {
    feed_frame row{};
    std::memcpy(&row, frame.data(), sizeof(row));
    if (bpf_map_update_elem(bpf_map__fd(objects_->maps.frames), &at, &row, BPF_ANY) != 0)
      DieOfErrno("frames");
    frame_ = std::move(frame);
  }

  void Load() {
    objects_ = feed::open();
    if (!objects_) DieOfErrno("feed: open");
    const auto frames = static_cast<uint32_t>(kWays.size()) * options_.flows;
    if (bpf_map__set_max_entries(objects_->maps.frames, frames) != 0 || feed::load(objects_) != 0)
      DieOfErrno("feed: load");
  }

  void CountOnly(const Fd& server) const {
    const int program = bpf_program__fd(objects_->progs.count);
    if (::setsockopt(server.Get(), SOL_SOCKET, SO_ATTACH_BPF, &program, sizeof(program)) != 0)
      DieOfErrno("count at a socket");
  }

  Sent BySockets(size_t way) {
    const Fd& server = sites_[kWays[way].node].server;
    Sent sent{options_.datagrams, 0, 0};
    const int64_t began = WallNs();
    for (uint32_t n = 0; n < options_.datagrams; n += kBurst) {
      SendBurst(clients_[way][next_client_++ % options_.flows], kBurst);
      sent.arrived += ReceiveAll(server);
    }
    Await([&] { return (sent.arrived += ReceiveAll(server)) >= sent.sent; });
    sent.wall_ns = WallNs() - began;
    return sent;
  }

  Sent ByFrames(size_t way) {
    objects_->bss->first_frame = FirstFrame(way);
    objects_->bss->frame_count = options_.flows;
    const volatile auto* arrived = &objects_->bss->arrived;
    const uint64_t before = *arrived;
    xdp_md about{};
    about.data_end = static_cast<uint32_t>(frame_.size());
    about.ingress_ifindex = sites_[kWays[way].node].client.ifindex;
    LIBBPF_OPTS(bpf_test_run_opts, run);
    run.data_in = frame_.data();
    run.data_size_in = static_cast<uint32_t>(frame_.size());
    run.ctx_in = &about;
    run.ctx_size_in = sizeof(about);
    run.repeat = static_cast<int>(options_.frames);
    run.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
    if (bpf_prog_test_run_opts(bpf_program__fd(objects_->progs.feed), &run) != 0) DieOfErrno("send frames");
    Await([&] { return *arrived - before >= options_.frames; });
    // Beginning and ending a run is not in `duration`: most of it is waiting for other CPUs.
    return {options_.frames, *arrived - before, int64_t{run.duration} * options_.frames};
  }

  static void Await(const std::function<bool()>& all_here) {
    const int64_t end = WallNs() + kPatienceNs;
    while (!all_here() && WallNs() < end) {
    }
  }

  // Blocks of all ways in turn. What is sent in the first seconds only warms up.
  Tallies Rounds(const std::function<Sent(size_t)>& send) {
    Tallies tallies;
    const int64_t warm = WallNs() + kWarmUpNs;
    for (int round = 0; round < options_.rounds;) {
      const bool counts = WallNs() > warm;
      for (size_t turn = 0; turn < kWays.size(); ++turn) {
        const size_t way = (turn + static_cast<size_t>(round)) % kWays.size();
        EnterClient(way);
        const Fd pass = AttachPass(way);
        Tally warming;
        SendBlock([&] { return send(way); }, kWays[way].name, counts ? tallies[way] : warming);
      }
      if (counts) ++round;
    }
    return tallies;
  }

  // The first try in which all arrives is what counts.
  static void SendBlock(const std::function<Sent()>& send, const char* name, Tally& tally) {
    for (int tries = 0; tries < kTries; ++tries) {
      const int64_t began = CpuNs();
      const Sent sent = send();
      const int64_t cpu_ns = CpuNs() - began;
      tally.sent += sent.sent;
      if (sent.arrived < sent.sent) {
        tally.lost += sent.sent - sent.arrived;
        continue;
      }
      tally.blocks.cpu.push_back(cpu_ns / static_cast<int64_t>(sent.sent));
      tally.blocks.wall.push_back(sent.wall_ns / static_cast<int64_t>(sent.sent));
      return;
    }
    Die(fmt::format("{}: lost {} of {} datagrams", name, tally.lost, tally.sent));
  }

  static std::string FiguresOf(const Tallies& all, size_t way) {
    return fmt::format(R"({},"lost_share":{:.6f})", Figures(all[0].blocks, all[way].blocks),
                       static_cast<double>(all[way].lost) / static_cast<double>(all[way].sent));
  }

  void Print(const Tallies& frames, const Tallies& sockets) const {
    std::string text = fmt::format(R"("flows":{})", options_.flows);
    for (size_t way = 0; way < kWays.size(); ++way) {
      text += fmt::format(R"(,"{}":{{"frames":{{{}}},"sockets":{{{}}}}})", kWays[way].name,
                          FiguresOf(frames, way), FiguresOf(sockets, way));
    }
    fmt::print("{{{}}}\n", text);
  }

  const Options options_;
  Random random_{1};
  feed* objects_ = nullptr;
  std::array<Site, kNodes> sites_;
  std::array<std::vector<Fd>, kWays.size()> clients_;
  test::Bytes frame_;  // any: the program writes the headers
  size_t next_client_ = 0;
};

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("Datagrams through a node that translates and one that routes");
  app.add_option("--lab", options.lab, "namespaces are LAB-{direct,tc,xdp}-{node,client,server}")->required();
  app.add_option("--device", options.device, "of node and client: the two ends of a veth");
  app.add_option("--services", options.services)->check(CLI::PositiveNumber);
  app.add_option("--endpoints", options.endpoints, "of each Service")->check(CLI::PositiveNumber);
  app.add_option("--flows", options.flows)->check(CLI::PositiveNumber);
  app.add_option("--datagrams", options.datagrams, "a block of what sockets send")
      ->check(CLI::PositiveNumber);
  app.add_option("--frames", options.frames, "a block")->check(CLI::PositiveNumber);
  app.add_option("--rounds", options.rounds)->check(CLI::PositiveNumber);
  app.add_option("--cpu", options.cpu);
  CLI11_PARSE(app, argc, argv);
  options.datagrams = (options.datagrams + kBurst - 1) / kBurst * kBurst;
  Bench(options).Run();
  return 0;
}

}  // namespace
}  // namespace fairlead::bench

int main(int argc, char** argv) {
  return fairlead::bench::Main(argc, argv);
}
