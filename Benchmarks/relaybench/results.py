"""What was measured: every sample, and the figures that are made of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median

from .axes import AXES, Metric
from .targets import YARDSTICKS

FAIRLEAD = "fairlead"


@dataclass
class Results:
    """Samples by axis, target and metric, in the order of the rounds."""

    samples: dict[str, dict[str, dict[str, list[float]]]] = field(default_factory=dict)
    # What could not be measured, and why.
    failures: list[str] = field(default_factory=list)

    def add(self, axis: str, target: str, sample: dict[str, float]) -> None:
        metrics = self.samples.setdefault(axis, {}).setdefault(target, {})
        for key, value in sample.items():
            metrics.setdefault(key, []).append(value)

    def values(self, axis: str, target: str, metric: str) -> list[float]:
        return self.samples.get(axis, {}).get(target, {}).get(metric, [])

    def median(self, axis: str, target: str, metric: str) -> float | None:
        values = self.values(axis, target, metric)
        return median(values) if values else None

    def targets(self, axis: str) -> list[str]:
        return list(self.samples.get(axis, {}))

    def best_peer(self, axis: str, metric: Metric) -> tuple[str, float] | None:
        """The balancer beside Fairlead that is best at this without an error, and its median."""
        medians = [
            (target, value)
            for target in self.targets(axis)
            if target != FAIRLEAD and target not in YARDSTICKS and not any(self.values(axis, target, "errors"))
            if (value := self.median(axis, target, metric.key)) is not None
        ]
        if not medians:
            return None
        choose = max if metric.better == "more" else min
        return choose(medians, key=lambda each: each[1])

    def ratio(self, axis: str, metric: Metric) -> tuple[str, float] | None:
        """Fairlead's median over that of the best peer, and which that is."""
        ours, best = self.median(axis, FAIRLEAD, metric.key), self.best_peer(axis, metric)
        if ours is None or best is None or best[1] <= 0:
            return None
        return best[0], ours / best[1]


def metric_of(axis: str, key: str) -> Metric:
    return next(metric for metric in AXES[axis].metrics if metric.key == key)
