"""Two hosts with Fairlead and keepalived that share one address, and clients that use it."""

from .client_loops import KubectlLoop, QuickLoop
from .pair import SHARED_ADDRESS, Pair, PairHost

__all__ = ["SHARED_ADDRESS", "KubectlLoop", "Pair", "PairHost", "QuickLoop"]
