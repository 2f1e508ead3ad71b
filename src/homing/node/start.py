"""Starting a node, and running one from a synchronous program. SIGINT and SIGTERM."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import signal
import threading
from collections.abc import Awaitable, Callable, Generator
from dataclasses import replace
from types import TracebackType
from typing import Any, ClassVar, TypeVar, cast

from ..gen import (
    Application,
    ApplicationTerminated,
    BadOption,
    NodeOptions,
    ProcessBehavior,
    ProcessTerminated,
    is_orderly,
)
from .core import Core
from .node import Node

_NAME = re.compile(r"[^@\s]{1,255}@[^@\s]{1,255}")
_NO_LIMIT = 1e9
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
T = TypeVar("T")


class NodeStarter:
    """What `start_node` gives: `await` it for the node, or use it in `async with`, which stops the node at the end."""

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
            # how long something takes decides nothing there: two runs are the same
            options = replace(options, turn_seconds=_NO_LIMIT, slice_seconds=_NO_LIMIT)
        core = Core(self._name, options, loop)
        node = Node(core)
        if options.handle_signals:
            _Signals.install(node, loop)
        return node


def start_node(name: str, options: NodeOptions | None = None) -> NodeStarter:
    """Starts a node named `name@host` on the running event loop, whichever that is.

    `async with homing.start_node("demo@localhost") as node:` stops it at the end of the block;
    `node = await homing.start_node("demo@localhost")` leaves that to `node.stop()`.
    Raises `BadOption` for a name without `@host`, or options that are none.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BadOption("name", name, "give name@host, for example 'demo@localhost'")
    if options is not None and not isinstance(options, NodeOptions):
        raise BadOption("options", options, "give gen.NodeOptions")
    return NodeStarter(name, options or NodeOptions())


def run(
    main: Callable[..., Awaitable[T]] | type[ProcessBehavior | Application] | Application,
    *args: Any,
    name: str = "homing@localhost",
    options: NodeOptions | None = None,
    uvloop: bool = False,
) -> T | None:
    """Runs a node from a synchronous program until its work is done. Blocks.

    main: an `async def main(node, *args)`, whose result is given back; or a behavior class: one process of it is
        spawned with `args`, and the node runs until that ends, or until SIGINT or SIGTERM; or a `gen.Application`,
        or its class: likewise, with `load(node, *args)`.
    uvloop: run on uvloop, which must be installed (`pip install homing[fast]`).
    """
    starter = start_node(name, options)

    async def body() -> T | None:
        async with starter as node:
            if isinstance(main, type) and issubclass(main, ProcessBehavior):
                await _run_process(node, main, args)
                return None
            if isinstance(main, Application) or (isinstance(main, type) and issubclass(main, Application)):
                await _run_application(node, main, args)
                return None
            call: Callable[..., Any] = main
            result = call(node, *args)
            if not inspect.isawaitable(result):
                raise BadOption(
                    "main", main, "give an async function, or a class derived from act.Actor or gen.Application"
                )
            return cast(T, await result)

    with asyncio.Runner(loop_factory=_loop_factory(uvloop)) as runner:
        return runner.run(body())


async def _run_process(node: Node, behavior: type[ProcessBehavior], args: tuple[Any, ...]) -> None:
    """Runs one process to its end. Raises `ProcessTerminated` if it did not end in order."""
    process = node._process(await node.spawn(behavior, *args))
    node.ready()
    ended = asyncio.Event()
    process.when_ended(ended.set)
    await ended.wait()
    if process.reason is not None and not is_orderly(process.reason):
        raise ProcessTerminated(process.id, process.reason)


async def _run_application(node: Node, application: Application | type[Application], args: tuple[Any, ...]) -> None:
    """Runs one application to its end. Raises `ApplicationTerminated` if it did not end in order."""
    name = await node.application_load(application, *args)
    await node.application_start(name)
    node.ready()
    reason = await node.application_wait(name)
    if not is_orderly(reason):
        raise ApplicationTerminated(name, reason)


def _loop_factory(uvloop: bool) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if not uvloop:
        return None
    try:
        import uvloop as module
    except ImportError:
        raise BadOption("uvloop", True, "uvloop is not installed; pip install homing[fast]") from None
    return module.new_event_loop


class _Signals:
    """Stops nodes on SIGINT and SIGTERM: the first signal in order, the second at once. One for each loop, for all
    nodes on it; when the last has stopped, what was installed before is restored."""

    _by_loop: ClassVar[dict[asyncio.AbstractEventLoop, _Signals]] = {}

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._nodes: list[Node] = []
        self._before: dict[int, Any] = {}

    @classmethod
    def install(cls, node: Node, loop: asyncio.AbstractEventLoop) -> None:
        """Lets signals stop `node`, where that can be: in the main thread, on a loop that handles signals."""
        if threading.current_thread() is not threading.main_thread():
            return
        signals = cls._by_loop.get(loop) or cls(loop)
        if not signals._before and not signals._take_over():
            return
        cls._by_loop[loop] = signals
        signals._nodes.append(node)
        node.on_stopped(lambda: signals._remove(node))

    @classmethod
    def forget_all(cls) -> None:
        """A forked child takes no signals for its parent's nodes."""
        cls._by_loop.clear()

    def _take_over(self) -> bool:
        for number in _SIGNALS:
            before = signal.getsignal(number)
            try:
                self._loop.add_signal_handler(number, self._received)
            except (NotImplementedError, RuntimeError, ValueError):
                return False
            self._before[number] = before
        return True

    def _received(self) -> None:
        for node in self._nodes:
            node.stop_soon()

    def _remove(self, node: Node) -> None:
        self._nodes.remove(node)
        if self._nodes:
            return
        del self._by_loop[self._loop]
        for number, before in self._before.items():
            self._loop.remove_signal_handler(number)
            if before is not None:
                signal.signal(number, before)


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_Signals.forget_all)
