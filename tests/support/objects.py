"""One whole object of each kind, as users and programs write them."""

from pathlib import Path
from typing import Any

import yaml

_FILE = Path(__file__).parents[1] / "api" / "objects.yaml"


def example(kind: str) -> dict[str, Any]:
    """A new copy of the example of a kind."""
    return next(o for o in yaml.safe_load_all(_FILE.read_text()) if o["kind"] == kind)
