"""The report's exact form, and what people see of it."""

import io
import json
import re
from xml.etree import ElementTree as ET

import pytest
from pydantic import ValidationError
from rich.console import Console

from numapin_lab.demo.criteria import Criterion
from numapin_lab.demo.picture import Panel, draw
from numapin_lab.demo.report import Report
from numapin_lab.demo.series import PodCounters, Rates
from numapin_lab.demo.table import EMULATION_NOTE, show


def window(pages, local, *sizes):
    return {
        "seconds": 60.1,
        "migratedPagesPerSecond": pages,
        "migrationMsPerSecond": pages / 200,
        "crossSocketTaskMigrationsPerSecond": 0.7,
        "localPercent": local,
        "memory": [{"node": n, "bytes": s * 2**20} for n, s in enumerate(sizes)],
    }


def pod(name, verdict="Verified"):
    return {
        "namespace": "demo",
        "name": name,
        "workload": "sysbench memory",
        "before": window(12345.67, 49.9, 130, 140),
        "after": window(0.0, None, 0, 270),
        "verdict": verdict,
        "evidence": "Measured",
        "levels": {"numaMigrations": "rawTracepoint", "hintFaults": "none"},
    }


FORM = {
    "pods": [pod("hopper"), pod("redis")],
    "node": {
        "before": {"numaPagesMigratedPerSecond": 12500.0},
        "after": {"numaPagesMigratedPerSecond": 0.2},
    },
    "seconds": {"lab": 61.5, "total": 245.0},
}


def test_round_trip_in_the_promised_form():
    report = Report.model_validate(FORM)
    assert json.loads(report.text()) == FORM


def without(path):
    form = json.loads(json.dumps(FORM))
    part = form
    for key in path[:-1]:
        part = part[key]
    del part[path[-1]]
    return form


@pytest.mark.parametrize(
    "path",
    [
        ("seconds", "lab"),
        ("node", "after"),
        ("pods", 0, "verdict"),
        ("pods", 0, "before", "localPercent"),
        ("pods", 1, "after", "memory", 0, "bytes"),
    ],
)
def test_every_field_is_there(path):
    with pytest.raises(ValidationError, match=re.escape(str(path[-1]))):
        Report.model_validate(without(path))


def test_unknown_fields_are_refused():
    with pytest.raises(ValidationError, match="surprise"):
        Report.model_validate(FORM | {"surprise": 1})


def printed(report, cross_check, criteria, width=100):
    console = Console(width=width, file=io.StringIO())
    console.print(show(report, cross_check, criteria))
    return console.file.getvalue()


def test_table_says_all_of_it_in_100_columns():
    text = printed(
        Report.model_validate(FORM),
        [12375.0, None],
        [Criterion(met=True, text="good"), Criterion(met=False, text="bad")],
    )
    for wanted in (
        "12,345.7", "49.9 %", "130 MiB", "270 MiB", "Verified", "Measured", "12,500.0",
        "12,375.0", "-1.0 %", "✓ good", "✗ bad",
    ):  # fmt: skip
        assert wanted in text
    assert EMULATION_NOTE.split(":")[0] in text
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text


def test_a_few_pages_in_a_minute_are_no_percentage():
    text = printed(Report.model_validate(FORM), [12375.0, 0.1], [])
    assert "-0.1 /s │" in text


def line(*pages):
    return [
        Rates(time=100.0 + i, seconds=1.0, counted=PodCounters(migrated_pages=n))
        for i, n in enumerate(pages)
    ]


def panels():
    return [
        Panel(title="hopper", rates=line(9000, 8000, 100, 0, 0), labelled=101.5, pinned=102.5),
        Panel(title="redis", rates=line(90, 80, 10, 0, 0), labelled=101.5, pinned=103),
    ]


def test_picture_is_the_same_for_the_same_readings():
    assert draw(panels()) == draw(panels())


def test_picture_has_one_panel_a_pod_and_no_date():
    svg = draw(panels())
    root = ET.fromstring(svg)
    ids = [e.get("id", "") for e in root.iter()]
    assert sum(re.fullmatch(r"axes_\d+", i) is not None for i in ids) == 2
    assert b"dc:date" not in svg
    assert b"Matplotlib v" not in svg


def test_nothing_to_draw():
    with pytest.raises(ValueError, match="no pod was measured"):
        draw([])


def test_pod_without_readings_is_an_empty_panel():
    assert draw([Panel(title="x", rates=[], labelled=1, pinned=2)]).startswith(b"<?xml")
