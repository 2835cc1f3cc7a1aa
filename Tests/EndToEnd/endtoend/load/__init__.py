"""The Go clients, started and read."""

from .clients import Holding, Load
from .records import Records

__all__ = ["Holding", "Load", "Records"]
