"""What a look at a pod rested on, so that the next look can be spared when all is as it was.

Most pods are the same at each tick. Their cpuset files are read anew all the same, every one
of them: only what followed from them is not worked out again.
"""

import os
from dataclasses import dataclass, field

from numapin_agent.cgroup import files


@dataclass(slots=True)
class Footprint:
    """Cgroup files with what they said, and directories with how many they held.

    Attributes:
        texts: what each file said, by path; None where there was none.
        links: link count by directory: two and one for each subdirectory
            (fs/kernfs/inode.c), so that a container more or less is seen.
    """

    texts: dict[str, str | None] = field(default_factory=dict)
    links: dict[str, int] = field(default_factory=dict)

    def read(self, path: str) -> str | None:
        """``files.read``, and remember the answer.

        Raises:
            CgroupError: the file is there but can't be read.
        """
        text = self.texts[path] = files.read(path)
        return text

    def count(self, directory: str) -> None:
        """Remember how many subdirectories there are."""
        self.links[directory] = _links(directory)

    def holds(self) -> bool:
        """Whether all that was remembered is still so.

        Raises:
            CgroupError: a file is there but can't be read.
        """
        return all(_links(path) == links for path, links in self.links.items()) and all(
            files.read(path) == text for path, text in self.texts.items()
        )


def _links(directory: str) -> int:
    try:
        return os.stat(directory).st_nlink  # noqa: PTH116 -- a Path costs more than the call
    except OSError:
        return 0
