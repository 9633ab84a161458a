"""The text of a scrape, for a node where each pod has a dozen samples.

prometheus_client makes an object and a dict of each sample and escapes each label anew,
some 9 µs a sample: on a node of 110 pods more than half of a scrape. A ``Rows`` family is
written straight from its numbers instead, and everything else still by prometheus_client.
Always the plain text format, uncompressed: every Prometheus takes it, and squeezing a page
costs more than making it.
"""

from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


class Rows(Metric):
    """A counter or gauge of many samples, kept as bare numbers.

    Label values must hold nothing that the text format escapes (backslash, quote, line feed):
    they are Kubernetes names, numbers and words of our own.

    Args:
        name: of the family; a counter's without ``_total``.
        documentation: one line of help.
        kind: ``counter`` or ``gauge``.
        labels: names of the labels.
    """

    def __init__(self, name: str, documentation: str, kind: str, *, labels: Sequence[str]) -> None:
        self._sample_name = f"{name}_total" if kind == "counter" else name
        self._labels = tuple(labels)
        self._rows: list[tuple[str | float, ...]] = []
        super().__init__(name, documentation, kind)

    def add(self, *row: str | float) -> None:
        """Add a sample: its label values in order, then its value."""
        self._rows.append(row)

    @property
    def samples(self) -> list[Sample]:
        """The samples as objects, for whoever wants them so."""
        return [
            Sample(
                self._sample_name,
                {name: str(value) for name, value in zip(self._labels, row, strict=False)},
                float(row[-1]),
            )
            for row in self._rows
        ]

    @samples.setter
    def samples(self, _: list[Sample]) -> None:
        """Metric's constructor sets an empty list."""

    def text(self) -> str:
        """The family in the text format."""
        name = self._sample_name
        labels = ",".join(f'{label}="%s"' for label in self._labels)
        line = f"{name}{{{labels}}} %s\n"
        head = f"# HELP {name} {self.documentation}\n# TYPE {name} {self.type}\n"
        return head + "".join([line % row for row in self._rows])


class _Others(Collector):
    """What prometheus_client is to write."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        """The metrics as they were collected."""
        return self._metrics


def page(registry: CollectorRegistry) -> bytes:
    """All metrics of a registry, read once, now.

    Args:
        registry: may hold ``Rows`` and anything else.
    """
    rows: list[str] = []
    others: list[Metric] = []
    for metric in registry.collect():
        if isinstance(metric, Rows):
            rows.append(metric.text())
        else:
            others.append(metric)
    return "".join(rows).encode() + generate_latest(_Others(others))
