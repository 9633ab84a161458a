"""Log lines: a constant message and fields, as JSON for machines or plain for people."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final, Literal

_BUILT_IN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
_KOPFS_OWN: Final = frozenset({"k8s_skip", "k8s_ref", "settings", "taskName"})


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(record).items()
        if name not in _BUILT_IN and name not in _KOPFS_OWN
    }


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON."""
        time = datetime.fromtimestamp(record.created, UTC)
        line = {
            "time": time.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        } | _fields(record)
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class PlainFormatter(logging.Formatter):
    """Time, level, message, then ``field=value``."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line."""
        time = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        text = f"{time} {record.levelname:7} {record.getMessage()}{fields}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def set_up(style: Literal["json", "plain"], level: str) -> None:
    """Send all logs to stderr; kopf's are kept to what matters."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else PlainFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    if level != "debug":
        logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
        # A failed probe is told of by kopf already, without a traceback.
        logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
        # One line per event and handler at INFO, thousands at every relist.
        logging.getLogger("kopf.objects").setLevel(logging.WARNING)
        logging.getLogger("kopf.activities").setLevel(logging.WARNING)
