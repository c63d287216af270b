# SPDX-License-Identifier: Apache-2.0
"""What a run found, as Markdown and as a plot. Ratios: DIRECT is 1.00, above is faster."""


def table(results):
    parts = [f"`{results['command']}` on {results['machine']}."]
    if found := results.get("connections"):
        parts.append(_connections(found))
    if found := results.get("packets"):
        parts += [_packet_connections(found), _forward(found), _packets(found["programs"])]
    if found := results.get("control_plane"):
        parts.append(_control_plane(found))
    if found := results.get("modes"):
        parts += [_modes(found["modes"], services) for services in found["sizes"]]
        parts += [f"{mode} mode: not measured, {why['why_not']}." for mode, why in found["modes"].items() if "why_not" in why]
    return "\n\n".join(parts) + "\n"


def _rows(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def _connections(by_size):
    sizes = list(by_size)

    def row(name, text):
        return [name] + [text(by_size[size]) for size in sizes]

    def ratio(way, what):
        return lambda figures: f"{figures[way][what]['ratio']:.2f}"

    def latency(way):
        return lambda figures: " / ".join(f"{figures[way]['connect'][p] / 1000:.1f}" for p in ("p50_ns", "p99_ns"))

    rows = [
        row("new TCP connections, pod → cluster IP → pod", ratio("service", "connection")),
        row("new TCP connections of a client under the programs, no Service", ratio("others", "connection")),
        row("established through the cluster IP: 1-byte round trip", ratio("service", "round_trip")),
        row("established through the cluster IP: bulk", ratio("service", "bulk")),
        row("connect(), µs, p50 / p99: direct", latency("direct")),
        row("connect(), µs, p50 / p99: no Service", latency("others")),
        row("connect(), µs, p50 / p99: cluster IP", latency("service")),
        row("direct, µs of CPU a connection (both ends)", lambda f: f"{f['direct']['connection']['cpu_ns'] / 1000:.1f}"),
    ]
    head = ["DIRECT = 1.00"] + [f"{int(size):,} Services" for size in sizes]
    return _rows(head, rows)


WAYS = {
    "pod_to_pod": "pod → cluster IP → pod of this node, its sockets not seen, into the pod directly",
    "outside_to_pod": "outside → cluster IP → pod, into the pod directly",
    "outside_to_pod_by_stack": "outside → cluster IP → pod, up the node's stack",
    "outside_to_elsewhere": "outside → cluster IP → another node, masqueraded",
}


def _packet_connections(found):
    rows = []
    for way, words in WAYS.items():
        figures = found["ways"][way]["service"]
        rows.append([words] + [f"{figures[what]['ratio']:.2f}" for what in ("connection", "round_trip", "bulk")])
    head = [f"packets at {found['services']:,} Services, DIRECT = 1.00", "new connections", "round trip", "bulk"]
    return _rows(head, rows)


FORWARD_WAYS = {
    "tc_service": "outside → cluster IP → another node, masqueraded, by TC",
    "xdp_service": "the same by XDP, out of the device it came in by",
    "tc_others": "through the node, no Service, past TC",
    "xdp_others": "the same past XDP and TC",
}


def _forward(found):
    forward = found["forward"]
    rows = [
        [words] + [f"{forward[way][sender]['ratio']:.2f}" for sender in ("frames", "sockets")]
        for way, words in FORWARD_WAYS.items()
    ]
    rows.append(
        ["DIRECT, datagrams a second of one CPU, both ends included"]
        + [f"{1e9 / forward['direct'][sender]['cpu_ns']:,.0f}" for sender in ("frames", "sockets")]
    )
    head = [
        f"datagrams of {forward['flows']:,} flows at {found['services']:,} Services, DIRECT = 1.00",
        "frames off the wire",
        "sent by sockets",
    ]
    return _rows(head, rows)


CASES = {
    "not_ours": "a packet that is not ours",
    "established_local": "of an established flow, to a pod here",
    "established_remote": "of an established flow, to another node",
    "new_local": "the first of a flow, to a pod here",
    "new_remote": "the first of a flow, to another node, masqueraded",
    "new_maglev": "the first of a flow, Maglev",
}


def _packets(by_services):
    flows = ["1", "262144"]
    head = ["ns a packet over an empty program, tc / xdp"]
    head += [f"{int(services):,} Services, {int(n):,} flows" for services in by_services for n in flows]
    rows = []
    for case, words in CASES.items():
        row = [words]
        for found in by_services.values():
            row += [f"{found['tc'][case][n]:.0f} / {found['xdp'][case][n]:.0f}" for n in flows]
        rows.append(row)
    return _rows(head, rows)


def _control_plane(found):
    api, maps = found["api"], found["map_writes"]
    services, endpoints = found["services"], found["endpoints"]
    change, load, memory = api["change"], api["load"], api["memory"]
    rows = []
    for name, start in (
        ("the API server", api["start"]),
        ("one JSON manifest", found["json"]),
        ("one YAML manifest", found["yaml"]),
    ):
        rows.append([f"start → all programmed, from {name}", f"{start['seconds']:.2f} s, {start['cpu_s']:.2f} s CPU"])
    rate = services / (maps["all"]["maps_ns"] / 1e9)
    rows += [
        ["of which plan, maps", f"{maps['all']['plan_ns'] / 1e6:.1f} ms, {maps['all']['maps_ns'] / 1e6:.1f} ms"],
        ["plan → maps, Services a second", f"{rate:,.0f}"],
        [
            f"endpoint change on the wire → flip ({change['changes']:,} changes)",
            f"p50 {change['p50_us']:.0f} µs, p99 {change['p99_us']:.0f} µs",
        ],
        [
            "of which plan, maps (p50)",
            f"{maps['change']['plan_p50_ns'] / 1000:.1f} µs, {maps['change']['maps_p50_ns'] / 1000:.1f} µs",
        ],
        ["bytes written to maps by a change", f"{change['bytes']:,.0f}"],
        [f"agent CPU under {load['rate']:.0f} changes a second", f"{load['core_share'] * 100:.1f} % of a core"],
        ["agent memory (resident, without maps)", f"{memory['own_bytes'] / 2**20:.0f} MiB"],
        ["map memory (default capacities)", f"{memory['map_bytes'] / 2**20:.0f} MiB"],
    ]
    return _rows([f"control plane, {services:,} Services × {endpoints} endpoints", ""], rows)


MODE_ROWS = (
    ("new TCP connections, DIRECT = 1.00", lambda f: f"{f['connections']['service']['connection']['ratio']:.2f}"),
    ("connections that are not a Service's", lambda f: f"{f['connections']['others']['connection']['ratio']:.2f}"),
    ("established: round trip", lambda f: f"{f['connections']['service']['round_trip']['ratio']:.2f}"),
    ("established: bulk", lambda f: f"{f['connections']['service']['bulk']['ratio']:.2f}"),
    ("connect(), µs, p50 / p99", lambda f: _latency(f["connections"]["service"])),
    ("the same, direct", lambda f: _latency(f["connections"]["direct"])),
    ("start → all programmed", lambda f: f"{f['start']['seconds']:.2f} s"),
    ("one endpoint change, wire → reached, p50", lambda f: _milliseconds(f["change"], "p50_ms")),
    ("CPU of a change, the programs it runs included", lambda f: _milliseconds(f["change"], "cpu_ms")),
    ("agent memory (resident)", lambda f: f"{f['own_bytes'] / 2**20:.0f} MiB"),
)


def _latency(way):
    return " / ".join(f"{way['connect'][p] / 1000:.0f}" for p in ("p50_ns", "p99_ns"))


def _milliseconds(change, what):
    return f"{change[what]:.1f} ms" if what in change else f"not within {change['not_within_s']} s"


def _modes(by_mode, services):
    """A column a mode; a mode without figures says so in each row."""

    def cell(mode, text):
        figures = by_mode[mode].get(str(services))
        if figures is None:
            return "–"
        if "not_within_s" in figures:
            return f"not within {figures['not_within_s']} s" if text is MODE_ROWS[6][1] else "–"
        return text(figures)

    measured = [mode for mode in by_mode if "why_not" not in by_mode[mode]]
    rows = [[name] + [cell(mode, text) for mode in measured] for name, text in MODE_ROWS]
    return _rows([f"modes at {services:,} Services"] + measured, rows)


SERIES = (
    ("new connections, cluster IP", "service", "connection", "#1f6feb"),
    ("new connections, no Service", "others", "connection", "#8b949e"),
    ("round trip, cluster IP", "service", "round_trip", "#2da44e"),
    ("bulk, cluster IP", "service", "bulk", "#bf8700"),
)
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 300, 60, 220, 30, 40


def plot(by_size):
    """Ratios over the number of Services, as SVG."""
    sizes = list(by_size)
    values = [by_size[size][way][what]["ratio"] for _, way, what, _ in SERIES for size in sizes]
    low = min(0.9, min(values) - 0.02)
    high = max(1.05, max(values) + 0.02)

    def x(k):
        return LEFT + (WIDTH - LEFT - RIGHT) * (k + 0.5) / len(sizes)

    def y(value):
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)

    svg = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" '
        f'font-size="12"><rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="{LEFT}" y="18">Speed over the number of Services, DIRECT = 1.00</text>',
    ]
    tick = round(low + 0.049, 1)
    while tick <= high:
        width = 2 if abs(tick - 1) < 1e-9 else 0.5
        svg.append(
            f'<path d="M{LEFT} {y(tick):.1f}H{WIDTH - RIGHT}" stroke="#57606a" stroke-width="{width}"/>'
            f'<text x="{LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.2f}</text>'
        )
        tick = round(tick + 0.05, 2)
    for k, size in enumerate(sizes):
        svg.append(f'<text x="{x(k):.1f}" y="{HEIGHT - 15}" text-anchor="middle">{int(size):,}</text>')
    for n, (name, way, what, color) in enumerate(SERIES):
        points = [(x(k), y(by_size[size][way][what]["ratio"])) for k, size in enumerate(sizes)]
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        svg.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.5"/>')
        svg += [f'<circle cx="{px:.1f}" cy="{py:.1f}" r="4" fill="{color}"/>' for px, py in points]
        legend = TOP + 20 + 20 * n
        svg.append(
            f'<circle cx="{WIDTH - RIGHT + 18}" cy="{legend - 4}" r="4" fill="{color}"/>'
            f'<text x="{WIDTH - RIGHT + 28}" y="{legend}">{name}</text>'
        )
    return "\n".join(svg) + "\n</svg>\n"
