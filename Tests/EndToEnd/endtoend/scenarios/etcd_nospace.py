"""A member's database outgrows its quota: NOSPACE, seen on that member and no other, until it is disarmed.

The alarm is raised the way it happens: the member is started with a quota little above its size, and written to until
it refuses. While it stands, every member's /health is false and nothing can be written, so this is short.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from ..balancer import Fairlead
from ..balancer.fairlead import EtcdStatus
from ..cluster.master import Master
from ..failure import Failure
from ..poller import Poller
from ..scenario import Result, Scenario, Stage
from ..waiting import now, wait_until

PROMISED_SECONDS = 3.0
ROOM_BYTES = 4 * 1024 * 1024
VALUE_BYTES = 700_000
PREFIX = b"fairlead-e2e-"


class EtcdNospace(Scenario):
    name = "etcd-nospace"
    summary = "one etcd member's quota is used up, then it is given room again"

    def run(self, stage: Stage) -> Result:
        result = Result(self.name, log=stage.balancer.process.log)
        balancer = stage.balancer
        if not isinstance(balancer, Fairlead):
            result.notes.append(f"{balancer.name} does not know etcd")
            return result
        leader = stage.cluster.etcd_leader()
        victim = next(master for master in stage.cluster.masters.values() if master is not leader)
        command = victim.etcd.command
        with Poller(stage.cluster.balancer_host, balancer.etcd) as watcher:

            def seen(since: float, what: str, condition: Callable[[EtcdStatus], bool]) -> float:
                return wait_until(lambda: watcher.first(since, condition), what, within=15, log=result.log)

            try:
                size = int(_status(victim)["dbSize"])
                _restart(victim, [*command, f"--quota-backend-bytes={size + ROOM_BYTES}"])
                _fill(victim)
                raised = now()
                shown = seen(raised, "the balancer shows NOSPACE", lambda status: status.alarms != {})
                last = watcher.last
                assert last is not None
                result.expect(last.alarms == {victim.name: ["NOSPACE"]}, f"the balancer shows {last.alarms}")
                result.expect(victim.name not in last.healthy, f"{victim.name} is shown as healthy")
                seen(
                    raised, f"the backend {victim.name} is degraded for the alarm, and no other",
                    lambda status: _degraded_for_space(status) == [victim.name],
                )
                _give_room(victim)
                disarmed = now()
                cleared = seen(disarmed, "the balancer shows no alarm", lambda status: status.alarms == {})
                seen(disarmed, "all members are healthy", lambda status: len(status.healthy) == 3)
                seen(
                    disarmed, "all backends are up",
                    lambda status: all(state == "up" for state, _ in status.backends.values()),
                )
            finally:
                _restart(victim, command)
        stage.cluster.restore()
        for moment, since, what in ((shown, raised, "shown"), (cleared, disarmed, "cleared")):
            result.notes.append(f"the alarm was {what} after {moment - since:.2f} s")
            result.expect(
                moment - since <= PROMISED_SECONDS,
                f"the alarm was {what} after {moment - since:.2f} s (promised: {PROMISED_SECONDS} s)",
            )
        return result


def _degraded_for_space(status: EtcdStatus) -> list[str]:
    backends = status.backends.items()
    return [name for name, (state, reason) in backends if state == "degraded" and "NOSPACE" in reason]


def _status(member: Master) -> dict[str, Any]:
    status = member.ask_etcd("/v3/maintenance/status", {})
    if status is None:
        raise Failure(f"{member.name}'s etcd does not tell its status", member.etcd.log)
    return status


def _restart(member: Master, command: list[str]) -> None:
    member.etcd.stop()
    member.etcd.command = command
    member.etcd.start()
    wait_until(
        lambda: member.ask_etcd("/v3/maintenance/status", {}) is not None,
        f"{member.name}'s etcd answers", within=30, log=member.etcd.log,
    )


def _fill(member: Master) -> None:
    """Writes until the member refuses."""
    value = base64.b64encode(bytes(VALUE_BYTES)).decode()
    for number in range(ROOM_BYTES // VALUE_BYTES + 20):
        key = base64.b64encode(PREFIX + str(number).encode()).decode()
        if member.ask_etcd("/v3/kv/put", {"key": key, "value": value}) is None:
            return
    raise Failure(f"{member.name}'s etcd takes more than its quota", member.etcd.log)


def _give_room(member: Master) -> None:
    """What an administrator does: delete, compact, defragment, disarm."""
    start, end = (base64.b64encode(text).decode() for text in (PREFIX, PREFIX[:-1] + bytes([PREFIX[-1] + 1])))
    identity = _status(member)["header"]["member_id"]
    _require(member, "/v3/kv/deleterange", {"key": start, "range_end": end})
    revision = _status(member)["header"]["revision"]
    _require(member, "/v3/kv/compaction", {"revision": revision, "physical": True})
    _require(member, "/v3/maintenance/defragment", {})
    _require(member, "/v3/maintenance/alarm", {"action": "DEACTIVATE", "memberID": identity, "alarm": "NOSPACE"})


def _require(member: Master, path: str, question: dict[str, Any]) -> None:
    if member.ask_etcd(path, question) is None:
        raise Failure(f"{member.name}'s etcd refuses {path}", member.etcd.log)
