# SPDX-License-Identifier: Apache-2.0
"""Connections through Services and directly, at several sizes of the cluster."""

import json
import os

import lab as bench_lab
import objects


def measure(lab, services, endpoints, effort):
    """Figures of bench_connections (see test/bench/connections.cc) with so many Services."""
    manifest = f"{lab.work}/connections.json"
    objects.write_json(manifest, services, endpoints)
    agent = bench_lab.Agent(lab, ["--manifests", manifest])
    try:
        agent.wait_programmed(120)
        output = lab.run(
            [
                lab.program("bench/bench_connections"),
                *("--server-netns", lab.netns("server"), "--client-netns", lab.netns("client")),
                *("--attached", lab.attached, "--plain", lab.plain),
                *("--services", str(services), "--endpoints", str(endpoints)),
                *("--cpu", str(max(os.sched_getaffinity(0)))),
                *effort,
            ]
        )
    finally:
        agent.stop()
    return json.loads(output)
