"""The Go clients, started and read."""

from .clients import Holding, Load, LoadSize
from .records import Records

__all__ = ["Holding", "Load", "LoadSize", "Records"]
