"""Starts every service with exactly the environment, the files and the ports of its pod, and asks what Kubernetes would ask.

live.py REPOSITORY BINARIES [--only DEPLOYMENT] MANIFESTS...
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import together
from live_redis import Redis
from manifests import Failed, Manifests, check
from pods import Pod, answer, free


def known_names(repository):
    """Names of variables without our prefix that stand for settings."""
    source = (repository / "crates/service-kit/src/config/mod.rs").read_text()
    return set(re.findall(r'\("([A-Z_]+)", "[a-z_.]+"\),', source))


def run(pod, known):
    """Starts a service, probes it, stops it; its metrics and, of the gateway, its paths."""
    workload = pod.workload
    container = workload.containers[0]
    environment = pod.environment(container)
    for name in environment:
        check(name.startswith("VTOX_") or name in known, f"{workload}: no service knows {name}")
    port = container.port("http")
    check(free(port), f"port {port} is in use on this machine; free it, or allow user namespaces (unshare -rn)")
    pod.prepare()
    log = Path(pod.volumes["redis"], "..", "log").resolve()
    with log.open("w") as out:
        process = subprocess.Popen([pod.program(container)], env=environment, cwd="/", stdout=out, stderr=out)
    try:
        for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
            probe = container.probes[kind]
            path, asked = probe["httpGet"]["path"], container.port(probe["httpGet"]["port"])
            deadline = time.monotonic() + probe.get("failureThreshold", 3) * probe.get("periodSeconds", 10)
            status, body = None, ""
            while status != 200:
                check(process.poll() is None, f"{workload} ended: {log.read_text()[-800:]}")
                check(status != 404, f"{workload}: the {kind} asks for {path}, which is not there")
                check(time.monotonic() < deadline, f"{workload}: {kind} {path} at {asked}: {status} {body}")
                time.sleep(0.1)
                status, body = answer(asked, path)
        # The monitor looks every second.
        time.sleep(2.5 if workload.name == "monitor" else 0.3)
        metrics = answer(port, "/metrics")[1]
        paths = []
        if workload.name == "api-gateway":
            beside = ("/", "/health", "/docs", "/openapi.json")
            paths = [*json.loads(answer(port, "/openapi.json")[1])["paths"], *(p for p in beside if answer(port, p)[0] == 200)]
    finally:
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=workload.pod["terminationGracePeriodSeconds"])
    check(code == 0, f"{workload} ended with {code}: {log.read_text()[-800:]}")
    print(f"{workload}: ready, and stopped within {time.monotonic() - began:.1f} s")
    return metrics, paths


def scaling(manifests, repository, metrics):
    """Every metric that something scales by is exported, with its labels."""
    series = re.findall(r"^(vtox_\w+)\{(.*)\} \S+$", metrics, re.M)
    exported = {(name, label) for name, labels in series for label in labels.split(",")}
    queries = (repository / "k8s/prometheus-adapter.yaml").read_text()
    for scaler in manifests.of("ScaledObject").values():
        for trigger in scaler["spec"]["triggers"]:
            query = trigger["metadata"]["query"]
            name, fault = re.search(r"(vtox_\w+)\{.*(fault_type=\"\w+\")", query).groups()
            check((name, fault) in exported, f"the monitor exports no {name} with {fault}")
    for scaler in manifests.of("HorizontalPodAutoscaler").values():
        for metric in scaler["spec"]["metrics"]:
            name, labels = metric["external"]["metric"]["name"], metric["external"]["metric"]["selector"]["matchLabels"]
            check(f"seriesQuery: '{name}{{" in queries, f"k8s/prometheus-adapter.yaml has no rule for {name}")
            for label, value in labels.items():
                check((name, f'{label}="{value}"') in exported, f"the monitor exports no {name} with {label} {value}")
    for name in re.findall(r"vtox_\w+", queries):
        check(name in {name for name, _ in exported}, f"the monitor exports no {name}")
    return {label.split('"')[1] for name, label in exported if name == "vtox_backlog_entries" and label.startswith("fault_type=")}


def served(manifests, faults):
    """Each fault type has its workers, under the name that POST /system/scale tells to scale."""
    for fault in faults:
        name = "worker-" + fault.replace("_", "-")
        workers = [w for w in manifests.workloads if w.name == name]
        check(workers, f"there is no Deployment {name}")
        environment = manifests.environment(workers[0].containers[0], name)
        check(environment["FAULT_TYPES"] == fault, f"{name} serves {environment['FAULT_TYPES']}")


def entrance(manifests, paths):
    """The Ingresses lead to every path of the API, and to nothing that is for those inside."""
    ingresses = manifests.of("Ingress").values()
    rules = [(p["path"], p["pathType"]) for i in ingresses for r in i["spec"]["rules"] for p in r["http"]["paths"]]
    if not rules:
        return

    def leads(path):
        return any(path == p or kind == "Prefix" and path.startswith(p.rstrip("/") + "/") for p, kind in rules)

    inside = {"/metrics", "/ready"}
    check(not any(leads(path) for path in inside), f"the Ingress shows {inside}")
    missing = [path for path in paths if path not in inside and not leads(path)]
    check(not missing, f"the Ingress does not lead to {missing}")
    for prefix, _ in rules:
        check(any(p == prefix or p.startswith(prefix + "/") for p in paths), f"nothing is at {prefix}")


def main():
    arguments = sys.argv[1:]
    repository, binaries = Path(arguments.pop(0)), Path(arguments.pop(0))
    only = None
    if arguments[0] == "--only":
        only = arguments[1]
        arguments = arguments[2:]
    manifests = Manifests(*arguments)
    known = known_names(repository)
    with tempfile.TemporaryDirectory() as directory:
        redis = Redis(manifests, directory)
        try:
            metrics, paths = {}, []
            for workload in manifests.workloads:
                if workload.kind == "Deployment" and only in (None, workload.name):
                    pod = Pod(manifests, workload, redis, directory, binaries)
                    metrics[workload.name], more = run(pod, known)
                    paths += more
            if only in (None, "monitor"):
                faults = scaling(manifests, repository, metrics["monitor"])
            if only is None:
                served(manifests, faults)
                entrance(manifests, paths)
                # Addresses of loopback beside 127.0.0.1 are there on Linux alone.
                if sys.platform == "linux":
                    together.run(manifests, redis, Path(directory, "together"), binaries)
        finally:
            redis.stop()


def raise_loopback():
    """In a network of its own 127.0.0.1 has to be switched on first."""
    import fcntl
    import struct

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh", b"lo", 0x1)
        fcntl.ioctl(any_socket, 0x8914, request)


if __name__ == "__main__":
    if os.environ.get("OWN_NETWORK") == "yes":
        raise_loopback()
    try:
        main()
    except Failed as failed:
        sys.exit(f"live: {failed}")
