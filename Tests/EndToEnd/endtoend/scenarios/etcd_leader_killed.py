"""kill -9 of the etcd member that leads: until the others have elected, every apiserver is red, and none is broken.

A balancer that believes all the red answers takes the control plane away just when it is about to recover. So what is
promised of the victim's connections counts from the moment when the other apiservers answer again: the clients' own
records tell it.
"""

from __future__ import annotations

from ..cluster.master import Master
from ..load import Records
from ..scenario import Result, Stage, expect_resets, expect_waits
from .etcd_member_killed import EtcdMemberKilled

# After the election, a master that still answers nothing is found out so soon.
AFTER_ELECTION_SECONDS = 1.5


class EtcdLeaderKilled(EtcdMemberKilled):
    name = "etcd-leader-killed"
    summary = "kill -9 of the etcd member that leads"

    def choose(self, stage: Stage) -> Master:
        return stage.cluster.etcd_leader()

    def judge(self, result: Result, records: Records, victim: Master, old: list[int], fault: float) -> None:
        expect_waits(result, records)
        others = {each.master for each in records.requests if each.master} - {victim.name}
        election = records.stalled_until(others, fault) - fault
        result.notes.append(f"the other apiservers answered again {election:.2f} s after the fault")
        expect_resets(result, within=max(3.0, election + AFTER_ELECTION_SECONDS))
