"""kill -9 of the etcd member that leads: the balancer must name the next leader, and leave everybody's connections alone.

Each surviving member is asked for its leader twenty times a second: the first that names a new one is when etcd itself
knows. The clients' records tell whose connections were closed.
"""

from __future__ import annotations

from contextlib import ExitStack

from ..balancer import Fairlead
from ..balancer.fairlead import ETCD_INTERVAL_SECONDS
from ..failure import Failure
from ..load import Load
from ..poller import POLL_SECONDS, Poller
from ..scenario import Result, Scenario, Stage, errors_in_words
from ..waiting import observe, wait_until

AFTER_FAULT_SECONDS = 8


class EtcdLeaderNamed(Scenario):
    name = "etcd-leader-named"
    summary = "kill -9 of the etcd member that leads: who leads next, says the balancer"

    def run(self, stage: Stage) -> Result:
        result = Result(self.name, log=stage.balancer.process.log)
        balancer = stage.balancer
        if not isinstance(balancer, Fairlead):
            result.notes.append(f"{balancer.name} does not know etcd")
            return result
        victim = stage.cluster.etcd_leader()
        others = [master for master in stage.cluster.masters.values() if master is not victim]
        with ExitStack() as stack:
            watcher = stack.enter_context(Poller(stage.cluster.balancer_host, balancer.etcd))
            members = [stack.enter_context(Poller(each.host, each.etcd_status_from_here)) for each in others]
            load = stack.enter_context(Load(stage.clients, stage.cluster, stage.work / self.name))
            before = wait_until(
                lambda: watcher.last if watcher.last and watcher.last.leader == victim.name else None,
                f"the balancer names {victim.name} as etcd's leader",
                within=10,
                log=result.log,
            )
            former = next((member.last.get("leader") for member in members if member.last), None)
            fault = victim.etcd.kill()
            observe(AFTER_FAULT_SECONDS)
            after = watcher.last
            records = load.finish()
        stage.cluster.restore()

        elected = [
            member.first(fault, lambda status: status is not None and status.get("leader") not in (None, former))
            for member in members
        ]
        known = [moment for moment in elected if moment is not None]
        named = watcher.first(fault, lambda status: status.leader not in (None, victim.name))
        if not known:
            raise Failure("etcd has elected nobody", others[0].etcd.log)
        result.expect(named is not None, "the balancer has named no new leader")
        if named is not None and after is not None:
            result.notes.append(
                f"etcd had a new leader {min(known) - fault:.2f} s after the fault; "
                f"the balancer named {after.leader} {named - min(known):+.2f} s later"
            )
            late = named - min(known)
            result.expect(
                late <= ETCD_INTERVAL_SECONDS + POLL_SECONDS,
                f"the balancer named the new leader {late:.2f} s after etcd did (promised: {ETCD_INTERVAL_SECONDS} s)",
            )
            changes = after.changes - before.changes
            result.expect(changes == 1, f"the balancer has counted {changes} changes of the leader")
        result.requests = len(records.requests)
        result.failed = sum(request.failed for request in records.requests)
        kept = [connection for each in others for connection in records.kept_on(each.name, fault)]
        cut = records.closed_by_peer(kept, fault)
        result.notes.append(f"{len(kept)} kept connections on the masters that stayed, {len(cut)} of them were closed")
        result.expect(bool(kept), "no client was on a master that stayed: nothing was tested")
        result.expect(not cut, f"{len(cut)} connections to healthy apiservers were closed")
        result.notes += errors_in_words(records)
        return result
