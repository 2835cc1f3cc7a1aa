"""Two hosts with one address: what moves it, how long clients are without an answer, and what must not move it.

Promised: the address moves within three seconds when the daemon is dead or hangs, when the host is off or cut off, and when
its ways to the masters are dead while the other's are not; a host that comes back does not take it again. The address stays
when the daemon is back within a second, when every apiserver is dead or hangs, and when the masters are off for both.
"""

from __future__ import annotations

import signal
import statistics
import subprocess
from collections.abc import Callable
from contextlib import ExitStack

from ..balancer import Fairlead
from ..failure import Failure
from ..pair import KubectlLoop, Pair, PairHost, QuickLoop
from ..scenario import Result, Scenario, Stage
from ..waiting import now, observe, wait_until

MOVES_WITHIN_SECONDS = 3.0
# Longer than any move would take.
STAYS_FOR_SECONDS = 5.0
# A client that is answered within this notices nothing: one pause of its loop and a busy machine.
UNNOTICED_SECONDS = 0.75


class TwoHosts(Scenario):
    name = "two-hosts"
    summary = "keepalived moves the address off a dead, hung or cut-off host, and for nothing that both hosts share"

    def run(self, stage: Stage) -> Result:
        if not isinstance(stage.balancer, Fairlead):
            raise Failure(f"{stage.balancer.name} has no two hosts here")
        with ExitStack() as stack:
            pair = stack.enter_context(Pair(stage.cluster, stage.repository, stage.keepalived))
            result = Result(self.name, log=pair.hosts[0].keepalived.log, longest_gap=0)
            _time_the_script(pair, result)
            quick = stack.enter_context(QuickLoop(stage.cluster))
            kubectl = stack.enter_context(KubectlLoop(stage.cluster))
            began = now()
            for loop in (quick, kubectl):
                wait_until(lambda: loop.answered_since(began), "clients are answered", within=10)
            return _Course(stage, pair, quick, kubectl, result).run()


def _time_the_script(pair: Pair, result: Result) -> None:
    """What keepalived starts every second, on the host that has the address."""
    holder = pair.holder()
    command = holder.host.command(str(holder.fairlead.binary), "alive", "--peer", pair.other(holder).host.address)
    lengths = []
    for _ in range(20):
        began = now()
        code = subprocess.run(command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, check=False).returncode
        lengths.append(now() - began)
        result.expect(code == 0, f"fairlead alive ended with {code} on a host that is well")
    median, most = statistics.median(lengths) * 1000, max(lengths) * 1000
    result.notes.append(f"fairlead alive: half within {median:.0f} ms, all 20 within {most:.0f} ms")


class _Course:
    """One fault after the other, each from a state in which one host has the address and the other stands by."""

    def __init__(self, stage: Stage, pair: Pair, quick: QuickLoop, kubectl: KubectlLoop, result: Result) -> None:
        self._stage = stage
        self._pair = pair
        self._quick = quick
        self._kubectl = kubectl
        self._result = result

    def run(self) -> Result:
        network = self._stage.cluster.network
        self._moves(
            "the daemon is killed", lambda host: host.fairlead.process.kill(), lambda host: host.fairlead.process.start()
        )
        self._moves(
            "the daemon hangs (SIGSTOP)",
            lambda host: host.fairlead.process.signal(signal.SIGSTOP),
            lambda host: host.fairlead.process.signal(signal.SIGCONT),
        )
        self._moves("only its ways to the masters are cut", PairHost.cut_paths, PairHost.mend_paths)
        self._moves(
            "its cable is pulled", lambda host: network.cut(host.name), lambda host: network.mend(host.name), absent=True
        )
        self._moves(
            "it is cut off further away",
            lambda host: network.isolate(host.name),
            lambda host: network.mend(host.name),
            absent=True,
        )
        self._moves("it is powered off", PairHost.power_off, PairHost.power_on, absent=True)
        self._moves(
            "keepalived is stopped",
            lambda host: host.keepalived.signal(signal.SIGTERM),
            PairHost.restart_keepalived,
            absent=True,
        )
        self._stays_for_a_crash()
        self._stays("every apiserver hangs", self._hang_apiservers, self._stage.cluster.restore)
        self._stays("every master is cut off", self._cut_masters, self._stage.cluster.restore)
        self._stays("every apiserver is killed", self._kill_apiservers, self._stage.cluster.restore)
        self._check_hooks()
        return self._result

    def _moves(
        self,
        what: str,
        strike: Callable[[PairHost], object],
        mend: Callable[[PairHost], object],
        absent: bool = False,
    ) -> None:
        """The address moves, and stays where it is when the former host is back.

        `absent`: the former host cannot be expected to say anything before it is mended.
        """
        former = self._pair.holder()
        new = self._pair.other(former)
        before = new.transitions()
        struck = now()
        strike(former)
        wait_until(
            lambda: new.transitions() > before and new.holds_address,
            f"the address moves when {what}",
            within=10,
            every=0.02,
            log=former.keepalived.log,
        )
        moved = now()
        for loop in (self._quick, self._kubectl):
            wait_until(lambda: loop.answered_since(moved), "clients are answered again", within=10, log=new.keepalived.log)
        if not absent:
            wait_until(lambda: former.state == "FAULT", f"{former.name} gives up", within=5, log=former.keepalived.log)
        if what == "it is cut off further away":
            # It finds out by itself that it is of no use, before it is there again.
            wait_until(lambda: former.state == "FAULT", f"{former.name} steps down", within=10, log=former.keepalived.log)
        calm = now()
        gaps = {loop: loop.longest_gap(struck, calm) for loop in (self._quick, self._kubectl)}
        mend(former)
        holder = self._pair.holder()
        observe(1.5)
        again = self._quick.longest_gap(calm)
        self._result.notes.append(
            f"{what}: the address moved after {moved - struck:.2f} s, longest gap of the kubectl loop "
            f"{gaps[self._kubectl]:.2f} s, of quick clients {gaps[self._quick]:.2f} s; at its return {again:.2f} s"
        )
        assert self._result.longest_gap is not None
        self._result.longest_gap = max(self._result.longest_gap, gaps[self._kubectl])
        self._result.expect(
            gaps[self._kubectl] < MOVES_WITHIN_SECONDS,
            f"{what}: kubectl was without an answer for {gaps[self._kubectl]:.2f} s (promised: {MOVES_WITHIN_SECONDS} s)",
        )
        self._result.expect(holder is new, f"{what}: {former.name} took the address again when it was back")
        self._result.expect(
            again < UNNOTICED_SECONDS, f"{what}: a second gap of {again:.2f} s when the former host came back"
        )

    def _stays_for_a_crash(self) -> None:
        """What systemd does for a daemon that crashes: it runs again at once."""
        holder, began = self._pair.holder(), now()
        moves = self._moves_so_far()
        holder.fairlead.process.kill()
        holder.fairlead.process.start()
        observe(STAYS_FOR_SECONDS)
        gap = self._kubectl.longest_gap(began)
        self._result.notes.append(f"the daemon crashes and is started at once: longest gap of the kubectl loop {gap:.2f} s")
        self._result.expect(self._moves_so_far() == moves, "the address moved although the daemon was back at once")

    def _stays(self, what: str, strike: Callable[[], None], mend: Callable[[], None]) -> None:
        holder, moves = self._pair.holder(), self._moves_so_far()
        strike()
        try:
            observe(STAYS_FOR_SECONDS)
        finally:
            mend()
        mended = now()
        for loop in (self._quick, self._kubectl):
            wait_until(lambda: loop.answered_since(mended), "clients are answered again", within=15)
        observe(2)
        moved = self._moves_so_far() - moves
        self._result.notes.append(f"{what}: the address moved {moved} times, it is on {self._pair.holder().name}")
        self._result.expect(moved == 0 and self._pair.holder() is holder, f"{what}: the address moved {moved} times")

    def _moves_so_far(self) -> int:
        return sum(host.transitions() for host in self._pair.hosts)

    def _hang_apiservers(self) -> None:
        for master in self._stage.cluster.masters.values():
            master.apiserver.signal(signal.SIGSTOP)

    def _kill_apiservers(self) -> None:
        for master in self._stage.cluster.masters.values():
            master.apiserver.kill()

    def _cut_masters(self) -> None:
        for name in self._stage.cluster.masters:
            self._stage.cluster.network.cut(name)

    def _check_hooks(self) -> None:
        """Each change of a host, and why it gave up, is in its system's log."""
        told = "\n".join(host.hooks_log.read_text() for host in self._pair.hosts if host.hooks_log.exists())
        for words in (
            "kubernetes: this host has the address now",
            "cannot have the address: cannot reach the admin port",
            "cannot have the address: not alive: no backend of kube-apiserver can be reached from this host, and clients of",
        ):
            self._result.expect(words in told, f"no hook has said {words!r}")
