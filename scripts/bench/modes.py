# SPDX-License-Identifier: Apache-2.0
"""The modes beside each other: the same cluster and the same clients, and figures that have the same meaning in each."""

import json
import os
import random
import shutil
import statistics
import subprocess
import time

import control_plane
import lab as bench_lab
import objects

MODES = ("ebpf", "nftables", "ipvs", "iptables")
CHANGE_PATIENCE_S = 60
CHANGES_S = 30  # a mode whose changes take long makes fewer
PROBE_IP = "172.29.0.1"  # of no other Service


def why_not(mode):
    """Why this machine cannot measure a mode; None if it can. Loads ip_vs where it is a module."""
    if mode != "ipvs":
        return None
    if shutil.which("modprobe"):
        subprocess.run(["modprobe", "-q", "ip_vs"], check=False, stderr=subprocess.DEVNULL)
    return None if os.path.exists("/proc/net/ip_vs") else "this kernel has no IPVS"


def measure(lab, mode, services, endpoints, size):
    """Figures of one mode with so many Services; {"not_within_s"} where it was not ready in time."""
    server = control_plane.ApiServer(lab, services, endpoints)
    try:
        probe = Probe(server, services * endpoints)
        flags = ["--devices", "none"] if mode == "ebpf" else []
        agent = bench_lab.Agent(lab, ["--kubeconfig", server.kubeconfig, "--proxy-mode", mode, *flags])
        try:
            start = {"seconds": agent.wait_programmed(size.mode_patience_s), "cpu_s": agent.cpu_s()}
            own_bytes = agent.resident_bytes()
            return {
                "start": start,
                "connections": _connections(lab, services, endpoints, size.mode_connections),
                "change": _changes(lab, probe, agent, size.mode_changes),
                "own_bytes": max(own_bytes, agent.resident_bytes()),
            }
        except bench_lab.NotInTime:
            return {"not_within_s": size.mode_patience_s}
        finally:
            agent.stop()
    finally:
        server.close()


class Probe:
    """A Service beside the others whose only endpoint is replaced."""

    def __init__(self, server, first_endpoint):
        self._server = server
        self._endpoints = (first_endpoint, first_endpoint + 1)
        self._turn = 0
        server.put(objects.single("probe", PROBE_IP, first_endpoint)[0])
        self.change()

    def change(self):
        """CLOCK_MONOTONIC in ns just before the event of another endpoint went out."""
        self._turn += 1
        return self._server.put(objects.single("probe", PROBE_IP, self._endpoints[self._turn % 2])[1])


def _connections(lab, services, endpoints, effort):
    """bench_connections, with direct connections on a node that has never seen a rule."""
    return json.loads(
        lab.run(
            [
                lab.program("bench/bench_connections"),
                *("--server-netns", lab.netns("server"), "--client-netns", lab.netns("client")),
                *("--bare-server-netns", lab.netns("bare-server"), "--bare-client-netns", lab.netns("bare-client")),
                *("--attached", lab.attached, "--plain", lab.plain),
                *("--services", str(services), "--endpoints", str(endpoints)),
                *("--cpu", str(max(os.sched_getaffinity(0)))),
                *effort,
            ]
        )
    )


def _changes(lab, probe, agent, count):
    """Milliseconds from the wire to the first connection that reaches the new endpoint, and the agent's CPU."""
    reach = bench_lab.Talker(
        [lab.program("bench/bench_reach"), "--cgroup", lab.attached, "--timeout-ms", str(CHANGE_PATIENCE_S * 1000)]
        + ["--server-netns", lab.netns("server"), "--client-netns", lab.netns("client")],
        f"{lab.work}/reach.log",
    )
    time.sleep(1)  # what follows a start is not part of a change
    cpu = agent.cpu_s()
    latencies_ms = []
    pauses = random.Random(1)
    end = time.monotonic() + CHANGES_S
    try:
        while len(latencies_ms) < count and time.monotonic() < end:
            reach.ask(f"watch {PROBE_IP} {bench_lab.PORT}", "watching")
            written = probe.change()
            seen = reach.hear("", CHANGE_PATIENCE_S + 10).split()
            if seen == ["timeout"]:
                return {"not_within_s": CHANGE_PATIENCE_S}
            latencies_ms.append((int(seen[1]) - written) / 1e6)
            time.sleep(pauses.uniform(0, 0.02))  # not in step with anything the agent does periodically
    finally:
        reach.close()
    return {
        "changes": len(latencies_ms),
        "p50_ms": statistics.median(latencies_ms),
        "max_ms": max(latencies_ms),
        "cpu_ms": (agent.cpu_s() - cpu) / len(latencies_ms) * 1000,
    }


def summary(found):
    if "not_within_s" in found:
        return f"not programmed within {found['not_within_s']} s"
    service, change = found["connections"]["service"], found["change"]
    text = f"programmed in {found['start']['seconds']:.2f} s, new connections {service['connection']['ratio']:.2f} of DIRECT"
    if "not_within_s" in change:
        return f"{text}, a change not within {change['not_within_s']} s"
    return f"{text}, a change {change['p50_ms']:.1f} ms, {change['cpu_ms']:.1f} ms CPU"
