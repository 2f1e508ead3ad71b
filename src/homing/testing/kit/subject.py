"""The subject: the process under test, in a private node, and the records of what it has done."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar

from ...gen import (
    PID,
    Alias,
    BadOption,
    InitTimeout,
    MetaBehavior,
    MetaOptions,
    NodeOptions,
    NotAllowed,
    ProcessBehavior,
    ProcessOptions,
    ProcessState,
    Ref,
    TerminateKill,
    TerminateShutdown,
    as_reason,
)
from ...gen.foreign import is_a, safe_repr
from ...gen.options import check_name, check_type
from ...meta import MessageUDP
from ...node.core import Core
from ...node.mailbox.envelope import exit_signal, is_coroutine
from ...node.node import Node, internals
from ...node.processes.process import Process
from ...node.processes.spawning import spawn
from ...node.start import start_node
from .driver import Driver
from .failures import Stuck, Unexpected
from .log import Log
from .outcomes import DEFAULT, Outcomes
from .records import Called, Published, Responded, Sent, Spawned, SpawnedMeta
from .stand_in import MetaStandIn, ProcessStandIn, StandIn
from .surroundings import Surroundings
from .waiting import waits_at
from .watched import watched

T = TypeVar("T")

_MOST = 3600.0
"""Virtual seconds for which a callback may wait: longer than any timeout in use."""

_NODE = NodeOptions(handle_signals=False, slow_callback_seconds=None, turn_seconds=1e6, slice_seconds=0.05)
"""Turns end after a number of messages, so that each run is the same."""

_AT_REST = (ProcessState.SLEEP, ProcessState.TERMINATED)


class _Step:
    """A function to be run on the loop, and its outcome."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._result: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._result = self._function()
        except BaseException as error:
            self._error = error

    def take(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._result


class Subject:
    """One behavior in a private node. Stand-ins and the watched class report to it.

    around: the stand-ins and declarations. parent: the stand-in that has spawned it.
    """

    core: Core
    parent: ProcessStandIn

    def __init__(
        self,
        behavior: type[ProcessBehavior],
        args: tuple[Any, ...],
        name: str | None,
        options: ProcessOptions | None,
        node: str,
    ) -> None:
        self.behavior = watched(behavior, self)
        if name is not None:
            check_name("name", name)
        check_type("options", options, (ProcessOptions, type(None)), "gen.ProcessOptions or None")
        if options is not None and options.thread:
            raise BadOption("thread", True, "the kit runs all callbacks on the test's thread; leave it out there")
        self._starting = start_node(node, _NODE)
        self._spawn = (args, name, options)
        self._node: Node | None = None
        self._driver: Driver | None = None
        self._process: Process | None = None
        self.instance: ProcessBehavior | None = None
        self._used = False
        self._pending: tuple[str, Any] | None = None
        self._where = ""
        self._failures: list[tuple[BaseException, TracebackType | None]] = []
        self.around = Surroundings(self)
        self.log = Log(lambda: self._process if self.running else None)
        self.outbox: list[tuple[StandIn, Sent]] = []
        self.calls: list[Called] = []
        self.responses: list[Responded] = []
        self.publications: list[Published] = []
        self.spawns: list[Spawned] = []
        self.metas: list[SpawnedMeta] = []

    # --- life ---------------------------------------------------------------------------------------------

    @property
    def driver(self) -> Driver:
        """The event loop. Raises `NotAllowed` outside of the `with` block."""
        if self._driver is None:
            raise NotAllowed("the subject runs only within its block: with unit(...) as subject:")
        return self._driver

    @property
    def running(self) -> bool:
        """True while the loop runs."""
        return self._driver is not None and self._driver.running

    @property
    def process(self) -> Process:
        """The process under test. Raises `NotAllowed` before the `with` block."""
        process = self._process
        if process is None:
            raise NotAllowed("the subject has not been started: with unit(...) as subject:")
        return process

    @property
    def pid(self) -> PID:
        """Its PID."""
        return self.process.id

    @property
    def node(self) -> Node:
        """Its node."""
        self.driver  # noqa: B018 - raises outside of the block
        node: Any = self._node
        return node  # type: ignore[no-any-return]

    def enter(self) -> None:
        """Starts the node and the subject. Raises what `init` raises."""
        if self._used:
            raise NotAllowed("this unit has been used; make another one")
        self._used = True
        self._driver = Driver()
        try:
            self.log.open()
            node = self._node = self._await(_started(self._starting))
            self.core = internals(node).core
            self._watch_failures()
            self.parent = self.run(lambda: self.around.start(self.core))
            args, name, options = self._spawn
            self._await(spawn(self.core, self.parent, self.behavior, args, name, options))
            self.run(lambda: None)
        except BaseException:
            self._close()
            raise

    def leave(self, error: BaseException | None) -> None:
        """Ends the subject as its parent's shutdown does, then the node. Raises a failure of the end, unless the test
        has failed anyway: with `error`."""
        try:
            try:
                self.run(self._end)
            finally:
                self._close()
        except BaseException:
            if error is None:
                raise

    def _end(self) -> None:
        if self.process.state is ProcessState.SLEEP:
            self.process.put_exit(exit_signal(self.parent.id, TerminateShutdown()))
        elif self.process.alive:
            self.process.kill()  # it is stuck, and the test knows that

    def _close(self) -> None:
        driver = self.driver
        try:
            if self._node is not None:
                task = driver.loop.create_task(self._node.stop(1.0))
                driver.run(lambda: not task.done(), 0.0, _MOST, lambda: None)
        finally:
            self._driver = None
            self.log.shut()
            driver.close()

    # --- steps --------------------------------------------------------------------------------------------

    def run(self, action: Callable[[], T], seconds: float = 0.0) -> T:
        """Runs `action` on the loop, and then the loop until the subject is at rest. Returns its result, or raises: the
        first failure of the test; the exception of a callback that has crashed; the exception of `action`."""
        driver = self._free_driver()
        step = _Step(action)
        driver.loop.call_soon(step.run)
        self._raise_failure(driver.run(self._busy, seconds, _MOST, self._note_wait))
        result: T = step.take()
        return result

    def _await(self, pending: Coroutine[Any, Any, T]) -> T:
        """Like `run`, for a coroutine that ends."""
        driver = self._free_driver()
        task = driver.loop.create_task(pending)
        rests = driver.run(lambda: not task.done(), 0.0, _MOST, self._note_wait)
        if not task.done():
            task.cancel()
        elif self._where and isinstance(task.exception(), InitTimeout):
            task.exception().add_note(self._where)  # type: ignore[union-attr]
        self._raise_failure(rests)
        return task.result()

    def _free_driver(self) -> Driver:
        driver = self.driver
        if driver.running:
            raise NotAllowed("a callback of the subject cannot drive it; only the test can")
        return driver

    def _busy(self) -> bool:
        process = self._process
        return process is not None and process.state not in _AT_REST

    def _note_wait(self) -> None:
        if self._pending is not None:
            self._where = waits_at(*self._pending)

    # --- failures -----------------------------------------------------------------------------------------

    def _watch_failures(self) -> None:
        """Notes the exceptions that the runtime logs: of callbacks that crash, and of `terminate`."""
        log_failure = self.core.log_failure

        def noted(log: logging.LoggerAdapter[logging.Logger], text: str, *args: object, fault: BaseException) -> None:
            self.failed(fault)
            log_failure(log, text, *args, fault=fault)

        self.core.log_failure = noted  # type: ignore[method-assign]

    def failed(self, error: BaseException) -> None:
        """Notes a failure with its traceback, which the runtime removes once the exception is logged."""
        kept = [each for each in self._failures if each[0] is not error]
        self._failures = [*kept, (error, error.__traceback__)]

    def _raise_failure(self, rests: bool) -> None:
        if self._failures:
            first = next((each for each in self._failures if isinstance(each[0], Unexpected)), self._failures[0])
            self._failures.clear()
            error, trace = first
            raise BaseException.with_traceback(error, trace or error.__traceback__)
        if not rests:
            self._note_wait()
            name = self.behavior.__name__
            endless = f"{name} does not come to rest: its messages cause more messages without end"
            raise Stuck(endless if self.driver.endless else f"{name}: {self._where}, which never comes")

    # --- reports of stand-ins -----------------------------------------------------------------------------

    def made(self, stand_in: StandIn) -> None:
        self.around.made(stand_in)

    def sent(self, stand_in: StandIn, sender: Any, message: Any) -> None:
        process = self._process
        if process is None or sender != process.id:
            return
        if type(message) is MessageUDP and isinstance(stand_in, MetaStandIn) and type(message.data) is not bytes:
            what = f"a datagram was sent whose payload is {type(message.data).__name__}, not bytes"
            self.failed(Unexpected(what))
        self.outbox.append((stand_in, Sent(stand_in.address, message)))

    def called(self, stand_in: StandIn, kind: str, request: Any) -> Outcomes:
        self.calls.append(Called(stand_in.address, request))
        keys = (stand_in.address, stand_in.id, stand_in.given, *_classes(stand_in.kind))
        outcomes = self.around.find_outcomes(kind, keys)
        if outcomes is None:
            address = safe_repr(stand_in.address)
            what = f"unexpected {kind} of {address}: {safe_repr(request)}"
            raise Unexpected(f"{what}; declare subject.on_{kind}({address}).answer(...)")
        return outcomes

    # --- reports of the subject ---------------------------------------------------------------------------

    def check_known(self, address: Any, what: str) -> None:
        try:
            self.around.check_known(address, what)
        except Unexpected as error:
            self.failed(error)
            raise

    def created(self, instance: ProcessBehavior, process: Any) -> None:
        self.instance = instance  # the process parts from it at its end
        self._process = process

    def began(self, callback: str, pending: Any) -> None:
        self._pending = (callback, pending)

    async def spawn(
        self, behavior: type[ProcessBehavior], args: tuple[Any, ...], name: str | None, options: ProcessOptions | None
    ) -> PID:
        if not (is_a(behavior, type) and issubclass(behavior, ProcessBehavior)):
            raise BadOption("behavior", behavior, "give a class derived from act.Actor (its arguments follow)")
        check_type("options", options, (ProcessOptions, type(None)), "gen.ProcessOptions")
        self.process.require_alive()
        outcomes = self.around.find_outcomes("spawn", _classes(behavior))
        if outcomes is None:
            kind = behavior.__name__
            error = Unexpected(f"unexpected spawn of {kind}, {safe_repr(args)}; declare subject.on_spawn({kind})")
            self.failed(error)
            raise error
        outcome = await self._taken(outcomes, args)
        made: Any = ProcessStandIn(self.core, self, None, behavior) if outcome is DEFAULT else self.around.at(outcome)
        self._join(made, name, options)
        self.spawns.append(Spawned(made.id, behavior, args, name, options))
        pid: PID = made.id
        return pid

    def _join(self, made: ProcessStandIn, name: str | None, options: ProcessOptions | None) -> None:
        """Registers and links a process that the subject has spawned."""
        made.parent = self.pid
        try:
            if name is not None:
                self.around.register(name, made)
        except BaseException:
            made.end(TerminateKill())
            raise
        if options is not None and options.link_parent:
            self.core.links.link(made, self.pid)
        if options is not None and options.link_child:
            self.core.links.link(self.process, made.id)

    async def spawn_meta(self, behavior: MetaBehavior, options: MetaOptions | None) -> Alias:
        if not is_a(behavior, MetaBehavior):
            raise BadOption("behavior", behavior, "give a gen.MetaBehavior, for example meta.create_udp_server(...)")
        if "process" in vars(behavior):
            raise NotAllowed(f"{type(behavior).__name__} was started before; create another one")
        hooks = behavior._runtime_hooks(behavior)
        outcomes = self.around.find_outcomes("spawn", _classes(type(behavior)))
        try:
            check_type("options", options, (MetaOptions, type(None)), "gen.MetaOptions")
            self.process.require_alive()
            if outcomes is not None:
                await self._taken(outcomes, (behavior,))
        except BaseException as error:
            hooks.stood_in_ended(as_reason(error))
            raise
        made = MetaStandIn(self.core, self.process, self, behavior)
        self.metas.append(SpawnedMeta(made.id, behavior, hooks.options, options))
        return made.id

    async def _taken(self, outcomes: Outcomes, request: Any) -> Any:
        try:
            value = outcomes.take(request)
            return await value if is_coroutine(value) else value
        except AssertionError as error:
            self.failed(error)
            raise

    def responded(self, ref: Ref, answer: Any, error: Exception | None) -> None:
        self.responses.append(Responded(ref, answer, error))

    def published(self, name: str, message: Any) -> None:
        self.publications.append(Published(name, message))


def _classes(kind: type | None) -> tuple[type, ...]:
    """Returns the class and its bases."""
    return () if kind is None else kind.__mro__


async def _started(starting: Any) -> Node:
    node: Node = await starting
    return node
