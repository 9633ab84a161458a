"""The dashboard's queries as Grafana sends them."""

import re

_CHOSEN = ".*"
"""What Grafana puts in for a variable of which all values are chosen."""


def ready_to_ask(expression: str, *, rate_interval: str = "1m") -> str:
    """A query with its variables filled in.

    Args:
        expression: of a panel or a variable.
        rate_interval: what Grafana makes of the data source's scrape interval.
    """
    filled = expression.replace("$__rate_interval", rate_interval)
    return re.sub(r"\$\w+", _CHOSEN, filled)
