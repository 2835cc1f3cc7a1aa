"""What the clients noticed: the records of ../../clients/recorder.go, and questions to them.

All moments are seconds on CLOCK_MONOTONIC, all lengths are seconds.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

NEVER = math.inf


@dataclass(frozen=True)
class Record:
    """One line. A moment that never came is None."""

    kind: str
    client: int
    connection: int
    start: float | None
    secured: float | None
    end: float
    master: str
    phase: str
    error: str
    local: bool

    @property
    def failed(self) -> bool:
        return bool(self.error)

    @property
    def length(self) -> float:
        assert self.start is not None
        return self.end - self.start

    @property
    def wait(self) -> float:
        """How long a new connection waited for a master: until the handshake was done, or until it was given up."""
        assert self.start is not None
        return (self.secured or self.end) - self.start


class Records:
    """All records of one load."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._by_kind: dict[str, list[Record]] = defaultdict(list)
        for record in records:
            self._by_kind[record.kind].append(record)

    @classmethod
    def read(cls, path: Path) -> Records:
        with open(path) as lines:
            return cls(_parse(json.loads(line)) for line in lines)

    @property
    def fresh(self) -> list[Record]:
        """New connections, each with one GET."""
        return self._by_kind["fresh"]

    @property
    def returned(self) -> list[Record]:
        """Tries to open a held connection again that was taken away; `start` is when it was."""
        return self._by_kind["returned"]

    @property
    def requests(self) -> list[Record]:
        """The GETs on new and on kept connections."""
        return self.fresh + self._by_kind["get"]

    @property
    def creates(self) -> list[Record]:
        """The creates of the creating clients."""
        return self._by_kind["create"]

    def creates_in_flight(self, moment: float) -> list[Record]:
        return [each for each in self.creates if each.start is not None and each.start < moment < each.end]

    def longest_gap(self) -> float:
        """The longest time between two answered requests of one client, over all clients."""
        answered: dict[tuple[str, int], list[float]] = defaultdict(list)
        for request in self.requests:
            if not request.failed:
                answered[(request.kind, request.client)].append(request.end)
        gaps = [
            later - earlier
            for moments in answered.values()
            for earlier, later in zip(sorted(moments), sorted(moments)[1:], strict=False)
        ]
        return max(gaps, default=NEVER)

    def longest_wait(self, since: float) -> float:
        """The longest that a new connection under way after `since` waited for a master."""
        return max((each.wait for each in self.fresh if each.end >= since), default=0)

    def failures_before_a_master_answered(self) -> list[Record]:
        """New connections that failed before their handshake was done: the balancer could have saved each."""
        return [each for each in self.fresh if each.failed and each.secured is None]

    def failures_not_on(self, victim: str) -> list[Record]:
        """New connections that failed though another master, or none, had taken them."""
        return [each for each in self.fresh if each.failed and each.master != victim]

    def stalled_until(self, masters: set[str], since: float, stall: float = 0.5) -> float:
        """When the last request that waited longer than `stall` for one of these masters got its answer, of any kind;
        `since` when none did."""
        waited = [
            each.end
            for each in self.requests
            if each.master in masters and each.start is not None and each.end >= since and each.length > stall
        ]
        return max(waited, default=since)

    def kept_on(self, master: str, moment: float) -> list[int]:
        """The kept connections that `master` served at `moment`."""
        closed = {each.connection for each in self._by_kind["closed"] if each.end < moment}
        return [
            each.connection
            for each in self._by_kind["opened"]
            if not each.failed and each.end < moment and each.master == master and each.connection not in closed
        ]

    def watched_on(self, masters: Iterable[str], moment: float) -> list[int]:
        """The kept connections with a watch that these masters served at `moment`."""
        kept = {connection for master in masters for connection in self.kept_on(master, moment)}
        watching = {each.connection for each in self._by_kind["watching"] if not each.failed and each.end < moment}
        return sorted(kept & watching)

    def last_close(self, connections: list[int], since: float) -> float:
        """How long after `since` the last of these was closed or reset; infinite when one never was."""
        ends = {each.connection: each.end for each in self._by_kind["closed"]}
        return max((ends.get(connection, NEVER) - since for connection in connections), default=0)

    def closed_by_peer(self, connections: list[int], since: float) -> list[Record]:
        """Those of these that ended after `since` without their client's doing."""
        ends = self._by_kind["closed"]
        return [each for each in ends if each.connection in connections and each.end >= since and not each.local]

    def watches_lost(self, connections: list[int]) -> list[Recovery]:
        """For each watch on one of these connections: how and where it came back."""
        lost = [each for each in self._by_kind["unwatched"] if each.connection in connections]
        return [self._recovery(each) for each in lost]

    def _recovery(self, lost: Record) -> Recovery:
        back = [
            each
            for each in self._by_kind["watching"]
            if each.client == lost.client and not each.failed and each.end >= lost.end
        ]
        if not back:
            return Recovery(NEVER, "")
        first = min(back, key=lambda each: each.end)
        return Recovery(first.end - lost.end, first.master)


@dataclass(frozen=True)
class Recovery:
    """How long a client was without its watch, and which master gave it the next."""

    seconds: float
    master: str


def _parse(line: dict[str, object]) -> Record:
    def moment(key: str) -> float | None:
        value = line.get(key)
        return value / 1e9 if isinstance(value, int) else None

    def text(key: str) -> str:
        return str(line.get(key, ""))

    end = moment("end")
    assert end is not None
    return Record(
        kind=text("kind"),
        client=int(str(line["client"])),
        connection=int(str(line.get("connection", 0))),
        start=moment("start"),
        secured=moment("secured"),
        end=end,
        master=text("master"),
        phase=text("phase"),
        error=text("error"),
        local=bool(line.get("local", False)),
    )
