# SPDX-License-Identifier: Apache-2.0
"""What fairlead's manifests promise beyond the schema. Each rule takes the objects of one rendering and returns its
complaints, one string each; none means that the promise is kept."""
import manifests

ALLOWED_CAPABILITIES = {"BPF", "NET_ADMIN", "NET_RAW", "PERFMON", "SYS_RESOURCE", "SYS_ADMIN"}
ALLOWED_HOST_PATHS = {"/sys/fs/bpf", "/sys/fs/cgroup", "/run/netns", "/run/xtables.lock", "/proc/sys/net"}
PINS = "/run/fairlead/bpf"
XTABLES_LOCK = "/run/xtables.lock"
SYSCTLS = "/run/fairlead/sysctl"
WRITABLE = {PINS, XTABLES_LOCK, SYSCTLS + "/net"}  # the places of the node that the agent writes to
READS = {("", "services"), ("", "nodes"), ("discovery.k8s.io", "endpointslices"), ("networking.k8s.io", "servicecidrs")}


def least_privilege(objects):
    complaints = []
    pod = _pod(objects)
    for name in ("hostPID", "hostIPC"):
        if pod.get(name):
            complaints.append(f"{name} is not needed")
    for container in _containers(objects):
        security = container.get("securityContext", {})
        expected = {"privileged": False, "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                    "seccompProfile": {"type": "RuntimeDefault"}}
        for field, value in expected.items():
            if security.get(field) != value:
                complaints.append(f"container {container['name']}: {field} should be {value}")
        capabilities = security.get("capabilities", {})
        if capabilities.get("drop") != ["ALL"]:
            complaints.append(f"container {container['name']}: drops not ALL capabilities")
        for capability in set(capabilities.get("add", [])) - ALLOWED_CAPABILITIES:
            complaints.append(f"container {container['name']}: capability {capability}")
    return complaints


def host_mounts(objects):
    """Few paths of the node, most of them read-only; nothing writable below /sys and /proc, where AppArmor denies it."""
    complaints = []
    host = {v["name"]: v["hostPath"]["path"] for v in _pod(objects).get("volumes", []) if "hostPath" in v}
    for path in set(host.values()) - ALLOWED_HOST_PATHS:
        complaints.append(f"hostPath {path}")
    for container in _containers(objects):
        for mount in container.get("volumeMounts", []):
            where = mount["mountPath"]
            if mount.get("mountPropagation") == "Bidirectional":
                complaints.append(f"{where}: mounts of the container must not reach the node")
            if mount["name"] in host and not mount.get("readOnly") and where not in WRITABLE:
                complaints.append(f"{where}: {host[mount['name']]} of the node is writable")
    return complaints


def reads_only(objects):
    """The ClusterRole lists and watches what the agent decodes, and the agent's account has it."""
    role, = _of_kind(objects, "ClusterRole")
    binding, = _of_kind(objects, "ClusterRoleBinding")
    account, = _of_kind(objects, "ServiceAccount")
    complaints, granted = [], set()
    for rule in role["rules"]:
        if set(rule["verbs"]) != {"list", "watch"}:
            complaints.append(f"verbs {rule['verbs']} on {rule['resources']}")
        granted |= {(group, resource) for group in rule["apiGroups"] for resource in rule["resources"]}
    if granted != READS:
        complaints.append(f"grants differ from what the agent reads: {sorted(granted ^ READS)}")
    if (binding["roleRef"]["kind"], binding["roleRef"]["name"]) != ("ClusterRole", role["metadata"]["name"]):
        complaints.append(f"roleRef {binding['roleRef']} is not the ClusterRole")
    metadata = account["metadata"]
    subject = {"kind": "ServiceAccount", "name": metadata["name"], "namespace": metadata["namespace"]}
    if binding["subjects"] != [subject]:
        complaints.append(f"subjects {binding['subjects']} are not the ServiceAccount")
    if _pod(objects).get("serviceAccountName") != metadata["name"]:
        complaints.append("the pod does not run as the ServiceAccount")
    return complaints


def references(objects):
    """Names that objects use for one another exist, and nothing is declared in vain."""
    complaints = []
    pod, daemonset = _pod(objects), _daemonset(objects)
    volumes = {v["name"] for v in pod.get("volumes", [])}
    used = {m["name"] for c in _containers(objects) for m in c.get("volumeMounts", [])}
    complaints += [f"volume {name} is mounted nowhere" for name in volumes - used]
    complaints += [f"volumeMount {name} has no volume" for name in used - volumes]
    config_maps = {o["metadata"]["name"] for o in _of_kind(objects, "ConfigMap")}
    for volume in pod.get("volumes", []):
        if "configMap" in volume and volume["configMap"]["name"] not in config_maps:
            complaints.append(f"ConfigMap {volume['configMap']['name']} is not here")
    labels = daemonset["spec"]["template"]["metadata"]["labels"]
    for key, value in daemonset["spec"]["selector"]["matchLabels"].items():
        if labels.get(key) != value:
            complaints.append(f"the pods lack the selector's label {key}={value}")
    for container in _containers(objects):
        ports = {port["name"] for port in container.get("ports", [])}
        for probe in ("livenessProbe", "readinessProbe"):
            if probe in container and container[probe]["httpGet"]["port"] not in ports:
                complaints.append(f"{probe} asks a port that the container does not name")
    for o in objects:
        if o["metadata"].get("namespace") not in (None, "kube-system"):
            complaints.append(f"{o['kind']} {o['metadata']['name']} is outside kube-system")
    return complaints


def every_node(objects):
    """No taint, pressure or missing network keeps the agent off a node."""
    pod = _pod(objects)
    expected = {"hostNetwork": True, "dnsPolicy": "Default", "priorityClassName": "system-node-critical",
                "tolerations": [{"operator": "Exists"}], "nodeSelector": {"kubernetes.io/os": "linux"}}
    return [f"{field} should be {value}" for field, value in expected.items() if pod.get(field) != value]


def configuration(objects):
    """The agent's files are mounted where its flags and its configuration say, and say where the mounts are."""
    data = _config_map(objects)
    complaints = []
    for container in _containers(objects):
        flags = _flags(container)
        if "config" not in flags:
            continue  # it does not run the agent
        mounts = {m["mountPath"]: m for m in container["volumeMounts"]}
        proxy, ours = manifests.parse(data["config.conf"])
        if (proxy["apiVersion"], proxy["kind"]) != ("kubeproxy.config.k8s.io/v1alpha1", "KubeProxyConfiguration"):
            complaints.append("the first document of config.conf is not kube-proxy's")
        if (ours["apiVersion"], ours["kind"]) != ("fairlead.io/v1alpha1", "FairleadConfiguration"):
            complaints.append("the second document of config.conf is not fairlead's")
        for path in (flags["config"], proxy["clientConnection"]["kubeconfig"]):
            folder, _, name = path.rpartition("/")
            if name not in data or mounts.get(folder, {}).get("name") != "config":
                complaints.append(f"{path} is not a mounted key of the ConfigMap")
        if ours["cgroup"] not in mounts:
            complaints.append(f"cgroup {ours['cgroup']} is not mounted")
        if ours["bpffsDir"].rpartition("/")[0] != PINS or PINS not in mounts:
            complaints.append(f"bpffsDir {ours['bpffsDir']} is not directly below the mount {PINS}")
        if ours["sysctlDir"] != SYSCTLS or SYSCTLS + "/net" not in mounts:
            complaints.append(f"sysctlDir {ours['sysctlDir']} is not where the node's settings are mounted, {SYSCTLS}")
        if XTABLES_LOCK not in mounts:
            complaints.append(f"{XTABLES_LOCK} is not the node's: iptables rules would be written without its lock")
        sys_admin = "SYS_ADMIN" in container["securityContext"]["capabilities"]["add"]
        for path in ours["netnsDirs"]:
            if (path in mounts) != sys_admin:
                complaints.append(f"{path} should be mounted if, and only if, the agent may enter what it finds there")
            elif sys_admin and mounts[path].get("mountPropagation") != "HostToContainer":
                complaints.append(f"{path} would not show namespaces of pods that start after the agent")
        if flags.get("hostname-override") != "$(NODE_NAME)":
            complaints.append("the agent does not know its node's name in the API")
    return complaints


def listeners(objects):
    """Probes ask the port that the agent listens on; metrics stay on loopback."""
    complaints = []
    for container in _containers(objects):
        flags = _flags(container)
        if "config" not in flags or "cleanup" in flags:
            continue
        proxy = manifests.parse(_config_map(objects)["config.conf"])[0]
        health = flags.get("healthz-bind-address", proxy["healthzBindAddress"])
        metrics = flags.get("metrics-bind-address", proxy["metricsBindAddress"])
        port = int(health.rpartition(":")[2])
        declared = {p["name"]: (p["containerPort"], p["hostPort"]) for p in container["ports"]}
        if declared != {"healthz": (port, port)}:
            complaints.append(f"ports {declared}, but /healthz is at {health}")
        for probe, path in (("livenessProbe", "/livez"), ("readinessProbe", "/healthz")):
            asked = container.get(probe, {}).get("httpGet", {})
            if (asked.get("path"), asked.get("port")) != (path, "healthz"):
                complaints.append(f"{probe} does not ask {path}")
        if not metrics.startswith("127.0.0.1:"):
            complaints.append(f"metrics at {metrics}")
    return complaints


def api_server(objects):
    """The API server is reached without any Service, by a token that is read again when it rotates; the README's
    command to fill in its address finds the placeholder."""
    complaints = []
    kubeconfig, = manifests.parse(_config_map(objects)["kubeconfig.conf"])
    contexts = {c["name"]: c["context"] for c in kubeconfig["contexts"]}
    clusters = {c["name"]: c["cluster"] for c in kubeconfig["clusters"]}
    users = {u["name"]: u["user"] for u in kubeconfig["users"]}
    context = contexts.get(kubeconfig["current-context"])
    if context is None or context["cluster"] not in clusters or context["user"] not in users:
        return ["current-context does not lead to a cluster and a user"]
    cluster, user = clusters[context["cluster"]], users[context["user"]]
    account = "/var/run/secrets/kubernetes.io/serviceaccount"
    if user != {"tokenFile": f"{account}/token"}:
        complaints.append("the user is not the mounted service account")
    if cluster.get("certificate-authority") != f"{account}/ca.crt":
        complaints.append("the CA is not the mounted service account's")
    host = cluster["server"].partition("://")[2].rpartition(":")[0]
    if not cluster["server"].startswith("https://") or not host:
        complaints.append(f"server {cluster['server']} is not https://HOST:PORT")
    elif not host.endswith(".invalid"):
        complaints.append(f"server {host}: the base must not name a real or a cluster-internal host")
    elif f"s,{cluster['server']}," not in (manifests.K8S / "README.md").read_text():
        complaints.append("the README's sed does not replace the server of kubeconfig.conf")
    return complaints


ALL = [least_privilege, host_mounts, reads_only, references, every_node, configuration, listeners, api_server]


def _of_kind(objects, kind):
    return [o for o in objects if o["kind"] == kind]


def _daemonset(objects):
    daemonset, = _of_kind(objects, "DaemonSet")
    return daemonset


def _pod(objects):
    return _daemonset(objects)["spec"]["template"]["spec"]


def _containers(objects):
    return _pod(objects).get("initContainers", []) + _pod(objects)["containers"]


def _config_map(objects):
    config_map, = _of_kind(objects, "ConfigMap")
    return config_map["data"]


def _flags(container):
    """--name=value arguments by name; "" for those without a value."""
    pairs = [argument.removeprefix("--").partition("=") for argument in container.get("args", [])]
    return {name: value for name, _, value in pairs}
