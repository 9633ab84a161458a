"""What the dashboard's picture is made of: queries filled in, legends, one line a series."""

import math

import pytest

from numapin_chart.panels import PANELS, ROWS, Panel, Row
from numapin_lab.demo import board
from numapin_lab.demo.board import Line

PANEL = Panel(
    "Pages migrated",
    "pps",
    "about",
    (
        ('sum by (pod) (rate(x_total{namespace=~"$namespace"}[$__rate_interval]))', "{{pod}} now"),
        ("sum(y)", "all"),
    ),
)


def series(values: list[tuple[float, str]], **labels: str) -> dict[str, object]:
    return {"metric": labels, "values": values}


def test_a_query_is_asked_as_grafana_does():
    assert board.filled(PANEL.lines[0][0]) == ('sum by (pod) (rate(x_total{namespace=~".*"}[1m]))')


@pytest.mark.parametrize("panel", PANELS, ids=lambda p: p.title)
def test_no_variable_is_left_in_any_query(panel):
    assert not any("$" in board.filled(expression) for expression, _ in panel.lines)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{{namespace}}/{{pod}} before", "shop/redis-0 before"),
        ("all", "all"),
        ("on {{ socket }}", "on "),
    ],
)
def test_a_legend_names_its_series(text, named):
    assert board.legend(text, {"namespace": "shop", "pod": "redis-0"}) == named


def test_lines_begin_at_nought_and_the_highest_comes_first():
    def ask(expression: str) -> list[dict[str, object]]:
        if expression == "sum(y)":
            return [series([(105.0, "7")])]
        return [series([(100.0, "NaN"), (105.0, "3")], pod="a"), series([(105.0, "9")], pod="b")]

    first, second, third = board.lines(PANEL, ask, begin=100.0)
    assert (first.name, second.name, third.name) == ("b now", "all", "a now")
    assert second == Line("all", (5.0,), (7.0,))
    assert math.isnan(third.values[0])


def test_every_panel_of_the_dashboard_is_drawn_and_an_empty_one_says_so():
    def ask(expression: str) -> list[dict[str, object]]:
        return [] if "moving" in expression else [series([(100.0, "1"), (105.0, "2")], pod="a")]

    picture = board.draw(ROWS, ask, begin=100.0, marks={"label set": 3.0})
    assert picture == board.draw(ROWS, ask, begin=100.0, marks={"label set": 3.0})
    text = picture.decode()
    assert text.count('id="label set"') == len(PANELS)
    # Text is drawn as paths, each preceded by a comment that says it.
    for panel in PANELS:
        assert f"<!-- {panel.title} -->" in text
    assert text.count("<!-- nothing just now -->") == 1
    assert "<!-- seconds from the beginning; dotted: label set at 3 s -->" in text


def test_more_lines_than_can_be_told_apart_are_counted():
    panel = Panel("Many", "short", "about", (("x", "{{pod}}"),))
    many = [series([(0.0, str(n)), (5.0, str(n))], pod=f"p{n}") for n in range(12)]
    text = board.draw([Row("Pod", (panel,))], lambda _: many, begin=0.0, marks={}).decode()
    assert "<!-- p11 -->" in text
    assert "<!-- p3 -->" not in text
    assert "<!-- and 4 more -->" in text
