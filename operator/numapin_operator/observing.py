"""What a pin would do to a pod in mode Observe, and what it would gain. Pure.

From the same counters that judge a pin, as they are without one. It promises nothing that it
has not counted: where a signal is missing or not valid, it is left out.
"""

from collections.abc import Iterator

from numapin_api.locality import home
from numapin_api.pin import Counters, NumaPinSpec, Observed
from numapin_operator import checks, dram
from numapin_operator.checks import Eyes
from numapin_operator.text import listed, size


def told(spec: NumaPinSpec, observed: Observed, seen: Eyes) -> str:
    """The message of a pin that is only observed.

    Args:
        spec: what was decided.
        observed: what the agent saw.
        seen: what can be seen on the node.
    """
    return f"only observed: {_would_do(spec, observed, seen)}; {_would_gain(spec, observed, seen)}"


def _would_do(spec: NumaPinSpec, observed: Observed, seen: Eyes) -> str:
    if spec.socket is None:
        return "no socket was given; condition Pinned says why"
    bound = f"memory nodes {spec.mems}" if spec.mems is not None else "memory as it is"
    text = f"it would be pinned to socket {spec.socket}: CPUs {spec.cpus}, {bound}"
    nodes = home(spec, seen.topology)
    share = checks.local_percent(spec, observed, seen.topology)
    if share is None:
        return text
    far = sum(m.bytes for m in observed.memory if m.node not in nodes)
    return f"{text}; {share:.1f}% of its memory is there already, {size(far)} elsewhere"


def _would_gain(spec: NumaPinSpec, observed: Observed, seen: Eyes) -> str:
    counters = observed.counters
    if counters is None or not counters.seconds or not seen.told:
        return "what it can gain is not counted yet"
    found = listed(_gains(spec, observed, counters, seen))
    if found:
        return f"the most that it can gain is an end of {found}, over {counters.seconds:.0f} s"
    return f"nothing to gain was seen within {counters.seconds:.0f} s"


def _gains(spec: NumaPinSpec, observed: Observed, counters: Counters, seen: Eyes) -> Iterator[str]:
    level = seen.level("numaMigrations")
    if level != "none" and counters.migrated_pages:
        kind = "NUMA migrations" if level == "cgroup" else "cross-socket migrations"
        if rate := checks.crossing(counters, level):
            yield f"{rate:.1f} pages/s of {kind}"
        if counters.migration_nanoseconds:
            spent = counters.migration_nanoseconds / 1e6 / counters.seconds
            yield f"{spent:.1f} ms/s spent migrating"
    if seen.level("taskMigrations") != "none" and counters.cross_socket_task_migrations:
        rate = counters.cross_socket_task_migrations / counters.seconds
        yield f"{rate:.1f} thread moves/s between sockets"
    faults = checks.hint_faults(spec, observed, counters, seen)
    if faults.ok is not None and counters.hint_fault_pages_remote:
        pages = counters.hint_fault_pages_local + counters.hint_fault_pages_remote
        share = 100 * counters.hint_fault_pages_remote / pages
        yield f"{share:.1f}% remote of {pages} sampled pages"
    if dram.counted(seen) and dram.check(spec, counters).ok is not None:
        local, remote = counters.dram_fills_local or 0, counters.dram_fills_remote or 0
        if remote:
            rate = (local + remote) / counters.seconds
            share = 100 * remote / (local + remote)
            yield f"{share:.1f}% remote of {rate:,.0f} reads of DRAM a second"
