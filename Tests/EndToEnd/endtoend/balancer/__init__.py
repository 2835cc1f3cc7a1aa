"""What stands between the clients and the masters: Fairlead, or HAProxy or nginx for comparison."""

from .fairlead import Fairlead
from .haproxy import HAProxy
from .interface import BackendStatus, Balancer, Options
from .nginx import Nginx

__all__ = ["BackendStatus", "Balancer", "Fairlead", "HAProxy", "Nginx", "Options"]
