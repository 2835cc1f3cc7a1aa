"""Faults of the balancer's own host: its link, its routes, its packet filter. They say nothing about any master.

The same fault strikes the hosts of all three balancers at the same moment, and ends for all at the same moment. Promised of
Fairlead: it resets no watch, calls no master down, and no GET that is started after the fault has ended fails. During the
fault a new connection may wait.
"""

from __future__ import annotations

import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

from ..cluster.network import Host
from ..comparison import Comparison, Outcome
from ..failure import Failure
from ..scenario import Result, Scenario, Stage, errors_in_words, expect_calm_before
from ..waiting import now, observe

# After each fault: long enough for a balancer that judged wrongly to show it.
AFTER_FAULT_SECONDS = 3.0


class OwnFault(ABC):
    """One fault of a balancer's host, and for how long."""

    def __init__(self, words: str, seconds: float) -> None:
        self.words = words
        self.seconds = seconds

    @abstractmethod
    def strike(self, stage: Stage, host: Host) -> None:
        """Brings the fault about."""

    @abstractmethod
    def mend(self, stage: Stage, host: Host) -> None:
        """Ends it."""


@dataclass(frozen=True)
class Span:
    """When a fault was there."""

    start: float
    end: float


class CarrierLost(OwnFault):
    """The link is down at the switch's side: the interface has no carrier, the routes stay."""

    def strike(self, stage: Stage, host: Host) -> None:
        stage.cluster.network.cut(host.name)

    def mend(self, stage: Stage, host: Host) -> None:
        stage.cluster.network.mend(host.name)


class InterfaceDown(OwnFault):
    """The host's own interface is set down: its routes vanish."""

    def strike(self, stage: Stage, host: Host) -> None:
        host.interface_down()

    def mend(self, stage: Stage, host: Host) -> None:
        host.interface_up()


class RouteDeleted(OwnFault):
    """No route leads to the masters. The clients' host is still reached, by a route of its own: their connections are
    accepted, and it is the balancer that finds no path. The default route goes too, since no router is here."""

    def strike(self, stage: Stage, host: Host) -> None:
        host.ip("route", "replace", f"{stage.cluster.client_host.address}/32", "dev", "eth0")
        host.ip("route", "del", *host.default_route)
        host.ip("route", "del", *host.subnet_route)

    def mend(self, stage: Stage, host: Host) -> None:
        host.ip("route", "replace", *host.subnet_route)
        host.ip("route", "replace", *host.default_route)


class PacketsFiltered(OwnFault):
    """A rule of the packet filter for packets to the masters (nft(8))."""

    def __init__(self, words: str, seconds: float, verdict: str) -> None:
        super().__init__(words, seconds)
        self._verdict = verdict

    def strike(self, stage: Stage, host: Host) -> None:
        masters = ", ".join(master.host.address for master in stage.cluster.masters.values())
        _nft(
            host,
            "add table inet e2e; add chain inet e2e output { type filter hook output priority 0; }; "
            f"add rule inet e2e output ip daddr {{ {masters} }} {self._verdict}",
        )

    def mend(self, stage: Stage, host: Host) -> None:
        _nft(host, "add table inet e2e; delete table inet e2e")


class RouteOfType(OwnFault):
    """Routes to the masters that let nothing through: `prohibit`, `unreachable` or `blackhole` (ip-route(8))."""

    def __init__(self, kind: str, seconds: float) -> None:
        super().__init__(f"a {kind} route", seconds)
        self._kind = kind

    def strike(self, stage: Stage, host: Host) -> None:
        for master in stage.cluster.masters.values():
            host.ip("route", "replace", self._kind, f"{master.host.address}/32")

    def mend(self, stage: Stage, host: Host) -> None:
        for master in stage.cluster.masters.values():
            host.ip("route", "del", self._kind, f"{master.host.address}/32")


class OwnFaults(Scenario):
    """One or more faults in turn."""

    # Whether Fairlead's clients are reached all the time, and each new connection is answered in the end.
    answers_all = False

    @abstractmethod
    def faults(self, stage: Stage, result: Result) -> Iterable[OwnFault]:
        """What happens, in this order."""

    def run(self, stage: Stage) -> Result:
        result = Result(self.name, log=stage.balancer.process.log)
        spans: list[Span] = []
        with Comparison(stage, self.name) as comparison:
            for fault in self.faults(stage, result):
                span = _strike_all(stage, comparison.hosts, fault)
                result.notes.append(f"{fault.words}: for {span.end - span.start:.2f} s")
                spans.append(span)
                observe(AFTER_FAULT_SECONDS)
            outcomes, _ = comparison.finish()
        judge_own_faults(stage, result, outcomes, spans)
        if self.answers_all:
            failed = [each for each in outcomes[0].records.requests if each.failed]
            result.expect(not failed, f"{len(failed)} GETs failed though the fault was shorter than connect.timeout")
        return result


def judge_own_faults(stage: Stage, result: Result, outcomes: list[Outcome], spans: list[Span]) -> None:
    """Fills in the rows, and compares Fairlead's with the promise."""
    began = spans[0].start
    for outcome in outcomes:
        records = outcome.records
        watches = records.watched_on(stage.cluster.masters, began)
        reset = records.closed_by_peer(watches, began)
        later = [
            each
            for each in records.requests
            if each.failed and each.start is not None and each.start > began and not _during(each.start, spans)
        ]
        result.rows.append(outcome.row(result.scenario, began, watches, len(reset), later=len(later)))
        if outcome is not outcomes[0]:
            continue
        result.requests = len(records.requests)
        result.failed = sum(each.failed for each in records.requests)
        result.longest_gap = records.longest_gap()
        result.longest_wait = records.longest_wait(began)
        changes = [
            f"{change.moment - began:.2f} {name} {change.status.state}: {change.status.reason}"
            for name in stage.cluster.masters
            for change in outcome.watcher.changes(name, began)
        ]
        result.state_changes = f"{len(changes)} changes" if changes else "none"
        result.notes += [*changes[:9], *errors_in_words(records)]
        expect_calm_before(result, records, began)
        result.expect(bool(watches), "no client had a watch: nothing was tested")
        result.expect(not reset, f"{len(reset)} watches were reset for a fault of the balancer's own host")
        result.expect(not later, f"{len(later)} GETs failed that were started after the fault had ended")
        down = outcome.watcher.called("down", began)
        result.expect(not down, f"{', '.join(sorted(down))} called down for a fault of the balancer's own host")


def _during(moment: float, spans: list[Span]) -> bool:
    return any(span.start <= moment <= span.end for span in spans)


def _strike_all(stage: Stage, hosts: list[Host], fault: OwnFault) -> Span:
    """The fault on every host, for its time. All is mended also when something fails between."""
    start = now()
    try:
        for host in hosts:
            fault.strike(stage, host)
        observe(fault.seconds)
    finally:
        for host in hosts:
            fault.mend(stage, host)
    return Span(start, now())


def _nft(host: Host, commands: str) -> None:
    result = subprocess.run(
        host.command("nft", commands), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if result.returncode != 0:
        raise Failure(f"nft on {host.name}: {result.stderr.strip()}")


def _has_nftables(host: Host) -> bool:
    try:
        _nft(host, "add table inet e2e; delete table inet e2e")
    except Failure:
        return False
    return True


class OwnLinkAway(OwnFaults):
    name = "own-link-away"
    summary = "the balancer's own link away for 0.7 s and for 3 s: without carrier, and with its interface down"

    def faults(self, stage: Stage, result: Result) -> Iterable[OwnFault]:
        for seconds in (0.7, 3.0):
            yield CarrierLost("no carrier", seconds)
            yield InterfaceDown("interface down", seconds)


class OwnRouteDeleted(OwnFaults):
    name = "own-route-deleted"
    summary = "the balancer's own route to the masters deleted for 1 s"
    answers_all = True

    def faults(self, stage: Stage, result: Result) -> Iterable[OwnFault]:
        yield RouteDeleted("no route", 1.0)


class OwnPacketsRejected(OwnFaults):
    name = "own-packets-rejected"
    summary = "the balancer's own packet filter drops, then rejects what goes to the masters, for 2 s each"

    def faults(self, stage: Stage, result: Result) -> Iterable[OwnFault]:
        if _has_nftables(stage.balancer.host):
            yield PacketsFiltered("nftables, drop", 2.0, "drop")
            yield PacketsFiltered("nftables, reject as prohibited", 2.0, "reject with icmpx type admin-prohibited")
            return
        result.notes.append("this kernel has no nftables: routes of three types instead")
        for kind in ("prohibit", "unreachable", "blackhole"):
            yield RouteOfType(kind, 2.0)


OWN_FAULTS = [OwnLinkAway(), OwnRouteDeleted(), OwnPacketsRejected()]
