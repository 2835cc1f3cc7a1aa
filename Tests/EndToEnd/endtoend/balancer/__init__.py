"""What stands between the clients and the masters: Fairlead, or HAProxy for comparison."""

from .interface import BackendStatus, Balancer, Options
from .fairlead import Fairlead
from .haproxy import HAProxy

__all__ = ["BackendStatus", "Balancer", "Fairlead", "HAProxy", "Options"]
