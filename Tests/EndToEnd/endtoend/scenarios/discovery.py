"""One master is configured, the others are found; one leaves and comes back; a start while every apiserver is dead.

Kubernetes 1.20 has no EndpointSlice v1, so that Endpoints are what is watched here.
"""

from __future__ import annotations

import signal
from typing import Any

from ..balancer import Fairlead, Options
from ..cluster.master import API_PORT, Master
from ..scenario import Result, Scenario, Stage
from ..waiting import now, wait_until
from .kubernetes_access import asking

# A master that left the endpoints must be out of the pool after this long: the grace of the list, and its last connections.
LEAVES_WITHIN = 15


class Discovery(Scenario):
    name = "discovery"
    summary = "one master configured, two found; one leaves and returns; a start from the cache with all apiservers dead"

    def run(self, stage: Stage) -> Result:
        result = Result(self.name, log=stage.balancer.process.log)
        listed, *found = stage.cluster.masters.values()
        started = now()
        with asking(stage, Options(listed=(listed.name,), asks_kubernetes=True)) as balancer:
            result.notes.append(f"three masters up {now() - started:.1f} s after the configuration named one")
            sources = {name: backend["source"] for name, backend in _pool(stage, balancer).items()}
            expected = {listed.name: "static", **{_address(master): "discovered" for master in found}}
            result.expect(sources == expected, f"the backends are {sources}")
            self._all_used(stage, balancer, result)
            self._leave_and_return(stage, balancer, found[1], result)
            self._start_from_cache(stage, balancer, listed, found[0], result)
        return result

    def _all_used(self, stage: Stage, balancer: Fairlead, result: Result) -> None:
        before = {name: backend["connections"]["total"] for name, backend in _pool(stage, balancer).items()}
        for _ in range(6):
            stage.cluster.kubectl("get", "--raw", "/readyz")
        after = _pool(stage, balancer)
        unused = [name for name, total in before.items() if after[name]["connections"]["total"] == total]
        result.expect(not unused, f"no connection went to {', '.join(unused)}")

    def _leave_and_return(self, stage: Stage, balancer: Fairlead, victim: Master, result: Result) -> None:
        address = _address(victim)
        stopped = victim.apiserver.signal(signal.SIGTERM)
        seen: list[str] = []

        def gone() -> bool:
            backend = _pool(stage, balancer).get(address)
            words = f"{now() - stopped:.1f} {backend['state']} ({backend['reason']})" if backend else "gone"
            if not seen or seen[-1].split(" ", 1)[-1] != words.split(" ", 1)[-1]:
                seen.append(words)
            return backend is None

        wait_until(gone, f"{victim.name} has left the pool", within=LEAVES_WITHIN, log=balancer.process.log)
        result.notes.append(f"{victim.name} stopped: {'; '.join(seen[:-1])}; left the pool after {now() - stopped:.1f} s")
        stage.cluster.kubectl("get", "--raw", "/readyz")
        victim.apiserver.stop()
        restarted = now()
        victim.apiserver.start()
        wait_until(
            lambda: _pool(stage, balancer).get(address, {}).get("state") == "up",
            f"{victim.name} is back in the pool",
            within=60,
            log=balancer.process.log,
        )
        result.notes.append(f"{victim.name} started again: back in the pool and up after {now() - restarted:.1f} s")

    def _start_from_cache(
        self, stage: Stage, balancer: Fairlead, listed: Master, first: Master, result: Result
    ) -> None:
        """Everything dies. The configured master stays dead: only the cache knows the one that returns."""
        log = balancer.process.log
        for master in stage.cluster.masters.values():
            master.apiserver.kill()
        balancer.stop()
        balancer.process.start()
        pool = wait_until(lambda: _pool_if_answering(stage, balancer), "Fairlead runs again", within=20, log=log)
        sources = {name: backend["source"] for name, backend in pool.items()}
        result.expect(all(backend["state"] != "up" for backend in pool.values()), "a dead apiserver was called up")
        others = [_address(master) for master in stage.cluster.masters.values() if master is not listed]
        result.expect(sources == {listed.name: "static", **dict.fromkeys(others, "cached")}, f"it began with {sources}")
        first.apiserver.start()
        wait_until(first.ready, f"{first.name}'s apiserver is ready", within=60, log=first.apiserver.log)
        ready = now()
        wait_until(
            lambda: stage.cluster.kubectl("get", "--raw", "/readyz", check=False).returncode == 0,
            f"{first.name} is used",
            within=10,
            log=log,
        )
        result.notes.append(f"begun from the cache: {first.name} served {now() - ready:.1f} s after it was ready")


def _address(master: Master) -> str:
    return f"{master.host.address}:{API_PORT}"


def _pool(stage: Stage, balancer: Fairlead) -> dict[str, dict[str, Any]]:
    status = stage.cluster.balancer_host.call(balancer.status)
    return {backend["name"]: backend for backend in status["frontends"][0]["backends"]}


def _pool_if_answering(stage: Stage, balancer: Fairlead) -> dict[str, dict[str, Any]] | None:
    balancer.process.require_running()
    try:
        return _pool(stage, balancer)
    except OSError:
        return None
