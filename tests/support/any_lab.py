"""A lab for tests of what is asked of one: nothing runs in it."""

from pathlib import Path

from numapin_api.errors import LabError
from numapin_lab.lab import Lab
from numapin_lab.steps import Steps


class AnyLab:
    """Keeps how it is asked to be; some kernels don't come up in it."""

    def __init__(self, *dead: str) -> None:
        self.steps, self.cache, self.paths = Steps(), Lab().cache, Lab().paths
        self.dead = dead
        self.asked: list[dict[str, object]] = []
        self.deployed = 0

    def up(self, **wanted: object) -> None:
        self.asked.append(wanted)
        if wanted["kernel"] in self.dead:
            raise LabError("numa-0 was not Ready")

    def deploy(self) -> None:
        self.deployed += 1

    def programs(self) -> Path:
        return Path("/nowhere")
