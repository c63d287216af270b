// SPDX-License-Identifier: Apache-2.0
#include "test/support/ebpf/tracer.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "test/support/client.h"
#include "test/support/objects.h"
#include "test/support/sandbox.h"

#ifndef SO_PEERNAME
#define SO_PEERNAME 28
#endif

namespace fairlead::test {

namespace {

constexpr int kTries = 80;

uint64_t CookieOf(const Namespace& netns) {
  const NetnsScope inside(netns);
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  uint64_t cookie = 0;
  socklen_t size = sizeof(cookie);
  if (::getsockopt(socket.Get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) != 0)
    throw std::runtime_error(fmt::format("SO_NETNS_COOKIE: {}", std::strerror(errno)));
  return cookie;
}

// A namespace with these addresses and a route to everywhere, where nothing answers.
Namespace Host(std::string_view name, std::initializer_list<std::string_view> addresses) {
  Namespace host = Namespace::Create(Sandbox::Get().NamePrefix() + std::string(name));
  std::string lines = "link add eth0 type veth peer name wire\nlink set eth0 up\nlink set wire up\n";
  for (std::string_view address : addresses)
    lines += fmt::format("addr add {} dev eth0{}\n", address, address.contains(':') ? " nodad" : "");
  host.Ip(lines + "route add default dev eth0\n");
  host.Ip6("route add default dev eth0\n");
  return host;
}

struct Ends {
  Address source, destination;
  uint16_t port = 0;  // destination's
};

// Of a frame without VLAN tags, IP options or extension headers.
Ends EndsOf(const Bytes& frame) {
  constexpr size_t kLink = 14, kV4 = 20, kV6 = 40;
  const bool v4 = frame.at(kLink) >> 4 == 4;
  const uint8_t* ip = frame.data() + kLink;
  if (frame.size() < kLink + (v4 ? kV4 : kV6) + 4) throw std::runtime_error("a frame that is cut short");
  Ends ends;
  const auto read = [&](Address& address, size_t from_v4, size_t from_v6) {
    if (v4) address.raw.words[2] = IP_ADDR_V4_PREFIX;
    std::memcpy(v4 ? &address.raw.words[3] : address.raw.words, ip + (v4 ? from_v4 : from_v6), v4 ? 4 : 16);
  };
  read(ends.source, 12, 8);
  read(ends.destination, 16, 24);
  const uint8_t* transport = ip + (v4 ? kV4 : kV6);
  ends.port = static_cast<uint16_t>(transport[2] << 8 | transport[3]);
  return ends;
}

}  // namespace

// The socket programs on the test's own cgroup, over a rig's tables, and hosts to connect from.
class EbpfTracer::Sockets {
 public:
  Sockets()
      : node_(Host("tracer", {"192.168.99.11/32", "192.168.98.11/32", "fd00:192:168:99::11/128",
                              "fd00:192:168:98::11/128"})),
        pods_(Host("pods", {"10.180.0.100/32", "10.180.0.101/32", "10.180.0.11/32", "10.180.0.12/32",
                            "fd00:10:180::100/128", "fd00:10:180::101/128", "fd00:10:180::11/128",
                            "fd00:10:180::12/128"})),
        node_cookie_(CookieOf(node_)) {}

  // For the rig whose tables Attach is to share.
  RigOptions OptionsForRig() {
    RigOptions options;
    options.configure = [this](fairlead_config& config) {
      config.node_netns_cookie = node_cookie_;
      config_ = config;
    };
    options.configured = "tracer";
    return options;
  }
  void Attach(const KernelRig& rig);
  Traced Try(const TracePacket& packet) const;

 private:
  struct Destroy {
    void operator()(bpf_link* link) const { bpf_link__destroy(link); }
  };

  Namespace node_, pods_;
  uint64_t node_cookie_;
  fairlead_config config_{};
  PacketPrograms::Object object_;
  std::vector<std::unique_ptr<bpf_link, Destroy>> links_;
};

// getpeername is left as it is: who asks is told the backend.
void EbpfTracer::Sockets::Attach(const KernelRig& rig) {
  if (object_) return;
  object_ = PacketPrograms::Load("sock_lb", SmallCapacities(), config_,
                                 [&](std::string_view map) { return rig.MapFd(map); });
  const Fd cgroup(::open(Sandbox::Get().Cgroup().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (const char* name : {"sock_connect4", "sock_connect6"}) {
    bpf_program* program = bpf_object__find_program_by_name(object_.get(), name);
    bpf_link* link = program ? bpf_program__attach_cgroup(program, cgroup.Get()) : nullptr;
    if (!link) throw std::runtime_error(fmt::format("{}: {}", name, std::strerror(errno)));
    links_.emplace_back(link);
  }
}

Traced EbpfTracer::Sockets::Try(const TracePacket& packet) const {
  const int family = packet.source.GetFamily() == Family::kIpv4 ? AF_INET : AF_INET6;
  const int type = packet.protocol == plan::Protocol::kUdp ? SOCK_DGRAM : SOCK_STREAM;
  const Fd fd = Sandbox::Get().Socket(packet.of_node ? node_ : pods_, family, type | SOCK_NONBLOCK);
  SocketAddress own = SocketAddress::Of({packet.source, 0}, family);
  // Loopback is left to the kernel to choose: bound to it, a socket could not go elsewhere (EINVAL).
  if (!packet.source.IsLoopback() && ::bind(fd.Get(), own.Raw(), own.length) != 0)
    throw std::runtime_error(fmt::format("bind {}: {}", packet.source.ToString(), std::strerror(errno)));
  SocketAddress to = SocketAddress::Of({packet.destination, packet.destination_port}, family);
  const int error = ::connect(fd.Get(), to.Raw(), to.length) == 0 ? 0 : errno;
  // A socket that a program refused has no peer; any other has, while its handshake waits too.
  SocketAddress peer = to;  // of the length that is asked for
  if (::getsockopt(fd.Get(), SOL_SOCKET, SO_PEERNAME, peer.Raw(), &peer.length) != 0) {
    if (error == ECONNREFUSED) return {.end = TraceEnd::kRejected, .backend = {}};
    if (error == EHOSTUNREACH) return {.end = TraceEnd::kDropped, .backend = {}};
    throw std::runtime_error(fmt::format("connect: {}", std::strerror(error)));
  }
  const Target reached = peer.ToTarget();
  if (reached == to.ToTarget()) return {.end = TraceEnd::kPassed, .backend = {}};
  return {.end = TraceEnd::kReached, .backend = reached.address, .backend_port = reached.port};
}

EbpfTracer::EbpfTracer() {
  static const auto sockets = std::make_shared<Sockets>();
  sockets_ = sockets;
  rig_ = std::make_unique<KernelRig>(sockets_->OptionsForRig());
  sockets_->Attach(*rig_);
}

EbpfTracer::~EbpfTracer() = default;

void EbpfTracer::Program(const plan::Plan& plan, const plan::NodePlan& node) {
  std::vector<plan::Change> changes;
  for (const auto& [key, port] : plan_) {
    if (!plan.contains(key)) changes.push_back({key, nullptr});
  }
  for (const auto& [key, port] : plan) changes.push_back({key, port});
  rig_->ApplyNode(node);
  rig_->Apply(std::move(changes));
  plan_ = plan;
}

Traced EbpfTracer::TryPacket(const TracePacket& packet, uint16_t source_port) {
  Packet sent(packet.source, packet.destination);
  if (packet.protocol == plan::Protocol::kUdp) {
    sent.Udp(source_port, packet.destination_port);
  } else {
    sent.Tcp(source_port, packet.destination_port).Syn();
  }
  const Ran ran = rig_->In(sent, packet.device);
  if (ran.verdict.empty()) return {.end = TraceEnd::kPassed, .backend = {}};
  const std::string word = ran.verdict.substr(ran.verdict.find(' ') + 1);
  if (word.starts_with("REJECT_")) return {.end = TraceEnd::kRejected, .backend = {}};
  if (word.starts_with("DROP_")) return {.end = TraceEnd::kDropped, .backend = {}};
  if (word != "TRANSLATED") throw std::runtime_error("an outcome that begins no connection: " + ran.Text());
  const Ends ends = EndsOf(ran.frame);
  return {.end = TraceEnd::kReached,
          .backend = ends.destination,
          .backend_port = ends.port,
          .masqueraded = ends.source != packet.source};
}

std::set<Traced> EbpfTracer::Trace(const TracePacket& packet) {
  if (packet.protocol == plan::Protocol::kSctp)
    throw std::runtime_error("SCTP is not served by these programs");
  const bool socket = packet.of_node || packet.device.starts_with("pod");
  std::set<Traced> ways;
  for (int i = 0; i < kTries; ++i) {
    rig_->PassAffinity(1U << 20);  // no client is remembered: each is the first
    const auto port = static_cast<uint16_t>(packet.source_port + i);
    ways.insert(socket ? sockets_->Try(packet) : TryPacket(packet, port));
    if (ways.begin()->end != TraceEnd::kReached) break;  // nothing was chosen
  }
  return ways;
}

}  // namespace fairlead::test
