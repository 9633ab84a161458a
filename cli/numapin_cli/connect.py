"""Finds the cluster that the user means, and says what was tried where none is found.

The rules are kubectl's: --kubeconfig, else $KUBECONFIG, else ~/.kube/config, else, in a
pod, its service account.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from numapin_api.errors import ApiError
from numapin_cli.kube import Cluster

CONNECTIONS: Final = 16
"""To the API server, kept open."""


@dataclass(frozen=True, slots=True)
class Where:
    """What the user said about which cluster is meant.

    Attributes:
        kubeconfig: a file, or None for the usual places.
        context: of the kubeconfig, or None for the current one.
    """

    kubeconfig: Path | None = None
    context: str | None = None


@contextmanager
def connect(where: Where) -> Iterator[Cluster]:
    """Find the cluster that is meant.

    Args:
        where: what the user said.

    Raises:
        ApiError: no configuration was found, or it is not usable; says what was tried.
    """
    import yaml  # noqa: PLC0415
    from kubernetes import client, config  # noqa: PLC0415 (a quarter of a second)

    files = _kubeconfigs(where)
    if any(Path(f).is_file() for f in files):
        described = f"kubeconfig {os.pathsep.join(files)}"
        configuration = client.Configuration()
        try:
            joined = os.pathsep.join(files)
            config.load_kube_config(  # type: ignore[no-untyped-call]
                joined, context=where.context, client_configuration=configuration
            )
            contexts, current = config.list_kube_config_contexts(joined)  # type: ignore[no-untyped-call]
        except (TypeError, AttributeError, KeyError) as e:
            # The client trips over what is YAML but no kubeconfig, and says so in Python's words.
            raise ApiError(f"{described} can't be used: it is no kubeconfig") from e
        except (config.ConfigException, OSError, ValueError, yaml.YAMLError) as e:
            raise ApiError(f"{described} can't be used: {e}") from e
        name = where.context or current["name"]
        chosen: dict[str, str] = next((c["context"] for c in contexts if c["name"] == name), {})
        namespace = chosen.get("namespace") or "default"
        described += f", context {name}"
    elif where.kubeconfig is None and where.context is None and _in_pod():
        described = "the pod's service account"
        configuration = client.Configuration()
        try:
            config.load_incluster_config(  # type: ignore[no-untyped-call]
                client_configuration=configuration
            )
        except config.ConfigException as e:
            raise ApiError(f"{described} can't be used: {e}") from e
        namespace = "default"
    else:
        raise ApiError(
            f"no cluster is configured: there is no file {' or '.join(files)}, and this is not a "
            "pod with a service account; name a kubeconfig with --kubeconfig or $KUBECONFIG"
        )
    configuration.retries = False
    # As many as are asked at once; its own default goes by the CPUs of this machine.
    configuration.connection_pool_maxsize = CONNECTIONS
    with client.ApiClient(configuration) as api:
        yield Cluster(api, namespace=namespace, described=described)


def configured(where: Where) -> bool:
    """Whether a cluster is meant at all: named by the user, or found in the usual places.

    Args:
        where: what the user said.
    """
    if where != Where() or os.environ.get("KUBECONFIG") or _in_pod():
        return True
    return any(Path(f).is_file() for f in _kubeconfigs(where))


def _kubeconfigs(where: Where) -> list[str]:
    if where.kubeconfig is not None:
        return [str(where.kubeconfig)]
    said = [f for f in os.environ.get("KUBECONFIG", "").split(os.pathsep) if f]
    return said or [str(Path.home() / ".kube/config")]


def _in_pod() -> bool:
    return "KUBERNETES_SERVICE_HOST" in os.environ
