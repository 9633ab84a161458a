"""What to do about a request that the API server did not allow. Pure."""

import re
from shlex import quote
from typing import Final

ROLE: Final = "numapin-tracer"
"""ClusterRole of the chart in a release of its usual name: NumaTraces, and finding pods. Bound to
nobody. Who lacks the right can't ask for the real name either."""


def advice(refusal: str, *, namespace: str) -> str:
    """The refusal, which names the right that is missing, and how it is given.

    Args:
        refusal: what the API server said.
        namespace: in which the right is missing.
    """
    user = re.search(r'User "([^"]+)"', refusal)
    name = quote(user[1]) if user else "USER"
    return (
        f"{refusal}; who administers the cluster gives the right to trace pods of a namespace, or "
        f"nodes in numapin's own, by the ClusterRole of the release that ends with -tracer: "
        f"kubectl create rolebinding NAME --clusterrole={ROLE} --user={name} -n {namespace}"
    )
