"""Two hosts with Fairlead and keepalived that share one address, and clients that use it."""

from .client_loops import KubectlLoop, QuickLoop
from .pair import Pair, PairHost

__all__ = ["KubectlLoop", "Pair", "PairHost", "QuickLoop"]
