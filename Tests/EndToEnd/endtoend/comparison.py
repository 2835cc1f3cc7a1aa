"""Fairlead, HAProxy and nginx side by side: each on a host of its own before the same masters, each under a load of its
own, and the same fault for all at the same moment. Fairlead is judged, the others are shown beside it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

from .balancer import Balancer, Fairlead, HAProxy, Nginx, Options
from .balancer.watcher import StatusWatcher
from .cluster.network import Host
from .failure import Failure
from .load import Load, LoadSize, Records
from .scenario import Row, Stage

# Three of these at once leave two cores room for the masters.
SIZE = LoadSize(fresh=5, rate=4, kept=20, interval=1000)


@dataclass(frozen=True)
class Outcome:
    """What the clients of one balancer noticed, and what the balancer said meanwhile."""

    balancer: Balancer
    records: Records
    watcher: StatusWatcher

    def row(
        self, scenario: str, since: float, watches: list[int], reset: int, *, later: int | None = None, creates: str = "-"
    ) -> Row:
        """`watches`: the watch connections that the fault could harm; `reset`: how many of them the balancer ended;
        `later`: GETs that failed though they were started after the fault was over."""
        down = self.watcher.called("down", since)
        return Row(
            scenario=scenario,
            balancer=self.balancer.name,
            requests=len(self.records.requests),
            failed=sum(each.failed for each in self.records.requests),
            failed_later=later,
            longest_wait=self.records.longest_wait(since),
            watches=len(watches),
            watches_reset=reset,
            creates=creates,
            called_down=str(len(down)) if self.balancer.tells_states else "-",
        )


class Comparison:
    """The `with` block begins when each balancer and its load are ready.

    Fairlead is the stage's own balancer, with the options given; the others exist while the block runs.
    """

    def __init__(
        self,
        stage: Stage,
        scenario: str,
        size: LoadSize = SIZE,
        options: Options | None = None,
        direct: Host | None = None,
    ) -> None:
        """`direct`: a master that one more load, without new connections, uses without any balancer."""
        if not isinstance(stage.balancer, Fairlead):
            raise Failure("Fairlead is compared with the others: run this without --balancer")
        self._stage = stage
        self._options = options
        self._peers: list[Balancer] = [
            HAProxy(stage.cluster, stage.cluster.peer_hosts["haproxy"]),
            Nginx(stage.cluster, stage.cluster.peer_hosts["nginx"]),
        ]
        self.balancers: list[Balancer] = [stage.balancer, *self._peers]
        cluster, folder = stage.cluster, stage.work / scenario
        self._loads = {
            each.name: Load(stage.clients, cluster, folder / each.name, size, cluster.kubeconfig_for(each.host))
            for each in self.balancers
        }
        self._direct: Load | None = None
        if direct is not None:
            alone = LoadSize(fresh=0, kept=size.kept, interval=size.interval, creates=size.creates)
            self._direct = Load(stage.clients, cluster, folder / "direct", alone, cluster.kubeconfig_for(direct))
        self._watchers = {each.name: StatusWatcher(each) for each in self.balancers}
        self._stack = ExitStack()

    @property
    def hosts(self) -> list[Host]:
        """Where the balancers run."""
        return [each.host for each in self.balancers]

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            if self._options is not None:
                stack.callback(self._restart_fairlead, Options())
                self._restart_fairlead(self._options)
            for peer in self._peers:
                stack.callback(peer.stop)
                peer.start(self._options or Options())
            for load in self._all_loads():
                stack.callback(load.stop)
                load.start()
            for watcher in self._watchers.values():
                stack.enter_context(watcher)
            for load in self._all_loads():
                load.wait_until_ready()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def finish(self) -> tuple[list[Outcome], Records | None]:
        """Ends the loads; returns each balancer's outcome, Fairlead's first, and the records of the direct load."""
        for load in self._all_loads():
            load.end()
        outcomes = [Outcome(each, self._loads[each.name].read(), self._watchers[each.name]) for each in self.balancers]
        return outcomes, self._direct.read() if self._direct is not None else None

    def _all_loads(self) -> list[Load]:
        return [*self._loads.values(), *([self._direct] if self._direct is not None else [])]

    def _restart_fairlead(self, options: Options) -> None:
        self._stage.balancer.stop()
        self._stage.balancer.start(options)
