"""Targets of requests: one way to name a process or meta-process, for all of them."""

from __future__ import annotations

import re
from typing import Any, TypeAlias

from ..datagram import format_address
from ..gen import PID, Alias, HomingError
from ..gen.foreign import class_name
from ..node import Node
from ..node.core import Core
from ..node.node import internals
from ..node.processes.meta_process import MetaRunner
from ..node.processes.process import Process
from .plain import shown
from .refusals import RequestRefused

Found: TypeAlias = Process | MetaRunner

_ADDRESS = re.compile(r"(?:Alias)?<(?P<node>[^<>]*)\.(?P<id>\d{1,19})>")
_NAME = re.compile(r"<(?P<node>[^<>]*)\.'(?P<name>.*)'>", re.DOTALL)


def node_in(text: str) -> str | None:
    """Returns the node in the text of an address; None if the text names none."""
    found = _ADDRESS.fullmatch(text) or _NAME.fullmatch(text)
    return None if found is None else found["node"]


def find(node: Node, text: str) -> Found:
    """Returns the process or meta-process that `text` names: a registered name, the text of a PID or an alias, just
    its number, or the address of a UDP server (`127.0.0.1:2345`, `[::1]:2345`, `:2345`). A registered name comes first.
    Zombies are found, ended processes are not.

    Raises `RequestRefused`: "unknown_target"; "bad_request" for the address of several sockets.
    """
    core = internals(node).core
    named = core.registry.names.get(text)
    if named is not None:
        return named
    address, other = _ADDRESS.fullmatch(text), _NAME.fullmatch(text)
    if text.isdecimal() and text.isascii() and len(text) < 20:
        return _numbered(core, int(text))
    if address is not None or other is not None:
        where = (address or other)["node"]  # type: ignore[index]
        if where != core.name:
            raise _unknown(f"{shown(text)} belongs to node {where}, not to {core.name}")
        return _numbered(core, int(address["id"])) if address is not None else find_name(core, other["name"])  # type: ignore[index]
    return _at(core, text) if ":" in text else find_name(core, text)


def _at(core: Core, text: str) -> MetaRunner:
    """Returns the UDP server whose socket has this address. Raises `RequestRefused`: also "bad_request"."""
    found = [meta for meta in tuple(core.metas.values()) if _listens(meta.hooks.socket_address, text)]
    if len(found) > 1:
        aliases = ", ".join(str(meta.id) for meta in found)
        raise RequestRefused(
            "bad_request", f"{len(found)} UDP servers have the address {shown(text)}: give one of {aliases}"
        )
    if not found:
        raise _unknown(f"no process has the name, and no UDP server the address {shown(text)}")
    return found[0]


def _listens(address: Any, text: str) -> bool:
    """Returns True if `text` is the address of this socket, or its port, as in `:2345`."""
    if type(address) is not tuple:
        return bool(address) and format_address(address) == text
    return text in (format_address(address), f":{address[1]}")


def find_name(core: Core, name: str) -> Process:
    """Returns the process registered under `name`. Raises `RequestRefused`."""
    named = core.registry.names.get(name)
    if named is None:
        raise _unknown(f"no process has the name {shown(name)}; {core.registry.names_like(name)}")
    return named


def _numbered(core: Core, number: int) -> Found:
    pid, alias = PID(core.name, number, core.pid.creation), Alias(core.name, number, core.pid.creation)
    found = core.processes.get(pid) or core.metas.get(alias) or core.registry.routes.get(alias)
    if isinstance(found, Process | MetaRunner):
        return found
    if pid == core.pid:
        raise _unknown(f"{pid} is the node itself, the parent of its first processes; it is no process")
    missing: HomingError = core.registry.missing(pid)
    raise _unknown(f"{missing} ({class_name(missing)})")


def _unknown(why: str) -> RequestRefused:
    return RequestRefused("unknown_target", why)
