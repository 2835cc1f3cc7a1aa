"""SIGTERM of one apiserver, with default flags: /readyz turns red and the listener closes in the same instant.

The apiserver serves the watches that it has for up to 60 s more. The load ends before that, so no watch may end here;
`apiserver-stopped-gracefully` has the end of the server too.
"""

from __future__ import annotations

import signal

from ..cluster.master import Master
from ..load import Records
from ..scenario import FaultScenario, Result, Stage, expect_no_new_connection_lost


class ApiserverStopped(FaultScenario):
    name = "apiserver-stopped"
    summary = "SIGTERM of one apiserver"

    def strike(self, stage: Stage, victim: Master) -> float:
        return victim.apiserver.signal(signal.SIGTERM)

    def mend(self, stage: Stage, victim: Master) -> None:
        # It waits for its watches.
        victim.apiserver.stop(within=1)

    def judge(self, result: Result, records: Records, victim: Master, old: list[int], fault: float) -> None:
        expect_no_new_connection_lost(result, records, victim)
        watches = records.watched_on([victim.name], fault)
        ended = records.closed_by_peer(watches, fault)
        result.old_reset = records.last_close(sorted(each.connection for each in ended), fault) if ended else None
        result.notes.append(f"{len(watches)} watches on the victim, {len(ended)} of them were ended while it served them")
        result.expect(bool(watches), "no watch was on the victim: nothing was tested")
        result.expect(not ended, f"{len(ended)} watches were ended though the apiserver still served them")
