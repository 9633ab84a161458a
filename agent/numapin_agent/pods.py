"""The few fields of a pod that the agent needs, and nothing more of it in memory.

A node's pods are watched whole, but decoded straight into these small structs: what is not
named here (specs, environments, other annotations) never becomes a Python object.
"""

from collections.abc import Mapping
from typing import ClassVar

import msgspec
from lightkube.core.resource import ApiInfo, NamespacedResourceG
from lightkube.resources.core_v1 import Pod

from numapin_agent.cgroup.names import valid_uid
from numapin_api.names import PIN_LABEL, PIN_LABEL_VALUE


class _Labels(
    msgspec.Struct,
    rename={"pin": PIN_LABEL, "app": "app.kubernetes.io/name", "koord_app": "koord-app"},
    frozen=True,
    gc=False,
):
    pin: str | None = None
    app: str = ""
    koord_app: str = ""


class _Annotations(
    msgspec.Struct, rename={"mirror": "kubernetes.io/config.mirror"}, frozen=True, gc=False
):
    mirror: str = ""


class _Meta(msgspec.Struct, rename="camel", frozen=True):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = msgspec.field(name="resourceVersion", default="")
    labels: _Labels = _Labels()
    annotations: _Annotations = _Annotations()

    @property
    def resourceVersion(self) -> str:  # noqa: N802 -- lightkube's watch reads it by this name
        return self.resource_version


class _HostPath(msgspec.Struct, frozen=True, gc=False):
    path: str = ""


class _Volume(msgspec.Struct, rename="camel", frozen=True, gc=False):
    host_path: _HostPath | None = None


class _Spec(msgspec.Struct, frozen=True):
    volumes: tuple[_Volume, ...] = ()


class _Container(msgspec.Struct, rename="camel", frozen=True, gc=False):
    name: str
    container_id: str | None = msgspec.field(name="containerID", default=None)


class _Status(msgspec.Struct, rename="camel", frozen=True):
    phase: str = "Unknown"
    container_statuses: tuple[_Container, ...] = ()
    init_container_statuses: tuple[_Container, ...] = ()
    ephemeral_container_statuses: tuple[_Container, ...] = ()


class PodView(NamespacedResourceG, msgspec.Struct, frozen=True):
    """A pod, as far as the agent cares."""

    _api_info: ClassVar[ApiInfo] = Pod._api_info  # type: ignore[misc]  # lightkube says instance

    metadata: _Meta = _Meta()
    spec: _Spec = _Spec()
    status: _Status = _Status()

    @property
    def uid(self) -> str:
        """The UID that the API knows."""
        return self.metadata.uid

    @property
    def cgroup_uid(self) -> str:
        """The UID in the name of the pod's cgroup.

        The same, but for static pods: the kubelet makes their cgroup before the mirror pod
        exists and names it by the hash of the manifest (pkg/kubelet/pod/mirror_client.go).
        """
        return self.metadata.annotations.mirror if self.mirrors else self.metadata.uid

    @property
    def mirrors(self) -> bool:
        """Whether this is the mirror of a static pod, by more than its own word.

        Whoever may create pods may put the annotation on one, with any other pod's UID in it.
        But the status of a new pod is emptied by the API server (pkg/registry/core/pod), and
        the kubelet writes one only for mirrors of static pods that it runs itself.
        """
        return valid_uid(self.metadata.annotations.mirror) and bool(self.containers)

    def same(self, other: "PodView") -> bool:
        """Whether nothing that matters here differs: its author may change the rest at will."""
        mine, its = self.metadata, other.metadata
        return (mine.uid, mine.labels.pin, mine.annotations, self.status) == (
            its.uid,
            its.labels.pin,
            its.annotations,
            other.status,
        )

    @property
    def opted_in(self) -> bool:
        """Whether the pod carries the label that asks for a pin."""
        return self.metadata.labels.pin == PIN_LABEL_VALUE

    @property
    def host_paths(self) -> tuple[str, ...]:
        """Directories and files of the host that it has."""
        return tuple(v.host_path.path for v in self.spec.volumes if v.host_path is not None)

    @property
    def containers(self) -> Mapping[str, str]:
        """Names of the containers that were started so far, by bare container id."""
        status = self.status
        return {
            c.container_id.partition("://")[2]: c.name
            for c in (
                *status.init_container_statuses,
                *status.container_statuses,
                *status.ephemeral_container_statuses,
            )
            if c.container_id
        }
