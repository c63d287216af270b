// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/probe_load.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <sys/socket.h>

#include <cstdarg>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "agent/base/fd.h"
#include "agent/datapath/ebpf/bpf_map.h"
#include "agent/datapath/ebpf/program_config.h"
#include "sock_lb.skel.h"
#include "sock_sweep.skel.h"
#include "tc_lb.skel.h"
#include "xdp_lb.skel.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

namespace fairlead::ebpf::load {

namespace {

using Code = std::vector<bpf_insn>;

bpf_insn Insn(int code, int to, int from, int offset, int value) {
  bpf_insn insn{};
  insn.code = static_cast<__u8>(code);
  insn.dst_reg = static_cast<__u8>(to & 0xf);
  insn.src_reg = static_cast<__u8>(from & 0xf);
  insn.off = static_cast<__s16>(offset);
  insn.imm = value;
  return insn;
}
bpf_insn Set(int reg, int value) {
  return Insn(BPF_ALU64 | BPF_MOV | BPF_K, reg, 0, 0, value);
}
bpf_insn Call(int helper) {
  return Insn(BPF_JMP | BPF_CALL, 0, 0, 0, helper);
}
bpf_insn CallKernel(int btf_id) {
  return Insn(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL, 0, btf_id);
}
bpf_insn LoadMap(int reg, int fd) {
  return Insn(BPF_LD | BPF_DW | BPF_IMM, reg, BPF_PSEUDO_MAP_FD, 0, fd);
}
bpf_insn Exit() {
  return Insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

// "r0 = 1; exit" ends every program: let the call go on.
Result<Fd> Load(bpf_prog_type type, bpf_attach_type hook, Code code, uint32_t attach_btf_id = 0) {
  // An iterator has to return 0.
  code.insert(code.end(), {Set(BPF_REG_0, type == BPF_PROG_TYPE_TRACING ? 0 : 1), Exit()});
  bpf_prog_load_opts options{};
  options.sz = sizeof(options);
  options.expected_attach_type = hook;
  options.attach_btf_id = attach_btf_id;
  Fd program(bpf_prog_load(type, "fairlead_probe", "Dual BSD/GPL", code.data(), code.size(), &options));
  if (!program) return FailErrno(errno, "load");
  return program;
}

Result<Fd> LoadConnect(Code code) {
  return Load(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_CONNECT, std::move(code));
}

Result<void> Outcome(const Result<Fd>& loaded) {
  if (!loaded) return std::unexpected(loaded.error());
  return {};
}

// The id of a function in the kernel's BTF. Loaded once: parsing it takes some 50 ms.
Result<uint32_t> KernelFunction(const char* name) {
  static const std::unique_ptr<btf, decltype(&btf__free)> kernel(btf__load_vmlinux_btf(), btf__free);
  if (!kernel) return Fail(ErrorKind::kUnsupported, "no BTF of the kernel");
  int id = btf__find_by_name_kind(kernel.get(), name, BTF_KIND_FUNC);
  if (id <= 0) return Fail(ErrorKind::kUnsupported, "no function {}", name);
  return static_cast<uint32_t>(id);
}

// Whether a link to nothing is refused for the nothing, and not for being a link. The kernel looks for the
// target after it has accepted the kind of link (kernel/bpf/cgroup.c, kernel/bpf/tcx.c).
Result<void> LinkToNothing(const Fd& program, int target, bpf_attach_type hook, int expected_errno) {
  Fd link(bpf_link_create(program.Get(), target, hook, nullptr));
  if (link) return Fail(ErrorKind::kInternal, "a link to nothing was made");  // closed again with `link`
  if (errno == expected_errno) return {};
  return FailErrno(errno, "link");
}

// What libbpf complains of first while a skeleton is loaded.
std::string first_complaint;
int KeepFirstComplaint(libbpf_print_level level, const char* format, va_list args) {
  if (level != LIBBPF_WARN || !first_complaint.empty()) return 0;
  char line[512];
  std::vsnprintf(line, sizeof(line), format, args);
  first_complaint = line;
  first_complaint.resize(first_complaint.find_last_not_of(" \n") + 1);
  return 0;
}

// For tables of the sizes in their headers.
fairlead_config SmallestConfig() {
  schema tables{};
  tables.frontend_slots = 1024;
  tables.flow_sets = 64;
  return ProgramConfig(tables, {1, 250}, {}, false, true);
}

template <typename Skeleton>
Result<void> LoadWhole(const char* name) {
  first_complaint.clear();
  std::unique_ptr<Skeleton, decltype(&Skeleton::destroy)> skeleton(Skeleton::open(nullptr),
                                                                   Skeleton::destroy);
  if (!skeleton) return FailErrno(errno, "{}: open", name);
  const fairlead_config config = SmallestConfig();
  std::memcpy(&skeleton->rodata->config, &config, sizeof(config));
  if (int error = Skeleton::load(skeleton.get()); error != 0) {
    Unexpected failed = FailErrno(-error, "{}", name);
    if (error != -EPERM && !first_complaint.empty()) failed.error().message += " (" + first_complaint + ")";
    return failed;
  }
  return {};
}

}  // namespace

QuietLibbpf::QuietLibbpf() : previous_(libbpf_set_print(KeepFirstComplaint)) {}
QuietLibbpf::~QuietLibbpf() {
  libbpf_set_print(previous_);
}

Result<void> Syscall() {
  Fd map(bpf_map_create(BPF_MAP_TYPE_ARRAY, "fairlead_probe", 4, 8, 1, nullptr));
  if (!map) return FailErrno(errno, "map");
  return {};
}

Result<void> Hook(bpf_attach_type hook) {
  return Outcome(Load(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, hook, {}));
}

Result<void> SetRetval() {
  return Outcome(LoadConnect({Set(BPF_REG_1, -ECONNREFUSED), Call(BPF_FUNC_set_retval)}));
}

Result<void> SocketStorage() {
  std::unique_ptr<btf, decltype(&btf__free)> types(btf__new_empty(), btf__free);
  int word = types ? btf__add_int(types.get(), "int", 4, BTF_INT_SIGNED) : -ENOMEM;
  if (word < 0) return FailErrno(-word, "BTF");
  if (int error = btf__load_into_kernel(types.get()); error != 0) return FailErrno(-error, "BTF");
  bpf_map_create_opts options{};
  options.sz = sizeof(options);
  options.map_flags = BPF_F_NO_PREALLOC;
  options.btf_fd = static_cast<__u32>(btf__fd(types.get()));
  options.btf_key_type_id = static_cast<__u32>(word);
  options.btf_value_type_id = static_cast<__u32>(word);
  Fd map(bpf_map_create(BPF_MAP_TYPE_SK_STORAGE, "fairlead_probe", 4, 4, 0, &options));
  if (!map) return FailErrno(errno, "map");
  return Outcome(LoadConnect({
      Insn(BPF_LDX | BPF_MEM | BPF_DW, BPF_REG_2, BPF_REG_1, offsetof(bpf_sock_addr, sk), 0),
      Insn(BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_2, 0, 5, 0),  // no socket: past the call
      LoadMap(BPF_REG_1, map.Get()),
      Insn(0, 0, 0, 0, 0),  // the second half of the 16-byte load
      Set(BPF_REG_3, 0),
      Set(BPF_REG_4, 0),
      Call(BPF_FUNC_sk_storage_get),
  }));
}

Result<void> NetnsCookie() {
  Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  uint64_t cookie = 0;
  socklen_t size = sizeof(cookie);
  if (!socket || ::getsockopt(socket.Get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) != 0) {
    return FailErrno(errno, "SO_NETNS_COOKIE");
  }
  return Outcome(LoadConnect({Call(BPF_FUNC_get_netns_cookie)}));
}

Result<void> MmapArray() {
  bpf_map_create_opts options{};
  options.sz = sizeof(options);
  options.map_flags = BPF_F_MMAPABLE;
  Fd map(bpf_map_create(BPF_MAP_TYPE_ARRAY, "fairlead_probe", 4, 8, 1, &options));
  if (!map) return FailErrno(errno, "map");
  auto shared = SharedArray<uint64_t>::Map(map.Get(), "fairlead_probe", 1, true);
  if (!shared) return std::unexpected(shared.error());
  return {};
}

Result<void> CgroupLink() {
  auto program = LoadConnect({});
  if (!program) return std::unexpected(program.error());
  return LinkToNothing(*program, -1, BPF_CGROUP_INET4_CONNECT, EBADF);
}

Result<void> StorageIterator() {
  auto target = KernelFunction("bpf_iter_bpf_sk_storage_map");
  if (!target) return std::unexpected(target.error());
  return Outcome(Load(BPF_PROG_TYPE_TRACING, BPF_TRACE_ITER, {}, *target));
}

Result<void> CastKfuncs() {
  auto read_only = KernelFunction("bpf_rdonly_cast");
  if (!read_only) return std::unexpected(read_only.error());
  auto context = KernelFunction("bpf_cast_to_kern_ctx");
  if (!context) return std::unexpected(context.error());
  return Outcome(LoadConnect({CallKernel(static_cast<int>(*context))}));
}

Result<void> Tc() {
  return Outcome(Load(BPF_PROG_TYPE_SCHED_CLS, static_cast<bpf_attach_type>(0), {}));
}

Result<void> Tcx() {
  constexpr auto kTcxIngress = static_cast<bpf_attach_type>(46);  // BPF_TCX_INGRESS, Linux 6.6
  constexpr int kNoDevice = 0x7fffffff;
  auto program = Load(BPF_PROG_TYPE_SCHED_CLS, static_cast<bpf_attach_type>(0), {});
  if (!program) return std::unexpected(program.error());
  return LinkToNothing(*program, kNoDevice, kTcxIngress, ENODEV);
}

Result<void> Xdp() {
  return Outcome(Load(BPF_PROG_TYPE_XDP, BPF_XDP, {}));
}

Result<void> OurPrograms() {
  if (auto loaded = LoadWhole<sock_lb>("sock_lb"); !loaded) return loaded;
  if (auto loaded = LoadWhole<tc_lb>("tc_lb"); !loaded) return loaded;
  if (auto loaded = LoadWhole<xdp_lb>("xdp_lb"); !loaded) return loaded;
  return LoadWhole<sock_sweep>("sock_sweep");
}

}  // namespace fairlead::ebpf::load
