"""What every scenario shares: its stage, its result, and the course of a fault under load."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from .balancer import Balancer
from .balancer.watcher import StatusWatcher
from .cluster.control_plane import ControlPlane
from .cluster.master import Master
from .load import Load, Records
from .waiting import observe

# For so long clients/fresh.go wants calm before it calls the load ready.
BEFORE_FAULT_SECONDS = 3
AFTER_FAULT_SECONDS = 8
# More than this before anything happened is not the balancer's doing.
CALM_WAIT_SECONDS = 0.5


@dataclass(frozen=True)
class Stage:
    """A running cluster with a running balancer."""

    cluster: ControlPlane
    balancer: Balancer
    clients: Path
    # The keepalived binary.
    keepalived: Path
    # The tree that the balancer under test belongs to.
    repository: Path
    work: Path


@dataclass(frozen=True)
class Row:
    """One balancer in one scenario: a row of the table that shows the balancers side by side."""

    scenario: str
    balancer: str
    requests: int
    failed: int
    # Of those that were started after the fault was over; None: the fault has no end.
    failed_later: int | None
    longest_wait: float
    watches: int
    # Watch connections that the balancer ended.
    watches_reset: int
    creates: str
    # How many backends it called down; a text, because nginx has no states.
    called_down: str


@dataclass
class Result:
    """One row of the table, and what was wrong with it."""

    scenario: str
    requests: int | None = None
    failed: int | None = None
    longest_gap: float | None = None
    longest_wait: float | None = None
    state_changes: str = ""
    old_reset: float | None = None
    # Each balancer of a comparison.
    rows: list[Row] = field(default_factory=list)
    # What was measured beyond the columns: printed below the table.
    notes: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    # The log that most likely explains a finding.
    log: Path | None = None

    @property
    def passed(self) -> bool:
        return not self.findings

    def expect(self, condition: bool, otherwise: str) -> None:
        if not condition:
            self.findings.append(otherwise)


class Scenario(ABC):
    """One thing that happens to a control plane. A scenario leaves the stage as it found it."""

    name: str
    summary: str

    @abstractmethod
    def run(self, stage: Stage) -> Result:
        """Runs on a stage where all is well."""


class FaultScenario(Scenario):
    """Something happens to one master while clients are at work."""

    @abstractmethod
    def strike(self, stage: Stage, victim: Master) -> float:
        """Does the harm; returns the moment at which it was done."""

    def mend(self, stage: Stage, victim: Master) -> None:
        """Undoes it, as far as starting what ended and mending cables does not."""

    @abstractmethod
    def judge(self, result: Result, records: Records, victim: Master, old: list[int], fault: float) -> None:
        """Compares what happened with what was promised. `old`: the kept connections on the victim at the fault."""

    def choose(self, stage: Stage) -> Master:
        """The victim: a master whose etcd member follows, so that what is measured is the balancer and not an
        election. The one with most connections of them, so that there is something to lose."""
        leader = stage.cluster.etcd_leader()
        followers = [master for master in stage.cluster.masters.values() if master is not leader]
        return max(followers, key=lambda master: len(stage.cluster.connections(master.host)))

    def run(self, stage: Stage) -> Result:
        result = Result(self.name, log=stage.balancer.process.log)
        folder = stage.work / self.name
        with StatusWatcher(stage.balancer) as watcher, Load(stage.clients, stage.cluster, folder) as load:
            victim = self.choose(stage)
            fault = self.strike(stage, victim)
            observe(AFTER_FAULT_SECONDS)
            records = load.finish()
        self.mend(stage, victim)
        stage.cluster.restore()

        old = records.kept_on(victim.name, fault)
        result.requests = len(records.requests)
        result.failed = sum(request.failed for request in records.requests)
        result.longest_gap = records.longest_gap()
        result.longest_wait = records.longest_wait(fault)
        result.old_reset = records.last_close(old, fault)
        changes = [
            change for change in watcher.changes(victim.name, fault) if change.moment < fault + AFTER_FAULT_SECONDS
        ]
        result.state_changes = ", ".join(f"{change.moment - fault:.2f} {change.status.state}" for change in changes)
        result.notes.append(f"victim {victim.name}, {len(old)} kept connections on it")
        result.notes += [f"{change.status.state}: {change.status.reason}" for change in changes if change.status.reason]
        result.notes += errors_in_words(records)
        expect_calm_before(result, records, fault)
        result.expect(bool(old), "no kept connection was on the victim: nothing was tested")
        silent = not changes and stage.balancer.tells_states
        result.expect(not silent, "the balancer never said that the victim's state changed")
        for name in stage.cluster.masters:
            if name != victim.name:
                for change in watcher.changes(name, fault):
                    if change.moment < fault + AFTER_FAULT_SECONDS:
                        result.notes.append(f"{name} went {change.status.state} too: {change.status.reason}")
        self.judge(result, records, victim, old, fault)
        return result


def expect_no_new_connection_lost(result: Result, records: Records, victim: Master) -> None:
    """Promise for an apiserver that dies or stops: only who had finished the handshake with it may notice."""
    early = records.failures_before_a_master_answered()
    result.expect(not early, f"{len(early)} new connections failed before any master answered them")
    others = [each for each in records.failures_not_on(victim.name) if each.secured is not None]
    result.expect(not others, f"{len(others)} new connections failed on a master that was well")


def expect_watches_back_at_once(result: Result, records: Records, victim: Master, old: list[int]) -> None:
    recoveries = records.watches_lost(old)
    slowest = max((recovery.seconds for recovery in recoveries), default=0)
    result.notes.append(f"{len(recoveries)} watches moved, the slowest was away for {slowest:.2f} s")
    result.expect(len(recoveries) > 0, "no watch was on the victim: nothing was tested")
    result.expect(slowest <= 1.0, f"a watch took {slowest:.2f} s to come back (promised: at once, 1 s at most)")
    same = [recovery for recovery in recoveries if recovery.master == victim.name]
    result.expect(not same, f"{len(same)} watches came back on the victim")


def expect_waits(result: Result, records: Records, wait: float = 1.5) -> None:
    """Promise to new connections when a master falls silent."""
    early = records.failures_before_a_master_answered()
    result.expect(not early, f"{len(early)} new connections failed before any master answered them")
    assert result.longest_wait is not None
    result.expect(
        result.longest_wait <= wait, f"a new connection waited {result.longest_wait:.2f} s (promised: {wait} s at most)"
    )


def expect_resets(result: Result, within: float = 3.0) -> None:
    """Promise to the connections that stand when a master falls silent."""
    assert result.old_reset is not None
    result.expect(
        result.old_reset <= within,
        f"old connections were reset after {result.old_reset:.2f} s (promised: {within:.2f} s at most)",
    )


def errors_in_words(records: Records) -> list[str]:
    """How often which error was seen, the most frequent first."""
    counted = Counter(
        f"{'new connection, ' + each.phase if each.kind == 'fresh' else 'kept connection'}"
        f"{' on ' + each.master if each.master else ''}: {_shortened(each.error)}"
        for each in records.requests
        if each.failed
    )
    return [f"{count} x {words}" for words, count in counted.most_common(8)]


def expect_calm_before(result: Result, records: Records, fault: float) -> None:
    """The control: without a fault nothing fails and nobody waits. Where that does not hold, nothing else counts."""
    before = [each for each in records.fresh if fault - BEFORE_FAULT_SECONDS <= each.end < fault]
    failed = sum(each.failed for each in before)
    wait = max((each.wait for each in before), default=0)
    shares = Counter(each.master for each in before)
    spread = ", ".join(f"{count} on {master}" for master, count in sorted(shares.items()))
    result.notes.append(f"before the fault: new connections {spread}; the longest wait {wait:.2f} s")
    result.expect(not failed, f"{failed} new connections failed before the fault")
    result.expect(wait <= CALM_WAIT_SECONDS, "this machine is too busy: new connections waited before the fault")


def _shortened(error: str) -> str:
    """An error without addresses, which differ from one to the next."""
    return re.sub(r"(read|write) tcp \S+: ", "", error.split('": ', 1)[-1])
