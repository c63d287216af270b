#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Checks k8s/: the API's schema, the rules of rules.py, kustomize's rendering, the agent's own reading of its
configuration, the agent under the privileges granted, and the image's libraries. Rules and schema are also shown
broken inputs that they must refuse.

Usage: test/k8s/check.py BUILD_DIR [MODE]      prints PASS, FAIL and SKIP lines; status 1 if one failed
With MODE, only that the privileges suffice for it.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import manifests
import rules

HERE = pathlib.Path(__file__).resolve().parent
failures = 0


def result(name, complaints):
    global failures
    failures += bool(complaints)
    print(f"{'FAIL' if complaints else 'PASS'} k8s {name}")
    for complaint in complaints:
        print(f"     {complaint}")


def skip(name, why):
    print(f"SKIP k8s {name}: {why}")


def run(command, **options):
    return subprocess.run(command, text=True, capture_output=True, timeout=300, check=False, **options)


# --- broken inputs: what to break in the base's rendering, and the rule that must complain ----------------------

def _kind(objects, kind):
    return next(o for o in objects if o["kind"] == kind)


def _pod(objects):
    return _kind(objects, "DaemonSet")["spec"]["template"]["spec"]


def _agent(objects):
    return _pod(objects)["containers"][0]


def _replace(objects, key, old, new):
    data = _kind(objects, "ConfigMap")["data"]
    assert old in data[key], old
    data[key] = data[key].replace(old, new)


BROKEN = [
    (rules.least_privilege, lambda o: _agent(o)["securityContext"].update(privileged=True)),
    (rules.least_privilege, lambda o: _agent(o)["securityContext"].pop("seccompProfile")),
    (rules.least_privilege, lambda o: _agent(o)["securityContext"]["capabilities"]["add"].append("SYS_PTRACE")),
    (rules.least_privilege, lambda o: _agent(o)["securityContext"]["capabilities"].pop("drop")),
    (rules.least_privilege, lambda o: _pod(o).update(hostPID=True)),
    (rules.host_mounts, lambda o: _pod(o)["volumes"].append({"name": "root", "hostPath": {"path": "/"}})),
    (rules.host_mounts, lambda o: _agent(o)["volumeMounts"][3].pop("readOnly")),
    (rules.host_mounts, lambda o: _agent(o)["volumeMounts"][1].update(mountPropagation="Bidirectional")),
    (rules.reads_only, lambda o: _kind(o, "ClusterRole")["rules"][0]["verbs"].append("patch")),
    (rules.reads_only, lambda o: _kind(o, "ClusterRole")["rules"][0]["resources"].append("secrets")),
    (rules.reads_only, lambda o: _kind(o, "ClusterRole")["rules"].pop()),
    (rules.reads_only, lambda o: _kind(o, "ClusterRoleBinding")["subjects"][0].update(namespace="default")),
    (rules.reads_only, lambda o: _pod(o).update(serviceAccountName="default")),
    (rules.references, lambda o: _pod(o)["volumes"].pop(0)),
    (rules.references, lambda o: _agent(o)["volumeMounts"].pop()),
    (rules.references, lambda o: _kind(o, "ConfigMap")["metadata"].update(name="other")),
    (rules.references, lambda o: _agent(o)["ports"][0].update(name="other")),
    (rules.references, lambda o: _kind(o, "DaemonSet")["spec"]["selector"]["matchLabels"].update(a="b")),
    (rules.every_node, lambda o: _pod(o)["tolerations"][0].update(key="node-role.kubernetes.io/control-plane")),
    (rules.every_node, lambda o: _pod(o).update(dnsPolicy="ClusterFirst")),
    (rules.configuration, lambda o: _replace(o, "config.conf", "cgroup: /run/fairlead/cgroup", "cgroup: /cgroup")),
    (rules.configuration, lambda o: _replace(o, "config.conf", "/etc/fairlead/kubeconfig.conf", "/etc/k")),
    (rules.configuration, lambda o: _replace(o, "config.conf", "bpffsDir: /run/fairlead/bpf/fairlead",
                                             "bpffsDir: /sys/fs/bpf/fairlead")),
    (rules.configuration, lambda o: _agent(o)["volumeMounts"][4].pop("mountPropagation")),
    (rules.configuration, lambda o: _agent(o)["volumeMounts"].pop(5)),
    (rules.configuration, lambda o: _replace(o, "config.conf", "sysctlDir: /run/fairlead/sysctl", "sysctlDir: /x")),
    (rules.configuration, lambda o: _agent(o)["args"].pop()),
    (rules.listeners, lambda o: _replace(o, "config.conf", "0.0.0.0:10256", "0.0.0.0:10255")),
    (rules.listeners, lambda o: _replace(o, "config.conf", "127.0.0.1:10249", "0.0.0.0:10249")),
    (rules.listeners, lambda o: _agent(o)["livenessProbe"]["httpGet"].update(path="/healthz")),
    (rules.api_server, lambda o: _replace(o, "kubeconfig.conf", "api-server.invalid", "kubernetes.default.svc")),
    (rules.api_server, lambda o: _replace(o, "kubeconfig.conf", "current-context: default", "current-context: x")),
    (rules.api_server, lambda o: _replace(o, "kubeconfig.conf", "tokenFile", "token")),
]
BROKEN_SCHEMA = [
    ("/spec/template/spec/hostnetwork: no such field", lambda o: _pod(o).update(hostnetwork=True)),
    ("/spec/template/spec/hostNetwork: type", lambda o: _pod(o).update(hostNetwork="yes")),
    ("/spec: required", lambda o: _kind(o, "DaemonSet")["spec"].pop("selector")),
    ("/spec/template/spec/containers/0/ports/0/protocol: enum", lambda o: _agent(o)["ports"][0].update(protocol="X")),
    ("/data/a: type", lambda o: _kind(o, "ConfigMap")["data"].update(a=1)),
    ("no schema for apps/v3 DaemonSet", lambda o: _kind(o, "DaemonSet").update(apiVersion="apps/v3")),
]


def check_rules():
    for variant in [None, *manifests.components()]:
        objects = manifests.render(variant)
        for rule in rules.ALL:
            result(f"{rule.__name__} of {variant or 'base'}", rule(objects))
    missed = []
    for number, (rule, break_it) in enumerate(BROKEN):
        objects = manifests.render()
        break_it(objects)
        if not rule(objects):
            missed.append(f"broken input {number} passed {rule.__name__}")
    missed += [f"no broken input for {rule.__name__}" for rule in set(rules.ALL) - {rule for rule, _ in BROKEN}]
    result("rules refuse broken inputs", missed)


def check_schema(build_dir):
    folder = build_dir / "k8s-schema"
    if not shutil.which("node") or not shutil.which("npm"):
        return skip("schema", "node and npm are not installed (scripts/setup.sh cluster)")
    folder.mkdir(parents=True, exist_ok=True)
    lock = (HERE / "schema" / "package-lock.json").read_text()
    for name in ("package.json", "package-lock.json", "validate.mjs"):
        shutil.copy(HERE / "schema" / name, folder)
    if not (folder / "installed").exists() or (folder / "installed").read_text() != lock:
        npm = run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], cwd=folder)
        if npm.returncode:
            return skip("schema", f"npm could not fetch kubernetes-models: {npm.stderr.strip().splitlines()[:1]}")
        (folder / "installed").write_text(lock)

    def complaints(objects):
        node = run(["node", "validate.mjs"], cwd=folder, input=json.dumps(objects))
        if node.returncode:
            return [f"validate.mjs: {node.stderr}"]
        return [f"{o['kind']} {o['metadata']['name']}: {words}"
                for o, found in zip(objects, json.loads(node.stdout), strict=True) for words in found]

    for variant in [None, *manifests.components()]:
        result(f"schema of {variant or 'base'}", complaints(manifests.render(variant)))
    missed = []
    for expected, break_it in BROKEN_SCHEMA:
        objects = manifests.render()
        break_it(objects)
        found = complaints(objects)
        if not any(expected in complaint for complaint in found):
            missed.append(f"expected {expected}, found {found}")
    return result("schema refuses broken inputs", missed)


def check_kustomize():
    """kustomize makes of k8s/ what manifests.render() makes of it, which is what the other checks look at."""
    if not shutil.which("kubectl"):
        return skip("rendering by kustomize", "kubectl is not installed")
    help_text = run(["kubectl", "kustomize", "--help"]).stdout
    if "load-restrictor" not in help_text:
        return skip("rendering by kustomize", "this kubectl is older than kustomize's components")

    def by_name(objects):
        return {(o["kind"], o["metadata"]["name"]): o for o in objects}

    for variant in [None, *manifests.components()]:
        with tempfile.TemporaryDirectory() as overlay:
            base = os.path.relpath(manifests.K8S, os.path.realpath(overlay))
            lines = ["apiVersion: kustomize.config.k8s.io/v1beta1", "kind: Kustomization", f"resources: [{base}]"]
            if variant:
                lines.append(f"components: [{base}/components/{variant}]")
            pathlib.Path(overlay, "kustomization.yaml").write_text("\n".join(lines))
            kubectl = run(["kubectl", "kustomize", overlay])
        if kubectl.returncode:
            result(f"rendering of {variant or 'base'} by kustomize", [kubectl.stderr])
            continue
        theirs, ours = by_name(manifests.parse(kubectl.stdout)), by_name(manifests.render(variant))
        differing = [f"{key} differs" for key in theirs.keys() | ours.keys() if theirs.get(key) != ours.get(key)]
        result(f"rendering of {variant or 'base'} by kustomize", differing)
    return None


def check_agent(build_dir):
    """The agent reads config.conf without a word, and refuses it with a field it does not know."""
    agent = build_dir / "fairlead"
    if not agent.exists():
        return skip("configuration read by the agent", f"{agent} is not built")
    text = _kind(manifests.render(), "ConfigMap")["data"]["config.conf"]

    def write_back(config):
        with tempfile.TemporaryDirectory() as folder:
            source, target = pathlib.Path(folder, "config.conf"), pathlib.Path(folder, "effective.conf")
            source.write_text(config)
            done = run([agent, f"--config={source}", f"--write-config-to={target}"])
            return done, manifests.parse(target.read_text()) if target.exists() else []

    complaints = []
    done, effective = write_back(text)
    if done.returncode or re.search("warn|error", done.stderr, re.IGNORECASE):
        complaints.append(f"status {done.returncode}: {done.stderr.strip()}")
    else:
        complaints += [f"{field} was not taken over" for field in _lost(manifests.parse(text), effective)]
    done, _ = write_back(text.replace("bpffsDir:", "bpffsDirectory:"))
    if "bpffsDirectory" not in done.stderr:
        complaints.append(f"bpffsDirectory is no field, but all it said was: {done.stderr.strip()}")
    return result("configuration read by the agent", complaints)


def _lost(wanted, effective):
    """Paths of scalars in `wanted` that `effective` has otherwise; empty strings stand for defaults."""
    by_kind = {document["kind"]: document for document in effective}
    for document in wanted:
        yield from _differences(document, by_kind.get(document["kind"], {}), document["kind"])


def _differences(wanted, got, path):
    if isinstance(wanted, dict):
        for key, value in wanted.items():
            yield from _differences(value, got.get(key) if isinstance(got, dict) else None, f"{path}.{key}")
    elif wanted not in ("", got):
        yield f"{path}: {wanted!r} became {got!r}"


def check_privileges(build_dir, modes):
    """The agent comes up, serves and cleans up with what the manifests grant, and in ebpf mode cannot without."""
    agent = build_dir / "fairlead"
    if not agent.exists():
        return skip("privileges suffice", f"{agent} is not built")
    if os.geteuid() != 0:
        return skip("privileges suffice", "root is needed to confine the agent")

    def confined(objects, capabilities, mode):
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as config:
            config.write(_kind(objects, "ConfigMap")["data"]["config.conf"])
            config.flush()
            return run([HERE / "confined.sh", agent, config.name, ",".join(capabilities), mode])

    for variant in (None, "without-sys-admin"):
        objects = manifests.render(variant)
        for mode in modes:
            done = confined(objects, _agent(objects)["securityContext"]["capabilities"]["add"], mode)
            complaints = [f"{done.stdout}{done.stderr}"] if done.returncode else []
            result(f"privileges of {variant or 'base'} suffice in {mode} mode", complaints)
    if "ebpf" not in modes:
        return None
    done = confined(objects, ["NET_ADMIN"], "ebpf")
    return result("privileges without BPF do not suffice for ebpf mode", [] if done.returncode else ["the agent came up"])


def check_image(build_dir):
    """The image installs the package of every library that the programs load, and of every program that they run."""
    text = (manifests.K8S / "image" / "Containerfile").read_text()
    installed = set(re.search(r"--no-install-recommends(.*?)&&", text, re.DOTALL)[1].replace("\\", " ").split())
    installed |= {"libc6", "libgcc-s1", "libstdc++6"}  # debian:12-slim has them
    complaints = []
    for program in ("fairlead", "fairleadctl"):
        if not (build_dir / program).exists():
            return skip("libraries and programs of the image", f"{build_dir / program} is not built")
        needed = re.findall(r"\(NEEDED\).*\[(.*)\]", run(["readelf", "-d", build_dir / program]).stdout)
        cache = run(["/sbin/ldconfig", "-p"]).stdout
        for library in needed:
            path = re.search(rf"^\s*{re.escape(library)} .*=> (\S+)$", cache, re.MULTILINE)
            package = _package_of(os.path.realpath(path[1])) if path else None
            if package not in installed:
                complaints.append(f"{program} needs {library} of package {package or 'unknown'}")
    for program in ("nft", "iptables-save", "iptables-restore", "ip6tables-restore", "ipset"):
        path = shutil.which(program)
        package = _package_of(os.path.realpath(path)) if path else None
        if package not in installed:
            complaints.append(f"the agent runs {program} of package {package or 'unknown'}")
    return result("libraries and programs of the image", complaints)


def _package_of(path):
    """The Debian package that has a file; dpkg knows many by their name from before /lib became a link."""
    for name in (path, path.removeprefix("/usr")):
        owner = run(["dpkg", "-S", name])
        if owner.returncode == 0:
            return owner.stdout.partition(":")[0]
    return None


def main():
    if len(sys.argv) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 2
    build_dir = pathlib.Path(sys.argv[1]).resolve()
    if len(sys.argv) == 3:
        check_privileges(build_dir, sys.argv[2:])
        return 1 if failures else 0
    check_rules()
    check_schema(build_dir)
    check_kustomize()
    check_agent(build_dir)
    check_privileges(build_dir, ("ebpf", "nftables", "iptables"))  # few machines have IPVS; a VM of test.sh has
    check_image(build_dir)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
