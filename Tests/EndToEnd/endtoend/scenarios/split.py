"""3,000 held connections, counted by the masters' kernels: they must be divided as the weights say, within 2 %."""

from __future__ import annotations

from ..balancer import Options
from ..load import Holding
from ..scenario import Result, Scenario, Stage

COUNT = 3000
TOLERANCE = 0.02


class Split(Scenario):
    """One algorithm with one set of weights."""

    def __init__(self, label: str, algorithm: str, weights: tuple[int, int, int]) -> None:
        self.name = f"split-{label}"
        self.summary = f"{COUNT} connections, {algorithm}, weights {'/'.join(map(str, weights))}"
        self._algorithm = algorithm
        self._weights = weights

    def run(self, stage: Stage) -> Result:
        result = Result(self.name, log=stage.balancer.process.log)
        cluster = stage.cluster
        weights = dict(zip(cluster.masters, self._weights, strict=False))
        stage.balancer.stop()
        stage.balancer.start(Options(self._algorithm, weights))
        # The balancer's own probes are connections too, and are not part of the split.
        before = {name: cluster.connections(master.host) for name, master in cluster.masters.items()}
        with Holding(stage.clients, cluster, stage.work / self.name, COUNT) as holding:
            counts = {
                name: len(cluster.connections(each.host) - before[name]) for name, each in cluster.masters.items()
            }
            holding.release()
        stage.balancer.stop()
        stage.balancer.start(Options())

        result.requests, result.failed = COUNT, 0
        total = sum(weights.values())
        for name, count in counts.items():
            share = COUNT * weights[name] / total
            off = (count - share) / share
            result.notes.append(f"{name}: {count} of {share:.0f} ({off:+.1%})")
            result.expect(abs(off) <= TOLERANCE, f"{name} holds {count} connections, its share is {share:.0f}")
        return result


SPLITS = [
    Split("least-connections-equal", "leastConnections", (100, 100, 100)),
    Split("least-connections-weighted", "leastConnections", (200, 100, 100)),
    Split("round-robin-equal", "roundRobin", (100, 100, 100)),
    Split("round-robin-weighted", "roundRobin", (200, 100, 100)),
]
