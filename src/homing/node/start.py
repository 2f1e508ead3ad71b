"""Starting a node."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Any

from ..gen import BadOption, NodeOptions, NotAllowed
from .core import Core
from .node import Node
from .signals import Signals

_NAME = re.compile(r"[^@\s]{1,255}@[^@\s]{1,255}")
_NO_LIMIT = 1e9
_GUARD = 'put that under `if __name__ == "__main__":`'


class StartsOnImport(NotAllowed):
    """A module that is only being imported starts a node."""


_importing: list[str] = []
"""The reasons why no node may be started now; usually empty."""


class NodeStarter:
    """Returned by `start_node`: `await` it for the node, or use it in `async with`, which stops the node at the end."""

    def __init__(self, name: str, options: NodeOptions) -> None:
        self._name = name
        self._options = options
        self._node: Node | None = None

    def __await__(self) -> Generator[Any, None, Node]:
        return self._start().__await__()

    async def __aenter__(self) -> Node:
        self._node = await self._start()
        return self._node

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._node is not None:
            await self._node.__aexit__(kind, error, trace)

    async def _start(self) -> Node:
        loop = asyncio.get_running_loop()
        options = self._options
        if getattr(loop, "time_is_virtual", False):
            # no turn or slice may end by real time in virtual time: two runs must be the same
            options = replace(options, turn_seconds=_NO_LIMIT, slice_seconds=_NO_LIMIT)
        core = Core(self._name, options, loop)
        node = Node(core)
        if options.handle_signals:
            Signals.install(node, loop)
        return node


def start_node(name: str, options: NodeOptions | None = None) -> NodeStarter:
    """Starts a node named `name@host` on the running event loop, of any kind.

    `async with homing.start_node("demo@localhost") as node:` stops it at the end of the block;
    after `node = await homing.start_node("demo@localhost")` call `node.stop()`.
    Raises `BadOption` for a name without `@host`, or `options` of another type; `NotAllowed` while `homing run`, or a
    child of `multiprocessing`, imports the module that calls it.
    """
    _require_no_import()
    check_node_name(name)
    if options is not None and not isinstance(options, NodeOptions):
        raise BadOption("options", options, "give gen.NodeOptions")
    return NodeStarter(name, options or NodeOptions())


def check_node_name(name: object) -> None:
    """Raises `BadOption` unless `name` is the name of a node."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BadOption("name", name, "give name@host, for example 'demo@localhost'")


@contextmanager
def no_nodes(why: str) -> Iterator[None]:
    """A context that imports a module to run a part of it: within it `start_node` raises `NotAllowed`. `why`: names the
    module and its importer."""
    _importing.append(why)
    try:
        yield
    finally:
        _importing.remove(why)


def _require_no_import() -> None:
    if _importing:
        raise StartsOnImport(f"{_importing[-1]} starts a node when it is imported; {_GUARD}")
    process = sys.modules.get("multiprocessing.process")
    if process is not None and getattr(process.current_process(), "_inheriting", False):
        raise StartsOnImport(f"a child of multiprocessing imports the program, which then starts a node; {_GUARD}")
