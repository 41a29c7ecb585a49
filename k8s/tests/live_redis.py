"""The Redis that the manifests describe, as processes on 127.0.0.1."""

import re
import subprocess
import time
from pathlib import Path

from manifests import check

REDIS, REPLICA, SENTINEL = 6379, 6380, 26379


class Redis:
    def __init__(self, manifests, directory):
        self.directory = Path(directory)
        self.processes = []
        secrets, configuration = manifests.of("Secret"), self.configuration(manifests)
        if "redis-users" in secrets:
            self.replicated(manifests, configuration)
        else:
            workload = next(w for w in manifests.workloads if w.name == "redis")
            args = [str(self.directory) if arg == "/data" else arg for arg in workload.containers[0].spec["args"]]
            self.start("redis", ["redis-server", *args], [])

    @staticmethod
    def configuration(manifests):
        maps = [d for d in manifests.of("ConfigMap").values() if "redis.conf" in d.get("data", {})]
        return maps[0]["data"]["redis.conf"] if maps else ""

    def replicated(self, manifests, configuration):
        files = {}
        for name in ("redis-users", "redis-passwords"):
            files |= manifests.files({"secret": {"secretName": name}})
        self.passwords = {name: text.decode() for name, text in files.items()}
        users = self.directory / "users.acl"
        users.write_bytes(files["users.acl"])
        configuration = configuration.replace("/etc/redis/users.acl", str(users))
        check(str(users) in configuration, "redis.conf reads its users elsewhere")
        common = ["min-replicas-to-write 1", "repl-diskless-sync-delay 0", "masteruser vtox-replica", f"masterauth {self.passwords['vtox-replica.password']}"]
        self.start("redis", ["redis-server"], [configuration, *common])
        self.start("replica", ["redis-server"], [configuration, *common, f"port {REPLICA}", f"replicaof 127.0.0.1 {REDIS}"])
        sentinel = [
            f"port {SENTINEL}",
            f"requirepass {self.passwords['sentinel.password']}",
            f"sentinel monitor vtox 127.0.0.1 {REDIS} 1",
            "sentinel auth-user vtox vtox-sentinel",
            f"sentinel auth-pass vtox {self.passwords['vtox-sentinel.password']}",
        ]
        self.logs("replica", "sync: Finished with success")
        self.start("sentinel", ["redis-server", "--sentinel"], sentinel)

    def start(self, name, command, lines):
        own = self.directory / name
        own.mkdir()
        if lines:
            file = own / "redis.conf"
            file.write_text("\n".join([*lines, f"dir {own}"]) + "\n")
            command = [command[0], str(file), *command[1:]]
        log = (own / "log").open("w")
        self.processes.append(subprocess.Popen(command, cwd=own, stdout=log, stderr=log))
        time.sleep(0.3)
        check(self.processes[-1].poll() is None, f"{name} of Redis ended: {(own / 'log').read_text()[-500:]}")

    def logs(self, name, text):
        """Waits until it logs this."""
        deadline = time.monotonic() + 30
        while text not in (self.directory / name / "log").read_text():
            check(time.monotonic() < deadline, f"{name} of Redis does not say {text!r}")
            time.sleep(0.1)
        # And is reported to the primary once.
        time.sleep(1.5)

    def reached_by(self, text, manifests):
        """A file of settings with Redis on 127.0.0.1; every name in its URL must be that of a Service."""
        for host in re.findall(r"(?<=[@/,])([a-z][\w.-]*):\d{4,5}(?=[,/\"])", text):
            check(host in manifests.of("Service"), f"{host} is in a URL of Redis and no Service")
        return re.sub(r"(?<=[@/,])[a-z][\w.-]*(?=:\d{4,5}[,/\"])", "127.0.0.1", text)

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            process.wait(timeout=30)
