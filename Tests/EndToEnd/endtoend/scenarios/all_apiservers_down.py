"""All apiservers killed; one comes back before the others.

Promised: once it is known that nothing is left, a client has its error within 100 ms; the first apiserver that is
ready again is used within 2 s.
"""

from __future__ import annotations

import threading

from ..balancer.watcher import StatusWatcher
from ..cluster.master import Master
from ..load import Load
from ..scenario import Result, Scenario, Stage, errors_in_words, expect_calm_before
from ..waiting import now, observe, wait_until

DOWN_SECONDS = 4
AFTER_RETURN_SECONDS = 4


class AllApiserversDown(Scenario):
    name = "all-down"
    summary = "all apiservers killed, one comes back first"

    def run(self, stage: Stage) -> Result:
        result = Result(self.name, log=stage.balancer.process.log)
        masters = list(stage.cluster.masters.values())
        first = masters[0]
        with (
            StatusWatcher(stage.balancer) as watcher,
            Load(stage.clients, stage.cluster, stage.work / self.name) as load,
        ):
            fault = now()
            for master in masters:
                master.apiserver.kill()
            known = wait_until(
                lambda: watcher.first_with_nothing_usable(fault),
                "the balancer knows that all masters are down",
                within=10,
                log=stage.balancer.process.log,
            )
            observe(DOWN_SECONDS)
            restarted = now()
            first.apiserver.start()
            ready = _moment_ready(first)
            observe(AFTER_RETURN_SECONDS)
            records = load.finish()
        stage.cluster.restore()

        result.requests = len(records.requests)
        result.failed = sum(request.failed for request in records.requests)
        result.longest_gap = records.longest_gap()
        result.state_changes = f"{known - fault:.2f} none usable"
        old = [connection for master in masters for connection in records.kept_on(master.name, fault)]
        result.old_reset = records.last_close(old, fault)

        expect_calm_before(result, records, fault)
        # Those that began late may end after the restart: they are judged by how long they took all the same.
        hopeless = [each for each in records.fresh if each.start and known <= each.start < restarted - 0.2]
        lengths = sorted(each.length for each in hopeless)
        slowest = lengths[-1] if lengths else 0
        if lengths:
            median, most = lengths[len(lengths) // 2], lengths[len(lengths) * 99 // 100]
            result.notes.append(
                f"{len(lengths)} clients had their error while all were down: "
                f"half within {median * 1000:.0f} ms, 99 % within {most * 1000:.0f} ms, "
                f"all within {slowest * 1000:.0f} ms"
            )
        result.expect(bool(hopeless), "no client tried while all were down: nothing was tested")
        result.expect(all(each.failed for each in hopeless), "a request was answered while all were down")
        result.expect(
            slowest <= 0.1, f"an error took {slowest * 1000:.0f} ms while all were known to be down (promised: 100 ms)"
        )

        served = [each.end for each in records.fresh if not each.failed and each.end > restarted]
        used = min(served, default=float("inf"))
        result.longest_wait = max((each.wait for each in records.fresh if each.end >= ready), default=0)
        result.notes.append(
            f"{first.name} was ready {ready - restarted:.1f} s after its start, used {used - ready:+.2f} s later"
        )
        result.expect(
            used - ready <= 2, f"the first apiserver back was used after {used - ready:.2f} s (promised: 2 s)"
        )
        result.notes += errors_in_words(records)
        return result


def _moment_ready(master: Master) -> float:
    """When the apiserver itself first says that it is ready, asked every 50 ms by a thread that stays on its host."""
    moments: list[float] = []
    ended = threading.Event()

    def ask() -> None:
        master.host.enter()
        while not ended.wait(0.05):
            if master.ready_from_here():
                moments.append(now())
                return

    thread = threading.Thread(target=ask, name="readiness", daemon=True)
    thread.start()
    try:
        return wait_until(
            lambda: moments[0] if moments else None,
            f"{master.name}'s apiserver is ready again",
            within=60,
            log=master.apiserver.log,
        )
    finally:
        ended.set()
        thread.join()
