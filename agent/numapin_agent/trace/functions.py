"""Which kernel function is meant by a name, and why one can't be timed. Pure.

Compilers inline functions, make parts and variants of them, and two source files may have static
functions of one name: what of that is so in this kernel is read from its symbols.
"""

import re
from dataclasses import dataclass
from typing import Final

from numapin_agent.trace.symbols import Symbols

_NEVER_RETURN: Final = frozenset({
    "do_exit", "do_group_exit", "do_task_dead", "make_task_dead", "rewind_stack_and_make_dead",
    "kthread_exit", "kthread_complete_and_exit", "__module_put_and_kthread_exit",
    "__module_put_and_exit", "complete_and_exit", "cpu_startup_entry", "panic", "vpanic",
    "stop_this_cpu",
    # of threads that end within: by exit(2), by a signal, as kernel threads
    "x64_sys_call", "ia32_sys_call", "invoke_syscall", "do_el0_svc", "do_notify_resume",
    "get_signal", "arch_do_signal_or_restart", "kthread", "call_usermodehelper_exec_async",
    "io_wq_worker", "io_sq_thread", "vhost_task_fn",
})  # fmt: skip
"""Of tools/objtool/noreturns.h those that run, and some that call those. They have no latency, and
the kernel never frees a trampoline that waits for their return (fexit), until it is booted anew;
from 6.15 on it refuses some itself."""
_EXIT: Final = re.compile(r"(__(x64|ia32|arm64|riscv|s390x?|se|do)(_compat)?_)?sys_exit(_group)?")
"""exit(2) and exit_group(2), by whatever wrapper an architecture has."""
_WHOLE: Final = ("isra", "constprop", "llvm", "lto_priv")
"""Suffixes of functions that compilers have changed; ``part`` and ``cold`` are pieces of one."""
_TOLD: Final = 5


@dataclass(frozen=True, slots=True)
class Meant:
    """What is to be traced.

    Attributes:
        symbol: as the kernel calls it.
        notes: what of it is not seen.
    """

    symbol: str
    notes: tuple[str, ...] = ()


def meant(name: str, symbols: Symbols) -> Meant:
    """The function to trace.

    Args:
        name: as the user said.
        symbols: of the kernel; none where they are hidden.
    """
    same, variants = _found(name, symbols)
    if not same and len(variants) == 1:
        return Meant(
            variants[0],
            (
                f"{name} is {variants[0]} in this kernel: calls that the compiler has put into "
                "their callers are not seen",
            ),
        )
    notes = []
    if len(same) > 1:
        notes.append(
            f"{len(same)} functions are called {name} ({', '.join(map(_home, same[:_TOLD]))}): one "
            "of them is timed, and the kernel does not say which"
        )
    if same and variants:
        notes.append(f"calls of {', '.join(variants[:_TOLD])} are not seen: ask about those, too")
    return Meant(name, tuple(notes))


def never_returns(name: str) -> bool:
    """Whether a function has no latency, or none for a thread that ends."""
    bare = name.partition(".")[0]
    return bare in _NEVER_RETURN or _EXIT.fullmatch(bare) is not None


def why_not(name: str, symbols: Symbols, refused: str) -> str:
    """The kernel's refusal to have a function traced, with what is known of the function.

    Args:
        name: as the user said.
        symbols: of the kernel; none where they are hidden.
        refused: the kernel's words.
    """
    if not symbols.starts or f"kprobe {name}:" not in refused:
        return refused
    same, _ = _found(name, symbols)
    if not same:
        near = like(name, symbols)
        hint = f"; there are {', '.join(near)}" if near else ""
        return (
            f"function {name!r}: this kernel has none of that name, or has inlined it: ask about "
            f"one that calls it{hint}"
        )
    if len(same) > 1:
        homes = ", ".join(map(_home, same[:_TOLD]))
        return f"function {name!r}: {len(same)} have that name ({homes}): {refused}"
    return (
        f"{refused}; if other functions can be timed here, this one is marked notrace: ask about "
        "one that calls it"
    )


def like(name: str, symbols: Symbols, most: int = _TOLD) -> list[str]:
    """Functions whose name a user may have meant."""
    bare = [one.split(" ")[0] for one in symbols.names]
    close = [one for one in bare if one.startswith(f"{name}.")]
    close += [one for one in bare if name in one and one not in close]
    return list(dict.fromkeys(close))[:most]


def _found(name: str, symbols: Symbols) -> tuple[list[str], list[str]]:
    """Symbols of that name, each with its module, and whole variants of it."""
    same: list[str] = []
    variants: dict[str, None] = {}
    for one in symbols.names:
        if one.startswith(name):
            bare = one.split(" ")[0]
            if bare == name:
                same.append(one)
            elif bare.startswith(f"{name}.") and bare.split(".")[1] in _WHOLE:
                variants[bare] = None
    return same, list(variants)


def _home(symbol: str) -> str:
    _, _, module = symbol.partition(" ")
    return module or "vmlinux"
