// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/explain_ask.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

#include "agent/base/fd.h"
#include "agent/ctl/explain_packet.h"
#include "agent/datapath/ebpf/pins.h"

namespace fairlead::ctl {

namespace {

constexpr auto kLockPause = std::chrono::milliseconds(20);
constexpr int kLockTries = 250;
constexpr char kProgram[] = "tc_explain";

// The agent holds the lock of DIR itself for as long as it runs; this one is ours. bpffs is the same from
// every mount and network namespace that sees it.
Result<Fd> Lock(const std::string& directory) {
  Fd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return FailErrno(errno, "{}", directory);
  for (int attempt = 0; attempt < kLockTries; ++attempt) {
    if (::flock(fd.Get(), LOCK_EX | LOCK_NB) == 0) return fd;
    std::this_thread::sleep_for(kLockPause);
  }
  return Fail(ErrorKind::kUnavailable, "{}: another fairleadctl explain does not end", directory);
}

// Zero for a device without Ethernet addresses. A frame to another address would not be this node's to
// translate.
Result<LinkAddress> LinkAddressOf(const std::string& device) {
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  device.copy(request.ifr_name, sizeof(request.ifr_name) - 1);
  if (!socket || ::ioctl(socket.Get(), SIOCGIFHWADDR, &request) != 0)
    return FailErrno(errno, "{}: link address", device);
  LinkAddress address{};
  if (request.ifr_hwaddr.sa_family == ARPHRD_ETHER)
    std::copy_n(request.ifr_hwaddr.sa_data, address.size(), address.begin());
  return address;
}

Result<void> Run(int program, const Question& question) {
  LinkAddress device{};
  if (question.ifindex != 0) {
    auto address = LinkAddressOf(question.device);
    if (!address) return std::unexpected(address.error());
    device = *address;
  }
  const std::vector<uint8_t> packet = MakePacket(question, device);
  __sk_buff context{};
  context.ifindex = question.ifindex;
  LIBBPF_OPTS(bpf_test_run_opts, options);
  options.data_in = packet.data();
  options.data_size_in = static_cast<uint32_t>(packet.size());
  options.ctx_in = &context;
  options.ctx_size_in = sizeof(context);
  options.repeat = 1;
  if (bpf_prog_test_run_opts(program, &options) != 0) return FailErrno(errno, "{}: run", kProgram);
  return {};
}

}  // namespace

Result<::explain> Ask(const std::string& bpffs_dir, const Question& question) {
  const ebpf::Pins pins(bpffs_dir);
  const Fd program(bpf_obj_get(pins.ProgramPath(kProgram).c_str()));
  if (!program) return FailErrno(errno, "{}", pins.ProgramPath(kProgram));
  const Fd table = pins.OpenMap(explain_table::kName);
  if (!table) return FailErrno(errno, "{}", pins.MapPath(explain_table::kName));
  const std::string path = pins.ProgramPath(kProgram);
  auto lock = Lock(path.substr(0, path.rfind('/')));
  if (!lock) return std::unexpected(lock.error());

  const uint32_t row = 0;
  ::explain answer{};
  answer.at = question.at;
  answer.netns_cookie = question.netns_cookie;
  if (bpf_map_update_elem(table.Get(), &row, &answer, BPF_ANY) != 0)
    return FailErrno(errno, "{}: update", explain_table::kName);
  if (auto ran = Run(program.Get(), question); !ran) return std::unexpected(ran.error());
  if (bpf_map_lookup_elem(table.Get(), &row, &answer) != 0)
    return FailErrno(errno, "{}: lookup", explain_table::kName);
  if (answer.steps == 0) {
    return Fail(ErrorKind::kUnavailable,
                "{} told nothing: the programs are being replaced, or it is of another release", kProgram);
  }
  return answer;
}

}  // namespace fairlead::ctl
