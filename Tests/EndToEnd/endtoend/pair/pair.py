"""The hosts: each has Fairlead and the keepalived of config/keepalived/, with the four values that an operator sets."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from ..balancer import Fairlead, Options
from ..cluster.control_plane import SHARED_ADDRESS, ControlPlane
from ..cluster.network import Host
from ..cluster.process import Process
from ..failure import Failure
from ..waiting import wait_until

# Where a packet for a master goes that must not arrive: no host has this hardware address (neigh in ip-neighbour(8)).
NOBODY = "02:00:00:00:00:01"
LOGGER = """\
#!/bin/sh
# What the hooks would write into the system's log.
echo "$@" >>{log}
"""


class PairHost:
    """One of the two."""

    def __init__(self, cluster: ControlPlane, host: Host, other: Host, repository: Path, keepalived: Path) -> None:
        self.host = host
        self.name = host.name
        self._cluster = cluster
        self.fairlead = Fairlead(cluster, repository, host)
        work = self.fairlead.work
        self.hooks_log = work / "hooks.log"
        bin_folder = work / "bin"
        bin_folder.mkdir(exist_ok=True)
        logger = bin_folder / "logger"
        logger.write_text(LOGGER.format(log=self.hooks_log))
        logger.chmod(0o755)
        (bin_folder / "fairlead").unlink(missing_ok=True)
        (bin_folder / "fairlead").symlink_to(self.fairlead.binary)
        configuration = work / "keepalived.conf"
        configuration.write_text(
            _keepalived_configuration(repository, {"THIS_HOST": host.address, "OTHER_HOST": other.address}, self.fairlead)
        )
        self._pid_files = (work / "keepalived.pid", work / "vrrp.pid")
        self.keepalived = Process(
            f"{self.name}'s keepalived",
            host,
            [
                *("env", f"PATH={bin_folder}:/usr/sbin:/usr/bin:/sbin:/bin"),
                *(str(keepalived), "--dont-fork", "--log-console", "--log-detail", "--vrrp"),
                f"--use-file={configuration}",
                *(f"--{option}={file}" for option, file in zip(("pid", "vrrp_pid"), self._pid_files, strict=True)),
            ],
            work / "keepalived.log",
        )

    @property
    def holds_address(self) -> bool:
        shown = subprocess.run(
            ["ip", "-n", self.host.namespace, "-o", "address", "show", "dev", "eth0"],
            capture_output=True,
            text=True,
            check=True,
        )
        return f" {SHARED_ADDRESS}/" in shown.stdout

    @property
    def state(self) -> str:
        """What keepalived says that it is: MASTER, BACKUP or FAULT; empty before it says so."""
        if not self.keepalived.log.exists():
            return ""
        found = re.findall(r"\(kubernetes\) Entering (\w+) STATE", self.keepalived.log.read_text())
        return found[-1] if found else ""

    def transitions(self) -> int:
        """How often keepalived has become the owner of the address so far."""
        return self.keepalived.log.read_text().count("(kubernetes) Entering MASTER STATE")

    def cut_paths(self) -> None:
        """Frames from this host to the masters vanish; the other host and the clients are still reached."""
        for master in self._cluster.masters.values():
            self._neighbour("replace", master.host.address, "lladdr", NOBODY, "nud", "permanent")

    def mend_paths(self) -> None:
        for master in self._cluster.masters.values():
            self._neighbour("del", master.host.address)

    def power_off(self) -> None:
        """Everything ends at once, and nothing answers any more, not even the kernel."""
        self._cluster.network.isolate(self.name)
        self.host.kill_everything()
        wait_until(lambda: not self.keepalived.running and not self.fairlead.process.running, "all have ended", within=5)

    def power_on(self) -> None:
        """As after a boot: nothing is left of the address, nor in /run."""
        for file in self._pid_files:
            file.unlink(missing_ok=True)
        self._run("ip", "-n", self.host.namespace, "address", "del", f"{SHARED_ADDRESS}/32", "dev", "eth0", check=False)
        self._cluster.network.mend(self.name)
        self.fairlead.process.start()
        self.keepalived.start()

    def restart_keepalived(self) -> None:
        self.keepalived.stop()
        self.keepalived.start()

    def start(self) -> None:
        self.fairlead.start(Options())
        self.keepalived.start()

    def stop(self) -> None:
        self.keepalived.stop(within=5)
        self.fairlead.stop()

    def _neighbour(self, action: str, address: str, *arguments: str) -> None:
        self._run("ip", "-n", self.host.namespace, "neigh", action, address, *arguments, "dev", "eth0")

    def _run(self, *command: str, check: bool = True) -> None:
        result = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if check and result.returncode != 0:
            raise Failure(f"{' '.join(command)}: {result.stderr.strip()}")


class Pair:
    """Both hosts, while the `with` block runs."""

    def __init__(self, cluster: ControlPlane, repository: Path, keepalived: Path) -> None:
        one, two = cluster.pair_hosts
        self.hosts = [
            PairHost(cluster, one, two, repository, keepalived),
            PairHost(cluster, two, one, repository, keepalived),
        ]

    def __enter__(self) -> Pair:
        for each in self.hosts:
            each.start()
        self.holder()
        return self

    def __exit__(self, *_: object) -> None:
        for each in self.hosts:
            each.stop()

    def holder(self) -> PairHost:
        """The one host that has the address; awaits that there is exactly one, and that the other stands by."""

        def settled() -> PairHost | None:
            masters = [each for each in self.hosts if each.state == "MASTER" and each.holds_address]
            others = [each for each in self.hosts if each.state == "BACKUP" and not each.holds_address]
            return masters[0] if len(masters) == 1 and len(others) == 1 else None

        return wait_until(
            settled, "one host has the address and the other stands by", within=15, log=self.hosts[0].keepalived.log
        )

    def other(self, host: PairHost) -> PairHost:
        return next(each for each in self.hosts if each is not host)


def _keepalived_configuration(repository: Path, values: dict[str, str], fairlead: Fairlead) -> str:
    """The file that users get, with an operator's values, and this machine's paths and user."""
    text = (repository / "config/keepalived/keepalived.conf").read_text()
    for name, value in {**values, "ADDRESS": f"{SHARED_ADDRESS}/32", "INTERFACE": "eth0"}.items():
        text, count = re.subn(rf"(?m)^\${name}=.*$", f"${name}={value}", text)
        if count != 1:
            raise Failure(f"config/keepalived/keepalived.conf has {count} lines for ${name}")
    for shipped, here in {
        "/usr/bin/fairlead": str(fairlead.binary),
        "/etc/keepalived/fairlead-notify": str(repository / "config/keepalived/fairlead-notify"),
        "script_user keepalived_script fairlead": "script_user root",
    }.items():
        if shipped not in text:
            raise Failure(f"config/keepalived/keepalived.conf does not have {shipped}")
        text = text.replace(shipped, here)
    return text
