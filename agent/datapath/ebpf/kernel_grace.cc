// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/kernel_grace.h"

#include <bpf/bpf.h>

#include <chrono>

#include "agent/base/log.h"

namespace fairlead::ebpf {

Result<std::unique_ptr<KernelGrace>> KernelGrace::Create() {
  std::unique_ptr<KernelGrace> grace(new KernelGrace);
  grace->inner_ = Fd(bpf_map_create(BPF_MAP_TYPE_ARRAY, "grace_inner", 4, 4, 1, nullptr));
  if (!grace->inner_) return FailErrno(errno, "grace_inner: create");
  bpf_map_create_opts options{};
  options.sz = sizeof(options);
  options.inner_map_fd = static_cast<__u32>(grace->inner_.Get());
  grace->outer_ = Fd(bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "grace", 4, 4, 1, &options));
  if (!grace->outer_) return FailErrno(errno, "grace: create");
  grace->thread_ = std::thread([raw = grace.get()] { raw->Run(); });
  return grace;
}

KernelGrace::~KernelGrace() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void KernelGrace::Start() {
  {
    std::lock_guard lock(mutex_);
    ++started_;
  }
  wake_.notify_one();
}

bool KernelGrace::Done() {
  std::lock_guard lock(mutex_);
  return finished_ >= started_;
}

void KernelGrace::Wait() {
  uint32_t slot = 0;
  int inner = inner_.Get();
  if (bpf_map_update_elem(outer_.Get(), &slot, &inner, BPF_ANY) != 0) {
    spdlog::warn("grace: update: {}; waiting a second instead", std::strerror(errno));
    std::this_thread::sleep_for(std::chrono::seconds(1));  // far longer than any program runs
  }
}

void KernelGrace::Run() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    if (finished_ >= started_) {
      wake_.wait(lock);
      continue;
    }
    uint64_t round = started_;
    lock.unlock();
    Wait();
    lock.lock();
    finished_ = round;
  }
}

}  // namespace fairlead::ebpf
