"""Asks agents for their figures, a few at a time, and keeps what failed beside what did not."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Protocol

from numapin_api.errors import ApiError
from numapin_cli.answers import INSTALL
from numapin_cli.connect import CONNECTIONS
from numapin_cli.failures import ForbiddenError, NotFoundError, UnavailableError
from numapin_cli.kube import AGENT_SELECTOR, Cluster
from numapin_cli.live.agents import AgentPod, Chosen, choose
from numapin_cli.live.exposition import read
from numapin_cli.live.values import AgentReading, Gathered

MOST_NODES: Final = 64
"""Asked without being named: each costs the API server a request at every refresh."""
AT_ONCE: Final = CONNECTIONS
"""Requests that are under way: through the API server, which has others to serve."""

PATH: Final = "metrics"
Scrape = Callable[[AgentPod], str]
"""An agent's /metrics as text; raises ApiError."""


class Way(Protocol):
    """Asks a pod for a page; ``Cluster.pod_page`` is one such."""

    def __call__(self, namespace: str, name: str, *, port: int, path: str) -> str:
        """The page; raises ApiError."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which nodes the user means.

    Attributes:
        namespace: nodes that hold pods of it; None for all.
        nodes: by name; empty for all.
        everywhere: however many that makes.
    """

    namespace: str | None = None
    nodes: tuple[str, ...] = ()
    everywhere: bool = False


def agents(cluster: Cluster, scope: Scope) -> Chosen:
    """Find whom to ask.

    Args:
        cluster: where.
        scope: which nodes.

    Raises:
        ApiError: pods can't be listed, there is no agent at all, or there are more nodes than
            anybody could mean by saying nothing.
    """
    nodes = set(scope.nodes) or None
    if scope.namespace is not None:
        pods = cluster.pods(scope.namespace)
        holding = {n for p in pods if (n := (p.get("spec") or {}).get("nodeName"))}
        nodes = holding if nodes is None else nodes & holding
        if not nodes:
            where = f" on node {', '.join(scope.nodes)}" if scope.nodes else ""
            raise ApiError(f"no pod of namespace {scope.namespace} runs{where}")
    found = cluster.agent_pods()
    if not found:
        raise ApiError(
            f"no agent of numapin runs in this cluster (pods labelled {AGENT_SELECTOR}): look at "
            "its DaemonSet, kubectl get daemonsets -A -l app.kubernetes.io/name=numapin"
            if cluster.installed()
            else INSTALL
        )
    chosen = choose(found, nodes=nodes)
    if len(chosen.agents) > MOST_NODES and not (scope.everywhere or scope.nodes):
        raise ApiError(
            f"{len(chosen.agents)} nodes would be asked, each through the API server: name some "
            f"with --node or a namespace with -n, or say --all-nodes if all of them are meant "
            f"(up to {MOST_NODES} are asked without)"
        )
    return chosen


class Scraper:
    """Asks agents through the API server, with the user's own rights.

    By the pod proxy, which is one plain request. Where that is shut, because the API server
    can't reach pods or the user may not use it, by port-forward; which of them worked for one
    agent is then tried first for all, so that no table waits for the other again and again.

    Args:
        cluster: whose agents.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._ways: tuple[Way, Way] = (cluster.pod_page, cluster.forwarded_page)

    def __call__(self, agent: AgentPod) -> str:
        """An agent's /metrics; may be called by several threads.

        Raises:
            ApiError: it can't be had either way.
        """
        first, second = self._ways
        try:
            return first(agent.namespace, agent.name, port=agent.port, path=PATH)
        except (UnavailableError, ForbiddenError) as e:
            try:
                text = second(agent.namespace, agent.name, port=agent.port, path=PATH)
            except ApiError as other:
                kind = ForbiddenError if isinstance(other, ForbiddenError) else type(e)
                raise kind(f"{e}; {other}") from other
        self._ways = second, first
        return text


def gather(
    whom: Chosen, scrape: Scrape, *, clock: Callable[[], float] = time.monotonic
) -> Gathered:
    """Ask each agent once.

    Args:
        whom: one a node; of the rest of the nodes it says why they can't be asked.
        scrape: asks one; called by several threads at once.
        clock: monotonic seconds.
    """

    def ask(agent: AgentPod) -> AgentReading | str:
        begun = clock()
        try:
            text = scrape(agent)
            # The agent reads its counters somewhere in between.
            return read(text, at=(begun + clock()) / 2)
        except ApiError as e:
            return f"{e}{_hint(agent, e)}"
        except ValueError as e:
            return (
                f"what {agent.namespace}/{agent.name} answers at port {agent.port} is no metrics "
                f"of an agent: {e}"
            )

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = dict(zip((a.node for a in whom.agents), pool.map(ask, whom.agents), strict=True))
    return Gathered(
        readings={n: a for n, a in answers.items() if isinstance(a, AgentReading)},
        problems={**whom.problems, **{n: a for n, a in answers.items() if isinstance(a, str)}},
    )


def _hint(agent: AgentPod, error: ApiError) -> str:
    match error:
        case ForbiddenError():
            return (
                "; reading counters takes the right to get pods/proxy, or to get and create "
                f"pods/portforward, in {agent.namespace}"
            )
        case NotFoundError():
            return "; it has just been replaced: ask again"
        case UnavailableError():
            return f"; is the agent up? kubectl logs {agent.name} -n {agent.namespace}"
    return ""
