"""The Grafana dashboard, made of ``panels``: thousands of lines of JSON nobody has to review."""

import json
from typing import Any, Final

from numapin_chart.panels import ROWS, VARIABLES, Panel

_DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH, _HEIGHT, _COLUMNS = 12, 8, 2


def _panel(number: int, panel: Panel, *, x: int, y: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": _DATASOURCE,
        "gridPos": {"h": _HEIGHT, "w": _WIDTH, "x": x, "y": y},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "table", "placement": "right", "calcs": ["last"]}},
        "targets": [
            {"refId": chr(ord("A") + n), "datasource": _DATASOURCE, "expr": e, "legendFormat": name}
            for n, (e, name) in enumerate(panel.lines)
        ],
    }


def _panels() -> list[dict[str, Any]]:
    """Each row's heading, and below it its panels, two abreast."""
    made: list[dict[str, Any]] = []
    y = 0
    for row in ROWS:
        heading = {"h": 1, "w": _WIDTH * _COLUMNS, "x": 0, "y": y}
        made.append(
            {
                "id": len(made) + 1,
                "type": "row",
                "title": row.title,
                "collapsed": False,
                "gridPos": heading,
                "panels": [],
            }
        )
        y += 1
        for number, panel in enumerate(row.panels):
            down, across = divmod(number, _COLUMNS)
            made.append(_panel(len(made) + 1, panel, x=across * _WIDTH, y=y + down * _HEIGHT))
        y += -(-len(row.panels) // _COLUMNS) * _HEIGHT
    return made


def _variable(name: str, title: str, series: str, label: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": title,
        "type": "query",
        "datasource": _DATASOURCE,
        "query": {"query": f"label_values({series}, {label})", "refId": "A"},
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    datasource = {"name": "datasource", "label": "Data source", "type": "datasource"}
    return {
        "uid": "numapin",
        "title": "numapin",
        "tags": ["numapin"],
        "schemaVersion": 39,
        "version": 1,
        "timezone": "browser",
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "30s",
        "templating": {
            "list": [
                {**datasource, "query": "prometheus"},
                *(_variable(*variable) for variable in VARIABLES),
            ]
        },
        "panels": _panels(),
    }


def text() -> str:
    """The file of the dashboard."""
    return json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"
