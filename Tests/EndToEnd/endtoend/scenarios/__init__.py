"""One scenario a file, in the order in which they run."""

from ..scenario import Scenario
from .all_apiservers_down import AllApiserversDown
from .apiserver_hung import ApiserverHung
from .apiserver_killed import ApiserverKilled
from .apiserver_stopped import ApiserverStopped
from .discovery import Discovery
from .etcd_leader_killed import EtcdLeaderKilled
from .etcd_leader_named import EtcdLeaderNamed
from .etcd_member_killed import EtcdMemberKilled
from .etcd_nospace import EtcdNospace
from .etcd_quorum_lost import QUORUM_LOSSES
from .failover_rate import FailoverRate
from .kubectl import Kubectl
from .lease_handover import LeaseHandover
from .link_cut import LinkCut
from .split import SPLITS
from .two_hosts import TwoHosts

SCENARIOS: list[Scenario] = [
    Kubectl(),
    ApiserverKilled(),
    ApiserverStopped(),
    ApiserverHung(),
    LinkCut(),
    EtcdMemberKilled(),
    EtcdLeaderKilled(),
    EtcdLeaderNamed(),
    *QUORUM_LOSSES,
    EtcdNospace(),
    AllApiserversDown(),
    FailoverRate(),
    LeaseHandover(),
    Discovery(),
    TwoHosts(),
    *SPLITS,
]
