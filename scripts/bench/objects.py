# SPDX-License-Identifier: Apache-2.0
"""The benches' cluster as manifests: N Services with M endpoints each. Names and addresses are those of
test_api_server and test/bench/bench_cluster.h."""

import json


def cluster_ip(i):
    return f"172.30.{i // 250 % 256}.{i % 250 + 1}"


def endpoint_ip(n):
    return f"10.{128 + n // 62500 % 100}.{n // 250 % 250}.{n % 250 + 1}"


def service(i, proto="TCP"):
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": f"svc-{i}", "namespace": "bench"},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": cluster_ip(i),
            "clusterIPs": [cluster_ip(i)],
            "ipFamilies": ["IPv4"],
            "ports": [{"name": "http", "protocol": proto, "port": 80, "targetPort": 8080}],
            "internalTrafficPolicy": "Cluster",
            "sessionAffinity": "None",
        },
    }


def slice_of(i, endpoints, replaced=None, node=None, proto="TCP"):
    """The slice of Service i; `replaced` is (position, number of the endpoint that is there instead), `node` the one
    that all endpoints are on."""
    numbers = list(range(i * endpoints, (i + 1) * endpoints))
    if replaced:
        numbers[replaced[0]] = replaced[1]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"svc-{i}-1",
            "namespace": "bench",
            "labels": {"kubernetes.io/service-name": f"svc-{i}"},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "protocol": proto, "port": 8080}],
        "endpoints": [
            {
                "addresses": [endpoint_ip(n)],
                "conditions": {"ready": True, "serving": True, "terminating": False},
                "nodeName": node or f"n{n % 100 + 1}",
                "zone": f"z{n % 3}",
            }
            for n in numbers
        ],
    }


def single(name, ip, endpoint):
    """A Service with this cluster IP and one endpoint, and its slice."""
    its_service, its_slice = service(0), slice_of(0, 1)
    its_service["metadata"]["name"] = name
    its_service["spec"] |= {"clusterIP": ip, "clusterIPs": [ip]}
    its_slice["metadata"] |= {"name": f"{name}-1", "labels": {"kubernetes.io/service-name": name}}
    its_slice["endpoints"][0]["addresses"] = [endpoint_ip(endpoint)]
    return its_service, its_slice


def write_json(path, services, endpoints, node=None, proto="TCP"):
    """One v1 List, an item a line. `node`: the one that all endpoints are on."""
    with open(path, "w", encoding="ascii") as out:
        out.write('{"apiVersion": "v1", "kind": "List", "items": [\n')
        for i in range(services):
            out.write(json.dumps(service(i, proto)) + ",\n")
            out.write(json.dumps(slice_of(i, endpoints, node=node, proto=proto)) + ("\n" if i == services - 1 else ",\n"))
        out.write("]}\n")


def write_yaml(path, services, endpoints):
    """One file, a document an object, in block style as people write it."""
    with open(path, "w", encoding="ascii") as out:
        for i in range(services):
            for thing in (service(i), slice_of(i, endpoints)):
                out.write("---\n")
                _write_block(out, thing, "")


def _write_block(out, value, indent):
    for key, item in value.items():
        if isinstance(item, dict):
            out.write(f"{indent}{key}:\n")
            _write_block(out, item, indent + "  ")
        elif isinstance(item, list):
            out.write(f"{indent}{key}:\n")
            for element in item:
                if isinstance(element, dict):
                    _write_element(out, element, indent)
                else:
                    out.write(f"{indent}- {json.dumps(element)}\n")
        else:
            out.write(f"{indent}{key}: {json.dumps(item)}\n")


def _write_element(out, element, indent):
    """A mapping in a list: its first line after the dash."""
    lines = _Lines()
    _write_block(lines, element, indent + "  ")
    text = "".join(lines.parts)
    out.write(indent + "- " + text[len(indent) + 2 :])


class _Lines:
    def __init__(self):
        self.parts = []

    def write(self, text):
        self.parts.append(text)
