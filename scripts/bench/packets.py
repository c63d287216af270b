# SPDX-License-Identifier: Apache-2.0
"""ns a packet of the packet programs over an empty program, by BPF_PROG_TEST_RUN (test/bench/packets.cc)."""

import json

CASES = ("not_ours", "established_local", "established_remote", "new_local", "new_remote", "new_maglev")


def measure(lab, services):
    return json.loads(lab.run([lab.program("bench/bench_packets"), "--services", str(services)]))


def summary(found):
    flows = "262144"
    return f"{int(flows):,} flows, " + ", ".join(
        f"{case.replace('_', ' ')} {found['tc'][case][flows]:.0f}" for case in CASES
    )
