"""The little that the scenarios ask of a balancer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path

from ..cluster.control_plane import ControlPlane
from ..cluster.network import Host
from ..cluster.pki import Identity
from ..cluster.process import Process
from ..waiting import wait_until

USABLE = ("up", "degraded")


@dataclass(frozen=True)
class Options:
    """How a balancer is to divide connections."""

    algorithm: str = "leastConnections"
    weights: dict[str, int] = field(default_factory=dict)
    # New connections a second and master; 0: no limit.
    rate: int = 0
    # For how long a new connection may wait for a master, in seconds.
    patience: int = 3
    # The masters that the configuration lists; None: all.
    listed: tuple[str, ...] | None = None
    # Whether it finds the others in the Kubernetes API, and watches the leases there.
    asks_kubernetes: bool = False
    # The client certificate of the probes; None: the cluster's long-lived one.
    prober: Identity | None = None

    def weight(self, master: str) -> int:
        return self.weights.get(master, 100)


@dataclass(frozen=True)
class BackendStatus:
    """What the balancer says about one master, in Fairlead's words for states."""

    state: str
    reason: str = ""
    # Not yet given its whole share of new connections (slow start).
    warming: bool = False

    @property
    def usable(self) -> bool:
        return self.state in USABLE


class Balancer(ABC):
    """A balancer before the three masters, on the balancer's host unless another is given."""

    name: str
    # Whether it says which masters it believes to be down.
    tells_states = True

    def __init__(self, cluster: ControlPlane, host: Host | None = None) -> None:
        self.cluster = cluster
        self.host = host or cluster.balancer_host
        self.work = cluster.work / self.host.name
        self.work.mkdir(parents=True, exist_ok=True)
        self.process = Process(self.name, self.host, self.command(), self.work / f"{self.name}.log")

    @property
    def configuration(self) -> Path:
        return self.work / f"{self.name}.configuration"

    @abstractmethod
    def command(self) -> list[str]:
        """The command that runs in the foreground with `self.configuration`."""

    @abstractmethod
    def write_configuration(self, options: Options) -> None:
        """Writes `self.configuration`."""

    @abstractmethod
    def backends(self) -> dict[str, BackendStatus]:
        """Every master's status; OSError when the balancer cannot be asked. Called on the balancer's host."""

    @abstractmethod
    def ready(self) -> bool:
        """Whether the balancer says that it serves. Called on the balancer's host."""

    def use_renewed_prober(self, prober: Identity) -> None:
        """Called after the files of the probes' client certificate were replaced. Does nothing where the balancer sees
        that by itself, or has no probes."""

    def start(self, options: Options) -> None:
        """Starts with these options and awaits that every master is up."""
        self.write_configuration(options)
        self.process.start()
        wait_until(self._ready_or_dead, f"{self.name} is ready", within=20, log=self.process.log)
        self.wait_until_all_up()

    def stop(self) -> None:
        self.process.stop(within=8)

    def wait_until_all_up(self) -> None:
        """Awaits that every master is up and past its slow start, so that the next load is spread evenly."""

        def all_up() -> bool:
            try:
                states = self.host.call(self.backends)
            except OSError:
                return False
            return len(states) == len(self.cluster.masters) and all(
                each.state == "up" and not each.warming for each in states.values()
            )

        wait_until(all_up, f"{self.name} says that all masters are up", within=30, log=self.process.log)

    def _ready_or_dead(self) -> bool:
        self.process.require_running()
        try:
            return self.host.call(self.ready)
        except OSError:
            return False
