"""kill -9 of the active controller-manager: another one takes over when the lease has run out.

Promised: the status says that the lease is expired once nobody has renewed it for its duration, and names the next holder
within a second of its taking over.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from ..balancer import Fairlead, Options
from ..cluster.master import Master
from ..failure import Failure
from ..scenario import Result, Scenario, Stage
from ..waiting import now, wait_until
from .kubernetes_access import asking

LEASE = "kube-controller-manager"


class LeaseHandover(Scenario):
    name = "lease-handover"
    summary = "kill -9 of the active controller-manager: held, expired, the next holder"

    def run(self, stage: Stage) -> Result:
        result = Result(self.name, log=stage.balancer.process.log)
        with asking(stage, Options(asks_kubernetes=True)) as balancer:
            self._hand_over(stage, balancer, result)
        return result

    def _hand_over(self, stage: Stage, balancer: Fairlead, result: Result) -> None:
        log = balancer.process.log
        wait_until(
            lambda: any(_held(lease, LEASE) for lease in _leases(stage, balancer)),
            f"the status says who holds {LEASE}",
            within=40,
            log=log,
        )
        wait_until(
            lambda: any(_held(lease, "kube-scheduler") for lease in _leases(stage, balancer)),
            "the status says who holds kube-scheduler",
            within=40,
            log=log,
        )
        _await_renewal(stage, balancer)
        # Not before: one that has lost it while etcd was down is followed by the next without a word.
        before = _lease(stage, balancer)
        victim = _leader(stage, before["holder"])
        result.notes.append(f"{LEASE} is held by {before['holder']} on {victim.name}")
        fault = victim.controller_manager.kill()
        last_renewal = fault - _lease(stage, balancer)["renewedAgoSeconds"]
        expired = _moment(stage, balancer, lambda lease: bool(lease["state"] == "expired"), "the lease is expired")
        after = None

        def is_taken(lease: dict[str, Any]) -> bool:
            nonlocal after
            after = lease
            return bool(lease["state"] == "held" and lease["holder"] != before["holder"])

        taken = _moment(stage, balancer, is_taken, "another controller-manager holds the lease")
        assert after is not None
        acquired = _acquired(stage)
        result.state_changes = f"{expired - fault:.2f} expired, {taken - fault:.2f} held"
        result.notes.append(
            f"expired {expired - last_renewal:.2f} s after the last renewal that was seen (lease duration "
            f"{after['durationSeconds']:.0f} s), held again {taken - expired:.2f} s later, by {after['holder']}"
        )
        result.notes.append(f"the status named the next holder {taken - acquired:+.2f} s after it had taken the lease")
        result.expect(14.5 <= expired - last_renewal <= 17, "the lease was not called expired when it was")
        result.expect(taken - acquired <= 1, "the next holder was named late (promised: within 1 s)")
        result.expect(_leader(stage, after["holder"]) is not victim, "the next holder is the one that was killed")
        result.expect(after["transitions"] == before["transitions"] + 1, "the transition was not counted")
        result.expect(before["holder"] in after["formerHolders"], "the former holder was forgotten")


def _leases(stage: Stage, balancer: Fairlead) -> list[dict[str, Any]]:
    return stage.cluster.balancer_host.call(balancer.status)["leases"] or []


def _lease(stage: Stage, balancer: Fairlead) -> dict[str, Any]:
    return next(lease for lease in _leases(stage, balancer) if lease["name"] == LEASE)


def _await_renewal(stage: Stage, balancer: Fairlead) -> None:
    """Returns just after a renewal was seen: until then, the age of the last one is not known."""
    ages: list[float] = []

    def renewed() -> bool:
        ages.append(_lease(stage, balancer)["renewedAgoSeconds"])
        return len(ages) > 1 and ages[-1] < ages[-2]

    wait_until(renewed, f"{LEASE} is renewed", within=10, log=balancer.process.log)


def _held(lease: dict[str, Any], name: str) -> bool:
    return bool(lease["name"] == name and lease["state"] == "held")


def _moment(stage: Stage, balancer: Fairlead, condition: Callable[[dict[str, Any]], bool], what: str) -> float:
    """When the status first says so."""
    wait_until(lambda: condition(_lease(stage, balancer)), what, within=40, log=balancer.process.log)
    return now()


def _leader(stage: Stage, holder: str) -> Master:
    """The master whose controller-manager has logged that it took the lease under this identity."""
    pattern = re.compile(rf"{re.escape(holder)} became leader")
    for master in stage.cluster.masters.values():
        if pattern.search(master.controller_manager.log.read_text(errors="replace")):
            return master
    raise Failure(f"no controller-manager has logged that {holder} became leader")


def _acquired(stage: Stage) -> float:
    """When the present holder took the lease, by its own word, on CLOCK_MONOTONIC: all hosts are this machine."""
    text = stage.cluster.kubectl(
        "get", "lease", LEASE, "--namespace=kube-system", "--output=jsonpath={.spec.acquireTime}"
    ).stdout
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() - time.time() + now()
