"""One scenario a file, in the order in which they run."""

from ..scenario import Scenario
from .all_apiservers_down import AllApiserversDown
from .apiserver_hung import ApiserverHung
from .apiserver_killed import ApiserverKilled
from .apiserver_stopped import ApiserverStopped
from .apiserver_stopped_gracefully import GRACEFUL_STOPS
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
from .own_certificate_expires import OwnCertificateExpires
from .own_faults import OWN_FAULTS
from .split import SPLITS
from .two_hosts import TwoHosts

SCENARIOS: list[Scenario] = [
    Kubectl(),
    ApiserverKilled(),
    ApiserverStopped(),
    *GRACEFUL_STOPS,
    ApiserverHung(),
    LinkCut(),
    EtcdMemberKilled(),
    EtcdLeaderKilled(),
    EtcdLeaderNamed(),
    *QUORUM_LOSSES,
    EtcdNospace(),
    AllApiserversDown(),
    *OWN_FAULTS,
    OwnCertificateExpires(),
    FailoverRate(),
    LeaseHandover(),
    Discovery(),
    TwoHosts(),
    *SPLITS,
]
