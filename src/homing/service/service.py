"""Service: an application made of plain functions."""

from __future__ import annotations

import re
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any, Concatenate, TypeVar, overload
from weakref import ref

from .. import act, gen, meta
from ..gen import BadOption, NotAllowed
from ..gen.foreign import is_instance
from ..gen.options import check_name, check_seconds
from ..node import Node, run, start_node
from ..node.health import TIMEOUT, check_report
from ..node.node import internals
from ..node.processes.process import Process
from .actors import ServiceSupervisor, Starter, Stopper, Ticker
from .functions import Result, check_function, name_of
from .listener import Listening, check_listening, same_address

Handler = TypeVar("Handler", bound=Callable[Concatenate[meta.MessageUDP, ...], Result])
Behavior = TypeVar("Behavior", bound=gen.ProcessBehavior)
T = TypeVar("T")
Job = TypeVar("Job", bound=Callable[..., Any])

START_TIMEOUT = 60.0
"""Seconds that an `async def` of `on_start` may take: a database that is just starting takes half a minute."""

RESTARTS = 10
"""Restarts of each process in 5 seconds that end the service. With the backoff, a process that crashes at once, again
and again, is restarted 7 times in that time: it alone does not end the service."""

BACKOFF = act.Backoff(most=5.0)
"""One bad client must not keep a function with `on_exception="crash"` from the others for half a minute."""

_NAME = re.compile(r"[^@\s]{1,100}")


class Service(gen.Application):
    """An application made of functions: each handles the datagrams of one UDP port, or runs at intervals.

    name: of the application. A process has the name of its function behind that, "name.function"; or only "name" if
        the function has the same name.
    state: an object for the program's own data, passed to each function that has a parameter `state`. None: an empty
        `types.SimpleNamespace`. The functions run one at a time on the node's thread, so they need no lock; an
        `async def` shares the state with others whenever it awaits. It outlives a restart and a stop.
    description, version, env, depends: as in `gen.ApplicationSpec`.

    It is a `gen.Application` of one supervisor, with a process for each function: `homing run module:service`,
    `homing.run(service)`, `node.application_load(service)` and `homing tree` work as for any other. The mode is
    permanent: the service ends if its supervisor gives up.

    Raises `BadOption`.

    >>> import asyncio, homing
    >>> service = homing.Service("greeter")
    >>> @service.udp(host="127.0.0.1", port=0)
    ... def greet(packet):
    ...     return b"hello " + packet.data
    >>> async def main():
    ...     async with service.started() as node:
    ...         return node.application_info("greeter").state.value
    >>> asyncio.run(main())
    'running'
    """

    def __init__(
        self,
        name: str,
        *,
        state: Any = None,
        description: str = "",
        version: str = "",
        env: Mapping[str, Any] | None = None,
        depends: tuple[str, ...] = (),
    ) -> None:
        if not is_instance(name, str) or not _NAME.fullmatch(name):
            raise BadOption("name", name, "give 1 to 100 characters without spaces and @, for example 'echo'")
        self.state: Any = SimpleNamespace() if state is None else state
        self._spec = gen.ApplicationSpec(
            name=name,
            members=(gen.ApplicationMember(behavior=ServiceSupervisor),),
            mode=gen.ApplicationMode.PERMANENT,
            env={} if env is None else env,
            depends=depends,
            description=description,
            version=version,
        )
        self._loaded = False
        self._node: ref[Node] | None = None
        self._names: set[str] = set()
        self._listening: list[tuple[str, Listening]] = []
        self._starters: list[act.ChildSpec] = []
        self._stoppers: list[act.ChildSpec] = []
        self._others: list[act.ChildSpec] = []

    @property
    def name(self) -> str:
        """The name of the service."""
        return self._spec.name

    def __repr__(self) -> str:
        return f"<Service {self.name}>"

    # --- functions ----------------------------------------------------------------------------------------

    @overload
    def udp(self, handler: type[Behavior], /, **options: Any) -> type[Behavior]: ...
    @overload
    def udp(self, handler: Handler, /, **options: Any) -> Handler: ...
    @overload
    def udp(self, /, **options: Any) -> Callable[[Handler], Handler]: ...
    def udp(self, handler: Any = None, /, **options: Any) -> Any:
        """Decorates a function, or adds a class, that handles the datagrams of one UDP server.

            @service.udp(port=2345)
            def echo(packet):
                return b"OK: " + packet.data

        The function is called with each datagram, a `meta.MessageUDP`, and with `state=` if it has such a parameter. It
        returns the reply, bytes-like; a list or tuple of these for several replies; or None for no reply.

        options: those of `meta.UDPServerOptions`, except `process`, `worker` and `worker_args`; `peers` only with a
            class, which is its `worker`; and:

        concurrency: most calls of an `async def` function at once, in each worker. 100 by default. A plain `def` is
            called for one datagram at a time. Replies may leave in any order, unless `worker_options` has a
            `concurrency_key`, such as "source".
        workers: number of processes that call the function. None: one, without a pool.
        route: with `workers`: which of them gets a datagram, as in `meta.UDPServerOptions`.
        worker_options: options of the process that calls the function, or of each worker:
            `gen.ProcessOptions(thread=True)` for a function that blocks.
        on_exception: "log": an exception of the function is logged with its traceback, at a bounded rate, and counted
            (`failures` in `homing tree`); the datagram gets no reply, and the next one is handled. "crash": it ends the
            process, which is restarted after a pause, as an actor's; the socket stays open, and other datagrams wait.
        args: arguments of `init` of a class.

        `service.udp(Handler, port=2345)` adds a class derived from `act.Actor`: its `handle_message` gets the
        datagrams. The socket belongs to another process, so it stays open while a handler that has crashed is
        restarted.

        Returns the function or class unchanged. Raises `BadOption`; `TypeError` for an unknown option; `NotAllowed`
        after the service has been loaded.
        """
        self._require_unloaded("udp")
        if handler is not None and not options:
            raise BadOption("port", None, "write @service.udp(port=2345)")
        listening = check_listening(options)
        return partial(self._listen, listening) if handler is None else self._listen(listening, handler)

    def _listen(self, listening: Listening, handler: Any) -> Any:
        self._require_unloaded("udp")
        is_behavior = isinstance(handler, type) and issubclass(handler, gen.ProcessBehavior)
        if isinstance(handler, type) and not is_behavior:
            raise BadOption("handler", handler, "give a function, or a class derived from act.Actor")
        name = self._process_name(name_of(handler))
        if not listening.options.name:
            listening = replace(listening, options=replace(listening.options, name=name))
        for other, known in self._listening:
            if same_address(listening.options, known.options):
                where = "path" if listening.options.path is not None else "port"
                why = f"{other} has it already; give {name} another"
                raise BadOption(where, getattr(listening.options, where), why)
        wanted = handler if is_behavior else check_function(handler, ("packet",))
        self._others += listening.children(self, name, wanted)
        self._listening.append((name, listening))
        self._names.add(name)
        return handler

    def every(self, seconds: float) -> Callable[[Job], Job]:
        """Decorates a function that is called every `seconds`, with `state=` if it has such a parameter.

        It may be `def` or `async def`. Ticks are due at start + n * seconds; one that comes while the function still
        runs is dropped, as in `act.Actor.send_every`. An exception is logged, at a bounded rate, and counted
        (`failures` in `homing tree`); the next tick comes.

        Raises `BadOption`; `NotAllowed` after the service has been loaded.
        """
        self._require_unloaded("every")
        seconds = check_seconds("seconds", seconds)
        options = gen.ProcessOptions(concurrency=2)
        return lambda function: self._add(self._others, Ticker, function, seconds, options=options)

    def on_start(self, function: Job) -> Job:
        """Decorates a function that is called once at each start, before the sockets are opened, with `state=` if it
        has such a parameter. Several are called in the order of their definition.

        An `async def` may take 60 seconds. If it raises, the service is not started. Raises `BadOption`; `NotAllowed`
        after the service has been loaded.
        """
        options = gen.ProcessOptions(init_timeout=START_TIMEOUT)
        return self._add(self._starters, Starter, function, options=options, restart=act.RestartStrategy.TEMPORARY)

    def on_stop(self, function: Job) -> Job:
        """Decorates a function that is called once at each stop, when the sockets are closed and the other functions
        have ended, with `state=` if it has such a parameter. Several are called in the order of their definition.

        Not called if a function of `on_start` has failed. An `async def` may take 5 seconds. An exception is logged.
        Raises `BadOption`; `NotAllowed` after the service has been loaded.
        """
        return self._add(self._stoppers, Stopper, function, restart=act.RestartStrategy.TEMPORARY)

    def _add(self, to: list[act.ChildSpec], behavior: Any, function: Job, *args: Any, **options: Any) -> Job:
        self._require_unloaded(behavior.__name__)
        checked = check_function(function, ())
        name = self._process_name(checked.name)
        to.append(act.ChildSpec(name=name, behavior=behavior, args=(self, checked, *args), **options))
        self._names.add(name)
        return function

    def _process_name(self, function: str) -> str:
        """Returns a name that no other process of the service has."""
        name = first = self.name if function == self.name else f"{self.name}.{function}"
        check_name("function", name)
        number = 1
        while name in self._names:
            number += 1
            name = f"{first}-{number}"
        return name

    def _require_unloaded(self, what: str) -> None:
        if self._loaded:
            raise NotAllowed(f"service {self.name!r} has been started; add all functions before that")

    def config(self, kind: type[T], section: str = "") -> T:
        """Returns the program's own values in the configuration, as `Actor.config` does, for the functions of the
        service: `service.config(Limits, "limits")`. After a reload it returns the new values.

        Raises `gen.BadConfiguration`, `BadOption`; `NotAllowed` while the service is not started.
        """
        return internals(self._started_node("call config in its functions")).core.configuration.get(kind, section)

    def _started_node(self, instead: str) -> Node:
        node = self._node() if self._node is not None else None
        if node is None:
            raise NotAllowed(f"service {self.name!r} has not been started; {instead}")
        return node

    # --- health -------------------------------------------------------------------------------------------

    def health(self, name: str, ok: bool | None, *, timeout: float | None = TIMEOUT, reason: str = "") -> None:
        """Reports whether what the service depends on works, as `act.Actor.health` does for the process whose function
        calls this; in a thread, as `Node.health` does.

            @service.every(5)
            async def database(state):
                service.health("database", await state.pool.ping())

        Raises `BadOption`; `NotAllowed` before the service has been started.
        """
        check_report(name, ok, timeout, reason)
        core = internals(self._started_node("report its health from its functions")).core
        if threading.get_ident() != core.thread:
            core.from_thread(core.health.report, core.pid, name, ok, timeout, reason)
            return
        current = core.scheduler.current
        owner = current.id if isinstance(current, Process) else core.pid
        core.health.report(owner, name, ok, timeout, reason)

    # --- life ---------------------------------------------------------------------------------------------

    def load(self, node: Any, *args: Any) -> gen.ApplicationSpec:
        """Returns the specification: one supervisor. Raises `BadOption` if the service has no functions."""
        # The last to be started is the first to be ended.
        children = (*self._starters, *reversed(self._stoppers), *self._others)
        if not self._others:
            raise BadOption("service", self.name, "it has no function to run; decorate one with @service.udp(port=...)")
        self._loaded = True
        self._node = ref(node)
        spec = act.SupervisorSpec(children=children, intensity=RESTARTS * len(children), backoff=BACKOFF)
        return replace(self._spec, members=(gen.ApplicationMember(behavior=ServiceSupervisor, args=(spec,)),))

    def run(
        self,
        *,
        name: str | None = None,
        options: gen.NodeOptions | None = None,
        uvloop: bool = False,
        spin: float = 0.0,
    ) -> None:
        """Runs the service on a node of its own until SIGINT or SIGTERM. Blocks.

        name: of the node. None: the service's name, at localhost.
        options, uvloop, spin: as for `homing.run`, whose errors it raises too.
        """
        run(self, name=self._node_name(name), options=options, uvloop=uvloop, spin=spin)

    @asynccontextmanager
    async def started(self, *, name: str | None = None, options: gen.NodeOptions | None = None) -> AsyncIterator[Node]:
        """Runs the service on a node of its own during an `async with`, for tests: `async with service.started() as
        node`.

        name, options: as for `run`. Raises what the start raises.
        """
        async with start_node(self._node_name(name), options) as node:
            await node.application_load(self)
            await node.application_start(self.name)
            yield node

    def _node_name(self, name: str | None) -> str:
        return f"{self.name}@localhost" if name is None else name
