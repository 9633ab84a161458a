"""The device plugin of the end-to-end tests, as the real gRPC library sees it."""

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
from support.device_plugin import Plugin, register
from support.kubelet_server import data, number
from support.sockets import short_directory

RESOURCE = "example.org/nic"


def test_a_client_gets_devices_and_the_list_stays_open() -> None:
    with short_directory() as directory:
        plugin = Plugin(directory / "nic.sock", resource=RESOURCE, node=1)
        threading.Thread(target=plugin.serve, daemon=True).start()
        with grpc.insecure_channel(f"unix:{directory}/nic.sock") as channel:
            service = "/v1beta1.DevicePlugin"
            assert channel.unary_unary(f"{service}/GetDevicePluginOptions")(b"", timeout=30) == b""
            listed = channel.unary_stream(f"{service}/ListAndWatch")(b"", timeout=30)
            topology = data(3, data(1, number(1, 1)))
            assert next(listed) == b"".join(
                data(1, data(1, f"nic-{i}") + data(2, "Healthy") + topology) for i in (0, 1)
            )
            wanted = data(1, data(1, "nic-0")) + data(1, data(1, "nic-1"))
            answer = channel.unary_unary(f"{service}/Allocate")(wanted, timeout=30)
            assert answer == data(1, b"") * 2
            assert listed.is_active()
            listed.cancel()


def test_it_registers_with_a_kubelet() -> None:
    heard: list[bytes] = []

    def take(request: bytes, _context: grpc.ServicerContext) -> bytes:
        heard.append(request)
        return b""

    server = grpc.server(ThreadPoolExecutor(1))
    handlers = {"Register": grpc.unary_unary_rpc_method_handler(take)}
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("v1beta1.Registration", handlers),)
    )
    with short_directory() as directory:
        server.add_insecure_port(f"unix:{directory}/kubelet.sock")
        server.start()
        register(directory / "kubelet.sock", endpoint="nic.sock", resource=RESOURCE)
        server.stop(None).wait()
    assert heard == [data(1, "v1beta1") + data(2, "nic.sock") + data(3, RESOURCE)]
