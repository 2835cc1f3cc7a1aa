"""Faults of the balancer's own host: its link, its routes, its packet filter. They say nothing about any master.

The same fault strikes the hosts of all three balancers at the same moment, and ends for all at the same moment. Promised of
Fairlead: it resets no watch, calls no backend down, and no GET that starts after the fault fails. During the fault a new
connection may wait. A fault that the kernel reports is shown as a fault of this host, and no longer than it lasts and is
remembered.
"""

from __future__ import annotations

import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

from ..balancer import Fairlead
from ..cluster.network import Host
from ..comparison import Comparison, Outcome
from ..failure import Failure
from ..poller import Poller
from ..scenario import Result, Scenario, Stage, errors_in_words, expect_calm_before
from ..waiting import now, observe

# After each fault: long enough for a balancer that judged wrongly to show it.
AFTER_FAULT_SECONDS = 3.0
# For so long after its last occurrence a fault is shown at most.
SHOWN_SECONDS = 2.6


# A shorter fault may fall between two probes.
SEEN_AFTER_SECONDS = 1.0
# strerror(3) of ENETUNREACH.
NO_ROUTE = "Network is unreachable"


class OwnFault(ABC):
    """One fault of a balancer's host, and for how long."""

    # A part of the words that Fairlead shows for it; empty: the kernel reports no error, and it looks like silence.
    shown = ""

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
    """When a fault was there, and as which fault of this host it must be shown; empty: that is not promised."""

    start: float
    end: float
    words: str
    shown: str


class CarrierLost(OwnFault):
    """The link is down at the switch's side: the interface has no carrier, the routes stay."""

    def strike(self, stage: Stage, host: Host) -> None:
        stage.cluster.network.cut(host.name)

    def mend(self, stage: Stage, host: Host) -> None:
        stage.cluster.network.mend(host.name)


class InterfaceDown(OwnFault):
    """The host's own interface is set down: its routes vanish."""

    shown = NO_ROUTE

    def strike(self, stage: Stage, host: Host) -> None:
        host.interface_down()

    def mend(self, stage: Stage, host: Host) -> None:
        host.interface_up()


class RouteDeleted(OwnFault):
    """No route leads to the masters. The clients' host is still reached, by a route of its own: their connections are
    accepted, and it is the balancer that finds no path. The default route goes too, since no router is here."""

    shown = NO_ROUTE

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

    def __init__(self, kind: str, error: str, seconds: float) -> None:
        """`error`: strerror(3) of what connect(2) then returns."""
        super().__init__(f"a {kind} route", seconds)
        self._kind = kind
        self.shown = error

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
        with Comparison(stage, self.name) as comparison, HostFaults(stage) as host_faults:
            for fault in self.faults(stage, result):
                span = _strike_all(stage, comparison.hosts, fault)
                spans.append(span)
                observe(AFTER_FAULT_SECONDS)
            outcomes, _ = comparison.finish()
        judge_own_faults(stage, result, outcomes, host_faults, spans)
        if self.answers_all:
            failed = [each for each in outcomes[0].records.requests if each.failed]
            result.expect(not failed, f"{len(failed)} GETs failed though the fault was shorter than connect.timeout")
        return result


class HostFaults(Poller[str]):
    """The faults of its own host that Fairlead shows."""

    def __init__(self, stage: Stage) -> None:
        if not isinstance(stage.balancer, Fairlead):
            raise Failure(f"{stage.balancer.name} shows no fault of its host")
        super().__init__(stage.balancer.host, stage.balancer.host_fault)

    def judge(self, result: Result, span: Span) -> None:
        shown = [words for words in self.between(span.start, span.end) if words]
        result.notes.append(
            f"{span.words} for {span.end - span.start:.2f} s: {shown[-1] if shown else 'no fault of this host shown'}"
        )
        if span.shown:
            result.expect(
                any(span.shown in words for words in shown),
                f"{span.words}: not shown as a fault of this host ({span.shown!r})",
            )
        still = self.between(span.end + SHOWN_SECONDS, span.end + AFTER_FAULT_SECONDS)
        result.expect(not any(still), f"{span.words}: still shown {SHOWN_SECONDS} s after its end: {still[-1:]}")


def judge_own_faults(
    stage: Stage, result: Result, outcomes: list[Outcome], host_faults: HostFaults, spans: list[Span]
) -> None:
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
        for span in spans:
            host_faults.judge(result, span)
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
    return Span(start, now(), fault.words, fault.shown if fault.seconds >= SEEN_AFTER_SECONDS else "")


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
        yield RouteOfType("prohibit", "Permission denied", 2.0)
        yield RouteOfType("unreachable", "No route to host", 2.0)
        yield RouteOfType("blackhole", "Invalid argument", 2.0)


OWN_FAULTS = [OwnLinkAway(), OwnRouteDeleted(), OwnPacketsRejected()]
