"""Asking PID 1 for a unit's cpuset over D-Bus, so that systemd itself holds the value.

Needs uid 0 and no capability. Knows units and bus messages, nothing of pods. A bus that was
restarted is dialled again once; a request that PID 1 refuses is an error with its words.
"""

from pathlib import Path
from typing import TypeVar

from jeepney import DBusAddress, DBusErrorResponse, Properties, new_method_call
from jeepney.auth import AuthenticationError
from jeepney.io.blocking import DBusConnection, prep_socket
from jeepney.low_level import Message
from jeepney.wrappers import unwrap_msg

from numapin_agent.cgroup.values import Cpuset
from numapin_api.cpulist import CpuSet, NodeSet
from numapin_api.errors import SystemdError

_SERVICE = "org.freedesktop.systemd1"
_MANAGER = DBusAddress(
    "/org/freedesktop/systemd1", bus_name=_SERVICE, interface=f"{_SERVICE}.Manager"
)
_T = TypeVar("_T")

AUTH_SECONDS = 5.0
REPLY_SECONDS = 10.0
"""PID 1 may itself be stalled by somebody else's cpuset write."""


class _Connection(DBusConnection):  # type: ignore[misc] # jeepney has no types
    """A connection on which nothing waits for ever, its own greeting included."""

    def receive(self, *, timeout: float | None = None) -> Message:
        return super().receive(timeout=REPLY_SECONDS if timeout is None else timeout)


class SystemdBus:
    """A connection to systemd on the host's system bus, opened when it is first needed.

    Args:
        socket: the bus's Unix socket.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._connection: DBusConnection | None = None

    def set_cpuset(
        self, unit: str, cgroup: str, *, cpus: CpuSet | None = None, mems: NodeSet | None = None
    ) -> Cpuset:
        """Set AllowedCPUs and AllowedMemoryNodes of a running unit, for this boot only.

        Both go in one call, so that systemd writes them in one go. An empty set clears the
        property; None leaves it alone.

        Args:
            unit: the unit's name, like ``kubepods-pod….slice``.
            cgroup: the cgroup that the unit must have, like ``/kubepods.slice/…``; a unit
                of the same name elsewhere is refused.
            cpus: the CPUs.
            mems: the NUMA nodes.

        Returns:
            What systemd holds afterwards, as it says when asked.

        Raises:
            SystemdError: no such unit, a different cgroup, PID 1 refused or is out of reach.
        """
        path = self._unit(unit, cgroup)
        values = [("AllowedCPUs", cpus), ("AllowedMemoryNodes", mems)]
        properties = [
            (name, ("ay", value.to_mask())) for name, value in values if value is not None
        ]
        address = DBusAddress(path, bus_name=_SERVICE, interface=f"{_SERVICE}.Unit")
        body = (True, properties)
        self._call(new_method_call(address, "SetProperties", "ba(sv)", body), unit)
        return self._held(path, unit)

    def cpuset(self, unit: str, cgroup: str) -> Cpuset:
        """What systemd holds for the unit; empty sets are not configured.

        Raises:
            SystemdError: see ``set_cpuset``.
        """
        return self._held(self._unit(unit, cgroup), unit)

    def _held(self, path: str, unit: str) -> Cpuset:
        return Cpuset(
            CpuSet.from_mask(self._property(path, unit, "AllowedCPUs", bytes)),
            NodeSet.from_mask(self._property(path, unit, "AllowedMemoryNodes", bytes)),
        )

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _unit(self, unit: str, cgroup: str) -> str:
        # GetUnit, not LoadUnit: for a unit that is gone, SetProperties would leave a drop-in
        # behind for a slice that nobody starts again.
        (path,) = self._call(new_method_call(_MANAGER, "GetUnit", "s", (unit,)), unit)
        if not isinstance(path, str):
            raise SystemdError(f"{unit}: GetUnit returned {path!r}, not an object path")
        found = self._property(path, unit, "ControlGroup", str)
        if found != cgroup:
            raise SystemdError(f"{unit} has the cgroup {found!r}, expected {cgroup!r}")
        return path

    def _property(self, path: str, unit: str, name: str, kind: type[_T]) -> _T:
        address = DBusAddress(path, bus_name=_SERVICE, interface=f"{_SERVICE}.Slice")
        (variant,) = self._call(Properties(address).get(name), unit)
        match variant:
            case (str(), value) if isinstance(value, kind):
                return value
        raise SystemdError(f"{unit}: property {name} is {variant!r}, not {kind.__name__}")

    def _call(self, message: Message, unit: str) -> tuple[object, ...]:
        try:
            try:
                reply = self._ask(message)
            except ConnectionError:
                # dbus was restarted since the last call: requests are idempotent, dial again.
                self.close()
                reply = self._ask(message)
            return tuple(unwrap_msg(reply))
        except DBusErrorResponse as e:
            words = " ".join(map(str, e.data or ()))
            raise SystemdError(f"{unit}: {e.name}: {words}") from e
        except TimeoutError as e:
            self.close()
            raise SystemdError(f"{unit}: no answer within {REPLY_SECONDS:g} s") from e
        except (OSError, AuthenticationError) as e:
            self.close()
            raise SystemdError(f"no system bus at {self._socket}: {e}") from e

    def _ask(self, message: Message) -> Message:
        return self._connected().send_and_get_reply(message, timeout=REPLY_SECONDS)

    def _connected(self) -> DBusConnection:
        if self._connection is None:
            self._connection = _Connection(prep_socket(str(self._socket), timeout=AUTH_SECONDS))
        return self._connection
