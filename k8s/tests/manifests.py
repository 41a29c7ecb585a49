"""What rendered manifests consist of."""

import base64
from pathlib import Path

import yaml


class Failed(Exception):
    """Something in the manifests is not as it must be."""


def check(right, what):
    if not right:
        raise Failed(what)


class Container:
    def __init__(self, spec):
        self.spec = spec
        self.name = spec["name"]
        self.image, _, self.tag = spec["image"].partition(":")
        self.ports = {port["name"]: port["containerPort"] for port in spec.get("ports", [])}
        self.mounts = {mount["mountPath"]: mount["name"] for mount in spec.get("volumeMounts", [])}
        probes = ("startupProbe", "livenessProbe", "readinessProbe")
        self.probes = {probe: spec[probe] for probe in probes if probe in spec}

    def port(self, name_or_number):
        """The number of a port, which must be one that it listens on."""
        number = self.ports.get(name_or_number, name_or_number)
        check(number in self.ports.values(), f"container {self.name} has no port {name_or_number}")
        return number


class Workload:
    """A Deployment, a StatefulSet, or a CronJob that is a template for jobs."""

    def __init__(self, document):
        self.kind, self.name = document["kind"], document["metadata"]["name"]
        self.document = document
        spec = document["spec"]
        template = (spec["jobTemplate"]["spec"] if self.kind == "CronJob" else spec)["template"]
        self.labels, self.pod = template["metadata"]["labels"], template["spec"]
        self.containers = [Container(spec) for spec in self.pod["containers"]]
        self.init = [Container(spec) for spec in self.pod.get("initContainers", [])]
        self.volumes = {volume["name"]: volume for volume in self.pod.get("volumes", [])}
        for claim in document["spec"].get("volumeClaimTemplates", []):
            self.volumes[claim["metadata"]["name"]] = {"claim": claim}

    def __str__(self):
        return f"{self.kind} {self.name}"

    def is_vtox(self):
        return self.containers[0].image.startswith("vtox/")

    def selected_by(self, selector):
        for expression in selector.get("matchExpressions", []):
            check(expression["operator"] == "In", f"unknown operator in {selector}")
            if self.labels.get(expression["key"]) not in expression["values"]:
                return False
        labels = dict(self.labels)
        if self.kind == "StatefulSet":
            wanted = selector.get("matchLabels", {}).get("statefulset.kubernetes.io/pod-name")
            if wanted in [f"{self.name}-{n}" for n in range(self.document["spec"]["replicas"])]:
                labels["statefulset.kubernetes.io/pod-name"] = wanted
        return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())

    def ports(self):
        return {name: number for container in self.containers for name, number in container.ports.items()}


class Manifests:
    def __init__(self, *paths):
        self.documents = [d for path in paths for d in yaml.safe_load_all(Path(path).read_text()) if d]
        kinds = ("Deployment", "StatefulSet", "CronJob")
        self.workloads = [Workload(d) for d in self.documents if d["kind"] in kinds]
        check(self.workloads, f"nothing runs in {paths}")

    def of(self, kind):
        return {d["metadata"]["name"]: d for d in self.documents if d["kind"] == kind}

    def selected(self, selector):
        return [workload for workload in self.workloads if workload.selected_by(selector)]

    def files(self, volume):
        """The files of a volume of a ConfigMap or a Secret; none when it is neither, or optional and not there."""
        for kind, key in (("ConfigMap", "name"), ("Secret", "secretName")):
            source = volume.get(kind[0].lower() + kind[1:])
            if source is None:
                continue
            document = self.of(kind).get(source[key])
            if document is None:
                check(source.get("optional"), f"there is no {kind} {source[key]}")
                return {}
            files = {name: text.encode() for name, text in document.get("data", {}).items()}
            return {n: base64.b64decode(f) for n, f in files.items()} if kind == "Secret" else files
        return None

    def environment(self, container, pod_name, address="127.0.0.1"):
        """The environment of a container, as its pod of this name and address would have it."""
        environment = {}
        for source in container.spec.get("envFrom", []):
            name = source["configMapRef"]["name"]
            check(name in self.of("ConfigMap"), f"there is no ConfigMap {name}")
            environment |= self.of("ConfigMap")[name].get("data", {})
        known = {"status.podIP": address, "metadata.name": pod_name}
        for variable in container.spec.get("env", []):
            if "value" in variable:
                environment[variable["name"]] = variable["value"]
            else:
                environment[variable["name"]] = known[variable["valueFrom"]["fieldRef"]["fieldPath"]]
        return environment
