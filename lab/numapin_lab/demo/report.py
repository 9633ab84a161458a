"""The form of ``.lab/demo/report.json``: what other programs may read of a demo.

Only the form. Unknown fields are refused, because whoever reads a report relies on its
being exactly this.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from numapin_api.node import Level
from numapin_api.pin import Evidence, Verdict

Rate = Annotated[float, Field(ge=0)]


class Part(BaseModel):
    """Base of all parts: frozen, camelCase, nothing unknown."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
    )


class NodeMemory(Part):
    """A pod's resident memory on one NUMA node."""

    node: Annotated[int, Field(ge=0)]
    bytes: Annotated[int, Field(ge=0)]


class PodWindow(Part):
    """One pod over one window."""

    seconds: Annotated[float, Field(gt=0)]
    migrated_pages_per_second: Rate
    """Pages that NUMA balancing moved."""
    migration_ms_per_second: Rate
    """Milliseconds of CPU time that this took, each second."""
    cross_socket_task_migrations_per_second: Rate
    """How often the scheduler moved a thread to another socket."""
    local_percent: Annotated[float | None, Field(ge=0, le=100)]
    """Share of NUMA-hint faults whose page was local; null when there was none."""
    memory: list[NodeMemory]
    """At the end of the window."""


class PodReport(Part):
    """One pod before and after."""

    namespace: str
    name: str
    workload: str
    before: PodWindow
    after: PodWindow
    verdict: Verdict | None
    evidence: Evidence | None
    levels: dict[str, Level]
    """How each signal was had on the pod's node."""


class NodeWindow(Part):
    """The node's own /proc/vmstat over one window."""

    numa_pages_migrated_per_second: Rate


class NodeReport(Part):
    """The node before and after."""

    before: NodeWindow
    after: NodeWindow


class Seconds(Part):
    """How long it took."""

    lab: Annotated[float, Field(ge=0)]
    """Until the lab was up and numapin ready in it."""
    total: Annotated[float, Field(ge=0)]


class Report(Part):
    """A whole demo."""

    pods: list[PodReport]
    node: NodeReport
    seconds: Seconds

    def text(self) -> str:
        """The JSON that is written, with a newline at its end."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"
