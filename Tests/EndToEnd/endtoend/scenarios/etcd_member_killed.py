"""kill -9 of the etcd member of one master: its apiserver finishes handshakes, but requests hang.

Requests that reach the victim before the balancer knows cannot be saved at layer 4; they end when their connection is
reset. So only waits of new connections and the reset of old ones are promised, and the failures are shown.
"""

from __future__ import annotations

from ..cluster.master import Master
from ..load import Records
from ..scenario import FaultScenario, Result, Stage, expect_resets, expect_waits


class EtcdMemberKilled(FaultScenario):
    name = "etcd-member-killed"
    summary = "kill -9 of the etcd member of one master"

    def strike(self, stage: Stage, victim: Master) -> float:
        return victim.etcd.kill()

    def judge(self, result: Result, records: Records, victim: Master, old: list[int], fault: float) -> None:
        expect_waits(result, records)
        expect_resets(result)
