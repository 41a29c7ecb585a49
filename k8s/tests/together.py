"""All services at once, as a cluster: a fleet sends, and every fault type answers everything."""

import json
import math
import re
import subprocess
import time
import urllib.request
from pathlib import Path

from manifests import check
from pods import Pod, answer


def run(manifests, redis, directory, binaries):
    """Each Deployment once, at an address of its own; that alone is not as in its manifest, which listens on all."""
    pods, processes = {}, []
    try:
        for n, workload in enumerate(w for w in manifests.workloads if w.is_vtox()):
            pod = pods[workload.name] = Pod(manifests, workload, redis, directory, binaries, f"127.0.1.{n + 1}")
            container = workload.containers[0]
            if workload.kind != "Deployment":
                continue
            environment = pod.environment(container)
            check(environment["VTOX_HOST"] == "0.0.0.0", f"{workload} listens on {environment['VTOX_HOST']}")
            pod.prepare()
            log = Path(directory, workload.name, "log").open("w")
            command = [pod.program(container)]
            environment["VTOX_HOST"] = pod.address
            processes.append(subprocess.Popen(command, env=environment, cwd="/", stdout=log, stderr=log))
        deployments = [pod for pod in pods.values() if pod.workload.kind == "Deployment"]
        eventually("all are ready", lambda: all(ask(pod, "/ready")[0] == 200 for pod in deployments))
        operate(pods)
        refused(pods["vtox-cli"])
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            check(process.wait(timeout=45) == 0, f"{process.args[0].name} ended with {process.returncode}")


def ask(pod, path):
    return answer(next(iter(pod.workload.ports().values())), path, pod.address)


def eventually(what, condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < deadline, f"together: it never was that {what}")
        time.sleep(0.2)


def total(pod, name):
    """Sum of a metric over its labels."""
    return sum(float(value) for value in re.findall(rf"^{name}\{{.*\}} (\S+)$", ask(pod, "/metrics")[1], re.M))


def vtox(pod, *words, **more):
    """A command in the pod that is for them."""
    container = pod.workload.containers[0]
    environment = pod.environment(container) | more.pop("env", {})
    done = subprocess.run([pod.program(container), *words], env=environment, capture_output=True, text=True)
    check(done.returncode == 0, f"vtox {' '.join(words)}: {done.stdout}{done.stderr}")
    return done.stdout.strip()


def operate(pods):
    cli, gateway = pods["vtox-cli"], pods["api-gateway"]
    workers = [pod for name, pod in pods.items() if name.startswith("worker-")]
    url = f"http://{gateway.address}:8000"
    token = vtox(cli, "token", "issue", "--role", "operator", "--label", "test")
    # A new key takes effect within a second.
    time.sleep(1.2)
    fleet = ["simulate", "--gateway", url, "--vehicles", "5", "--interval", "1", "--for", "4"]
    vtox(cli, *fleet, env={"VTOX_TOKEN": token})
    accepted = total(gateway, "vtox_gateway_accepted_total")
    check(accepted > 0, "together: the gateway accepted nothing")
    eventually("everything was answered", lambda: all(total(w, "vtox_worker_verdicts_total") == accepted for w in workers))
    bridge = pods["websocket-bridge"]
    eventually(
        "health followed", lambda: total(bridge, "vtox_bridge_results_aggregated_total") == accepted * len(workers)
    )
    on_demand(url, token)
    # As many replicas as the services insist on.
    replicas, said = gateway.environment(gateway.workload.containers[0]).get("VTOX_REDIS__REPLICAS"), vtox(cli, "doctor")
    check(replicas is None or f"{replicas} replicas follow" in said, f"vtox doctor does not look at replicas: {said}")
    vtox(cli, "explain")
    print(f"together: {accepted:.0f} messages, each answered by {len(workers)} fault types")


def on_demand(url, token):
    """From the gateway to a coordinator to workers, as they are named in the registry."""
    rows = [{"Ia": math.sin(n / 25), "Ib": math.sin(n / 25 - 2.09), "Ic": math.sin(n / 25 + 2.09)} for n in range(1600)]
    body = json.dumps({"sensor_data": {"data": rows, "sampling_rate": 8000}}).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"{url}/api/v1/cluster/tasks", body, headers)
    with urllib.request.urlopen(request, timeout=20) as response:
        check(response.status == 200, f"a task was answered {response.status}")


def refused(cli):
    """Redis refused nobody anything."""
    url = re.search(r'url = "(.*)"', (cli.volumes["redis"] / "vtox.toml").read_text())[1]
    credentials = re.match(r"redis\+sentinel://(.*)@", url)
    if credentials:
        command = ["redis-cli", "--no-auth-warning", "-u", f"redis://{credentials[1]}@127.0.0.1:6379", "acl", "log"]
        log = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        check(not log, f"Redis refused: {log}")
