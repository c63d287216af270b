// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ebpf/clock.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>

#include <ctime>
#include <memory>

#include "clock.skel.h"

namespace fairlead::ebpf {

namespace {

// The coarse clocks move with the timer interrupt, and their resolution is its period to the nanosecond
// (TICK_NSEC, kernel/time/posix-timers.c): HZ without the kernel's configuration and without measuring.
Result<uint32_t> JiffiesPerSecond() {
  constexpr long kNsPerSecond = 1'000'000'000;
  timespec period{};
  if (::clock_getres(CLOCK_MONOTONIC_COARSE, &period) != 0) return FailErrno(errno, "period of a jiffy");
  if (period.tv_sec != 0 || period.tv_nsec < 100'000) {
    return Fail(ErrorKind::kUnsupported, "period of a jiffy: {}.{:09} s, expected 0.1 ms to 1 s",
                period.tv_sec, period.tv_nsec);
  }
  return static_cast<uint32_t>((kNsPerSecond + period.tv_nsec / 2) / period.tv_nsec);
}

}  // namespace

Result<Clock> Clock::Open() {
  auto jiffies_per_s = JiffiesPerSecond();
  if (!jiffies_per_s) return std::unexpected(jiffies_per_s.error());
  std::unique_ptr<struct clock, void (*)(struct clock*)> skeleton(clock::open(), clock::destroy);
  if (!skeleton) return FailErrno(errno, "clock: open");
  if (int error = clock::load(skeleton.get()); error != 0) return FailErrno(-error, "clock: load");
  Fd program(::fcntl(bpf_program__fd(skeleton->progs.read_jiffies), F_DUPFD_CLOEXEC, 0));
  if (!program) return FailErrno(errno, "clock: dup");
  Clock made(std::move(program), *jiffies_per_s);
  auto now = made.Jiffies();
  if (!now) return std::unexpected(now.error());
  return made;
}

Result<uint64_t> Clock::Jiffies() const {
  uint64_t answer = 0;
  bpf_test_run_opts run{};
  run.sz = sizeof(run);
  run.ctx_in = &answer;
  run.ctx_size_in = sizeof(answer);
  if (bpf_prog_test_run_opts(program_.Get(), &run) != 0) return FailErrno(errno, "clock: run");
  return answer;
}

Result<uint32_t> Clock::NowTick(uint32_t shift) const {
  auto jiffies = Jiffies();
  if (!jiffies) return std::unexpected(jiffies.error());
  return static_cast<uint32_t>(*jiffies >> shift);
}

}  // namespace fairlead::ebpf
