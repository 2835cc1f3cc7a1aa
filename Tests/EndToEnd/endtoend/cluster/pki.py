"""The certificates that kubeadm would make, with the openssl command line and P-256 keys.

Every apiserver has a serving certificate of its own whose common name is the master's name: that is how a client that
went through the balancer can say which master served it.
"""

from __future__ import annotations

import base64
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from ..failure import Failure

CA_SETTINGS = """\
[ca]
default_ca = this
[this]
database = {folder}/index.txt
new_certs_dir = {folder}
rand_serial = yes
unique_subject = no
default_md = sha256
policy = names
x509_extensions = client
[names]
organizationName = optional
commonName = supplied
[client]
basicConstraints = critical,CA:FALSE
extendedKeyUsage = clientAuth
"""


@dataclass(frozen=True)
class Identity:
    """A certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority that lives as long as the work folder."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.identity = Identity(folder / "ca.crt", folder / "ca.key")
        _openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"),
            *("-subj", f"/CN={name}", "-out", str(self.certificate), "-keyout", str(self.identity.key)),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature"),
        )

    @property
    def certificate(self) -> Path:
        return self.identity.certificate

    def issue(self, file: str, subject: str, names: list[str] | None = None) -> Identity:
        """A leaf for clients, and for servers too when it has `names` (`DNS:...` or `IP:...`)."""
        identity = Identity(self._folder / f"{file}.crt", self._folder / f"{file}.key")
        usage = "serverAuth,clientAuth" if names else "clientAuth"
        extensions = ["-addext", "basicConstraints=critical,CA:FALSE", "-addext", f"extendedKeyUsage={usage}"]
        if names:
            extensions += ["-addext", f"subjectAltName={','.join(names)}"]
        _openssl(
            *("req", "-x509", "-CA", str(self.certificate), "-CAkey", str(self.identity.key)),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", subject),
            *("-out", str(identity.certificate), "-keyout", str(identity.key), *extensions),
        )
        return identity

    def issue_for(self, file: str, subject: str, seconds: int) -> tuple[Identity, float]:
        """A leaf for clients that expires after so few seconds, and when that is, in seconds since the epoch.

        By openssl-ca(1), since openssl-req(1) counts in days.
        """
        identity = Identity(self._folder / f"{file}.crt", self._folder / f"{file}.key")
        request, settings = self._folder / f"{file}.csr", self._folder / "ca.cnf"
        settings.write_text(CA_SETTINGS.format(folder=self._folder))
        (self._folder / "index.txt").touch()
        _openssl(
            *("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject),
            *("-out", str(request), "-keyout", str(identity.key)),
        )
        expiry = int(time.time()) + seconds
        start, end = (time.strftime("%y%m%d%H%M%SZ", time.gmtime(moment)) for moment in (expiry - 3600, expiry))
        _openssl(
            *("ca", "-batch", "-notext", "-config", str(settings), "-startdate", start, "-enddate", end),
            *("-cert", str(self.certificate), "-keyfile", str(self.identity.key)),
            *("-in", str(request), "-out", str(identity.certificate)),
        )
        return identity, float(expiry)


def signing_key(folder: Path) -> Identity:
    """The key pair for service account tokens: public half in `certificate`."""
    folder.mkdir(parents=True, exist_ok=True)
    pair = Identity(folder / "sa.pub", folder / "sa.key")
    _openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", str(pair.key))
    _openssl("pkey", "-in", str(pair.key), "-pubout", "-out", str(pair.certificate))
    return pair


def write_kubeconfig(path: Path, server: str, authority: Authority, user: Identity) -> Path:
    """A kubeconfig with everything inside."""

    def inline(file: Path) -> str:
        return base64.b64encode(file.read_bytes()).decode()

    path.write_text(
        f"""\
apiVersion: v1
kind: Config
clusters:
- name: e2e
  cluster: {{server: "{server}", certificate-authority-data: {inline(authority.certificate)}}}
users:
- name: e2e
  user: {{client-certificate-data: {inline(user.certificate)}, client-key-data: {inline(user.key)}}}
contexts:
- name: e2e
  context: {{cluster: e2e, user: e2e}}
current-context: e2e
"""
    )
    return path


def _openssl(*arguments: str) -> None:
    result = subprocess.run(
        ["openssl", *arguments], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if result.returncode != 0:
        raise Failure(f"openssl {arguments[0]}: {result.stderr.strip()}")
