"""`homing demo NAME`: runs one of the servers of `examples/servers`, and prints the commands of its clients."""

from __future__ import annotations

import asyncio
import difflib
import inspect
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any, cast

from .. import gen
from ..gen.foreign import safe_repr
from ..node import Node
from ..node.output import tell
from ..observe import Observer
from ..observe.control import ControlError, open_control
from ..observe.tree import look
from . import servers
from .banner import listening, listening_tcp
from .tree import Snapshot

LOCAL = "127.0.0.1"
"""The address that every server binds by default."""


def listed() -> str:
    """Returns the names of the servers, and what each is, a line each."""
    names = servers.names()
    width = max((len(name) for name in names), default=0)
    return "\n".join(f"{name:<{width}}  {servers.summary(name)}" for name in names)


def find(name: str) -> ModuleType:
    """Returns the module of a server. Raises `gen.HomingError` with a text that says what to do."""
    known = servers.names()
    if name not in known:
        near = difflib.get_close_matches(name, known, cutoff=0.5)
        meant = f"do you mean {' or '.join(near)}?" if near else "homing demo --list names all"
        raise gen.HomingError(f"there is no server {name!r}; {meant}")
    try:
        return servers.load(name)
    except ModuleNotFoundError as error:
        library = str(error.name).partition(".")[0]
        if library == "homing":
            raise
        raise gen.HomingError(f"{name} needs {library}; pip install 'homing[examples]'") from None


def arguments(module: ModuleType, host: str, port: int | None) -> tuple[Any, ...]:
    """Returns the arguments of a server. Raises `gen.HomingError` if it takes no other host than 127.0.0.1."""
    given = module.PORT if port is None else port
    if host == LOCAL:
        return (given,)
    if list(inspect.signature(module.Server.init).parameters)[2:3] != ["host"]:
        raise gen.HomingError(f"this server binds {LOCAL} only; leave out --host")
    return (given, host)


class _Application(gen.Application):
    """The application of a server: it ends with the server's supervisor."""

    def load(self, node: Any, server: type[gen.ProcessBehavior], *args: Any) -> gen.ApplicationSpec:
        member = gen.ApplicationMember(behavior=server, args=args)
        return gen.ApplicationSpec(name="demo", members=(member,), mode=gen.ApplicationMode.PERMANENT)


async def show(node: Node, module: ModuleType, seconds: float, *args: Any) -> bool:
    """Runs a server until it ends, a signal stops the node, or for `seconds` (0: no limit).

    Returns True if it stopped in order.
    """
    observer = Observer(node)
    stopped = asyncio.create_task(node.wait())
    name = await node.application_load(_Application, module.Server, *args)
    await node.application_start(name)
    control, found = await _opened(observer), cast(Snapshot, await look(observer))
    udp, tcp = (_addresses(facts, args[0]) for facts in (listening(found), listening_tcp(found)))
    tell("\n".join(_banner(node, module, control, udp, tcp)), sys.stdout)
    node.ready()
    ended = asyncio.create_task(node.application_wait(name))
    await asyncio.wait((ended, stopped), timeout=seconds or None, return_when=asyncio.FIRST_COMPLETED)
    by_itself = ended.done() and node.info().state == "running"
    clean = await node.stop()
    await stopped
    reason = await ended
    if by_itself or not gen.is_orderly(reason):
        tell(f"the server ended: {safe_repr(reason)}", sys.stdout)
    tell("stopped in order" if clean else "stopped by force", sys.stdout)
    return clean and gen.is_orderly(reason)


def _addresses(servers: list[Snapshot], port: int) -> list[str]:
    """Returns the addresses of servers; the one with `port` is the first."""
    found = [str(facts["listener"]) for facts in servers]
    return sorted(found, key=lambda address: _port(address) != port)


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


async def _opened(observer: Observer) -> bool:
    """Opens the control socket. Returns False if that fails, for example because a second demo of the name runs."""
    try:
        await open_control(observer.node, observer=observer)
    except ControlError:
        return False
    return True


def _banner(node: Node, module: ModuleType, control: bool, udp: list[str], tcp: list[str]) -> Iterator[str]:
    name = node.name.partition("@")[0]
    addresses = udp + tcp
    shown = [f"UDP {address}" for address in udp] + [f"TCP {address}" for address in tcp]
    yield f"\n{name} listens on {', '.join(shown) or 'no port'}.\n"
    yield "Try it from another terminal:"
    port = _port(addresses[0]) if addresses else module.PORT
    yield from (f"  {command.replace('{port}', str(port))}" for command in module.TRY)
    if control:
        yield f"\nLook inside: homing top {name}, homing tree {name}, homing inspect NAME --node {name}"
    yield "Ctrl-C stops it.\n"
