# SPDX-License-Identifier: Apache-2.0
"""The agent's own work: start, changes, memory, CPU."""

import glob
import json
import random
import statistics
import time

import lab as bench_lab
import objects

RATE = 100  # changes a second under load


def start_from_manifest(lab, path, services):
    """Seconds and CPU seconds until all is programmed from one file."""
    agent = bench_lab.Agent(lab, ["--manifests", path])
    try:
        seconds = agent.wait_programmed(600)
        cpu = agent.cpu_s()
        _check_count(lab, services)
    finally:
        agent.stop()
    return {"seconds": seconds, "cpu_s": cpu}


def map_writes(lab, services, endpoints, changes):
    """Figures of bench_map_writes (see test/bench/map_writes.cc)."""
    return json.loads(
        lab.run(
            [
                lab.program("bench/bench_map_writes"),
                *("--pins", lab.pins + "-writes", "--cgroup", lab.attached),
                *("--services", str(services), "--endpoints", str(endpoints), "--changes", str(changes)),
            ]
        )
    )


class ApiServer:
    """The test API server, with the benches' cluster, on the node's loopback."""

    def __init__(self, lab, services, endpoints):
        self.kubeconfig = f"{lab.work}/kubeconfig"
        self._talker = bench_lab.Talker(
            ["nsenter", f"--net={lab.netns('node')}", lab.program("test/test_api_server")]
            + ["--kubeconfig", self.kubeconfig, "--services", str(services), "--endpoints", str(endpoints)],
            f"{lab.work}/api_server.log",
        )
        self._talker.hear("ready", 120)

    def put(self, thing):
        """Writes the object; CLOCK_MONOTONIC in ns just before its event went to the watchers."""
        return int(self._talker.ask("put " + json.dumps(thing), "put").split()[1])

    def close(self):
        self._talker.close()


class Changes:
    """Replaces one endpoint of one Service at a time, the Services in random order."""

    def __init__(self, services, endpoints):
        self._services = services
        self._endpoints = endpoints
        self._next = services * endpoints  # endpoints that no Service has had yet
        self._random = random.Random(1)

    def make(self):
        """A Service's number and its new slice."""
        i = self._random.randrange(self._services)
        replaced = (self._random.randrange(self._endpoints), self._next)
        self._next += 1
        return i, objects.slice_of(i, self._endpoints, replaced)


def measure_api(lab, services, endpoints, changes, load_s):
    """Start, changes one by one, and changes at a rate, from the test API server."""
    server = ApiServer(lab, services, endpoints)
    try:
        agent = bench_lab.Agent(lab, ["--kubeconfig", server.kubeconfig])
        try:
            return _measure_api(lab, server, agent, services, endpoints, changes, load_s)
        finally:
            agent.stop()
    finally:
        server.close()


def _measure_api(lab, server, agent, services, endpoints, changes, load_s):
    start = {"seconds": agent.wait_programmed(600), "cpu_s": agent.cpu_s()}
    _check_count(lab, services)
    made = Changes(services, endpoints)
    time.sleep(1)  # what follows a start is not part of a change
    single = _single_changes(lab, server, agent, made, changes)
    return {
        "start": start,
        "change": single,
        "load": _load(server, agent, made, load_s),
        "memory": _memory(lab, agent),
    }


def _flips(lab):
    return bench_lab.Talker([lab.program("bench/bench_flips"), "--pins", lab.pins], f"{lab.work}/flips.log")


def _check_count(lab, services):
    """The agent's word that all is programmed, held against the table."""
    flips = _flips(lab)
    try:
        count = int(flips.ask(f"count {bench_lab.PORT}", "count"))
    finally:
        flips.close()
    if count != services:
        raise bench_lab.BenchError(f"frontends: {count} are live, expected {services}")


def _single_changes(lab, server, agent, made, changes):
    before = agent.metrics()
    latencies_us = []
    flips = _flips(lab)
    try:
        for _ in range(changes):
            i, new_slice = made.make()
            flips.ask(f"watch {objects.cluster_ip(i)} {bench_lab.PORT}", "watching")
            written = server.put(new_slice)
            latencies_us.append((int(flips.hear("flip")) - written) / 1000)
    finally:
        flips.close()
    after = agent.metrics()

    def grown(name):
        return after[name] - before[name]

    observed = grown("fairlead_wire_to_flip_seconds_count")
    return {
        "changes": changes,
        "p50_us": statistics.median(latencies_us),
        "p99_us": sorted(latencies_us)[int(0.99 * len(latencies_us))],
        "max_us": max(latencies_us),
        "agent_mean_us": grown("fairlead_wire_to_flip_seconds_sum") / max(1, observed) * 1e6,
        "bytes": grown("fairlead_map_written_bytes_total") / changes,
    }


def _load(server, agent, made, seconds):
    """RATE changes a second; where the test server cannot keep up, `rate` says what it came to."""
    cpu = agent.cpu_s()
    began = time.monotonic()
    count = 0
    while (now := time.monotonic()) < began + seconds:
        due = began + count / RATE
        if now < due:
            time.sleep(due - now)
        server.put(made.make()[1])
        count += 1
    took = time.monotonic() - began
    return {"rate": count / took, "core_share": (agent.cpu_s() - cpu) / took, "seconds": took}


def _memory(lab, agent):
    """Bytes: `own` of the process; `maps` of all its maps, in the kernel."""
    maps = 0
    for pin in glob.glob(f"{lab.pins}/maps/*"):
        maps += json.loads(lab.run(["bpftool", "--json", "map", "show", "pinned", pin]))["bytes_memlock"]
    return {"own_bytes": agent.resident_bytes(), "map_bytes": maps}
