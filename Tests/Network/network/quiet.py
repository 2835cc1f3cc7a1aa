"""Dead, or only quiet? Which connections live, how long dead ones last: with Fairlead, HAProxy, nginx, and directly.

  lost probes    idle connections; the way to the client or to the server loses so many keepalive probes
  reads nothing  an end with a full window reads nothing for a while, then all: its kernel answers all the time
  vanishes       the cable of the client's or the server's host is pulled, and the other end waits

All run at the same time. Fairlead has its defaults, the others are tuned (balancers.py).
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import socket
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path

from endtoend.cluster.network import Network, remove_networks
from endtoend.failure import Failure
from endtoend.waiting import now

from .balancers import NAMES, PORTS, SERVER_PORT, start_balancers
from .connections import Connection, Loss, Server, Transfer, Watcher, keep_alive

COLUMNS = (*NAMES, "direct")
SIDES = ("client", "server")
IDLE_CONNECTIONS = 10
OTHER_CONNECTIONS = 3
# From the start of the loss to the last of three probes, and two intervals more.
LOSS_SECONDS = 45
# How long a vanished peer is waited for. The kernel alone takes 15 minutes.
VANISHED_SECONDS = 75
# Fairlead's promises: keepalive's bound, and userTimeout. The half second is for the measurement.
IDLE_BOUND, OUTSTANDING_BOUND = 30.5, 20.5
TCP_RTO_MAX_MS = 44
# More than all the buffers on the way hold.
BULK = (256, os.urandom(1 << 16))
# As lines of a log come: each has a buffer of its own in the receiver's kernel.
LINES = (8_000, os.urandom(200))
TWO_LOST = "2 lost probes in a row"


@dataclass
class Row:
    """One case: its connections by column, and what became of them."""

    title: str
    # None: no promise of Fairlead's. 0: they live. Else: they have ended after so many seconds.
    bound: float | None
    side: str
    connections: dict[str, list[Connection]] = field(default_factory=dict)
    losses: list[Loss] = field(default_factory=list)
    transfers: dict[str, list[Transfer]] = field(default_factory=dict)
    # The end that tells: the one that does not vanish. Both, where none does.
    observed: tuple[str, ...] = SIDES
    began: float = 0
    # Whether each transfer is whole, by column.
    whole: dict[str, list[bool]] = field(default_factory=dict)

    def lives(self, column: str, watcher: Watcher) -> list[float]:
        """How long each connection lived after the case began; infinity: it lives."""
        return [
            min(watcher.died.get(connection.end(side), math.inf) for side in self.observed) - self.began
            for connection in self.connections[column]
        ]

    def cell(self, column: str, watcher: Watcher) -> str:
        lives = sorted(self.lives(column, watcher))
        dead = [life for life in lives if life < math.inf]
        words = []
        if len(dead) < len(lives):
            words.append(f"{len(lives) - len(dead)}/{len(lives)} live")
            if column in self.whole:
                words.append(f"{sum(self.whole[column])} with every byte")
        if dead:
            times = f"{dead[0]:.1f}" if dead[-1] - dead[0] < 0.1 else f"{dead[0]:.1f}-{dead[-1]:.1f}"
            words.append(f"{'' if len(dead) == len(lives) else f'{len(dead)} '}dead after {times} s")
        return ", ".join(words)

    def finding(self, watcher: Watcher) -> str | None:
        """What of Fairlead's promise does not hold."""
        lives = self.lives("fairlead", watcher)
        if self.bound is None:
            return None
        if self.bound == 0:
            holds = all(life == math.inf for life in lives) and all(self.whole.get("fairlead", []))
        else:
            holds = all(life <= self.bound for life in lives)
        promise = "live, with every byte" if self.bound == 0 else f"end within {self.bound:g} s"
        return None if holds else f"{self.title}: all must {promise}: {self.cell('fairlead', watcher)}"


class Lab:
    """The hosts, and the connections between them."""

    def __init__(self, work: Path) -> None:
        self.network = Network("10.78.0")
        self.clients = [self.network.add_host("clients", 10), self.network.add_host("lost-cli", 11)]
        hosts = [self.network.add_host("servers", 12), self.network.add_host("lost-srv", 13)]
        self.servers = [Server(host, SERVER_PORT) for host in hosts]
        self.balancers = start_balancers(self.network, (hosts[0].address, hosts[1].address), work)

    def connect(self, row: Row, count: int, lost: str = "", small_window: bool = False) -> None:
        """Connections for a row, in each column; the hosts of side `lost` are those that vanish."""
        client, server = self.clients[lost == "client"], self.servers[lost == "server"]
        for column in COLUMNS:
            address = (
                (server.host.address, SERVER_PORT)
                if column == "direct"
                else (self.balancers[column].host.address, PORTS[lost == "server"])
            )
            row.connections[column] = [server.connect(client, address, small_window) for _ in range(count)]
            if column == "direct":
                for connection in row.connections[column]:
                    keep_alive(connection.other(row.side))


def main() -> int:
    options = _parse()
    seconds = 600 if options.long else 120
    work = Path(tempfile.mkdtemp(prefix="fairlead-network-"))
    watcher = Watcher()
    try:
        lab = Lab(work)
        rows = _losses(lab) + _quiet(lab, seconds) + _vanishing(lab)
        for row in rows:
            for connection in (each for column in row.connections.values() for each in column):
                for side in row.observed:
                    watcher.add(connection.end(side))
        _run(lab, rows, watcher, seconds)
        print(_table(rows, watcher))
        findings = [finding for row in rows if (finding := row.finding(watcher))]
    except Failure as failure:
        print(failure.tail())
        findings = [str(failure)]
    finally:
        remove_networks()
        shutil.rmtree(work, ignore_errors=True)
    for finding in findings:
        print(finding, file=sys.stderr)
    return 1 if findings else 0


def _losses(lab: Lab) -> list[Row]:
    rows = []
    for side in SIDES:
        for count in (1, 2, 3):
            probes = "probe" if count == 1 else "probes in a row"
            row = Row(f"idle, {side}: {count} lost {probes}", 0 if count < 3 else None, side)
            lab.connect(row, IDLE_CONNECTIONS)
            rows.append(row)
    # None begins before all stand and are idle.
    for row in rows:
        count = int(row.title.split(": ")[1][0])
        row.began = now()
        row.losses = [
            Loss(connection.end(row.side), count) for column in row.connections.values() for connection in column
        ]
    return rows


def _quiet(lab: Lab, seconds: int) -> list[Row]:
    rows = []
    for side in SIDES:
        for name, (pieces, piece) in (("bulk", BULK), ("log lines", LINES), (TWO_LOST, BULK)):
            row = Row(f"{side} reads nothing for {seconds} s: {name}", 0, side)
            lab.connect(row, OTHER_CONNECTIONS, small_window=True)
            row.began = now()
            for column, connections in row.connections.items():
                row.transfers[column] = [
                    Transfer(each.other(side), each.end(side), pieces, piece) for each in connections
                ]
            rows.append(row)
    return rows


def _vanishing(lab: Lab) -> list[Row]:
    rows = []
    for side in SIDES:
        other = "server" if side == "client" else "client"
        for name, bound in (
            ("idle", IDLE_BOUND),
            ("bytes wait", OUTSTANDING_BOUND),
            ("bytes come all the time", OUTSTANDING_BOUND),
            ("bytes wait, window closed", OUTSTANDING_BOUND if _can_cap_probes() else None),
        ):
            row = Row(f"{side} vanishes, {name}", bound, side, observed=(other,))
            lab.connect(row, OTHER_CONNECTIONS, lost=side, small_window=name.endswith("closed"))
            if name.endswith("closed"):
                pieces, piece = BULK
                for connections in row.connections.values():
                    for each in connections:
                        Transfer(each.other(side), each.end(side), pieces, piece)
            rows.append(row)
    return rows


def _run(lab: Lab, rows: list[Row], watcher: Watcher, seconds: int) -> None:
    vanishing = [row for row in rows if " vanishes" in row.title]
    # Windows close and connections settle first.
    _observe(rows, watcher, until=now() + 5)
    for name in ("lost-cli", "lost-srv"):
        lab.network.cut(name)
    for row in vanishing:
        row.began = now()
    for row in rows:
        if row.title.endswith(TWO_LOST):
            row.losses = [Loss(each.end(row.side), 2) for column in row.connections.values() for each in column]
    over = threading.Event()
    for row in vanishing:
        ends = [each.other(row.side) for column in row.connections.values() for each in column]
        if row.title.endswith("bytes wait"):
            for end in ends:
                end.sendall(b"x" * 100)
        elif row.title.endswith("all the time"):
            threading.Thread(target=_trickle, args=(ends, over), daemon=True).start()
    quiet = [row for row in rows if row.transfers]
    _observe(rows, watcher, until=max(now() + VANISHED_SECONDS, quiet[0].began + seconds))
    over.set()
    for row in quiet:
        row.whole = {
            column: [
                each.finish(within=30)
                for each, life in zip(transfers, row.lives(column, watcher), strict=True)
                if life == math.inf
            ]
            for column, transfers in row.transfers.items()
        }


def _observe(rows: list[Row], watcher: Watcher, until: float) -> None:
    losses = [loss for row in rows for loss in row.losses]
    while now() < until:
        watcher.turn(0.02)
        for loss in losses:
            loss.check()


def _trickle(ends: list[socket.socket], over: threading.Event) -> None:
    """A byte to each, twice a second."""
    while not over.wait(0.5):
        for end in list(ends):
            try:
                end.send(b"x", socket.MSG_DONTWAIT)
            except OSError:
                ends.remove(end)


def _can_cap_probes() -> bool:
    with socket.socket() as probe:
        try:
            probe.setsockopt(socket.IPPROTO_TCP, TCP_RTO_MAX_MS, 4000)
        except OSError:
            return False
        return True


def _table(rows: list[Row], watcher: Watcher) -> str:
    cells = [["", *COLUMNS]] + [[row.title, *(row.cell(column, watcher) for column in COLUMNS)] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="network.quiet", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--long", action="store_true", help="ends read nothing for 600 s instead of 120 s")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
