// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What time it is for the programs: the kernel's jiffies, which no system call tells. Run by
// agent/datapath/ebpf/clock.h with BPF_PROG_TEST_RUN (Linux 5.14 for this program type).
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "Dual BSD/GPL";

struct clock_answer {
  __u64 jiffies;
};

SEC("syscall")
int read_jiffies(struct clock_answer* answer) {
  answer->jiffies = bpf_jiffies64();
  return 0;
}
