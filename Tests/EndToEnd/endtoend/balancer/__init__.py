"""What stands between the clients and the masters: Fairlead, or HAProxy for comparison."""

from .fairlead import Fairlead
from .haproxy import HAProxy
from .interface import BackendStatus, Balancer, Options

__all__ = ["BackendStatus", "Balancer", "Fairlead", "HAProxy", "Options"]
