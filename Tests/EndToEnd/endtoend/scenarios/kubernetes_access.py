"""What the scenarios about the Kubernetes API share: the rights that an operator would give, and a balancer that asks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..balancer import Fairlead, Options
from ..failure import Failure
from ..scenario import Stage

MANIFEST = Path(__file__).resolve().parents[4] / "config/kubernetes-access.yaml"


@contextmanager
def asking(stage: Stage, options: Options) -> Iterator[Fairlead]:
    """Fairlead with these options while the block runs, and with its usual ones afterwards."""
    balancer = stage.balancer
    if not isinstance(balancer, Fairlead):
        raise Failure(f"{balancer.name} does not ask the Kubernetes API")
    stage.cluster.kubectl("apply", "-f", str(MANIFEST))
    balancer.stop()
    balancer.start(options)
    try:
        yield balancer
    finally:
        stage.cluster.restore()
        balancer.stop()
        balancer.start(Options())
