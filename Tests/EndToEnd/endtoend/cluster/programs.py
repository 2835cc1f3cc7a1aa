"""The programs under the balancer: of Debian, or of any other version (E2E_KUBERNETES, E2E_ETCD, E2E_KUBECTL)."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..failure import Failure


@dataclass(frozen=True)
class Programs:
    """Their paths and versions."""

    # The folder with kube-apiserver, kube-controller-manager and kube-scheduler.
    kubernetes: Path
    etcd: Path
    kubectl: Path

    @property
    def apiserver(self) -> str:
        return str(self.kubernetes / "kube-apiserver")

    @property
    def controller_manager(self) -> str:
        return str(self.kubernetes / "kube-controller-manager")

    @property
    def scheduler(self) -> str:
        return str(self.kubernetes / "kube-scheduler")

    @cached_property
    def kubernetes_version(self) -> str:
        return _found(r"v\d+\.\d+\.\S+", self.apiserver, "--version")

    @property
    def has_insecure_ports(self) -> bool:
        """Whether the programs open ports without TLS unless a flag forbids it. 1.24 removed these ports and the flags."""
        major, minor = (int(number) for number in self.kubernetes_version.lstrip("v").split(".")[:2])
        return (major, minor) < (1, 24)

    def versions(self) -> str:
        """Every version that matters for the results, in one line."""
        kubectl = json.loads(_output(str(self.kubectl), "version", "--client", "--output=json"))
        found = {
            "Kubernetes": self.kubernetes_version,
            "etcd": _found(r"(?<=etcd Version: )\S+", str(self.etcd), "--version"),
            "kubectl": kubectl["clientVersion"]["gitVersion"],
            "HAProxy": _found(r"(?<=version )\S+", "haproxy", "-v"),
            "nginx": _found(r"(?<=nginx/)\S+", "nginx", "-v"),
            "Linux": os.uname().release,
        }
        return ", ".join(f"{name} {version}" for name, version in found.items())


def _found(pattern: str, *command: str) -> str:
    output = _output(*command)
    found = re.search(pattern, output)
    if found is None:
        raise Failure(f"{' '.join(command)}: no version in {output!r}")
    return found[0]


def _output(*command: str) -> str:
    """Both output streams of a command."""
    try:
        return subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True, stdin=subprocess.DEVNULL
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise Failure(f"{' '.join(command)}: {error}") from error
