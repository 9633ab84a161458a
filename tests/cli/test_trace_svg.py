"""Pictures of answers: nothing lies over anything else or outside, and what is left out is said."""

import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.call_paths import PATHS

from numapin_agent.trace import causes, histogram
from numapin_agent.trace.result import Blamed, Figure, Moment, Result, Row, Stack
from numapin_cli.views import bars, flame
from numapin_cli.views.canvas import fit, reach
from numapin_cli.views.letters import columns
from numapin_cli.views.svg import svg

SVG = "{http://www.w3.org/2000/svg}"
MS = 1_000_000
TIMER = "timer callback estimation_timer [ip_vs]"
SPIKE = Result(
    probe="spike",
    scope="pod shop/redis-0",
    seconds=10.0,
    rows=[Row(labels={"syscall": "read"}, histogram=histogram.of([900, 30 * MS]))],
    moments=[
        Moment(
            at_seconds=n / 4,
            nanoseconds=(40 - n) * MS,
            labels={
                "process": "redis-server",
                "syscall": "read",
                "on": "/a/very/long/path" * 9,
            },
            culprit=TIMER if n % 2 else "unknown: it ran itself",
            covered=87 if n % 2 else 0,
        )
        for n in range(30)
    ],
    blamed=[
        Blamed(culprit=TIMER, named=True, calls=40, nanoseconds=900 * MS, longest=60 * MS),
        Blamed(
            culprit="unknown: it ran itself",
            named=False,
            calls=10,
            nanoseconds=300 * MS,
            longest=50 * MS,
        ),
    ],
    causes=[causes.KNOWN["estimation_timer"]],
    notes=["3 more slow calls were not judged"],
)


def softirqs(cpus: int, *, rare: int = 0) -> Result:
    return Result(
        probe="softirqs",
        scope="node",
        seconds=1.0,
        rows=[
            *(
                Row(labels={"vector": v, "cpu": str(c)}, histogram=histogram.of([9000, 70_000]))
                for v in ("NET_RX", "TIMER", "RCU")
                for c in range(cpus)
            ),
            *(
                Row(labels={"vector": f"rare{n}", "cpu": "0"}, histogram=histogram.of([7]))
                for n in range(rare)
            ),
        ],
    )


def texts(page: ET.Element) -> list[str]:
    return [element.text or "" for element in page.iter(f"{SVG}text")]


def titles(page: ET.Element) -> list[str]:
    return [element.text or "" for element in page.iter(f"{SVG}title")]


def box(text: ET.Element) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of a line of text, in a wide monospaced font."""
    size, x, y = (float(text.attrib[name]) for name in ("font-size", "x", "y"))
    wide = reach(text.text or "", size)
    left = x - {"start": 0.0, "middle": 0.5, "end": 1.0}[text.get("text-anchor", "start")] * wide
    return left, y - 0.76 * size, left + wide, y + 0.24 * size


def check(picture: str) -> ET.Element:
    """It is XML, its text can be read, and lies within the page and over no other."""
    page = ET.fromstring(picture)
    width, height = (float(page.attrib[name]) for name in ("width", "height"))
    assert page.attrib["viewBox"] == f"0 0 {width:.0f} {height:.0f}"
    places = []
    for text in page.iter(f"{SVG}text"):
        assert float(text.attrib["font-size"]) >= 11
        place = box(text)
        assert place[0] >= 0, text.text
        assert place[1] >= 0, text.text
        assert place[2] <= width + 0.1, text.text
        assert place[3] <= height, text.text
        if text.text and text.text.strip():
            places.append((place, text.text))
    for rect in page.iter(f"{SVG}rect"):
        if rect.get("width") != "100%":
            x, y, wide, high = (float(rect.attrib[n]) for n in ("x", "y", "width", "height"))
            assert 0 <= x <= x + wide <= width + 0.1
            assert 0 <= y <= y + high <= height
            assert high >= 1
    for circle in page.iter(f"{SVG}circle"):
        x, y = float(circle.attrib["cx"]), float(circle.attrib["cy"])
        assert 3 <= x <= width - 3
        assert 3 <= y <= height - 3
    places.sort(key=lambda one: one[0][1])
    for at, (a, said) in enumerate(places):
        for b, other in places[at + 1 :]:
            if b[1] >= a[3]:
                break
            assert a[2] <= b[0] + 0.1 or b[2] <= a[0] + 0.1, (said, other)
    return page


@pytest.mark.parametrize(
    "result",
    [SPIKE, PATHS, softirqs(2), softirqs(96), softirqs(4, rare=30)],
    ids=["spike", "paths", "few rows", "many rows", "rare rows"],
)
def test_nothing_lies_over_anything_else(result):
    check(svg(result))


anything = st.text(max_size=90)
amounts = st.integers(0, 10**12)
labels = st.dictionaries(anything, anything, max_size=4)
results = st.builds(
    Result,
    probe=st.just("timers"),
    scope=anything,
    seconds=st.floats(0, 600),
    why=anything,
    ended=st.sampled_from(["complete", "limit"]),
    rows=st.lists(
        st.builds(
            Row,
            labels=labels,
            histogram=st.lists(amounts, min_size=1, max_size=5).map(histogram.of),
        ),
        max_size=5,
    ),
    moments=st.lists(
        st.builds(Moment, atSeconds=st.floats(0, 600), nanoseconds=amounts, labels=labels,
                  culprit=anything, covered=st.integers(0, 100)),
        max_size=4,
    ),
    blamed=st.lists(
        st.builds(Blamed, culprit=anything, named=st.booleans(), calls=st.integers(1, 9),
                  nanoseconds=st.integers(1, 10**12)),
        max_size=9,
    ),
    stacks=st.lists(
        st.builds(Stack, frames=st.lists(anything, max_size=4), weight=st.integers(1, 99)),
        max_size=4,
    ),
    figures=st.lists(
        st.builds(Figure, name=anything, value=st.floats(0, 1e15), unit=anything), max_size=3
    ),
    notes=st.lists(anything, max_size=3),
    lost=st.integers(0, 9),
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(results)
def test_so_it_is_with_any_answer(result):
    check(svg(result))


@given(anything, st.floats(20, 400))
def test_a_text_is_cut_to_its_room(text, room):
    shown = fit(text, room, 12)
    assert reach(shown, 12) <= room
    assert shown == text or shown.endswith("…")
    assert columns(shown) <= columns(text)


def test_what_was_cut_is_told_whole():
    page = check(svg(SPIKE))
    long = "redis-server read " + "/a/very/long/path" * 9
    assert long not in texts(page)
    assert long in titles(page)


def test_a_spike_shows_moments_culprits_and_remedies():
    page = check(svg(SPIKE))
    said = "\n".join(texts(page))
    assert TIMER in texts(page)
    assert "40 of 50 calls (80 %), 900 ms" in said
    assert "after 0.250 s, 87 %: " + TIMER in said
    assert "sysctl -w net.ipv4.vs.run_estimation=0" in said
    assert "5 more are not drawn here: -o json has all" in said
    assert "3 more slow calls were not judged" in said
    assert "40 of 50 slow calls" not in said, "it is drawn"
    assert len(list(page.iter(f"{SVG}circle"))) == len(SPIKE.moments)
    coloured = {r.attrib["fill"] for r in page.iter(f"{SVG}rect")}
    assert {"#d1495b", "#7a8691"} <= coloured


def test_rows_are_drawn_or_counted():
    page = check(svg(softirqs(4, rare=30)))
    said = " ".join(texts(page))
    for vector in ("NET_RX", "TIMER", "RCU"):
        assert said.count(f"{vector}, cpu ") == 4
    assert "30 more rows with 0.022 % of the time are not drawn: -o json has all" in said
    page = check(svg(softirqs(96)))
    said = " ".join(texts(page))
    assert "NET_RX, on 96 CPUs" in said
    assert "CPUs are added up" in said
    assert "not drawn" not in said


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(1, 10**9)), max_size=200))
def test_all_rows_that_matter_are_drawn(made):
    rows = [
        Row(labels={"function": f"f{name}"}, histogram=histogram.of([length]))
        for name, length in sorted(made, key=lambda one: -one[1])
    ]
    drawn, said = bars.chosen(rows)
    assert len(drawn) + sum(map(int, re.findall(r"^(\d+) more", said))) == len(rows)
    if len(drawn) < bars.MOST:
        left = rows[len(drawn) :]
        assert sum(r.histogram.total for r in left) <= len(rows) * 0.001 * sum(
            r.histogram.total for r in rows
        )


def test_light_and_dark():
    picture = svg(SPIKE)
    assert "prefers-color-scheme:dark" in picture
    page = ET.fromstring(picture)
    for text in page.iter(f"{SVG}text"):
        assert text.get("class") in {"ink", "dim"}, text.text


def test_frames_too_narrow_to_see_are_said():
    wide = Stack(frames=["redis", "main"], weight=10_000_000)
    narrow = [Stack(frames=["redis", f"f{n}"], weight=1) for n in range(3)]
    said = " ".join(texts(check(svg(PATHS.model_copy(update={"stacks": [wide, *narrow]})))))
    assert "3 frames below 0.03 % are not drawn, nor what they call: -o folded has all" in said
    assert "not drawn" not in " ".join(texts(check(svg(PATHS))))


def test_frames_weigh_what_runs_through_them():
    root = flame.tree(PATHS)
    assert root.weight == 41
    assert root.calls["redis"].calls["main"].weight == 40
    page = ET.fromstring(svg(PATHS))
    titles = [t.text for t in page.iter(f"{SVG}title")]
    assert "main: 40 faults, 97.56 %" in titles
    assert "a<b>&\"c': 30 faults, 73.17 %" in titles


names = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1)


@given(
    st.lists(
        st.builds(Stack, frames=st.lists(names, max_size=5), weight=st.integers(1, 9)), max_size=8
    )
)
def test_any_flame_graph_is_whole_and_no_frame_is_wider_than_its_caller(stacks):
    page = ET.fromstring(svg(PATHS.model_copy(update={"stacks": stacks})))
    total = sum(s.weight for s in stacks)
    for group in page.iter(f"{SVG}g"):
        x, width = float(group.attrib["data-x"]), float(group.attrib["data-w"])
        assert 0 <= x <= x + width <= 1000.1
    root = flame.tree(PATHS.model_copy(update={"stacks": stacks}))
    pending = [root]
    assert root.weight == total
    while pending:
        frame = pending.pop()
        assert sum(c.weight for c in frame.calls.values()) <= frame.weight
        pending += frame.calls.values()


def test_an_answer_without_anything_is_a_picture_that_says_so():
    page = check(svg(Result(probe="timers", scope="node", seconds=1.0)))
    assert "nothing was seen" in texts(page)
