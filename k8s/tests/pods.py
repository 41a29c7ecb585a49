"""Pods as processes: environment, files and ports as in their manifests, paths below a directory of their own."""

import re
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path


def answer(port, path, host="127.0.0.1"):
    """Status and body, or none while nobody listens."""
    try:
        with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=2) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return None, ""


def free(port):
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return listener.connect_ex(("127.0.0.1", port)) != 0


class Pod:
    """The processes of a pod, its paths below a directory of their own."""

    def __init__(self, manifests, workload, redis, directory, binaries, address="127.0.0.1"):
        self.manifests, self.workload, self.binaries, self.address = manifests, workload, binaries, address
        self.volumes = {}
        for name, volume in workload.volumes.items():
            path = self.volumes[name] = Path(directory, workload.name, name)
            path.mkdir(parents=True)
            for file, text in (manifests.files(volume) or {}).items():
                if file.endswith(".toml"):
                    text = redis.reached_by(text.decode(), manifests).encode()
                (path / file).write_bytes(text)

    def moved(self, container, text):
        for mount in sorted(container.mounts, key=len, reverse=True):
            text = re.sub(re.escape(mount) + r"(?=/|\b)", str(self.volumes[container.mounts[mount]]), text)
        return text

    def environment(self, container):
        environment = self.manifests.environment(container, self.workload.name + "-0", self.address)
        return {name: self.moved(container, value) for name, value in environment.items()}

    def prepare(self):
        for container in self.workload.init:
            command = [self.moved(container, word) for word in container.spec["command"] + container.spec["args"]]
            subprocess.run(command, check=True)

    def program(self, container):
        name = container.image.removeprefix("vtox/")
        return Path(self.binaries, {"cli": "vtox", "bridge": "vtox-websocket-bridge"}.get(name, f"vtox-{name}"))
