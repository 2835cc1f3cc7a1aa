"""kubectl, pointed at the balancer: short commands work, and a watch lives through the death of another master."""

from __future__ import annotations

import json

from ..balancer.fairlead import Fairlead
from ..cluster.control_plane import ControlPlane
from ..cluster.master import API_PORT, Master
from ..cluster.pki import write_kubeconfig
from ..cluster.process import Process
from ..failure import Failure
from ..scenario import Result, Scenario, Stage
from ..waiting import wait_until


class Kubectl(Scenario):
    name = "kubectl"
    summary = "kubectl version, get nodes, get --raw /readyz; get configmaps --watch survives another master's death"

    def run(self, stage: Stage) -> Result:
        result = Result(self.name, log=stage.balancer.process.log)
        cluster = stage.cluster
        try:
            version = json.loads(cluster.kubectl("version", "--output=json").stdout)
            result.notes.append(f"kubectl version: server {version['serverVersion']['gitVersion']}")
            cluster.kubectl("get", "nodes")
            ready = cluster.kubectl("get", "--raw", "/readyz").stdout
            result.expect(ready.strip() == "ok", f"kubectl get --raw /readyz printed {ready!r}")
            if isinstance(stage.balancer, Fairlead):
                self._works_with_its_kubeconfig(stage, stage.balancer, result)
            self._watch_survives(stage, result)
        except Failure as failure:
            result.findings.append(str(failure))
            result.log = failure.log or result.log
        finally:
            cluster.restore()
        return result

    def _works_with_its_kubeconfig(self, stage: Stage, balancer: Fairlead, result: Result) -> None:
        """`fairlead kubeconfig` makes one that leads to a master lead to the balancer."""
        cluster, folder = stage.cluster, stage.work / self.name
        folder.mkdir(parents=True, exist_ok=True)
        master = next(iter(cluster.masters.values()))
        trust = cluster.trust
        server = f"https://{master.host.address}:{API_PORT}"
        source = write_kubeconfig(folder / "admin.conf", server, trust.kubernetes, trust.admin)
        made = folder / "made.conf"
        said = balancer.make_kubeconfig(source, made)
        result.expect("warning" not in said and cluster.server in said, f"fairlead kubeconfig says {said!r}")
        answer = cluster.kubectl(f"--kubeconfig={made}", "get", "--raw", "/readyz").stdout
        result.expect(answer.strip() == "ok", f"with that kubeconfig /readyz answers {answer!r}")
        view = cluster.kubectl(f"--kubeconfig={made}", "config", "view", "--minify", "--output=json").stdout
        leads_to = json.loads(view)["clusters"][0]["cluster"]["server"]
        result.expect(leads_to == cluster.server, f"that kubeconfig leads to {leads_to}")

    def _watch_survives(self, stage: Stage, result: Result) -> None:
        cluster = stage.cluster
        log = stage.work / self.name / "watch.log"
        arguments = ["get", "configmaps", "--namespace=default", "--watch", "--output=name"]
        before = {name: cluster.connections(master.host) for name, master in cluster.masters.items()}
        watch = Process("kubectl's watch", cluster.client_host, cluster.kubectl_command(*arguments), log)
        watch.start()
        try:
            _create_and_see(cluster, watch, "e2e-first")
            serving = wait_until(lambda: _serving(cluster, before), "the watch is on one master", within=10, log=log)
            victim = next(master for master in cluster.masters.values() if master is not serving)
            victim.apiserver.kill()
            _create_and_see(cluster, watch, "e2e-while-one-is-dead")
            cluster.restore()
            stage.balancer.wait_until_all_up()
            _create_and_see(cluster, watch, "e2e-after-its-return")
            result.notes.append(f"the watch on {serving.name} outlived {victim.name}")
        finally:
            watch.stop()
            cluster.kubectl(
                *("delete", "configmaps", "--namespace=default", "--ignore-not-found", "--wait=false"),
                *("e2e-first", "e2e-while-one-is-dead", "e2e-after-its-return"),
                check=False,
            )


def _create_and_see(cluster: ControlPlane, watch: Process, name: str) -> None:
    """Creates a config map with one kubectl and awaits that the other, which watches, prints it."""
    cluster.kubectl("create", "configmap", name, "--namespace=default")

    def seen() -> bool:
        watch.require_running()
        return f"configmap/{name}" in watch.log.read_text()

    wait_until(seen, f"the watch shows {name}", within=10, log=watch.log)


def _serving(cluster: ControlPlane, before: dict[str, set[str]]) -> Master | None:
    """The one master with a connection that was not there before the watch; None while a probe blurs the picture."""
    found = [master for name, master in cluster.masters.items() if cluster.connections(master.host) - before[name]]
    return found[0] if len(found) == 1 else None
