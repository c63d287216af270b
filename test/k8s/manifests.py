# SPDX-License-Identifier: Apache-2.0
"""Reads k8s/ as kustomize does, as far as k8s/ uses kustomize: resources, images, components with JSON patches.

Stricter than kustomize: a key that is given twice is refused.
"""
import copy
import pathlib

import yaml

K8S = pathlib.Path(__file__).resolve().parents[2] / "k8s"


class _StrictLoader(yaml.SafeLoader):
    def construct_mapping(self, node, deep=False):
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def parse(text):
    """All documents of a YAML text."""
    return [document for document in yaml.load_all(text, _StrictLoader) if document is not None]


def components():
    """Names of the components, each usable on its own over the base."""
    return sorted(path.parent.name for path in K8S.glob("components/*/kustomization.yaml"))


def render(component=None):
    """The objects of the base, with one component applied if named."""
    kustomization = _one(K8S / "kustomization.yaml")
    objects = []
    for resource in kustomization["resources"]:
        objects += parse((K8S / resource).read_text())
    images = {i["name"]: f"{i.get('newName', i['name'])}:{i['newTag']}" for i in kustomization["images"]}
    if component:
        for patch in _one(K8S / "components" / component / "kustomization.yaml")["patches"]:
            matched = [o for o in objects
                       if o["kind"] == patch["target"]["kind"] and o["metadata"]["name"] == patch["target"]["name"]]
            if not matched:
                raise ValueError(f"component {component}: its patch matches no object")
            for o in matched:
                for operation in yaml.load(patch["patch"], _StrictLoader):
                    _apply(o, operation)
    for o in objects:
        pod = o.get("spec", {}).get("template", {}).get("spec", {})
        for container in pod.get("containers", []) + pod.get("initContainers", []):
            container["image"] = images.get(container["image"], container["image"])
    return objects


def _one(path):
    document, = parse(path.read_text())
    return document


def _apply(document, operation):
    """One operation of RFC 6902 (add, remove, replace, copy, test), in place."""
    parent, key = _resolve(document, operation["path"])
    op = operation["op"]
    if op in ("remove", "replace", "test"):
        current = parent[key]  # must exist
        if op == "remove":
            del parent[key]
        elif op == "replace":
            parent[key] = copy.deepcopy(operation["value"])
        elif current != operation["value"]:
            raise ValueError(f"{operation['path']} is {current!r}, the patch expects {operation['value']!r}")
        return
    if op == "add":
        value = copy.deepcopy(operation["value"])
    elif op == "copy":
        source, name = _resolve(document, operation["from"])
        value = copy.deepcopy(source[name])
    else:
        raise ValueError(f"operation {op} is not one that k8s/ uses")
    if isinstance(parent, list):
        parent.insert(key, value)
    else:
        parent[key] = value


def _resolve(document, pointer):
    """The container that an RFC 6901 pointer ends in, and the key or index there ("-": behind the last)."""
    *path, last = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    for part in path:
        document = document[int(part) if isinstance(document, list) else part]
    if isinstance(document, list):
        return document, len(document) if last == "-" else int(last)
    return document, last
