"""kill -9 of one apiserver: its host answers with RST at once."""

from __future__ import annotations

from ..cluster.master import Master
from ..load import Records
from ..scenario import FaultScenario, Result, Stage, expect_no_new_connection_lost, expect_watches_back_at_once


class ApiserverKilled(FaultScenario):
    name = "apiserver-killed"
    summary = "kill -9 of one apiserver"

    def strike(self, stage: Stage, victim: Master) -> float:
        return victim.apiserver.kill()

    def judge(self, result: Result, records: Records, victim: Master, old: list[int], fault: float) -> None:
        expect_no_new_connection_lost(result, records, victim)
        expect_watches_back_at_once(result, records, victim, old)
