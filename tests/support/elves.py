"""Programs that are symbols and nothing else."""

import struct


def program(functions: int, name: bytes = b"f", *, strings: int = 0, headers: int = 2) -> bytes:
    """An ELF file of no code with so many functions, all of that name."""
    names = b"\0" + name + b"\0" * max(1, strings - len(name) - 1)
    symbols = b"".join(
        struct.pack("<IBBHQQ", 1, 2, 0, 1, 0x1000 + 16 * i, 16) for i in range(functions)
    )
    at = 64 + 56
    sections = struct.pack("<IIQQQQIIQQ", 0, 2, 0, 0, at, len(symbols), 1, 0, 0, 24)
    sections += struct.pack("<IIQQQQIIQQ", 0, 3, 0, 0, at + len(symbols), len(names), 0, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0x1000, 0, 1 << 30, 1 << 30, 0x1000)
    head = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01",
        3,
        62,
        1,
        0,
        64,
        at + len(symbols) + len(names),
        0,
        64,
        56,
        1,
        64,
        headers,
        0,
    )
    return head + load + symbols + names + sections
