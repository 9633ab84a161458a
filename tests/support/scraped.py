"""The agent's own page as values."""

from prometheus_client.parser import text_string_to_metric_families
from support.world import World, get

Samples = dict[tuple[str, ...], float]


def scrape(world: World, node: str = "numa-0") -> Samples:
    """Values by the metric's name and its labels' values, in the order of the labels' names."""
    with world.agent_http(node) as url:
        status, text = get(f"{url}/metrics")
    assert status == 200
    return {
        (s.name, *(value for _, value in sorted(s.labels.items()))): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }
