"""The package: installed before all other checks, upgraded under the running service, purged after them."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from .checks import BAD, REPOSITORY
from .container import Container
from .failure import Failure, expect
from .unit import Service, configuration

# Where the container has the packages, one folder a revision.
FOLDER = "/root/packages"
# Where anything may be left behind.
ROOTS = ("/etc", "/lib", "/run", "/usr", "/var/cache", "/var/lib", "/var/spool")


def prepare(container: Container) -> None:
    """Puts two revisions of the package into the container. `make deb` has staged their files by now."""
    for revision in ("1", "2"):
        folder = container.root / FOLDER[1:] / revision
        folder.mkdir(parents=True)
        subprocess.run(
            [REPOSITORY / "packaging/debian/build", REPOSITORY / ".build/deb", folder],
            check=True, capture_output=True, env=os.environ | {"DEB_REVISION": revision},
        )  # fmt: skip


def lintian_is_content(service: Service) -> None:
    """lintian has neither an error nor a warning."""
    result = subprocess.run(
        ["lintian", "--allow-root", "--fail-on=error,warning", _file(service, 1)], capture_output=True, text=True
    )
    expect(result.returncode == 0, f"lintian says {result.stdout}{result.stderr}")


def the_same_source_is_the_same_package(service: Service) -> None:
    """Made again, the package is the same byte for byte."""
    made = list((REPOSITORY / ".build").glob(_file(service, 1).name))
    expect(len(made) == 1, "`make deb` has not made that version")
    expect(made[0].read_bytes() == _file(service, 1).read_bytes(), "`make deb` has made another package of it")


def installs(service: Service) -> None:
    """On a Debian 12 it installs without a configuration, enabled but not started, and says which file to complete."""
    said = _apt(service, "install", f"{FOLDER}/1/{_file(service, 1).name}")
    for words in (f"it is not started: complete {Service.FILE}", "frontends[0].backends: no backends"):
        expect(words in said, f"apt does not say {words!r}, but {said[-1500:]}")
    expect(_state(service) == "install ok installed", f"dpkg says {_state(service)!r}")
    expect(service.systemctl("is-enabled", "fairlead", check=False) == 0, "it is not enabled")
    expect(service.show("ActiveState") == "inactive", f"it is {service.show('ActiveState')}")
    changed = service.container.run("dpkg", "--verify", "fairlead", check=False).stdout
    expect(not changed, f"files differ from the package's: {changed}")
    service.configure(configuration())


def manual_renders(service: Service) -> None:
    """man(1) renders every page without a warning, and each command that the help shows has one, no other."""
    pages = sorted((service.container.root / "usr/share/man").glob("man[15]/fairlead*.gz"))
    for page in pages:
        result = subprocess.run(
            ["man", "--warnings", "--local-file", "-Tutf8", page],
            capture_output=True, text=True, env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "MANWIDTH": "80"},
        )  # fmt: skip
        expect(result.returncode == 0 and not result.stderr, f"man says of {page.name}: {result.stderr}")
        # Without col(1) man leaves bold letters as they are printed: twice, one over the other.
        expect("SEE ALSO" in re.sub(".\b", "", result.stdout), f"{page.name} ends before its end")
    overview = service.container.run("fairlead", "help").stdout
    names = set(re.findall(r"(?m)^  ([a-z-]+)", overview[overview.index("SUBCOMMANDS:") :]))
    odd = {f"fairlead-{name}.1.gz" for name in names} ^ {page.name for page in pages if page.name.startswith("fairlead-")}
    expect(len(names) > 5 and not odd, f"without a page, or a page without a command in the help: {', '.join(odd)}")


def a_refused_configuration_keeps_the_daemon(service: Service) -> None:
    """An upgrade whose configuration check fails leaves the running daemon alone, and says what to mend."""
    former = service.pid
    service.configure(BAD)
    said = _apt(service, "install", f"{FOLDER}/2/{_file(service, 2).name}")
    for words in ("the running daemon stays at the former version", "frontends[0].lisen"):
        expect(words in said, f"apt does not say {words!r}, but {said[-1500:]}")
    expect(_state(service) == "install ok installed", f"dpkg says {_state(service)!r}")
    expect(service.pid == former and service.show("ActiveState") == "active", "the daemon has not been left alone")
    service.configure(configuration())


def a_key_that_only_root_can_read_keeps_the_daemon(service: Service) -> None:
    """An upgrade asks as the service's user: a restart with files that only root can read would be an outage."""
    former = service.pid
    service.container.write("/etc/fairlead/token", "secret\n", mode=0o600)
    service.configure(
        configuration().replace("protocol: http,", "protocol: https, tokenFile: token, tls: {insecureSkipVerify: true},")
    )
    said = _apt(service, "install", "--reinstall", f"{FOLDER}/2/{_file(service, 2).name}")
    for words in ("the running daemon stays at the former version", "token\": Permission denied"):
        expect(words in said, f"apt does not say {words!r}, but {said[-1500:]}")
    expect(service.pid == former and service.show("ActiveState") == "active", "the daemon has not been left alone")
    service.configure(configuration())
    service.container.run("rm", "/etc/fairlead/token")


def upgrade_goes_on_serving(service: Service) -> None:
    """An upgrade of the package ends with the service at work; it is another process only where that is said."""
    former = service.pid
    said = _apt(service, "install", "--allow-downgrades", f"{FOLDER}/1/{_file(service, 1).name}")
    service.await_serving()
    restarted = "so it is restarted" in said
    expect((service.pid != former) == restarted, f"process {former} has become {service.pid}: {said[-1500:]}")


def stays_stopped_where_it_is_disabled(service: Service) -> None:
    """A service that the administrator has disabled and stopped stays so over an upgrade."""
    service.systemctl("disable", "--now", "fairlead")
    _apt(service, "install", f"{FOLDER}/2/{_file(service, 2).name}")
    expect(service.show("ActiveState") == "inactive", f"it is {service.show('ActiveState')}")
    expect(service.systemctl("is-enabled", "fairlead", check=False) != 0, "it is enabled again")


def purge_leaves_nothing(service: Service) -> None:
    """A purge ends the service and removes all files but the administrator's own."""
    service.systemctl("enable", "--now", "fairlead")
    service.await_serving()
    _apt(service, "purge", "fairlead")
    expect(service.show("LoadState") == "not-found", f"the unit is {service.show('LoadState')}")
    expect(service.show("ActiveState") == "inactive", f"it is {service.show('ActiveState')}")
    left = service.container.run("find", *ROOTS, "-xdev", "-name", "*fairlead*").stdout.split()
    expect(not left, f"it has left {', '.join(left)}")


def uninstall_leaves_nothing(service: Service) -> None:
    """`make uninstall` removes what `make install` has installed."""
    with tempfile.TemporaryDirectory(prefix="fairlead-install-") as folder:
        for target in ("install", "uninstall"):
            done = subprocess.run(["make", "-C", REPOSITORY, target, f"DESTDIR={folder}"], capture_output=True, text=True)
            expect(done.returncode == 0, f"make {target} fails: {done.stderr[-1500:]}")
            if target == "install":
                expect((Path(folder) / "usr/local/share/man/man1/fairlead.1").exists(), "there is no manual page")
        files = [str(path) for path in Path(folder).rglob("*") if not path.is_dir()]
        expect(not files, f"it has left {', '.join(files)}")


INSTALLATION: list[Callable[[Service], None]] = [
    lintian_is_content, the_same_source_is_the_same_package, installs, manual_renders,
]  # fmt: skip
UPGRADE: list[Callable[[Service], None]] = [
    a_refused_configuration_keeps_the_daemon, a_key_that_only_root_can_read_keeps_the_daemon, upgrade_goes_on_serving,
]  # fmt: skip
REMOVAL: list[Callable[[Service], None]] = [
    stays_stopped_where_it_is_disabled, purge_leaves_nothing, uninstall_leaves_nothing,
]  # fmt: skip


def _file(service: Service, revision: int) -> Path:
    """A revision of the package, as this side sees it."""
    files = list((service.container.root / FOLDER[1:] / str(revision)).glob("*.deb"))
    if len(files) != 1:
        raise Failure(f"there are {len(files)} packages of revision {revision}")
    return files[0]


def _apt(service: Service, command: str, *arguments: str) -> str:
    """Runs apt-get in the container, which has no network, and returns all that it says."""
    done = service.container.run("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--yes", command, *arguments)
    return done.stdout + done.stderr


def _state(service: Service) -> str:
    return service.container.run("dpkg-query", "--show", "--showformat=${Status}", "fairlead").stdout
