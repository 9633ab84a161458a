"""The page of a scrape says what prometheus_client would have said."""

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from numapin_agent.exposition import Rows, page


class Pods(Collector):
    def collect(self) -> list[Metric]:
        counter = Rows("pages", "Pages.", "counter", labels=("namespace", "pod"))
        counter.add("default", "web-0", 1 << 53)
        counter.add("default", "web-1", 2.5e-9)
        gauge = Rows("bytes", "Bytes by NUMA node.", "gauge", labels=("pod", "numa_node"))
        gauge.add("web-0", 1, 4096)
        return [counter, gauge, Rows("none", "No sample.", "gauge", labels=("pod",))]


def test_both_ways_of_writing_are_the_same_page() -> None:
    registry = CollectorRegistry()
    registry.register(Pods())
    Counter("errors", "Errors.", ("kind",), registry=registry).labels('a "b"').inc()

    def read(text: bytes) -> dict[str, Metric]:
        return {m.name: m for m in text_string_to_metric_families(text.decode())}

    found = read(page(registry))
    assert found == read(generate_latest(registry))
    assert {"pages", "bytes", "none", "errors"} <= found.keys()
    assert found["pages"].samples[0].value == 1 << 53
