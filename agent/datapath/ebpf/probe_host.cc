// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/probe_host.h"

#include <linux/capability.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <vector>

#include "agent/base/fd.h"

namespace fairlead::ebpf::host {

namespace {

constexpr long kBpfFsMagic = 0xcafe4a11;

bool IsBpfFs(const std::string& path) {
  struct statfs fs{};
  return ::statfs(path.c_str(), &fs) == 0 && fs.f_type == kBpfFsMagic;
}

// The type of the kernel's first answer; an NLMSG_ERROR is an error, and so is no answer within a second.
template <typename Body>
Result<uint16_t> Ask(int protocol, uint16_t type, uint16_t flags, const Body& body) {
  Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
  if (!socket) return FailErrno(errno, "netlink");
  timeval patience{1, 0};
  if (::setsockopt(socket.Get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0) {
    return FailErrno(errno, "netlink: SO_RCVTIMEO");
  }
  struct {
    nlmsghdr header;
    Body body;
  } request{};
  request.header.nlmsg_len = sizeof(request);
  request.header.nlmsg_type = type;
  request.header.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
  request.body = body;
  if (::send(socket.Get(), &request, sizeof(request), 0) < 0) return FailErrno(errno, "netlink: send");
  alignas(nlmsghdr) std::array<char, 4096> answer{};
  ssize_t got = ::recv(socket.Get(), answer.data(), answer.size(), 0);
  if (got < 0) return FailErrno(errno, "netlink: receive");
  nlmsghdr header{};
  if (static_cast<size_t>(got) < sizeof(header)) return Fail(ErrorKind::kInternal, "netlink: {} bytes", got);
  std::memcpy(&header, answer.data(), sizeof(header));
  if (header.nlmsg_type != NLMSG_ERROR) return header.nlmsg_type;
  nlmsgerr error{};
  std::memcpy(&error, answer.data() + NLMSG_HDRLEN, sizeof(error));
  return FailErrno(-error.error, "answer");
}

}  // namespace

std::string KernelRelease() {
  utsname name{};
  return ::uname(&name) == 0 ? name.release : "unknown";
}

Result<std::string> MissingCapabilities() {
  static constexpr struct {
    int bit;
    const char* name;
    bool of_sys_admin;
  } kWanted[] = {{CAP_BPF, "CAP_BPF", true},
                 {CAP_PERFMON, "CAP_PERFMON", true},
                 {CAP_NET_ADMIN, "CAP_NET_ADMIN", false}};
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line) && !line.starts_with("CapEff:")) {
  }
  uint64_t has = 0;
  const size_t digits = line.find_first_not_of(" \t", line.find(':') + 1);
  if (line.empty() || digits == std::string::npos ||
      std::from_chars(line.data() + digits, line.data() + line.size(), has, 16).ec != std::errc()) {
    return Fail(ErrorKind::kUnavailable, "/proc/self/status: no CapEff");
  }
  std::string missing;
  for (const auto& wanted : kWanted) {
    bool held = has >> wanted.bit & 1 || (wanted.of_sys_admin && has >> CAP_SYS_ADMIN & 1);
    if (!held) missing += (missing.empty() ? "" : " ") + std::string(wanted.name);
  }
  return missing;
}

Result<std::string> BpfFs(const std::string& dir) {
  // Up from DIR: it and its parent may have to be made yet.
  for (std::filesystem::path path = dir; path.has_relative_path(); path = path.parent_path()) {
    if (IsBpfFs(path)) return fmt::format("{} is in a bpffs", path.string());
  }
  std::ifstream systems("/proc/filesystems");
  for (std::string line; std::getline(systems, line);) {
    if (line != "nodev\tbpf") continue;
    if (dir.starts_with("/sys/fs/bpf/"))
      return std::string("none is mounted; the agent mounts one on /sys/fs/bpf");
    return Fail(ErrorKind::kNotFound, "{} is in no bpffs", dir);
  }
  return Fail(ErrorKind::kUnsupported, "this kernel has no bpffs");
}

Result<std::string> KernelBtf() {
  const std::string path = "/sys/kernel/btf/vmlinux";
  if (::access(path.c_str(), R_OK) != 0) return FailErrno(errno, "{}", path);
  return path;
}

Result<void> SockDestroy() {
  // Port 0 to port 0: no UDP socket is that. ENOENT says that the kernel went to look for it.
  inet_diag_req_v2 nobody{};
  nobody.sdiag_family = AF_INET;
  nobody.sdiag_protocol = IPPROTO_UDP;
  nobody.idiag_states = ~0U;
  nobody.id.idiag_cookie[0] = INET_DIAG_NOCOOKIE;
  nobody.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  auto answer = Ask(NETLINK_SOCK_DIAG, SOCK_DESTROY, NLM_F_ACK, nobody);
  if (answer || answer.error().code == ENOENT) return {};
  return std::unexpected(answer.error());
}

}  // namespace fairlead::ebpf::host
