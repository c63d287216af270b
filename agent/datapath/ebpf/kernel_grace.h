// SPDX-License-Identifier: Apache-2.0
// An RCU grace period, asked of the kernel. An update of a map of maps returns only when no BPF program that
// began before it still runs (kernel/bpf/syscall.c, maybe_wait_bpf_programs); that holds on one CPU and with
// nohz_full too, where membarrier does not. The wait of some 10 ms is on a thread of its own.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>

#include "agent/base/error.h"
#include "agent/base/fd.h"
#include "agent/datapath/ebpf/reclaim.h"

namespace fairlead::ebpf {

class KernelGrace : public Grace {
 public:
  static Result<std::unique_ptr<KernelGrace>> Create();
  ~KernelGrace() override;

  void Start() override;
  bool Done() override;
  // Blocks for one grace period, on the caller's thread.
  void Wait();

 private:
  KernelGrace() = default;
  void Run();

  Fd outer_, inner_;
  std::mutex mutex_;
  std::condition_variable wake_;
  uint64_t started_ = 0;
  uint64_t finished_ = 0;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace fairlead::ebpf
