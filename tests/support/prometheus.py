"""promtool, built by the lab, and Prometheus in time for the tests that need it."""

from pathlib import Path

import pytest

from numapin_lab import prometheus


@pytest.fixture(scope="session")
def promtool() -> Path:
    """The program."""
    return prometheus.ensure() / "promtool"


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build both before the first test, whose time limit that would exceed."""
    fixtures = {name for i in session.items for name in getattr(i, "fixturenames", ())}
    if fixtures & {"promtool", "fed"} and not session.config.option.collectonly:
        prometheus.ensure()
