# SPDX-License-Identifier: Apache-2.0
"""Datagrams a second through a node and out again by the device they came in by (test/bench/forward.cc): under the
programs at TC, under those at XDP, and on a node without any."""

import json
import os

import lab as bench_lab
import objects

NODES = {"tc": ["--xdp", "off"], "xdp": ["--xdp", "native"]}
BY_PROGRAM = {"tc": "uplink", "xdp": "xdp"}  # what a node measures


def measure(lab, services, endpoints, effort):
    """Figures of bench_forward, and what share of its Services' datagrams each node sent by the program it measures:
    the first of a flow, and one a second, are TC's."""
    manifest = f"{lab.work}/forward.json"
    objects.write_json(manifest, services, endpoints, proto="UDP")
    agents = {}
    try:
        for name, xdp in NODES.items():
            agents[name] = _agent(lab, name, ["--manifests", manifest, "--devices", "wire", "--masquerade-all", *xdp])
        for agent in agents.values():
            agent.wait_programmed(120)
        found = json.loads(
            lab.run(
                [
                    lab.program("bench/bench_forward"),
                    *("--lab", f"/run/netns/{lab.name}"),
                    *("--services", str(services), "--endpoints", str(endpoints)),
                    *("--cpu", str(max(os.sched_getaffinity(0)))),
                    *effort,
                ]
            )
        )
        found["by_program"] = {name: _share(agent.metrics(), BY_PROGRAM[name]) for name, agent in agents.items()}
    finally:
        for agent in agents.values():
            agent.stop()
    for name, share in found["by_program"].items():
        if share < 0.8:
            raise bench_lab.BenchError(f"forward: at {BY_PROGRAM[name]} were sent only {share:.0%} of the datagrams")
    return found


def _agent(lab, name, flags):
    work = f"{lab.work}/{name}"
    os.makedirs(work, exist_ok=True)
    node = bench_lab.Lab(lab.build, f"{lab.name}-{name}", f"{lab.cgroup}/{name}", f"{lab.pins}-{name}", work)
    return bench_lab.Agent(node, flags)


def _share(metrics, program):
    """Of all datagrams of known flows, those that this program sent."""
    kept = {name: value for name, value in metrics.items() if 'verdict="KEPT"' in name}
    return sum(value for name, value in kept.items() if f'program="{program}"' in name) / max(1, sum(kept.values()))


def summary(found):
    return ", ".join(
        f"{name.upper()} {found[f'{name}_service']['frames']['ratio']:.2f} (from sockets "
        f"{found[f'{name}_service']['sockets']['ratio']:.2f})"
        for name in NODES
    )
