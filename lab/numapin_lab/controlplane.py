"""Runs etcd, kube-apiserver, controller-manager and scheduler on this machine, without a VM.

The lab runs all four detached; integration tests run etcd and kube-apiserver alone, tied to
the test process. Deliberately one of each: this is no test of Kubernetes' own availability.
"""

import base64
import json
import secrets
import ssl
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import tenacity
import trustme
import yaml

from numapin_api.errors import LabError
from numapin_lab import binaries, ports
from numapin_lab.process import Process, spawn, stop
from numapin_lab.steps import tail

ALL = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
GUEST_SEES_HOST = "10.0.2.2"
"""QEMU's user network shows the host's loopback to the guest under this address."""
SERVICE_IP = "10.96.0.1"
NODE_NAMES = tuple(f"numa-{n}" for n in range(4))
_START_SECONDS = 60.0
_USERS = {
    "admin": ("admin", "system:masters"),
    "kube-controller-manager": ("system:kube-controller-manager", ""),
    "kube-scheduler": ("system:kube-scheduler", ""),
    **{name: (f"system:node:{name}", "system:nodes") for name in NODE_NAMES},
}


class ControlPlane:
    """A Kubernetes control plane in one directory.

    Attributes:
        directory: certificates, tokens, ports and etcd's data; made when missing. A second
            start in the same directory finds its objects again.
        components: which of ALL to run; etcd and kube-apiserver at least.
    """

    def __init__(  # noqa: PLR0913 -- all by keyword
        self,
        directory: Path,
        *,
        components: Sequence[str] = ALL[:2],
        programs: Path | None = None,
        detached: bool = False,
        apiserver_args: Sequence[str] = (),
        etcd_args: Sequence[str] = (),
        start_seconds: float = _START_SECONDS,
    ) -> None:
        """Describe it; nothing is started or written yet.

        Args:
            directory: where it lives.
            components: a part of ALL.
            programs: directory of the binaries; None builds or finds those of the version that
                NUMAPIN_KUBERNETES names.
            detached: outlive this process; otherwise the kernel ends them with it.
            apiserver_args: more arguments of kube-apiserver.
            etcd_args: more arguments of etcd.
            start_seconds: how long the API server may take until it is ready.
        """
        unknown = set(components) - set(ALL)
        if unknown:
            raise LabError(f"components {sorted(unknown)} are unknown; allowed are {list(ALL)}")
        self.directory = directory.absolute()
        self.components = tuple(name for name in ALL if name in components)
        self._programs = programs
        self._detached = detached
        self._apiserver_args = tuple(apiserver_args)
        self._etcd_args = tuple(etcd_args)
        self._start_seconds = start_seconds

    # Places

    @property
    def kubeconfig(self) -> Path:
        """The admin's kubeconfig."""
        return self.directory / "admin.conf"

    @property
    def ca(self) -> Path:
        """The certificate authority of the API server, PEM."""
        return self.directory / "ca.crt"

    @property
    def url(self) -> str:
        """The API server as this machine reaches it."""
        return f"https://127.0.0.1:{self.ports['kube-apiserver']}"

    @property
    def token(self) -> str:
        """The admin's bearer token."""
        return str(self._tokens()["admin"])

    @property
    def ports(self) -> dict[str, int]:
        """Port by name, as chosen at the first start."""
        return dict(json.loads((self.directory / "ports.json").read_text()))

    def log(self, component: str) -> Path:
        """Log of one component."""
        return self.directory / "logs" / f"{component}.log"

    # Life

    def start(self) -> None:
        """Start what does not run yet and wait until the API server is ready.

        Raises:
            LabError: a component ended or was not ready in time; names its log.
        """
        self._prepare()
        for component in self.components:
            if not self.running(component):
                self._launch(component)
            if component == "etcd":
                # With gigabytes to open this takes longer than the API server waits for it.
                self._await(component, self._etcd_health())
            if component == "kube-apiserver":
                self._await_ready()

    def stop(self) -> None:
        """End what was started here, in the reverse order; etcd's data stays."""
        for component in reversed(self.components):
            self._end(component)

    def restart(self, component: str) -> None:
        """End one component and start it again; waits for readiness of the API server."""
        self._end(component)
        self._launch(component)
        self._await_ready()

    def running(self, component: str) -> bool:
        """Whether this very component still runs."""
        process = self.process(component)
        return process is not None and process.alive()

    def __enter__(self) -> "ControlPlane":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def write_kubeconfig(self, path: Path, *, user: str, server: str | None = None) -> None:
        """Write a kubeconfig that stands alone.

        Args:
            path: where; readable by the owner only.
            user: "admin", a component or a node name.
            server: URL of the API server; None is this machine's.
        """
        cluster = {
            "server": server or self.url,
            "certificate-authority-data": _base64(self.ca.read_bytes()),
        }
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": self._tokens()[user]}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": user}}],
            "current-context": "lab",
        }
        _write_private(path, yaml.safe_dump(document))

    # Steps of a start

    def _prepare(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        if not (self.directory / "tokens.csv").exists():
            self._make_credentials()
        self._choose_ports()
        self.write_kubeconfig(self.kubeconfig, user="admin")
        for name in ALL[2:]:
            self.write_kubeconfig(self.directory / f"{name}.conf", user=name)

    def _choose_ports(self) -> None:
        """Keep the ports of an earlier start unless somebody has taken them meanwhile."""
        file = self.directory / "ports.json"
        if file.exists() and all(
            self._any_running() or ports.is_free(port) for port in self.ports.values()
        ):
            return
        _write_private(file, json.dumps(ports.choose((*ALL, "etcd-peer"))))

    def _any_running(self) -> bool:
        return any(self.running(component) for component in self.components)

    def _make_credentials(self) -> None:
        authority = trustme.CA(organization_name="numapin lab")
        serving = authority.issue_cert(
            "127.0.0.1",
            GUEST_SEES_HOST,
            SERVICE_IP,
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
        )
        # What kube-apiserver shows to kubelets: the group makes it their administrator. The
        # name is given as identity too, for Go refuses a certificate with an empty list of them.
        client = authority.issue_cert(
            "kube-apiserver", common_name="kube-apiserver", organization_name="system:masters"
        )
        signing = authority.issue_cert("service-accounts")
        self.ca.write_bytes(authority.cert_pem.bytes())
        for name, cert in (("apiserver", serving), ("kubelet-client", client)):
            chain = b"".join(blob.bytes() for blob in cert.cert_chain_pems)
            (self.directory / f"{name}.crt").write_bytes(chain)
            _write_private(self.directory / f"{name}.key", cert.private_key_pem.bytes().decode())
        _write_private(self.directory / "sa.key", signing.private_key_pem.bytes().decode())
        tokens = {user: secrets.token_hex(16) for user in _USERS}
        _write_private(self.directory / "tokens.json", json.dumps(tokens))
        # Written last: its presence says that all of the above is whole.
        _write_private(
            self.directory / "tokens.csv",
            "".join(
                f'{token},{_USERS[user][0]},{user},"{_USERS[user][1]}"\n'
                for user, token in tokens.items()
            ),
        )

    def _tokens(self) -> dict[str, str]:
        return dict(json.loads((self.directory / "tokens.json").read_text()))

    def _launch(self, component: str) -> None:
        if self._programs is None:
            self._programs = binaries.ensure_servers()
        process = spawn(
            [self._programs / component, *self._arguments(component)],
            log=self.log(component),
            detached=self._detached,
        )
        _write_private(
            self.directory / f"{component}.pid",
            json.dumps({"pid": process.pid, "started": process.started, "boot": process.boot}),
        )

    def process(self, component: str) -> Process | None:
        """What was started as this component, running or not; None when nothing was."""
        file = self.directory / f"{component}.pid"
        return Process(**json.loads(file.read_text())) if file.exists() else None

    def _end(self, component: str) -> None:
        process = self.process(component)
        if process is not None:
            stop(process)
            (self.directory / f"{component}.pid").unlink()

    def _arguments(self, component: str) -> list[str]:
        here, port = self.directory, self.ports
        etcd = f"http://127.0.0.1:{port['etcd']}"
        if component == "etcd":
            peer = f"http://127.0.0.1:{port['etcd-peer']}"
            return [
                f"--data-dir={here / 'etcd'}",
                f"--listen-client-urls={etcd}",
                f"--advertise-client-urls={etcd}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=default={peer}",
                # A lab's data may be lost with the machine; its disk may be slow.
                "--unsafe-no-fsync",
                "--log-level=warn",
                *self._etcd_args,
            ]
        if component == "kube-apiserver":
            return [
                f"--etcd-servers={etcd}",
                f"--secure-port={port[component]}",
                "--bind-address=127.0.0.1",
                f"--advertise-address={GUEST_SEES_HOST}",
                f"--tls-cert-file={here / 'apiserver.crt'}",
                f"--tls-private-key-file={here / 'apiserver.key'}",
                f"--client-ca-file={self.ca}",
                f"--kubelet-client-certificate={here / 'kubelet-client.crt'}",
                f"--kubelet-client-key={here / 'kubelet-client.key'}",
                "--kubelet-preferred-address-types=InternalIP",
                f"--token-auth-file={here / 'tokens.csv'}",
                "--authorization-mode=Node,RBAC",
                "--service-cluster-ip-range=10.96.0.0/16",
                f"--service-account-key-file={here / 'sa.key'}",
                f"--service-account-signing-key-file={here / 'sa.key'}",
                "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
                "--allow-privileged=true",
                *self._apiserver_args,
            ]
        common = [
            f"--kubeconfig={here / f'{component}.conf'}",
            "--bind-address=127.0.0.1",
            f"--secure-port={port[component]}",
            "--leader-elect=false",
        ]
        if component == "kube-scheduler":
            return common
        return [
            *common,
            f"--service-account-private-key-file={here / 'sa.key'}",
            f"--root-ca-file={self.ca}",
            "--use-service-account-credentials",
            "--allocate-node-cidrs=false",
        ]

    def _etcd_health(self) -> urllib.request.Request:
        return urllib.request.Request(f"http://127.0.0.1:{self.ports['etcd']}/health")

    def _await_ready(self) -> None:
        """Wait until the API server is ready."""
        headers = {"Authorization": f"Bearer {self.token}"}
        self._await("kube-apiserver", urllib.request.Request(f"{self.url}/readyz", headers=headers))

    def _await(self, awaited: str, request: urllib.request.Request) -> None:
        trust = ssl.create_default_context(cafile=str(self.ca))
        needed = self.components[: self.components.index(awaited) + 1]

        def ask() -> bool:
            for component in needed:
                if not self.running(component):
                    log = self.log(component)
                    raise LabError(f"{component} ended; the log is {log}, its end:\n{tail(log)}")
            try:
                with urllib.request.urlopen(request, context=trust, timeout=5) as answer:
                    return bool(answer.status == 200)
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                return False

        retry = tenacity.Retrying(
            retry=tenacity.retry_if_result(lambda ready: not ready),
            wait=tenacity.wait_fixed(0.1),
            stop=tenacity.stop_after_delay(self._start_seconds),
        )
        try:
            retry(ask)
        except tenacity.RetryError as error:
            log = self.log(awaited)
            raise LabError(
                f"{awaited} was not ready in {self._start_seconds:.0f} s; the log is {log}, "
                f"its end:\n{tail(log)}"
            ) from error


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    aside = path.with_name(f".{path.name}.new")
    aside.touch(mode=0o600)
    aside.write_text(text)
    aside.rename(path)
