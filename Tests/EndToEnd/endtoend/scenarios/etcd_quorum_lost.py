"""Two of three etcd members end and come back: the balancer must say so, both times within three seconds, and hold the
backends, which all turn red for it, with all their connections.

The one that is left cannot elect itself. Quorum is back when a member says that it has a leader, twenty times a second
asked.
"""

from __future__ import annotations

import signal
from contextlib import ExitStack

from ..balancer import Fairlead
from ..cluster.master import Master
from ..load import Load
from ..poller import Poller
from ..scenario import Result, Scenario, Stage
from ..waiting import now, observe, wait_until

PROMISED_SECONDS = 3.0
LOST_SECONDS = 4


class EtcdQuorumLost(Scenario):
    """One way in which two members can stop."""

    def __init__(self, way: str, hangs: bool) -> None:
        self.name = f"etcd-quorum-lost-{way}"
        self.summary = f"{'SIGSTOP' if hangs else 'kill -9'} of two of three etcd members, and their return"
        self._hangs = hangs

    def run(self, stage: Stage) -> Result:
        result = Result(self.name, log=stage.balancer.process.log)
        balancer = stage.balancer
        if not isinstance(balancer, Fairlead):
            result.notes.append(f"{balancer.name} does not know etcd")
            return result
        masters = list(stage.cluster.masters.values())
        victims, survivor = masters[:2], masters[2]
        with ExitStack() as stack:
            watcher = stack.enter_context(Poller(stage.cluster.balancer_host, balancer.etcd))
            members = {each: stack.enter_context(Poller(each.host, each.etcd_status_from_here)) for each in masters}
            load = stack.enter_context(Load(stage.clients, stage.cluster, stage.work / self.name))
            wait_until(lambda: watcher.last and watcher.last.quorum, "etcd has a quorum", within=10, log=result.log)
            fault = now()
            for victim in victims:
                self._strike(victim)
            lost = wait_until(
                lambda: watcher.first(fault, lambda status: not status.quorum),
                "the balancer says that the quorum is lost",
                within=15,
                log=result.log,
            )
            observe(LOST_SECONDS)
            still = watcher.last
            result.expect(still is not None and not still.quorum, "the balancer saw a quorum of one")
            result.expect(
                still is not None and not still.healthy & {victim.name for victim in victims},
                "the balancer took a member that had stopped for healthy",
            )
            result.expect(still is not None and still.guard is not None, "no guard is active while etcd has no quorum")
            held = watcher.first(fault, lambda status: status.guard is not None)
            restarted = now()
            for victim in victims:
                victim.etcd.start()

            def led(master: Master) -> float:
                return wait_until(
                    lambda: members[master].first(restarted, lambda status: status is not None and "leader" in status),
                    f"{master.name}'s etcd has a leader again",
                    within=30,
                    log=master.etcd.log,
                )

            leader = led(survivor)
            # A member that is slow to start may join seconds later, and its apiserver is red until then.
            back = max(led(master) for master in masters)
            well = wait_until(
                lambda: watcher.first(leader, lambda status: status.quorum and len(status.healthy) == len(masters)),
                "the balancer says that all is well with etcd",
                within=15,
                log=result.log,
            )
            green = wait_until(
                lambda: watcher.first(leader, lambda status: all(state == "up" for state, _ in status.backends.values())),
                "the balancer says that all backends are up",
                within=30,
                log=result.log,
            )
            records = load.finish()
        kept = [connection for master in masters for connection in records.kept_on(master.name, fault)]
        cut = [each for each in records.closed_by_peer(kept, fault) if each.end < leader]
        result.requests = len(records.requests)
        result.notes.append(f"{len(kept)} kept connections, {len(cut)} of them were closed while etcd had no quorum")
        result.expect(bool(kept), "no client was connected: nothing was tested")
        result.expect(not cut, f"{len(cut)} connections were closed while etcd had no quorum")
        if held is not None:
            result.notes.append(f"the guard was active after {held - fault:.2f} s")
        result.notes.append(f"all backends were up, and not held, {green - back:.2f} s after all of etcd had a leader")
        result.expect(
            green - back <= PROMISED_SECONDS,
            f"all backends were up {green - back:.2f} s after all of etcd had a leader (promised: {PROMISED_SECONDS} s)",
        )
        result.notes.append(
            f"the loss of the quorum was known after {lost - fault:.2f} s, "
            f"its return {well - back:.2f} s after all of etcd had a leader"
        )
        result.expect(
            lost - fault <= PROMISED_SECONDS,
            f"the loss of the quorum was known after {lost - fault:.2f} s (promised: {PROMISED_SECONDS} s)",
        )
        result.expect(
            well - back <= PROMISED_SECONDS,
            f"all was well again {well - back:.2f} s after all of etcd had a leader (promised: {PROMISED_SECONDS} s)",
        )
        return result

    def _strike(self, victim: Master) -> None:
        if self._hangs:
            victim.etcd.signal(signal.SIGSTOP)
        else:
            victim.etcd.kill()


QUORUM_LOSSES = [EtcdQuorumLost("killed", hangs=False), EtcdQuorumLost("hung", hangs=True)]
