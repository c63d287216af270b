# SPDX-License-Identifier: Apache-2.0
"""The phases of scripts/bench.sh, in the lab that it made. One line as each ends; table, JSON and plot at the end."""

import argparse
import json
import os
import platform
import sys
import time

import connections
import control_plane
import forward
import lab as bench_lab
import modes
import objects
import packets
import report

ENDPOINTS = 10  # of each Service


class Size:
    """How much is measured."""

    def __init__(self, quick):
        self.connection_sizes = [10, 1000] if quick else [10, 1000, 10000]
        self.services = 500 if quick else 10000
        self.packet_services = 10 if quick else 1000
        self.packet_sizes = [10] if quick else [10, 1000, 10000]
        self.changes = 100 if quick else 1000
        self.load_s = 2 if quick else 10
        self.modes = modes.MODES
        self.mode_sizes = [10, 500] if quick else [10, 1000, 10000]
        self.mode_changes = 20 if quick else 100
        self.mode_patience_s = 120
        self.connections = [
            *("--rounds", "30" if quick else "200"),
            *("--connections", "50" if quick else "100"),
            *("--pings", "200" if quick else "500"),
            *("--bulk-mib", "4" if quick else "8"),
        ]
        self.forward = ["--rounds", "20" if quick else "100"]
        self.mode_connections = [
            *("--rounds", "20" if quick else "100"),
            *("--connections", "50"),
            *("--pings", "200"),
            *("--bulk-mib", "4"),
        ]


def machine():
    model = "an unknown CPU"
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        for line in info:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {os.cpu_count()} CPUs, {memory:.0f} GiB, Linux {platform.release()}"


class Progress:
    """Says what a phase found and how long it took."""

    def __init__(self):
        self._last = time.monotonic()

    def done(self, text):
        now = time.monotonic()
        print(f"[{now - self._last:6.1f} s] {text}", flush=True)
        self._last = now


def measure_connections(lab, size, progress):
    by_size = {}
    for services in size.connection_sizes:
        found = connections.measure(lab, services, ENDPOINTS, size.connections)
        by_size[str(services)] = found
        progress.done(
            f"connections at {services:,} Services: new {found['service']['connection']['ratio']:.2f}, "
            f"round trip {found['service']['round_trip']['ratio']:.2f}, bulk {found['service']['bulk']['ratio']:.2f} "
            "of DIRECT"
        )
    return by_size


def measure_packets(lab, size, progress):
    """By way of packets: connections, datagrams a second, and ns a packet."""
    by_way = connections.measure_packets(lab, size.packet_services, ENDPOINTS, size.connections)
    for way, found in by_way.items():
        progress.done(
            f"packets {way.replace('_', ' ')}: new {found['service']['connection']['ratio']:.2f}, "
            f"round trip {found['service']['round_trip']['ratio']:.2f}, bulk {found['service']['bulk']['ratio']:.2f} "
            "of DIRECT"
        )
    forwarded = forward.measure(lab, size.packet_services, ENDPOINTS, size.forward)
    progress.done("datagrams a second, of DIRECT: " + forward.summary(forwarded))
    programs = {}
    for services in size.packet_sizes:
        programs[str(services)] = packets.measure(lab, services)
        progress.done(f"ns a packet at {services:,} Services: " + packets.summary(programs[str(services)]))
    return {"services": size.packet_services, "ways": by_way, "forward": forwarded, "programs": programs}


def measure_modes(lab, size, progress):
    found = {}
    for mode in size.modes:
        if why := modes.why_not(mode):
            found[mode] = {"why_not": why}
            progress.done(f"{mode} mode: not measured: {why}")
            continue
        found[mode] = {}
        for services in size.mode_sizes:
            figures = modes.measure(lab, mode, services, ENDPOINTS, size)
            found[mode][str(services)] = figures
            progress.done(f"{mode} mode at {services:,} Services: {modes.summary(figures)}")
    return {"sizes": size.mode_sizes, "modes": found}


def measure_control_plane(lab, size, progress):
    found = {"services": size.services, "endpoints": ENDPOINTS}
    at = f"{size.services:,} × {ENDPOINTS}"
    found["map_writes"] = control_plane.map_writes(lab, size.services, ENDPOINTS, size.changes)
    progress.done(f"plan and maps, {at}: maps {found['map_writes']['all']['maps_ns'] / 1e6:.1f} ms")
    for kind, write in (("json", objects.write_json), ("yaml", objects.write_yaml)):
        path = f"{lab.work}/all.{kind}"
        write(path, size.services, ENDPOINTS)
        found[kind] = control_plane.start_from_manifest(lab, path, size.services)
        os.unlink(path)
        progress.done(f"start from {kind.upper()}, {at}: {found[kind]['seconds']:.2f} s")
    found["api"] = control_plane.measure_api(lab, size.services, ENDPOINTS, size.changes, size.load_s)
    progress.done(
        f"API server, {at}: start {found['api']['start']['seconds']:.2f} s, "
        f"a change p50 {found['api']['change']['p50_us']:.0f} µs, p99 {found['api']['change']['p99_us']:.0f} µs"
    )
    return found


PARTS = {
    "connections": measure_connections,
    "packets": measure_packets,
    "control_plane": measure_control_plane,
    "modes": measure_modes,
}


def numbers(text):
    if not all(word.isdigit() and int(word) > 0 for word in text.split(",")):
        raise argparse.ArgumentTypeError(f"expected numbers of Services such as 10,1000, got {text!r}")
    return [int(word) for word in text.split(",")]


def listed(text, known):
    """The words of a list with commas, all of them known."""
    words = text.split(",")
    for word in words:
        if word not in known:
            raise argparse.ArgumentTypeError(f"unknown: '{word}'; expected some of {', '.join(known)}")
    return words


def command(options):
    """What was asked of scripts/bench.sh, where figures depend on it."""
    words = ["scripts/bench.sh"]
    if options.quick:
        words.append("--quick")
    for name in ("only", "modes", "sizes"):
        if value := getattr(options, name):
            words += [f"--{name}", value if isinstance(value, str) else ",".join(map(str, value))]
    return " ".join(words)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--modes", type=lambda text: listed(text, modes.MODES))
    parser.add_argument("--sizes", type=numbers)
    for name in ("build", "name", "cgroup", "pins", "work", "results"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    size = Size(options.quick)
    size.modes = options.modes or size.modes
    size.mode_sizes = options.sizes or size.mode_sizes
    lab = bench_lab.Lab(options.build, options.name, options.cgroup, options.pins, options.work)

    results = {
        "command": command(options),
        "machine": machine(),
        "load_before": os.getloadavg()[0],
    }
    progress = Progress()
    try:
        for part in [options.only] if options.only else PARTS:
            results[part] = PARTS[part](lab, size, progress)
    except bench_lab.BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    texts = {
        "results.json": json.dumps(results, indent=2) + "\n",
        "table.md": report.table(results),
    }
    if "connections" in results:
        texts["connections.svg"] = report.plot(results["connections"])
    folder = f"{options.results}/{options.only}" if options.only else options.results  # the whole stays as it was
    os.makedirs(folder, exist_ok=True)
    for name, text in texts.items():
        with open(f"{folder}/{name}", "w", encoding="utf-8") as out:
            out.write(text)
    print("\n" + texts["table.md"])
    if results["load_before"] > 0.5 * os.cpu_count():
        print(f"The machine was not quiet (load {results['load_before']:.1f}): trust ratios only.")
    print(f"In {folder}: {', '.join(texts)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
