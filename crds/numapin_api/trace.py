"""NumaTrace: one question to one node's kernel, and its answer.

Asked by people (``kubectl numapin trace``), answered by the agent on that node, deleted by the
operator some time after. In a namespace, so that the right to trace the pods there can be given
away without any other; whole nodes are traced from numapin's own namespace only.
"""

import gzip
import json
import zlib
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import ConfigDict, Field

from numapin_api.base import Resource, Timestamp, Wire, cel, validations

Probe = Literal[
    "timers",
    "softirqs",
    "hardirqs",
    "function",
    "run-queue",
    "off-cpu",
    "syscalls",
    "numa-moves",
    "page-faults",
    "netfilter",
    "net-rx",
    "memory-wait",
    "spike",
]
PROBES: tuple[Probe, ...] = get_args(Probe)
TracePhase = Literal["Queued", "Running", "Done", "Failed", "Refused"]
"""Absent: the agent has not seen it yet. Queued: it runs few traces at a time.

Refused: it will not, ``message`` says why. Failed: it began, and there is no answer.
"""
LONGEST_SECONDS = 600
KEPT_SECONDS = 600
"""How long an answer is kept unless the trace says otherwise."""
MAX_RESULT_BYTES = 512 * 1024
"""Of the answer as it stands in the object; etcd takes 1.5 MiB for all of it."""
MAX_UNPACKED_BYTES = 16 << 20
"""Of its JSON; more is not read."""


class NumaTraceSpec(Wire):
    """What is asked. Never changes: another question is another object."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            cel("self == oldSelf", "can't be changed: make another NumaTrace"),
            cel(
                "(self.probe == 'function') == has(self.function)",
                "probe function, and no other, needs the name of a kernel function",
                field_path=".function",
            ),
            cel(
                "!has(self.stacks) || !self.stacks || self.probe == 'function'",
                "only probe function takes stacks",
                field_path=".stacks",
            ),
            cel(
                "!has(self.thresholdNanoseconds) || self.probe in "
                "['timers', 'softirqs', 'hardirqs', 'syscalls', 'spike']",
                "only timers, softirqs, hardirqs, syscalls and spike take a threshold",
                field_path=".thresholdNanoseconds",
            ),
        )
    )

    node_name: Annotated[
        str,
        Field(
            min_length=1,
            max_length=253,
            pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
        ),
    ]
    """The Kubernetes node whose agent is asked."""
    pod_name: Annotated[
        str | None,
        Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"),
    ] = None
    """A pod of the trace's own namespace that runs on that node. Absent: the whole node, which
    only a trace in numapin's own namespace may ask about."""
    probe: Probe
    function: Annotated[str | None, Field(max_length=127, pattern=r"^[A-Za-z_][A-Za-z0-9_.]*$")] = (
        None
    )
    """Name of a kernel function, for the probe of that name."""
    stacks: bool = False
    """Whether probe function counts the function's callers, too."""
    threshold_nanoseconds: Annotated[int | None, Field(ge=1, le=600_000_000_000)] = None
    """Single events are listed from here on; a millisecond when absent."""
    duration_seconds: Annotated[int, Field(ge=1, le=LONGEST_SECONDS)] = 10
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=86400)] = KEPT_SECONDS
    """The operator deletes the trace so long after its end."""


class NumaTraceStatus(Wire):
    """The agent's answer."""

    phase: TracePhase | None = None
    reason: Annotated[str | None, Field(max_length=64)] = None
    """One CamelCase word, unless all is well."""
    message: Annotated[str | None, Field(max_length=4096)] = None
    started_at: Timestamp | None = None
    """When the agent began; compiling and attaching come before the duration."""
    finished_at: Timestamp | None = None
    result: Annotated[str | None, Field(max_length=MAX_RESULT_BYTES)] = None
    """The answer as JSON, gzip, base64."""


class NumaTrace(Resource):
    """A question to a node's kernel about a pod or the node, and the answer."""

    KIND: ClassVar[str] = "NumaTrace"
    PLURAL: ClassVar[str] = "numatraces"
    api_version: Literal["numapin.io/v1alpha1"] = "numapin.io/v1alpha1"
    kind: Literal["NumaTrace"] = "NumaTrace"
    spec: NumaTraceSpec
    status: NumaTraceStatus | None = None

    @property
    def finished(self) -> bool:
        """Whether nothing will become of it any more."""
        return self.status is not None and self.status.phase in {"Done", "Failed", "Refused"}


def pack(answer: Mapping[str, Any]) -> str:
    """An answer as ``status.result`` holds it. The same answer is the same text.

    Raises:
        ValueError: its JSON has more than ``MAX_UNPACKED_BYTES``, so that nobody would read it.
    """
    text = json.dumps(answer, separators=(",", ":")).encode()
    if len(text) > MAX_UNPACKED_BYTES:
        raise ValueError(f"{len(text):,} bytes of JSON: {MAX_UNPACKED_BYTES:,} are read")
    return b64encode(gzip.compress(text, mtime=0)).decode()


def unpack(packed: str) -> Mapping[str, Any]:
    """The answer in ``status.result``.

    Raises:
        ValueError: it is none, or of a size that no agent writes.
    """
    try:
        compressed = b64decode(packed, validate=True)
        # Whoever wrote the object must not fill the reader's memory with a few bytes.
        inflate = zlib.decompressobj(wbits=31)
        text = inflate.decompress(compressed, MAX_UNPACKED_BYTES + 1)
        return dict(json.loads(text if inflate.eof else b""))
    except (Base64Error, zlib.error, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"status.result is not an answer, gzip in base64: {error}") from error
