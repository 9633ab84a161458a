"""A kubelet's PodResources API on a Unix socket, by the real gRPC library, with made-up answers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc

SERVICE = "v1.PodResourcesLister"
Answer = Callable[[bytes, grpc.ServicerContext], bytes]


def varint(value: int) -> bytes:
    value %= 1 << 64
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def data(field: int, value: bytes | str) -> bytes:
    encoded = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(encoded)) + encoded


def device(*nodes: int, name: str = "example.com/nic") -> bytes:
    """ContainerDevices; a NUMA node 0 is left out by proto3 encoders."""
    topology = b"".join(data(1, number(1, n) if n else b"") for n in nodes)
    return (
        data(1, name) + data(2, "dev-0") + data(2, "dev-1") + (data(3, topology) if nodes else b"")
    )


def container(*devices: bytes, cpus: Sequence[int] = (), claims: int = 0) -> bytes:
    """ContainerResources, with packed CPU ids as gogo-protobuf writes them."""
    memory = data(1, "memory") + number(2, 1 << 40) + data(3, data(1, number(1, 1)))
    return (
        data(1, "main")
        + b"".join(data(2, d) for d in devices)
        + (data(3, b"".join(map(varint, cpus))) if cpus else b"")
        + data(4, memory)
        + data(5, data(2, "claim") + data(4, data(2, "gpu.example.com"))) * claims
    )


def pod(
    name: str, *containers: bytes, namespace: str = "default", cpus: Sequence[int] = ()
) -> bytes:
    """PodResources."""
    return (
        data(1, name)
        + data(2, namespace)
        + b"".join(data(3, c) for c in containers)
        + b"".join(number(4, c) for c in cpus)
    )


def pods(*found: bytes) -> bytes:
    """ListPodResourcesResponse."""
    return b"".join(data(1, p) for p in found)


def allocatable(*cpus: int) -> bytes:
    """AllocatableResourcesResponse."""
    return data(1, device(0)) + (data(2, b"".join(map(varint, cpus))) if cpus else b"")


class Kubelet:
    """What it answers, and how often it was asked.

    Attributes:
        answers: method → what comes back.
        asked: methods, in order.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.say()

    def say(self, *found: bytes, cpus: Sequence[int] = ()) -> None:
        """Answer with these pods, and these CPUs as allocatable."""
        self.answers = {
            "List": lambda _request, _context: pods(*found),
            "GetAllocatableResources": lambda _request, _context: allocatable(*cpus),
        }

    def answer(self, method: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.asked.append(method)
        return self.answers[method](request, context)


@contextmanager
def serve(kubelet: Kubelet, path: Path) -> Iterator[None]:
    """Answer on a Unix socket."""

    def handler(method: str) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: kubelet.answer(method, request, context)
        )

    handlers: Mapping[str, grpc.RpcMethodHandler] = {
        method: handler(method) for method in ("List", "GetAllocatableResources")
    }
    server = grpc.server(
        ThreadPoolExecutor(2), options=[("grpc.max_send_message_length", 64 << 20)]
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_insecure_port(f"unix:{path}")
    server.start()
    try:
        yield
    finally:
        server.stop(None).wait()
