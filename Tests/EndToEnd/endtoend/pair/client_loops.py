"""Clients of the shared address that never stop asking, and the longest time that they were without an answer."""

from __future__ import annotations

import http.client
import math
import ssl
import subprocess
import threading
import time
from typing import Self

from ..cluster.control_plane import SHARED_ADDRESS, ControlPlane
from ..cluster.master import API_PORT
from ..waiting import now

# No client waits longer for one answer. A client that had just been accepted by a host that hangs waits as long as it likes.
PATIENCE_SECONDS = 1


class ClientLoop:
    """Asks while its `with` block runs, and remembers when it was answered."""

    def __init__(self) -> None:
        self._answers: list[float] = []
        self._end = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def longest_gap(self, since: float, until: float | None = None) -> float:
        """The longest time without an answer that was going on at some moment from `since` to `until`, or to now."""
        until = until or now()
        answers = sorted(self._answers)
        before = [moment for moment in answers if moment <= since]
        within = [moment for moment in answers if since < moment <= until]
        after = [moment for moment in answers if moment > until]
        marks = [*(before[-1:] or [since]), *within, *(after[:1] or [until])]
        return max((later - earlier for earlier, later in zip(marks, marks[1:], strict=False)), default=math.inf)

    def answered_since(self, moment: float) -> bool:
        return any(answer > moment for answer in list(self._answers))

    def _answered(self) -> None:
        self._answers.append(now())


class KubectlLoop(ClientLoop):
    """Starts one kubectl every quarter of a second, whether or not those before have ended."""

    def __init__(self, cluster: ControlPlane) -> None:
        super().__init__()
        self._command = cluster.client_host.command(
            *cluster.kubectl_command(
                *("get", "--raw", "/api/v1/namespaces/default", f"--request-timeout={PATIENCE_SECONDS}s"),
                kubeconfig=cluster.shared_kubeconfig,
            )
        )
        self._threads = [threading.Thread(target=self._pace, name="kubectl-loop", daemon=True)]

    def _pace(self) -> None:
        running: list[threading.Thread] = []
        while not self._end.wait(0.25):
            thread = threading.Thread(target=self._run, name="kubectl", daemon=True)
            thread.start()
            running = [each for each in running if each.is_alive()] + [thread]
        for each in running:
            each.join()

    def _run(self) -> None:
        result = subprocess.run(
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
        )
        if result.returncode == 0:
            self._answered()


class QuickLoop(ClientLoop):
    """What kubectl does, without the cost of starting one: a new TLS connection and one GET, by several clients."""

    CLIENTS = 4
    PAUSE_SECONDS = 0.04

    def __init__(self, cluster: ControlPlane) -> None:
        super().__init__()
        self._host = cluster.client_host
        self._context = ssl.create_default_context(cafile=str(cluster.trust.kubernetes.certificate))
        admin = cluster.trust.admin
        self._context.load_cert_chain(str(admin.certificate), str(admin.key))
        self._threads = [
            threading.Thread(target=self._loop, name=f"quick-loop-{number}", daemon=True)
            for number in range(self.CLIENTS)
        ]

    def _loop(self) -> None:
        self._host.enter()
        while not self._end.is_set():
            connection = http.client.HTTPSConnection(
                SHARED_ADDRESS, API_PORT, timeout=PATIENCE_SECONDS, context=self._context
            )
            try:
                connection.request("GET", "/api/v1/namespaces/default")
                if connection.getresponse().status == 200:
                    self._answered()
            except (OSError, http.client.HTTPException):
                pass  # a gap, which is what is measured
            finally:
                connection.close()
            time.sleep(self.PAUSE_SECONDS)
