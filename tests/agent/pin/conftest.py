"""The bench that whole reconciliations are tried on."""

import pytest
from support.pinner_bench import Bench


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.close()
