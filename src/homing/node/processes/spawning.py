"""Spawning: starts processes and meta-processes, and undoes a start that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from types import MappingProxyType, coroutine
from typing import TYPE_CHECKING, Any

from ...gen import (
    PID,
    Alias,
    BadOption,
    InitTimeout,
    MetaBehavior,
    MetaOptions,
    NotAllowed,
    ProcessBehavior,
    ProcessOptions,
    ProcessState,
    ProcessTerminated,
    TerminateKill,
    as_reason,
)
from ..mailbox.envelope import is_coroutine
from ..scheduling.stepping import in_own_task, is_cancelled, stepped
from ..states.keeper import Keeper
from . import preserving
from .concurrent import ConcurrentProcess
from .kept import KeptProcess, StateRefused, check_stateful, keeps_state
from .meta_process import MetaRunner
from .process import Process
from .thread_bridge import on_node_thread
from .threaded import ThreadedProcess

if TYPE_CHECKING:
    from ..core import Core
    from ..scheduling.activity import Activity

_DEFAULT_PROCESS = ProcessOptions()
_DEFAULT_META = MetaOptions()

NESTED_STARTS = 8
"""Nested starts that share a task, as when a supervisor starts a supervisor. Each takes up to ten of Python's frames,
which are limited to 1000."""


def spawn(
    core: Core,
    parent: Process | None,
    behavior: type[ProcessBehavior],
    args: tuple[Any, ...],
    name: str | None,
    options: ProcessOptions | None,
    *,
    previous: PID | None = None,
    application: str | None = None,
) -> Coroutine[Any, Any, PID]:
    """Starts a process and returns its PID once `init` has finished. Nested starts do not use up the stack.

    previous: the child of `parent` to which it is the successor; it gets the messages preserved there.
    application: its application; with a parent, it belongs to the parent's application instead.
    Raises what `init` raises; `InitTimeout`; `NameTaken`; `BadOption`; `NodeTerminated` if the node stops.
    """
    begin = _spawn if options is None or not keeps_state(options) else _spawn_again_clean
    start = begin(core, parent, behavior, args, name, options, previous, application)
    if parent is None or parent.state is not ProcessState.INIT or _nesting(core, parent) % NESTED_STARTS:
        return start
    return in_own_task(core.loop, start)


def spawn_now(
    core: Core,
    parent: Process,
    behavior: type[ProcessBehavior],
    args: tuple[Any, ...],
    options: ProcessOptions,
    prepare: Callable[[Process], None],
    over: Callable[[BaseException | None], None],
    *,
    previous: PID | None = None,
) -> asyncio.Task[None] | None:
    """Starts a child of `parent` at once, also outside of any task. Returns the task that continues the start if it has
    to wait (for an asynchronous `init`, say), otherwise None. To cancel the task undoes the start.

    prepare: called with the process before its `init`.
    over: called once when the start is over, before the process handles a message: with None, or with what `spawn`
        would raise. Must not raise.
    """
    begin = _spawn_again_clean if keeps_state(options) else _spawn
    start = begin(core, parent, behavior, args, None, options, previous, None, prepare, alone=True)
    try:
        waits_for = start.send(None)
    except StopIteration:
        over(None)
        return None
    except BaseException as error:
        over(error)
        return None
    rest = _Rest(start, over)
    task = core.loop.create_task(rest.run(waits_for), name="start of a process", context=core.scheduler.context.copy())
    task.add_done_callback(rest.done)
    return task


class _Rest:
    """The rest of a start that was begun outside of a task."""

    def __init__(self, start: Coroutine[Any, Any, Any], over: Callable[[BaseException | None], None]) -> None:
        self._start = start
        self._over: Callable[[BaseException | None], None] | None = over

    async def run(self, waits_for: Any) -> None:
        """Continues the start."""
        error: BaseException | None = None
        try:
            await _resumed(self._start, waits_for)
        except BaseException as raised:
            error = raised  # a `SystemExit` that left the task would end the loop
        self._end(error)

    def done(self, task: asyncio.Task[None]) -> None:
        """Undoes the start if the task was cancelled before it had begun."""
        if self._over is not None:
            self._start.close()
            self._end(asyncio.CancelledError())

    def _end(self, error: BaseException | None) -> None:
        over, self._over = self._over, None
        if over is not None:
            over(error)


@coroutine
def _resumed(start: Coroutine[Any, Any, Any], waits_for: Any) -> Generator[Any, Any, None]:
    """Awaits a coroutine that was begun outside of a task, and waits for `waits_for`."""
    while True:
        send: Callable[[Any], Any] = start.send
        value: Any = None
        try:
            value = yield waits_for
        except GeneratorExit:
            start.close()
            raise
        except BaseException as error:
            send, value = start.throw, error
        try:
            waits_for = send(value)
        except StopIteration:
            return


def _nesting(core: Core, parent: Process | None) -> int:
    """Returns the number of nested starts that a start by `parent` is a part of."""
    count = 0
    while parent is not None and parent.state is ProcessState.INIT:
        parent = core.processes.get(parent.parent)
        count += 1
    return count


async def _spawn_again_clean(*args: Any, **how: Any) -> PID:
    """Like `_spawn`, of a process whose state is kept: if `load_state` raises, the start is undone, and begins anew
    without the state. An object that had loaded a part of it is not used any more."""
    try:
        return await _spawn(*args, **how)
    except StateRefused:
        return await _spawn(*args, **how)


async def _spawn(
    core: Core,
    parent: Process | None,
    behavior: type[ProcessBehavior],
    args: tuple[Any, ...],
    name: str | None,
    options: ProcessOptions | None,
    previous: PID | None,
    application: str | None,
    prepare: Callable[[Process], None] | None = None,
    *,
    alone: bool = False,
) -> PID:
    """See `spawn` and `spawn_now`. alone: it may run outside of a task, so what needs a task gets one of its own."""
    if not (isinstance(behavior, type) and issubclass(behavior, ProcessBehavior)):
        raise BadOption("behavior", behavior, "give a class derived from act.Actor (its arguments follow)")
    if options is None:
        options = _DEFAULT_PROCESS
    elif not isinstance(options, ProcessOptions):
        raise BadOption("options", options, "give gen.ProcessOptions")
    process = _create(core, parent, behavior, options)
    process.application = application if parent is None else parent.application
    keeps = options is not _DEFAULT_PROCESS and options.state is not None
    kept = preserving.claim(parent, previous) if previous is not None else None
    try:
        if prepare is not None:
            prepare(process)
        if name is not None:
            core.registry.register_name(name, process)
        _link_family(core, parent, process, options)
        if keeps:
            process.keeper = Keeper(process, options.state, name, previous)  # type: ignore[arg-type]
        pending = core.scheduler.run_for(process, process.run_init, args)
        result = pending
        if is_coroutine(pending):
            bounded = _bounded(process, pending, behavior, options)
            result = await (in_own_task(core.loop, bounded) if alone else bounded)
        if process.hooks.configures:
            configured = process.hooks.configure(result)
            if is_coroutine(configured):
                await (in_own_task(core.loop, configured) if alone else configured)
        if keeps:
            await _load_state(process, behavior, options, alone)
        if not core.scheduler.may_go_on():
            # A loop that spawns many, none of whose `init` waits, would hold the event loop. It polls before the start:
            # a process that has started must not end before its spawner knows its PID.
            await asyncio.sleep(0)
        if not process.alive:
            raise ProcessTerminated(process.id, TerminateKill())
    except BaseException as error:
        if parent is not None:
            core.links.unlink(parent, process.id)  # the exception below notifies the parent
        if process.keeper is not None:
            process.keeper.undo(previous)
            process.keeper = None
        await process.fail_init(as_reason(error))
        preserving.keep_for_next(parent, previous, process)
        if kept is not None:
            kept.claimed = False
        raise
    if previous is not None:
        preserving.hand_over(parent, previous, process)
    process.start()
    return process.id


def _create(core: Core, parent: Process | None, behavior: type[ProcessBehavior], options: ProcessOptions) -> Process:
    core.require_running()
    if parent is None:
        parent_pid, leader, env = core.pid, core.pid, core.env
    else:
        parent.require_alive()
        parent_pid, leader, env = parent.id, parent.leader, parent.env
    kind: type[Process] = Process
    if options is not _DEFAULT_PROCESS:
        if options.env:
            env = MappingProxyType({**env, **options.env})
        kind, behavior = _chosen(behavior, options)
    process = kind(core, parent_pid, options.leader or leader, env, behavior.split_handle, options)
    instance = behavior.__new__(behavior)
    hooks = process.hooks = behavior._runtime_hooks.of(instance, process)
    instance.__init__()  # type: ignore[misc]
    process.behavior = instance
    process.handler = hooks.handler()
    process.forwards = hooks.forwards
    core.processes[process.id] = process
    core.registry.routes[process.id] = process
    core.spawned += 1
    return process


def _chosen(behavior: type[ProcessBehavior], options: ProcessOptions) -> tuple[type[Process], type[ProcessBehavior]]:
    """Returns the class of a process with these options, and the class of its behavior. Raises `BadOption`."""
    if options.state is not None:
        check_stateful(behavior)
    if options.thread:
        return ThreadedProcess, on_node_thread(behavior)
    if options.concurrency > 1:
        if behavior._runtime_hooks.forwards or behavior._runtime_hooks.configures:
            raise BadOption(
                "concurrency",
                options.concurrency,
                f"{behavior.__name__} works on the runtime itself; give it to its workers or children",
            )
        return ConcurrentProcess, behavior
    return Process if options.state is None else KeptProcess, behavior


def _link_family(core: Core, parent: Process | None, process: Process, options: ProcessOptions) -> None:
    if parent is None:
        if options.link_parent or options.link_child:
            raise BadOption("link_parent", True, "only a process can be the linked parent; spawn from a process")
        return
    if options.link_parent:
        core.links.link(process, parent.id)
    if options.link_child:
        core.links.link(parent, process.id)


async def _load_state(process: Process, behavior: type[ProcessBehavior], options: ProcessOptions, alone: bool) -> None:
    """Lets a process that has had its `init` load the state that its predecessor has left, if any. Raises
    `StateRefused` if `load_state` raises."""
    keeper: Any = process.keeper
    state = keeper.wanted()
    if state is None:
        return
    try:
        pending = process.core.scheduler.run_for(process, process.run_load, *state)
        if is_coroutine(pending):
            bounded = _bounded(process, pending, behavior, options)
            await (in_own_task(process.core.loop, bounded) if alone else bounded)
    except BaseException as error:
        if is_cancelled(error) or isinstance(error, GeneratorExit) or not process.alive:
            raise
        keeper.refused(error)
        raise StateRefused from None
    keeper.loaded()


async def _bounded(
    activity: Activity,
    pending: Coroutine[Any, Any, Any],
    behavior: type[ProcessBehavior | MetaBehavior],
    options: ProcessOptions | MetaOptions,
) -> Any:
    """Awaits an `init` that is asynchronous, or on another thread, for at most `init_timeout`."""
    try:
        async with asyncio.timeout(options.init_timeout) as limit:
            return await stepped(pending, partial(activity.scheduler.run_for, activity))
    except TimeoutError:
        if limit.expired():
            raise InitTimeout(behavior.__name__, options.init_timeout) from None
        raise


async def spawn_meta(core: Core, owner: Process, behavior: MetaBehavior, options: MetaOptions | None = None) -> Alias:
    """Starts a meta-process of `owner` and returns its alias. If that fails, its `terminate` has run.

    Raises what its `init` raises; `InitTimeout`; `BadOption`; `NotAllowed` if it was started before or `owner` has
    ended; `NodeTerminated` if the node stops.
    """
    if not isinstance(behavior, MetaBehavior):
        raise BadOption("behavior", behavior, "give a gen.MetaBehavior, for example from meta.create_udp_server(...)")
    if "process" in behavior.__dict__:
        raise NotAllowed(f"{type(behavior).__name__} was started before; create another one")
    if options is None:
        options = _DEFAULT_META
    hooks = behavior._runtime_hooks(behavior)
    adopted: MetaRunner | None = hooks.adopts()
    checked = options if isinstance(options, MetaOptions) else _DEFAULT_META
    meta = MetaRunner(core, owner, behavior, hooks, checked) if adopted is None else adopted
    behavior.process = meta  # from here on it counts as started, and if the start fails, its `terminate` runs
    try:
        if not isinstance(options, MetaOptions):
            raise BadOption("options", options, "give gen.MetaOptions")
        core.require_running()
        owner.require_alive()
        if adopted is not None:
            adopted.adopt(core, owner, behavior, hooks, checked)
        register_meta(core, owner, meta)
        pending: Any = core.scheduler.run_for(meta, behavior.init, meta)
        if is_coroutine(pending):
            await _bounded(meta, pending, type(behavior), options)
        if not meta.alive or meta.lingering or meta.owner is not owner:
            raise ProcessTerminated(owner.id)
    except BaseException as error:
        reason = as_reason(error)
        if meta.behavior is not behavior or meta.lingering:
            raise  # the meta-process to be adopted continues to linger
        if meta.lingers(reason, owner_started=False):
            meta.outlive(reason)
            raise
        meta.end(reason)
        if meta.state is not ProcessState.TERMINATED and meta.task is not None:
            await asyncio.wait((meta.task,))
        raise
    try:
        meta.start()
    except BaseException as error:
        meta.end(as_reason(error))  # its `start` is code of the program, and a thread for it may be refused
        raise
    return meta.id


def register_meta(core: Core, owner: Process, meta: MetaRunner) -> None:
    """Makes a meta-process known to its owner and to the node."""
    metas = owner.metas or {}
    if owner.metas is None:  # read again, as making the dictionary may have run a finalizer
        owner.metas = metas
    owner.metas[meta.id] = meta
    core.metas[meta.id] = meta
    core.registry.routes[meta.id] = meta
