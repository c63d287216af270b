# SPDX-License-Identifier: Apache-2.0
"""Connections through Services and directly, at several sizes of the cluster."""

import json
import os

import lab as bench_lab
import objects


# Ways of packets through the node: name, who the node takes for whom, and what is said of it. A client is a pod, or
# outside; the server's endpoints are on this node, or elsewhere and reached through a device all the same.
PACKET_WAYS = {
    "pod_to_pod": (True, ["--pod-devices", "vclient", "--devices", "none", "--pod-delivery", "direct"]),
    "outside_to_pod": (True, ["--devices", "vclient", "--pod-delivery", "direct"]),
    "outside_to_pod_by_stack": (True, ["--devices", "vclient"]),
    "outside_to_elsewhere": (False, ["--devices", "vclient,vserver", "--masquerade-all"]),
}


def measure(lab, services, endpoints, effort):
    """Figures of bench_connections (see test/bench/connections.cc) with so many Services, translated at the socket."""
    return _measure(lab, services, endpoints, effort, local=False, flags=["--devices", "none"], more=[])


def measure_packets(lab, services, endpoints, effort):
    """The same by way of packets: {way: figures}."""
    return {
        way: _measure(lab, services, endpoints, effort, local, flags + ["--xdp", "off"], more=["--packets"])
        for way, (local, flags) in PACKET_WAYS.items()
    }


def _measure(lab, services, endpoints, effort, local, flags, more):
    manifest = f"{lab.work}/connections.json"
    objects.write_json(manifest, services, endpoints, "node1" if local else None)
    agent = bench_lab.Agent(lab, ["--manifests", manifest, *flags])
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
                *more,
            ]
        )
    finally:
        agent.stop()
    return json.loads(output)
