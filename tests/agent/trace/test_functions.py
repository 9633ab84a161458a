"""Which function is meant, whatever compilers have made of it, and why one can't be timed."""

import pytest

from numapin_agent.trace.functions import like, meant, never_returns, why_not
from numapin_agent.trace.symbols import Symbols, kernel_symbols

KALLSYMS = """\
0000000000001000 T vfs_read
0000000000001100 t vfs_read.cold
0000000000001200 t cleanup
0000000000001300 t cleanup [ext4]
0000000000001400 t changed.isra.0
0000000000001500 t parted
0000000000001600 t parted.part.0
0000000000001700 t both
0000000000001800 t both.constprop.0
0000000000001900 t twice.isra.0
0000000000001a00 t twice.constprop.1
0000000000001b00 t cut.part.0
0000000000001c00 t in_module.llvm.42 [nf_tables]
"""
KERNEL = kernel_symbols(KALLSYMS.splitlines())


@pytest.mark.parametrize(
    ("name", "symbol", "said"),
    [
        ("vfs_read", "vfs_read", []),
        ("parted", "parted", []),
        ("changed", "changed.isra.0", ["changed is changed.isra.0 in this kernel"]),
        ("changed.isra.0", "changed.isra.0", []),
        ("in_module", "in_module.llvm.42", ["in_module is in_module.llvm.42"]),
        ("cleanup", "cleanup", ["2 functions are called cleanup (vmlinux, [ext4]): one of them"]),
        ("both", "both", ["calls of both.constprop.0 are not seen"]),
        # Which one is meant, or a part of one: the kernel refuses those, with what there is.
        ("twice", "twice", []),
        ("cut", "cut", []),
        ("vfs", "vfs", []),
    ],
)
def test_the_function_that_is_meant(name, symbol, said):
    found = meant(name, KERNEL)
    assert found.symbol == symbol
    assert len(found.notes) == len(said)
    for note, begin in zip(found.notes, said, strict=True):
        assert note.startswith(begin)


def test_nothing_is_known_where_symbols_are_hidden():
    assert meant("vfs_read", Symbols()).symbol == "vfs_read"
    assert why_not("vfs_read", Symbols(), "kprobe vfs_read: no") == "kprobe vfs_read: no"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("vfs_rea", "has none of that name, or has inlined it: ask about one that calls it; there"),
        ("twice", "there are twice.isra.0, twice.constprop.1"),
        ("cleanup", "2 have that name (vmlinux, [ext4]): kprobe cleanup: no"),
        ("vfs_read", "kprobe vfs_read: no; if other functions can be timed here, this one is"),
    ],
)
def test_why_a_function_can_not_be_timed(name, said):
    assert said in why_not(name, KERNEL, f"kprobe {name}: no")


def test_what_has_nothing_to_do_with_the_function_is_told_as_it_is():
    assert why_not("vfs_rea", KERNEL, "the compiler hangs") == "the compiler hangs"


def test_names_that_may_be_meant():
    assert like("read", KERNEL) == ["vfs_read", "vfs_read.cold"]


@pytest.mark.parametrize(
    ("name", "never"),
    [
        ("do_exit", True),
        ("do_exit.constprop.0", True),
        ("panic", True),
        ("sys_exit", True),
        ("__x64_sys_exit", True),
        ("__x64_sys_exit_group", True),
        ("__ia32_sys_exit_group", True),
        ("__arm64_sys_exit", True),
        ("__do_sys_exit_group", True),
        ("x64_sys_call", True),
        ("get_signal", True),
        ("__x64_sys_exit_group_like", False),
        ("__x64_sys_read", False),
        ("sys_exit_path", False),
        ("", False),
    ],
)
def test_functions_that_never_return(name, never):
    assert never_returns(name) is never
