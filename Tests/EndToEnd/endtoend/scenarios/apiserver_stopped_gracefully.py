"""SIGTERM of one apiserver while it has creates to finish and watches to serve, without and with a shutdown delay.

An apiserver that has got SIGTERM is not dead: it finishes the creates that it has, and serves its watches on, for up to 60
seconds. It refuses new connections, at once or after `--shutdown-delay-duration`. Each create waits 5 s in an admission
webhook. The same creates and watches also run on the victim without any balancer: they show what the server itself does. The
end of the server is SIGKILL, as the kubelet's is after `terminationGracePeriodSeconds`.

Promised of Fairlead: every create is answered with 201, no watch connection ends before the server ends it, watches are back
on another master within 1 s of that, and no new connection fails or waits longer than 0.3 s.
"""

from __future__ import annotations

import base64
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from ..cluster.master import Master
from ..cluster.process import Process
from ..comparison import Comparison, Outcome
from ..load import LoadSize, Records
from ..scenario import Result, Scenario, Stage, errors_in_words, expect_calm_before
from ..waiting import observe, wait_until

CREATE_SECONDS = 5
WEBHOOK_PORT = 8443
# The label in clients/creating.go.
CREATED = "fairlead-e2e-created"
SIZE = LoadSize(fresh=5, rate=4, kept=100, interval=5000, creates=30)
# From the moment when the server refuses new connections until it is killed: all creates have ended by then.
SERVES_ON_SECONDS = 10
AFTER_KILL_SECONDS = 3
PROMISED_WAIT_SECONDS = 0.3
PROMISED_RETURN_SECONDS = 1.0
# Two clients learn of one moment at different moments.
SAME_MOMENT_SECONDS = 0.2


class ApiserverStoppedGracefully(Scenario):
    def __init__(self, delay: int) -> None:
        self.name = "apiserver-stopped-gracefully" + ("-delayed" if delay else "")
        with_delay = f" with --shutdown-delay-duration={delay}s" if delay else ""
        self.summary = f"SIGTERM of one apiserver{with_delay} that has slow creates and watches, SIGKILL later"
        self._delay = delay

    def run(self, stage: Stage) -> Result:
        result = Result(self.name, log=stage.balancer.process.log)
        leader = stage.cluster.etcd_leader()
        victim = next(master for master in stage.cluster.masters.values() if master is not leader)
        with self._delayed(stage, victim), _slow_creates(stage):
            with Comparison(stage, self.name, size=SIZE, direct=victim.host) as comparison:
                stopped = victim.apiserver.signal(signal.SIGTERM)
                observe(self._delay + SERVES_ON_SECONDS)
                victim.apiserver.require_running()
                killed = victim.apiserver.kill()
                observe(AFTER_KILL_SECONDS)
                outcomes, direct = comparison.finish()
            stage.cluster.restore()
        assert direct is not None
        self._judge(stage, result, victim, outcomes, direct, stopped, killed)
        return result

    @contextmanager
    def _delayed(self, stage: Stage, victim: Master) -> Iterator[None]:
        """The victim with the flag while the block runs."""
        command = victim.apiserver.command
        try:
            if self._delay:
                _restart(stage, victim, [*command, f"--shutdown-delay-duration={self._delay}s"])
            yield
        finally:
            victim.apiserver.command = command

    def _judge(
        self,
        stage: Stage,
        result: Result,
        victim: Master,
        outcomes: list[Outcome],
        direct: Records,
        stopped: float,
        killed: float,
    ) -> None:
        ended = _server_ends_watches(result, victim, direct, stopped, killed)
        server_finishes = not any(each.failed for each in direct.creates_in_flight(stopped))
        for outcome in outcomes:
            records, name = outcome.records, outcome.balancer.name
            watches = records.watched_on([victim.name], stopped)
            early = [each for each in records.closed_by_peer(watches, stopped) if each.end < ended - SAME_MOMENT_SECONDS]
            creates = [each for each in records.creates if each.end >= stopped]
            lost = [each for each in creates if each.failed]
            answered = f"{len(creates) - len(lost)} of {len(creates)}"
            result.rows.append(outcome.row(self.name, stopped, watches, len(early), creates=answered))
            in_flight = records.creates_in_flight(stopped)
            mine = sum(each.master == victim.name for each in in_flight)
            result.notes.append(
                f"{name}: {len(in_flight)} creates in flight at SIGTERM, {mine} on {victim.name}, "
                f"{sum(each.failed for each in in_flight)} of these failed; {len(watches)} watches on it"
            )
            result.notes += sorted({f"{name}: create: {each.error}" for each in lost})[:3]
            if outcome is not outcomes[0]:
                continue
            expect_calm_before(result, records, stopped)
            result.requests = len(records.requests)
            result.failed = sum(each.failed for each in records.requests)
            result.longest_gap = records.longest_gap()
            result.longest_wait = records.longest_wait(stopped)
            result.old_reset = records.last_close(watches, stopped)
            changes = outcome.watcher.changes(victim.name, stopped)
            result.state_changes = ", ".join(f"{each.moment - stopped:.2f} {each.status.state}" for each in changes)
            result.notes += [f"{each.status.state}: {each.status.reason}" for each in changes if each.status.reason]
            result.notes += errors_in_words(records)
            result.expect(len(watches) > 10 and mine > 3, f"too little was on {victim.name}: nothing was tested")
            # What the server itself does not finish, no balancer can save.
            blamed = lost if server_finishes else [each for each in lost if each.master != victim.name]
            result.expect(not blamed, f"{len(blamed)} creates failed")
            result.expect(not early, f"{len(early)} watch connections were ended before the server ended them")
            moved = [each.seconds for each in records.watches_lost(watches)]
            slowest = max(moved, default=0)
            result.notes.append(f"{len(moved)} watches moved, the slowest was away for {slowest:.2f} s")
            result.expect(len(moved) >= len(watches), f"only {len(moved)} of {len(watches)} watches moved")
            result.expect(
                slowest <= PROMISED_RETURN_SECONDS,
                f"a watch took {slowest:.2f} s to come back (promised: {PROMISED_RETURN_SECONDS} s)",
            )
            failed = [each for each in records.fresh if each.failed and each.end >= stopped]
            result.expect(not failed, f"{len(failed)} new connections failed")
            result.expect(
                result.longest_wait <= PROMISED_WAIT_SECONDS,
                f"a new connection waited {result.longest_wait:.2f} s (promised: {PROMISED_WAIT_SECONDS} s)",
            )


def _server_ends_watches(result: Result, victim: Master, direct: Records, stopped: float, killed: float) -> float:
    """When the server itself ends a watch for the first time, as clients without a balancer see it."""
    in_flight = direct.creates_in_flight(stopped)
    failed = [each for each in in_flight if each.failed]
    watches = direct.watched_on([victim.name], stopped)
    ends = [each.end for each in direct.closed_by_peer(watches, stopped)]
    refused = [
        each.start for each in direct.requests if each.failed and "refused" in each.error and each.start is not None
    ]
    result.notes.append(
        f"without a balancer: {len(in_flight)} creates in flight at SIGTERM, {len(failed)} of these failed; "
        + (f"new connections refused after {min(refused) - stopped:.2f} s; " if refused else "")
        + (f"watches ended after {min(ends) - stopped:.2f} to {max(ends) - stopped:.2f} s" if ends else "no watch ended")
    )
    result.notes.append(f"SIGKILL {killed - stopped:.2f} s after SIGTERM")
    return min([*ends, killed])


def _restart(stage: Stage, victim: Master, command: list[str]) -> None:
    victim.apiserver.stop(within=1)
    victim.apiserver.command = command
    stage.cluster.restore()
    stage.balancer.wait_until_all_up()


@contextmanager
def _slow_creates(stage: Stage) -> Iterator[None]:
    """While the block runs, each create of an object with the label waits in a webhook on the clients' host."""
    cluster, trust = stage.cluster, stage.cluster.trust
    address = cluster.client_host.address
    serving = trust.kubernetes.issue("webhook", "/CN=webhook", [f"IP:{address}"])
    folder = stage.work / "webhook"
    webhook = Process(
        "the webhook",
        cluster.client_host,
        [
            *(str(stage.clients), "webhook", f"--listen={address}:{WEBHOOK_PORT}", f"--wait={CREATE_SECONDS}s"),
            *(f"--certificate={serving.certificate}", f"--key={serving.key}"),
        ],
        folder / "webhook.log",
    )
    webhook.start()
    try:
        wait_until(lambda: "ready" in webhook.log.read_text(), "the webhook serves", within=10, log=webhook.log)
        manifest = folder / "webhook.json"
        manifest.write_text(json.dumps(_objects(address, trust.kubernetes.certificate.read_bytes())))
        cluster.kubectl("apply", "-f", str(manifest))
        yield
    finally:
        cluster.kubectl("delete", "-f", str(folder / "webhook.json"), "--ignore-not-found", check=False)
        cluster.kubectl(
            "delete", "configmaps", "--namespace=default", f"--selector={CREATED}", "--wait=false", check=False
        )
        webhook.stop()


def _objects(address: str, authority: bytes) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "List", "items": [QUOTA, _webhook(address, authority)]}


# An apiserver that knows no quota of a namespace asks itself for one, through its listener and every 30 s, before it stores
# an object. After SIGTERM that listener is closed, and the create fails. With any quota it does not ask.
QUOTA = {
    "apiVersion": "v1",
    "kind": "ResourceQuota",
    "metadata": {"name": CREATED, "namespace": "default"},
    "spec": {"hard": {"pods": "100"}},
}


def _webhook(address: str, authority: bytes) -> dict[str, object]:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": CREATED},
        "webhooks": [
            {
                "name": "slow.fairlead.dev",
                "clientConfig": {
                    "url": f"https://{address}:{WEBHOOK_PORT}/",
                    "caBundle": base64.b64encode(authority).decode(),
                },
                "rules": [
                    {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
                ],
                "objectSelector": {"matchLabels": {CREATED: "true"}},
                "failurePolicy": "Fail",
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
                "timeoutSeconds": 15,
            }
        ],
    }


GRACEFUL_STOPS = [ApiserverStoppedGracefully(0), ApiserverStoppedGracefully(10)]
