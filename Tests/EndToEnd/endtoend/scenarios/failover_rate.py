"""kill -9 of the apiserver that serves 2,000 held connections, whose clients all come back at once, to two others.

Promised with `maxConnectionRate: 200`: neither of the others accepts more in any second, as its kernel counts; every
client has a new connection at its first try, and none waits longer than it takes at that rate.
"""

from __future__ import annotations

from pathlib import Path

from ..balancer import Options
from ..cluster.control_plane import ControlPlane
from ..cluster.master import Master
from ..cluster.network import Host
from ..load import Holding
from ..load.records import Record
from ..poller import Poller
from ..scenario import Result, Scenario, Stage
from ..waiting import observe

COUNT = 2000
RATE = 200
# Others connect to a master too while the clients return: probes, its controllers, its etcd's peers.
OTHERS_IN_A_SECOND = 10
AFTER_FAULT_SECONDS = 8
# Beyond what the rate makes: the death is noticed, handshakes take their time.
SLACK_SECONDS = 1.5
# More than the 5 s that 2,000 clients take at that rate to two masters. While the dead master is still the only one of its
# tier, as many may wait as one takes within this: all of them, with nothing to spare.
PATIENCE_SECONDS = 10
SAMPLE_SECONDS = 0.02


class AcceptCounter(Poller[int]):
    """Reads, many times a second, how many connections a host's kernel has accepted so far."""

    def __init__(self, host: Host) -> None:
        super().__init__(host, _passive_opens, every=SAMPLE_SECONDS)

    def most_in_a_second(self, since: float) -> int:
        samples = [each for each in self._samples if each[0] >= since]
        most = first = 0
        for moment, count in samples:
            while moment - samples[first][0] >= 1:
                first += 1
            most = max(most, count - samples[first][1])
        return most

    def count(self, since: float) -> int:
        counts = [count for moment, count in self._samples if moment >= since]
        return counts[-1] - counts[0] if counts else 0


class FailoverRate(Scenario):
    name = "failover-rate"
    summary = f"{COUNT} held connections, {RATE} new ones a second and master, one apiserver killed"

    def run(self, stage: Stage) -> Result:
        result = Result(self.name, log=stage.balancer.process.log)
        stage.balancer.stop()
        victim, *others = _victim_first(stage.cluster)
        # Those of weight 0 get nothing while another serves, and share everything when none does.
        weights = {master.name: 0 for master in others}
        stage.balancer.start(Options(rate=RATE, patience=PATIENCE_SECONDS, weights=weights))
        try:
            self._run(stage, result, victim, others)
        finally:
            stage.cluster.restore()
            stage.balancer.stop()
            stage.balancer.start(Options())
        return result

    def _run(self, stage: Stage, result: Result, victim: Master, others: list[Master]) -> None:
        cluster = stage.cluster
        with Holding(stage.clients, cluster, stage.work / self.name, COUNT, returns=True) as holding:
            with AcceptCounter(others[0].host) as first, AcceptCounter(others[1].host) as second:
                fault = victim.apiserver.kill()
                observe(AFTER_FAULT_SECONDS)
            records = holding.finish()

        tries = records.returned
        back = [each for each in tries if not each.failed]
        waits = sorted(each.end - each.start for each in back if each.start is not None)
        result.requests, result.failed = len(tries), len(tries) - len(back)
        result.longest_wait = waits[-1] if waits else None
        lost = {each.client for each in tries}
        result.notes.append(f"victim {victim.name}: {len(lost)} clients lost their connection to it")
        if waits:
            result.notes.append(
                f"they were back after {waits[0]:.2f} s at first, {waits[len(waits) // 2]:.2f} s half of them, "
                f"{waits[-1]:.2f} s the last"
            )
        for master, counter in zip(others, (first, second), strict=True):
            most = counter.most_in_a_second(fault)
            mine = sum(each.master == master.name for each in back)
            result.notes.append(
                f"{master.name}: {mine} of them, its kernel accepted {counter.count(fault)} connections, "
                f"at most {most} in a second"
            )
            result.expect(
                most <= RATE + OTHERS_IN_A_SECOND, f"{master.name} accepted {most} connections in a second (limit {RATE})"
            )
            result.expect(mine > len(lost) / 4, f"{master.name} got only {mine} of {len(lost)} clients")
        result.expect(len(lost) == COUNT, f"only {len(lost)} clients were on the victim")
        result.expect({each.client for each in back} == lost, "a client did not get through")
        result.expect(len(back) == len(tries), f"{len(tries) - len(back)} tries failed: {_words(tries)}")
        due = len(lost) / (2 * RATE) + SLACK_SECONDS
        result.expect(
            bool(waits) and waits[-1] <= due,
            f"the last client was back after {waits[-1] if waits else 0:.2f} s (promised: {due:.2f} s at most)",
        )


def _victim_first(cluster: ControlPlane) -> list[Master]:
    """All masters, one whose etcd follows at the head."""
    leader = cluster.etcd_leader()
    masters = list(cluster.masters.values())
    victim = next(master for master in masters if master is not leader)
    return [victim, *(master for master in masters if master is not victim)]


def _words(tries: list[Record]) -> str:
    return ", ".join(sorted({each.error for each in tries if each.failed})[:3])


def _passive_opens() -> int:
    """TcpPassiveOpens of the calling thread's host (RFC 4022, tcpPassiveOpens; proc(5))."""
    lines = [line.split() for line in Path("/proc/thread-self/net/snmp").read_text().splitlines()]
    names, values = (line for line in lines if line[0] == "Tcp:")
    return int(values[names.index("PassiveOpens")])
