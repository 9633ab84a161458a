"""The one exception tree of numapin; each leaf carries the condition reason it becomes.

NumapinError
├── CpuListError        InvalidCpuList      a cpulist that Linux would not print
├── AnnotationError     InvalidAnnotation   a pod annotation that is not understood
├── TopologyError       TopologyUnreadable  sysfs is missing, truncated or contradicts itself
├── CgroupError         CgroupUnavailable   a cgroup can't be found, read or written
│   └── UnsupportedError Unsupported        this host's cgroups are of a kind we don't write
├── StateError          StateUnavailable    the agent's own state can't be written or read
├── SystemdError        SystemdRefused      PID 1 refused or could not be reached
├── MoveError           PageMoveFailed      move_pages(2) failed for more than single pages
├── CounterError        CountersUnavailable BPF can't be compiled, loaded or read
├── TraceError          TraceRefused        a probe can't be answered on this kernel
├── KubeletError        KubeletUnavailable  the kubelet's PodResources API refused or made no sense
├── ApiError            ApiUnavailable      the API server refused or could not be reached
├── ChartError          ChartUnreadable     the chart's own files contradict each other
├── ManifestError       ManifestInvalid     a file of Kubernetes objects can't be understood
├── SelfTestError       SelfTestFailed      a pod of our own was not pinned and verified
└── LabError            LabFailed           the lab lacks something, or a step of it failed

Messages name the field or file, the value found and what is allowed, because they are
shown to users as they are.
"""

from typing import ClassVar


class NumapinError(Exception):
    """Base of all errors that numapin raises on purpose."""

    reason: ClassVar[str] = "Failed"


class CpuListError(NumapinError, ValueError):
    """A string is not a Linux cpulist."""

    reason: ClassVar[str] = "InvalidCpuList"


class AnnotationError(NumapinError, ValueError):
    """A pod annotation has a value that is not understood."""

    reason: ClassVar[str] = "InvalidAnnotation"


class TopologyError(NumapinError):
    """The machine's topology can't be read, or contradicts itself."""

    reason: ClassVar[str] = "TopologyUnreadable"


class CgroupError(NumapinError):
    """A cgroup can't be found, read or written, or belongs to somebody else."""

    reason: ClassVar[str] = "CgroupUnavailable"


class UnsupportedError(CgroupError):
    """The host's cgroup hierarchy is of a kind that numapin does not write."""

    reason: ClassVar[str] = "Unsupported"


class StateError(NumapinError):
    """The agent's own record of what it pinned can't be written or read."""

    reason: ClassVar[str] = "StateUnavailable"


class SystemdError(NumapinError):
    """PID 1 refused a request or could not be reached."""

    reason: ClassVar[str] = "SystemdRefused"


class MoveError(NumapinError):
    """Pages of a process could not be moved at all."""

    reason: ClassVar[str] = "PageMoveFailed"


class CounterError(NumapinError):
    """Kernel counters can't be had, or stopped."""

    reason: ClassVar[str] = "CountersUnavailable"


class TraceError(NumapinError):
    """A probe can't be answered on this kernel, or was given up."""

    reason: ClassVar[str] = "TraceRefused"


class KubeletError(NumapinError):
    """The kubelet's PodResources API is not there, refused, or sent what makes no sense."""

    reason: ClassVar[str] = "KubeletUnavailable"


class ApiError(NumapinError):
    """The API server refused a request or could not be reached."""

    reason: ClassVar[str] = "ApiUnavailable"


class LabError(NumapinError):
    """The lab lacks something on this machine, or a step of it failed."""

    reason: ClassVar[str] = "LabFailed"


class ChartError(NumapinError):
    """The chart's source files can't be understood or contradict each other."""

    reason: ClassVar[str] = "ChartUnreadable"


class ManifestError(NumapinError):
    """A file of Kubernetes objects can't be read or understood."""

    reason: ClassVar[str] = "ManifestInvalid"


class SelfTestError(NumapinError):
    """A pod that was made to try the installation was not pinned and verified."""

    reason: ClassVar[str] = "SelfTestFailed"
