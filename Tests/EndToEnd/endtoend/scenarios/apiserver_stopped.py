"""SIGTERM of one apiserver, with default flags: /readyz turns red and the listener closes in the same instant."""

from __future__ import annotations

import signal

from ..cluster.master import Master
from ..load import Records
from ..scenario import FaultScenario, Result, Stage, expect_no_new_connection_lost, expect_watches_back_at_once


class ApiserverStopped(FaultScenario):
    name = "apiserver-stopped"
    summary = "SIGTERM of one apiserver"

    def strike(self, stage: Stage, victim: Master) -> float:
        return victim.apiserver.signal(signal.SIGTERM)

    def mend(self, stage: Stage, victim: Master) -> None:
        # It may still be waiting for requests that nobody will end.
        victim.apiserver.stop(within=1)

    def judge(self, result: Result, records: Records, victim: Master, old: list[int], fault: float) -> None:
        expect_no_new_connection_lost(result, records, victim)
        expect_watches_back_at_once(result, records, victim, old)
