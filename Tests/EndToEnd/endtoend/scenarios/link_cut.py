"""The cable of one master is pulled: nothing answers any more, not even its kernel."""

from __future__ import annotations

from ..cluster.master import Master
from ..load import Records
from ..scenario import FaultScenario, Result, Stage, expect_resets, expect_waits
from ..waiting import now


class LinkCut(FaultScenario):
    name = "link-cut"
    summary = "the network link of one master down"

    def strike(self, stage: Stage, victim: Master) -> float:
        moment = now()
        stage.cluster.network.cut(victim.name)
        return moment

    def mend(self, stage: Stage, victim: Master) -> None:
        stage.cluster.network.mend(victim.name)

    def judge(self, result: Result, records: Records, victim: Master, old: list[int], fault: float) -> None:
        expect_waits(result, records)
        expect_resets(result)
