"""The tables of what was counted per cgroup and pair of NUMA nodes: read, and rid of the dead.

Several tables where programs had to be compiled apart: then faults are in one, moves in
another. What a row means is ``counters.pairs``; the descriptors belong to the reader, and so
does the lock under which all of this is called.
"""

from collections.abc import Iterable, Mapping

from numapin_agent.bpf.maps import PerCpuHash
from numapin_agent.counters import pairs
from numapin_api.errors import CounterError


class PairTables:
    """All such tables of one set of programs.

    Args:
        descriptors: of the tables; not owned.
    """

    def __init__(self, descriptors: Iterable[int]) -> None:
        self._tables = [PerCpuHash(fd, pairs.KEY.size, pairs.VALUE.size) for fd in descriptors]

    def read(self) -> Mapping[int, pairs.Pairs]:
        """By cgroup id what was counted per pair of NUMA nodes.

        Raises:
            CounterError: a table can't be read.
        """
        found: dict[int, pairs.Pairs] = {}
        for one in self._tables:
            try:
                read = pairs.decode(*one.entries())
            except OSError as error:
                raise CounterError(f"map nodePairs can't be read: {error.strerror}") from error
            for cgroup, counts in read.items():
                found[cgroup] = pairs.added(found.get(cgroup, {}), counts)
        return found

    def full(self) -> bool:
        """Whether a table has no room for another pair.

        Raises:
            OSError: the kernel does not answer.
        """
        return any(one.full() for one in self._tables)

    def forget(self, gone: frozenset[int]) -> None:
        """Free the rows of cgroups that are gone.

        Args:
            gone: cgroup ids.

        Raises:
            CounterError: a table can't be written.
        """
        for one in self._tables if gone else ():
            try:
                keys, _ = one.entries()
                for cgroup, *nodes in pairs.KEY.iter_unpack(keys):
                    if cgroup in gone:
                        one.delete(pairs.KEY.pack(cgroup, *nodes))
            except OSError as error:
                raise CounterError(f"map nodePairs: {error.strerror}") from error
