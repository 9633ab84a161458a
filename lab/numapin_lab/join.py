"""Makes booted machines nodes of the cluster: what a cloud's controller does elsewhere.

The kubelet leaves its address to us (`--cloud-provider external`), because only the lab knows
at which loopback port the API server finds it. Deliberately nothing about QEMU here but the
question whether it still runs.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tenacity
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from numapin_api.errors import LabError
from numapin_lab.paths import LabPaths
from numapin_lab.state import NodeState
from numapin_lab.steps import tail

_READY_SECONDS = 300.0
_UNINITIALIZED = "node.cloudprovider.kubernetes.io/uninitialized"
_ADDRESS = [{"type": "InternalIP", "address": "127.0.0.1"}]


def await_ready(
    started: Mapping[str, NodeState], paths: LabPaths, *, seconds: float = _READY_SECONDS
) -> None:
    """Wait until all nodes are Ready, giving each its address when it registers.

    Args:
        started: nodes by name.
        paths: where the kubeconfig and the logs are.
        seconds: for all of them together.

    Raises:
        LabError: a QEMU ended, or a node was not Ready in time; names the console's log.
    """
    core = _core(paths.kubeconfig)
    missing = set(started)

    def all_ready() -> bool:
        for name in sorted(missing):
            _check_alive(name, started[name], paths)
            if _join(core, name, started[name].kubelet_port):
                missing.discard(name)
        return not missing

    retry = tenacity.Retrying(
        retry=tenacity.retry_if_result(lambda done: not done),
        wait=tenacity.wait_fixed(0.5),
        stop=tenacity.stop_after_delay(seconds),
    )
    try:
        retry(all_ready)
    except tenacity.RetryError as error:
        name = min(missing)
        console = paths.console(name)
        raise LabError(
            f"{', '.join(sorted(missing))} not Ready in {seconds:.0f} s; the console's log is "
            f"{console}, its end:\n{tail(console)}"
        ) from error


def forget_all_but(names: Iterable[str], kubeconfig: Path) -> None:
    """Remove Node objects of nodes that the lab no longer has."""
    core = _core(kubeconfig)
    for node in core.list_node().items:
        if node.metadata.name not in set(names):
            core.delete_node(node.metadata.name)


def ready_names(kubeconfig: Path, *, timeout_seconds: float = 5.0) -> frozenset[str]:
    """Nodes that are Ready; none when the API server does not answer in time."""
    try:
        listed = _core(kubeconfig).list_node(_request_timeout=timeout_seconds)
    except (ApiException, HTTPError):
        return frozenset()
    return frozenset(node.metadata.name for node in listed.items if _is_ready(node))


def _core(kubeconfig: Path) -> Any:  # noqa: ANN401 - the package has no type hints
    api = config.new_client_from_config(str(kubeconfig))  # type: ignore[no-untyped-call]
    api.configuration.retries = 1
    return client.CoreV1Api(api)


def _check_alive(name: str, node: NodeState, paths: LabPaths) -> None:
    if not node.process.alive():
        log = paths.logs / f"{name}.qemu.log"
        raise LabError(
            f"{name}'s QEMU ended; see {paths.console(name)} and {log}, its end:\n{tail(log)}"
        )


def _join(core: Any, name: str, kubelet_port: int) -> bool:  # noqa: ANN401 - no type hints
    """Give a registered node its address; whether it is Ready."""
    try:
        node = core.read_node(name)
    except ApiException as error:
        if error.status == 404:
            return False
        raise LabError(f"the API server refused to show node {name}: {error.reason}") from error
    except HTTPError:
        # Not answering just now: whether it still runs is asked elsewhere.
        return False
    endpoint = node.status.daemon_endpoints
    if endpoint is None or endpoint.kubelet_endpoint.port != kubelet_port:
        # The object of an earlier boot, which may still say Ready.
        return False
    if not _has_address(node):
        # Looked at again: a kubelet that has not seen it yet writes its own list over it, with
        # nothing but its host name in it.
        core.patch_node_status(name, {"status": {"addresses": _ADDRESS}})
        return False
    taints = [t for t in node.spec.taints or () if t.key != _UNINITIALIZED]
    if len(taints) != len(node.spec.taints or ()):
        core.patch_node(name, {"spec": {"taints": taints or None}})
        return False
    return _is_ready(node)


def _has_address(node: Any) -> bool:  # noqa: ANN401 - no type hints
    return any(a.type == "InternalIP" for a in node.status.addresses or ())


def _is_ready(node: Any) -> bool:  # noqa: ANN401 - no type hints
    conditions = node.status.conditions or ()
    return _has_address(node) and any(c.type == "Ready" and c.status == "True" for c in conditions)
