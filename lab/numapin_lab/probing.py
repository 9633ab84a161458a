"""Asks each probe of ``numapin trace`` in the running lab, as users do.

Deliberately judges no answer: that counts are right, the tests show. Here it is whether a kernel
lets a probe be answered, and by what.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Final

import tenacity

from numapin_agent.trace.question import PROBES
from numapin_agent.trace.result import Result
from numapin_lab.lab import Lab
from numapin_lab.levels import Had
from numapin_lab.probes import FAILED, answered, question, unanswered

NODE: Final = "numa-0"
_SECONDS: Final = 5
_LONGEST: Final = 600.0
"""Until the answer: compiling a probe takes an emulated node a minute."""
PAUSE_SECONDS: Final = 30
_TIMES: Final = 3
"""An emulated node may crash when programs are attached, and is up again in minutes:
docs/decisions/2026-11-26-an-emulated-node-may-crash-when-traced.md."""


def ask_all(lab: Lab, *, pod: str) -> Mapping[str, Had]:
    """How each probe is answered.

    Args:
        lab: runs, with numapin in it.
        pod: NS/NAME of one on numa-0, for the probes that are asked about pods.
    """
    return {probe: _ask(lab, probe, pod) for probe in PROBES}


def _ask(lab: Lab, probe: str, pod: str) -> Had:
    arguments = question(probe, node=NODE, pod=pod, seconds=_SECONDS)

    def once() -> Had:
        argv = [sys.executable, "-m", "numapin_cli.main", *arguments]
        environment = {**os.environ, "KUBECONFIG": str(lab.paths.kubeconfig)}
        try:
            done = subprocess.run(
                argv, capture_output=True, text=True, check=False, env=environment, timeout=_LONGEST
            )
        except subprocess.TimeoutExpired:
            return Had(FAILED, f"no answer within {_LONGEST:.0f} s")
        if done.returncode == 0:
            return answered(Result.model_validate_json(done.stdout))
        return unanswered(done.stderr.strip())

    retry = tenacity.Retrying(
        retry=tenacity.retry_if_result(lambda had: had.level == FAILED),
        wait=tenacity.wait_fixed(PAUSE_SECONDS),
        stop=tenacity.stop_after_attempt(_TIMES),
        retry_error_callback=lambda state: state.outcome and state.outcome.result(),
    )
    with lab.steps.step(f"numapin {' '.join(arguments)}"):
        had = retry(once)
    assert had is not None
    return had
