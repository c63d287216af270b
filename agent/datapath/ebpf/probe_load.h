// SPDX-License-Identifier: Apache-2.0
// The probes that load a program or make a map, each for one ability of the kernel's BPF. One thread.
#pragma once

#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include "agent/base/error.h"

namespace fairlead::ebpf::load {

// While it lives, libbpf prints nothing. One at a time.
class QuietLibbpf {
 public:
  QuietLibbpf();
  QuietLibbpf(const QuietLibbpf&) = delete;
  QuietLibbpf& operator=(const QuietLibbpf&) = delete;
  ~QuietLibbpf();

 private:
  libbpf_print_fn_t previous_;
};

// Each succeeds, or carries errno of what the kernel refused.
Result<void> Syscall();                   // a map of one element
Result<void> Hook(bpf_attach_type hook);  // a program for this hook of a cgroup
Result<void> SetRetval();                 // bpf_set_retval in connect
Result<void> SocketStorage();             // bpf_sk_storage_get in connect
Result<void> NetnsCookie();               // bpf_get_netns_cookie in connect, and SO_NETNS_COOKIE
Result<void> MmapArray();                 // an array by mmap
Result<void> CgroupLink();                // bpf_link for a cgroup
Result<void> StorageIterator();           // a program over all socket storage
Result<void> CastKfuncs();                // bpf_cast_to_kern_ctx and bpf_rdonly_cast in connect
Result<void> Tc();                        // a program for TC
Result<void> Tcx();                       // bpf_link for it
Result<void> Xdp();                       // a program at the driver
Result<void> OurPrograms();               // the objects of this build, whole

}  // namespace fairlead::ebpf::load
