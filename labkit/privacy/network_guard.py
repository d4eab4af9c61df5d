"""A guard that lets no socket leave this computer, and shows what was tried.

Usage: ``with guard() as watch: chat("你好")``, then ``print(watch)``

Python announces what it is about to do with a socket or a process to audit hooks (PEP 578), before
it is done; the guard's hook refuses what does not stay on loopback, in every thread. What it
cannot see: C code that calls the system itself (ctypes, a C extension), data sent on a connection
opened before, and hostile code that tampers with this module. Against the first two it compares
open connections and child processes before and after, which finds those still there at the end.
A host's name given straight to ``connect`` is looked up by C before Python announces anything: that
question to a name server can leave, the connection cannot. (Clients ask ``getaddrinfo``: refused.)
For a wall rather than a watchman take the operating system's: ``unshare -n``, a container.
"""

import ipaddress
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..core.errors import LabError
from ..core.i18n import t


class NetworkBlocked(LabError):
    """Something tried to leave this computer, or to start a process that could."""


class Watch:
    """What a :func:`guard` saw. seen: contacts on loopback. blocked: what was refused.

    found: connections and processes there at the end and not at the beginning. open_before:
    connections to elsewhere that were open already, on which data could go unseen. Each is a text
    such as ``"socket.connect 203.0.113.5:443"``.
    """

    def __init__(self, processes: bool) -> None:
        self.processes = processes
        self.seen: list[str] = []
        self.blocked: list[str] = []
        self.found: tuple[str, ...] = ()
        self.open_before: tuple[str, ...] = ()

    @property
    def is_tight(self) -> bool:
        """Whether nothing left as far as can be seen: nothing tried, found, or open before.

        Usage: ``watch.is_tight``
        """
        return not (self.blocked or self.found or self.open_before)

    def __str__(self) -> str:
        nothing = t("none", "无")
        lines = (
            (t("Contacts on this computer", "本机内部连接"), self.seen),
            (t("Refused", "已拒绝"), self.blocked),
            (t("Found at the end", "结束时发现"), self.found),
            (t("Open before", "此前已打开"), self.open_before),
        )
        return "\n".join(f"{name}: {', '.join(what) or nothing}" for name, what in lines)

    __repr__ = __str__


@contextmanager
def guard(*, processes: bool = False) -> Iterator[Watch]:
    """While it lasts, this process reaches no computer but its own; threads included.

    Usage: ``with guard() as watch: answer = chat("你好")``; ``watch.is_tight``

    Raises NetworkBlocked where something tries to leave, and at the end for what was tried and
    hushed up, or found. processes: whether others may be started; they are not watched. Guards
    may be nested.
    """
    watch = Watch(processes)
    _install()
    connections, children = _connections(), _children()
    watch.open_before = tuple(sorted(connections))
    with _lock:
        _watches.append(watch)
    try:
        yield watch
    finally:
        with _lock:
            _watches.remove(watch)
        started = set() if processes else _children() - children
        watch.found = tuple(sorted((_connections() - connections) | started))
    if watch.blocked or watch.found:
        raise _refusal((*watch.blocked, *watch.found)[0])


# --- the hook ----------------------------------------------------------------------------------

_lock = threading.Lock()
_watches: list[Watch] = []
_installed = False

_PROCESSES = {
    "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.startfile",
    "os.startfile/2", "pty.spawn", "os.fork", "os.forkpty", "_winapi.CreateProcess",
}  # fmt: skip

_ADDRESS = {
    "socket.connect": 1, "socket.bind": 1, "socket.sendto": 1, "socket.sendmsg": 1,
    "socket.getaddrinfo": 0, "socket.gethostbyname": 0, "socket.gethostbyaddr": 0,
    "socket.getnameinfo": 0,
}  # fmt: skip
"""Audit events of sockets, and which of their arguments says whereto."""


def _install() -> None:
    """Hooks cannot be taken out again, so there is one, and it does nothing without a guard."""
    global _installed
    with _lock:
        if not _installed:
            sys.addaudithook(_hook)
            _installed = True


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watches:
        return
    if event in _ADDRESS:
        # A host to resolve may come as bytes or text; a connected socket sends to None.
        target = arguments[_ADDRESS[event]]
        line = f"{event} {_show(target)}"
        stays = _stays(target)
        for watch in list(_watches):
            (watch.seen if stays else watch.blocked).append(line)
        if not stays:
            raise _refusal(line)
    elif event in _PROCESSES and any(not watch.processes for watch in _watches):
        for watch in list(_watches):
            if not watch.processes:
                watch.blocked.append(event)
        raise _refusal(event)


def _stays(target: Any) -> bool:
    """Whether an address is on this computer; what is not plainly so is not."""
    if target is None:
        return True  # to the peer it is connected to, which was judged when it was
    if isinstance(target, tuple):
        return bool(target) and _stays(target[0])
    if isinstance(target, bytes | bytearray):
        target = bytes(target).decode("utf-8", "replace")
    if not isinstance(target, str):
        return False
    if target.startswith(("/", "\0")):
        return True  # a Unix socket
    host = target.strip("[]")
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _show(target: Any) -> str:
    if isinstance(target, tuple):
        return ":".join(map(str, target[:2]))
    return str(target)


def _refusal(what: str) -> NetworkBlocked:
    return NetworkBlocked(
        t(f"Refused: {what}.", f"已拒绝：{what}。"),
        t(
            "The guard allows loopback only; do this outside its block.",
            "守卫只允许本机回环连接；请在 guard 之外执行。",
        ),
    )


def _connections() -> set[str]:
    """Connections of this process to elsewhere that are open now."""
    import psutil

    found = set()
    for one in psutil.Process().net_connections("inet"):
        if one.raddr and not _stays(one.raddr.ip):
            found.add(f"connection {one.raddr.ip}:{one.raddr.port}")
    return found


def _children() -> set[str]:
    import psutil

    return {f"process {child.pid}" for child in psutil.Process().children(recursive=True)}
