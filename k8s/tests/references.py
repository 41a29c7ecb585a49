"""Checks that what the manifests name is there: ports, selectors, volumes, accounts, images, and both ends of each edge.

references.py REPOSITORY MANIFESTS...
"""

import re
import sys
from pathlib import Path

from manifests import Failed, Manifests, check

# Who may talk to whom, and nobody else to anybody. A `*` is every service of VTOX.
EDGES = {
    ("api-gateway", "coordinator", 8001),
    ("api-gateway", "websocket-bridge", 8012),
    ("coordinator", "worker-*", 8002),
    ("vtox-cli", "api-gateway", 8000),
    ("vtox-cli", "coordinator", 8001),
    ("*", "redis", 6379),
    ("*", "redis-sentinel", 26379),
    ("redis", "redis", 6379),
    ("redis", "redis-sentinel", 26379),
    ("redis-sentinel", "redis", 6379),
    ("redis-sentinel", "redis-sentinel", 26379),
}


def workloads(manifests):
    accounts = manifests.of("ServiceAccount")
    settings = set()
    for workload in manifests.workloads:
        pod = workload.pod
        check(pod.get("automountServiceAccountToken") is False, f"{workload} gets a token of Kubernetes")
        check(pod.get("enableServiceLinks") is False, f"{workload} gets variables of Services")
        restricted(workload)
        check(pod["serviceAccountName"] in accounts, f"{workload} runs as {pod['serviceAccountName']}, which is not there")
        files = {name: manifests.files(volume) for name, volume in workload.volumes.items()}
        for container in workload.init + workload.containers:
            for path, volume in container.mounts.items():
                check(volume in workload.volumes, f"{workload} mounts {volume} at {path}, which is not there")
            for probe in container.probes.values():
                for how in ("httpGet", "tcpSocket"):
                    if how in probe:
                        container.port(probe[how]["port"])
            named = [v["value"] for v in container.spec.get("env", []) if "value" in v]
            named += container.spec.get("command", []) + container.spec.get("args", [])
            for probe in container.probes.values():
                named += probe.get("exec", {}).get("command", [])
            named += container.spec.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", [])
            for path in re.findall(r"/[\w./-]+", "\n".join(named)):
                there(workload, container, files, path)
        if workload.is_vtox():
            settings.add(str(workload.containers[0].spec.get("envFrom")))
        scripts = [t.decode() for f in files.values() for n, t in (f or {}).items() if n.endswith(".sh")]
        for user in re.findall(r"\(password ([\w-]+)\)", "\n".join(scripts)):
            check(f"{user}.password" in files["passwords"], f"{workload} needs {user}.password, which is not in its Secret")
        if workload.kind == "Deployment":
            selector = workload.document["spec"]["selector"]
            check(manifests.selected(selector) == [workload], f"{workload} selects pods of others")
    check(len(settings) == 1, f"services and commands have not the same settings: {settings}")


def restricted(workload):
    """What Pod Security asks for at its level `restricted`, and a root file system that nobody writes to."""
    pod = workload.pod["securityContext"]
    check(pod.get("runAsNonRoot") is True and pod["seccompProfile"]["type"] == "RuntimeDefault", f"{workload} is not restricted")
    for container in workload.init + workload.containers:
        own = container.spec["securityContext"]
        check(
            own["allowPrivilegeEscalation"] is False
            and own["readOnlyRootFilesystem"] is True
            and own["capabilities"] == {"drop": ["ALL"]},
            f"{workload}: container {container.name} is not restricted",
        )


def there(workload, container, files, path):
    """A path below a mounted Secret or ConfigMap must be one of its files."""
    for mount, volume in container.mounts.items():
        rest = path.removeprefix(mount + "/")
        if rest != path and rest and files[volume] is not None:
            check(rest in files[volume], f"{workload} names {path}, which is not in its volume {volume}")


def services(manifests):
    for name, service in manifests.of("Service").items():
        selected = manifests.selected({"matchLabels": service["spec"]["selector"]})
        check(selected, f"Service {name} selects nothing")
        for port in service["spec"]["ports"]:
            for workload in selected:
                check(port["targetPort"] in workload.ports(), f"Service {name}: {workload} has no port {port['targetPort']}")
    for name, ingress in manifests.of("Ingress").items():
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                wanted = path["backend"]["service"]
                service = manifests.of("Service").get(wanted["name"])
                check(service, f"Ingress {name} leads to {wanted['name']}, which is not there")
                ports = [port["name"] for port in service["spec"]["ports"]]
                check(wanted["port"]["name"] in ports, f"Service {wanted['name']} has no port {wanted['port']['name']}")
    for name, monitor in manifests.of("ServiceMonitor").items():
        labels = monitor["spec"]["selector"]["matchLabels"].items()
        selected = [s for s in manifests.of("Service").values() if labels <= s["metadata"].get("labels", {}).items()]
        check(selected, f"ServiceMonitor {name} selects nothing")
        for endpoint in monitor["spec"]["endpoints"]:
            ports = [port["name"] for service in selected for port in service["spec"]["ports"]]
            check(endpoint["port"] in ports, f"ServiceMonitor {name}: no port {endpoint['port']}")


def budgets_and_scaling(manifests):
    protected = []
    for name, budget in manifests.of("PodDisruptionBudget").items():
        selected = manifests.selected(budget["spec"]["selector"])
        check(len(selected) == 1, f"PodDisruptionBudget {name} selects {len(selected)} workloads")
        protected += selected
    for workload in manifests.workloads:
        single = workload.kind == "CronJob" or workload.document["spec"].get("replicas") == 1 and not workload.is_vtox()
        check(single or workload in protected, f"{workload} has no PodDisruptionBudget")
    deployments = manifests.of("Deployment")
    for kind in ("HorizontalPodAutoscaler", "ScaledObject"):
        for name, scaler in manifests.of(kind).items():
            target = scaler["spec"]["scaleTargetRef"]["name"]
            check(target in deployments, f"{kind} {name} scales {target}, which is not there")
            check("replicas" not in deployments[target]["spec"], f"{target} sets replicas, and {kind} {name} scales it")


def edges(manifests):
    """Both ends of an edge must allow it, and the edges are those of the table."""
    policies = manifests.of("NetworkPolicy")
    for name, policy in policies.items():
        check(manifests.selected(policy["spec"]["podSelector"]), f"NetworkPolicy {name} is for nobody")
    everywhere = [p["spec"] for p in policies.values() if p["spec"]["podSelector"] == {}]
    check(any(set(p["policyTypes"]) == {"Ingress", "Egress"} and len(p) == 2 for p in everywhere), "nothing is denied")
    found = {"egress": set(), "ingress": set()}
    for name, policy in policies.items():
        for direction, side in (("egress", "to"), ("ingress", "from")):
            for rule in policy["spec"].get(direction, []):
                check(rule.get(side) and rule.get("ports"), f"NetworkPolicy {name} allows all")
                for own in manifests.selected(policy["spec"]["podSelector"]):
                    for other in peers(manifests, name, rule[side]):
                        source, target = (own, other) if direction == "egress" else (other, own)
                        for port in rule["ports"]:
                            number = target.ports().get(port["port"], port["port"])
                            check(number in target.ports().values(), f"NetworkPolicy {name}: {target} has no port {port['port']}")
                            found[direction].add((source.name, target.name, number))
    check(found["egress"] == found["ingress"], f"allowed at one end only: {found['egress'] ^ found['ingress']}")
    names = [w.name for w in manifests.workloads]
    alone = [w.name for w in manifests.workloads if w.document["spec"].get("replicas") == 1]
    wanted = {
        (a, b, port)
        for source, target, port in EDGES
        for a in matching(manifests, source)
        for b in matching(manifests, target)
        if a in names and b in names and not (a == b and a in alone)
    }
    check(found["egress"] == wanted, f"edges beside those that are needed: {found['egress'] ^ wanted}")


def matching(manifests, name):
    if name == "*":
        return [w.name for w in manifests.workloads if w.is_vtox()]
    if name.endswith("*"):
        return [w.name for w in manifests.workloads if w.name.startswith(name[:-1])]
    return [name]


def peers(manifests, name, selectors):
    for selector in selectors:
        if "namespaceSelector" in selector or "ipBlock" in selector:
            continue
        selected = manifests.selected(selector["podSelector"])
        check(selected, f"NetworkPolicy {name} names a peer that is not there: {selector}")
        yield from selected


def time_to_stop(manifests, repository):
    """preStop and the service's own deadline fit into what Kubernetes waits."""
    production = (repository / "crates/service-kit/src/config/production.toml").read_text()
    deadline_s = int(re.search(r"^shutdown_deadline_s = (\d+)", production, re.M)[1])
    for workload in manifests.workloads:
        if workload.is_vtox() and workload.kind == "Deployment":
            before_s = workload.containers[0].spec.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            given_s = workload.pod["terminationGracePeriodSeconds"]
            check(given_s > before_s + deadline_s, f"{workload} is killed after {given_s} s, and may need {before_s + deadline_s}")


def images(manifests, repository):
    version = re.search(r'^version = "(.*)"', (repository / "Cargo.toml").read_text(), re.M)[1]
    dockerfile = repository / "docker" / "Dockerfile"
    targets = re.findall(r"^FROM .* AS ([\w-]+)", dockerfile.read_text(), re.M | re.I) if dockerfile.exists() else None
    for workload in manifests.workloads:
        for container in workload.init + workload.containers:
            if not container.image.startswith("vtox/"):
                check(container.tag, f"{workload}: the image {container.image} has no tag")
                continue
            check(container.tag == version, f"{workload}: {container.image}:{container.tag} is not version {version}")
            target = container.image.removeprefix("vtox/")
            check(targets is None or target in targets, f"{workload}: docker/Dockerfile has no target {target}")


def main():
    repository, manifests = Path(sys.argv[1]), Manifests(*sys.argv[2:])
    workloads(manifests)
    services(manifests)
    budgets_and_scaling(manifests)
    edges(manifests)
    time_to_stop(manifests, repository)
    images(manifests, repository)
    print(f"references: {len(manifests.documents)} documents, {len(manifests.workloads)} workloads")


if __name__ == "__main__":
    try:
        main()
    except Failed as failed:
        sys.exit(f"references: {failed}")
