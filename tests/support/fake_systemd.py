"""PID 1's side of a pod slice on a real bus: systemd1's units, as far as cpusets go.

Answers on a private dbus-daemon, so that bytes on the wire, authentication, restarts of the
bus and refusals are real. What systemd does with a value (write the cgroup's files, an empty
set included) is done to a fake cgroup tree.
"""

import shutil
import subprocess
import threading
from pathlib import Path

import pytest
from jeepney import HeaderFields, MessageType, new_error, new_method_return
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import open_dbus_connection
from support.fake_cgroups import FakeKernel

from numapin_api.cpulist import IdSet

CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/>
<allow eavesdrop="true"/><allow own="*"/></policy></busconfig>
"""


class Bus:
    """A dbus-daemon of one's own."""

    def __init__(self, directory: Path) -> None:
        if shutil.which("dbus-daemon") is None:
            pytest.skip("no dbus-daemon on this machine: apt-get install dbus-daemon")
        self.socket = directory / "bus"
        self._config = directory / "bus.conf"
        self._config.write_text(CONFIG.format(socket=self.socket))
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            ["dbus-daemon", f"--config-file={self._config}", "--nofork", "--print-address"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert "unix:" in self._process.stdout.readline()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self.socket.unlink(missing_ok=True)


class FakeSystemd:
    """org.freedesktop.systemd1 with one unit for each slice directory of a fake tree.

    Args:
        bus: where to answer.
        kernel: the tree that values are written to.
    """

    def __init__(self, bus: Bus, kernel: FakeKernel) -> None:
        self.kernel = kernel
        self.held: dict[tuple[str, str], bytes] = {}
        self.refuse: str | None = None
        self.forgetful = False
        self.sets: list[tuple[str, dict[str, bytes]]] = []
        self._connection = open_dbus_connection(f"unix:path={bus.socket}")
        request = message_bus.RequestName("org.freedesktop.systemd1")
        self._connection.send_and_get_reply(request, timeout=5)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._end = True
        self._thread.join(5)
        self._connection.close()

    _end = False

    def _serve(self) -> None:
        while not self._end:
            try:
                message = self._connection.receive(timeout=0.05)
            except TimeoutError:
                continue
            except OSError:
                return
            if message.header.message_type is MessageType.method_call:
                self._connection.send(self._answer(message))

    def _answer(self, message):
        fields = message.header.fields
        member, path = fields[HeaderFields.member], fields[HeaderFields.path]
        unit = bytes.fromhex(path.rpartition("/")[2]).decode() if "/unit/" in path else ""
        if member == "GetUnit":
            (name,) = message.body
            if self._directory(name) is None:
                error = "org.freedesktop.systemd1.NoSuchUnit"
                return new_error(message, error, "s", (f"Unit {name} not loaded.",))
            object_path = f"/org/freedesktop/systemd1/unit/{name.encode().hex()}"
            return new_method_return(message, "o", (object_path,))
        if member == "Get":
            interface, name = message.body
            assert interface == "org.freedesktop.systemd1.Slice"
            if name == "ControlGroup":
                directory = self._directory(unit)
                assert directory is not None
                value = f"/{directory.relative_to(self.kernel.paths.cgroup)}"
                return new_method_return(message, "v", (("s", value),))
            return new_method_return(message, "v", (("ay", self.held.get((unit, name), b"")),))
        if self.refuse is not None:
            return new_error(message, self.refuse, "s", ("no",))
        runtime, properties = message.body
        assert runtime is True
        values = {name: bytes(value) for name, (_, value) in properties}
        self.sets.append((unit, values))
        self._set(unit, values)
        return new_method_return(message)

    def _set(self, unit: str, values: dict[str, bytes]) -> None:
        directory = self._directory(unit)
        assert directory is not None
        for name, file in (("AllowedCPUs", "cpuset.cpus"), ("AllowedMemoryNodes", "cpuset.mems")):
            if name in values and not self.forgetful:
                self.held[unit, name] = values[name]
            held = IdSet.from_mask(self.held.get((unit, name), b""))
            if held:  # kernels up to 6.19 refuse an empty set of a populated cgroup
                (directory / file).write_text(f"{held}\n")
        self.kernel.settle()

    def _directory(self, unit: str) -> Path | None:
        return next(iter(self.kernel.paths.cgroup.rglob(unit)), None)
