"""The kubelet's cgroup tree: finding pods in it, reading them, writing their cpusets.

Everything that knows directory names, cgroup file formats or systemd is in here. What a
pod's cpuset ought to be is decided in ``numapin_agent.pin``, never here.
"""

from numapin_agent.cgroup.host import CgroupHost
from numapin_agent.cgroup.pod import Container, PodCgroup
from numapin_agent.cgroup.values import Cpuset, Residency
from numapin_agent.cgroup.watch import CgroupWatch

__all__ = ["CgroupHost", "CgroupWatch", "Container", "Cpuset", "PodCgroup", "Residency"]
