"""SIGSTOP of one apiserver: its kernel accepts connections and acknowledges bytes, and nobody reads them."""

from __future__ import annotations

import signal

from ..cluster.master import Master
from ..load import Records
from ..scenario import FaultScenario, Result, Stage, expect_resets, expect_waits


class ApiserverHung(FaultScenario):
    name = "apiserver-hung"
    summary = "SIGSTOP of one apiserver"

    def strike(self, stage: Stage, victim: Master) -> float:
        return victim.apiserver.signal(signal.SIGSTOP)

    def mend(self, stage: Stage, victim: Master) -> None:
        victim.apiserver.signal(signal.SIGCONT)

    def judge(self, result: Result, records: Records, victim: Master, old: list[int], fault: float) -> None:
        expect_waits(result, records)
        expect_resets(result)
