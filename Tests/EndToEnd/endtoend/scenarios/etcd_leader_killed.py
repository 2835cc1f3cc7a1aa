"""kill -9 of the etcd member that leads: until the others have elected, every apiserver is red, and none is broken.

A balancer that believes all the red answers takes the control plane away just when it is about to recover.
"""

from __future__ import annotations

from ..cluster.master import Master
from ..scenario import Stage
from .etcd_member_killed import EtcdMemberKilled


class EtcdLeaderKilled(EtcdMemberKilled):
    name = "etcd-leader-killed"
    summary = "kill -9 of the etcd member that leads"

    def choose(self, stage: Stage) -> Master:
        return stage.cluster.etcd_leader()
