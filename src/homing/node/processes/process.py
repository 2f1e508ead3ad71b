"""The process: identity, links, and the order in which it ends.

It ends in this order, on every path: its addresses are removed; its meta-processes end (sockets close); its `terminate`
runs; callers that wait for it, links and monitors are notified. Any process notified can bind the same port at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from ...gen import (
    PID,
    Alias,
    Event,
    NotAllowed,
    ProcessBehavior,
    ProcessOptions,
    ProcessState,
    Ref,
    Subject,
    TerminateKill,
    Unregistered,
    is_orderly,
)
from ...gen.foreign import class_name, safe_repr
from ...gen.hooks import ProcessHooks
from ...gen.retrying import Again, twice
from ..logs import PROCESS_LOGGER, ContextAdapter, context
from ..mailbox.preserved import describe, send_dead_letter
from ..scheduling.activity import Activity
from ..scheduling.slices import WAKES
from . import preserving

if TYPE_CHECKING:
    from ..core import Core
    from ..mailbox.mailbox import Entry
    from ..mailbox.preserved import PreservedMailbox
    from ..messaging.sent_request import SentRequest
    from ..states.keeper import Keeper
    from .meta_process import MetaRunner

_SLEEP, _ZOMBIE, _TERMINATED = ProcessState.SLEEP, ProcessState.ZOMBIE, ProcessState.TERMINATED


_NO_HOOKS = ProcessHooks(None, None)
"""The hooks of a process that has ended."""


class Process(Activity):
    """An actor at run time. `sender`: its PID, the sender of its messages; `reason`: why it ended.

    ahead: messages of its main lane that a thread of its own may take next; see `node/processes/threaded.py`.
    application: the name of its application.
    set_aside: the messages that waited when it was killed, until it has ended.
    preserved_mailboxes: the messages that waited at children that have ended, until these have a successor.
    hooks: those of its behavior base.
    keeper: keeps its state for a successor; None: see `ProcessOptions.state`.
    requests: those of `send_request` whose response was not handled yet, by their refs.
    letters: number of dead letters that it has left: see `ProcessOptions.dead_letters`.
    """

    __slots__ = (
        "ahead",
        "aliases",
        "application",
        "ending",
        "env",
        "events",
        "hooks",
        "keeper",
        "leader",
        "letters",
        "links",
        "metas",
        "monitors",
        "name",
        "open_calls",
        "parent",
        "preserved_mailboxes",
        "reason",
        "requests",
        "set_aside",
    )

    id: PID
    behavior: ProcessBehavior
    hooks: ProcessHooks
    options: ProcessOptions

    stuck = "ignores its cancellation"
    """The reason, for the log, why a killed process does not end."""

    def __init__(
        self, core: Core, parent: PID, leader: PID, env: Mapping[str, Any], split: bool, options: ProcessOptions
    ) -> None:
        pid = core.registry.make_pid()
        super().__init__(core, pid, pid, options.mailbox_size, split)
        self.parent = parent
        self.leader = leader
        self.env = env
        self.options = options
        self.ahead: deque[Entry] | None = None
        self.application: str | None = None
        self.keeper: Keeper | None = None
        self.set_aside: PreservedMailbox | None = None
        self.preserved_mailboxes: dict[PID, PreservedMailbox] | None = None
        self.name: str | None = None
        self.requests: dict[Ref, SentRequest] | None = None
        self.open_calls = 0
        self.letters = 0
        self.ending = False
        self.reason: Exception | None = None
        self.links: set[Subject] | None = None
        self.monitors: set[Subject] | None = None
        self.aliases: set[Alias] | None = None
        self.events: set[Event] | None = None
        self.metas: dict[Alias, MetaRunner] | None = None

    def run_init(self, args: tuple[Any, ...]) -> Any:
        """Runs the behavior's `init`. Returns its result, which may be a coroutine to be awaited."""
        return self.behavior.init(*args)

    def run_load(self, state: Any) -> Any:
        """Runs the behavior's `load_state`, likewise."""
        return self.behavior.load_state(state)

    def traps_exit(self, sender: PID) -> bool:
        return self.behavior.trap_exit and sender != self.parent

    @property
    def wants_letters(self) -> bool:
        return self.options.dead_letters is not None

    def require_alive(self) -> None:
        """Raises `NotAllowed` if the process has ended."""
        if not self.alive:
            raise NotAllowed(f"{self.id} has ended; it can only send, in its terminate")

    @property
    def log_adapter(self) -> ContextAdapter:
        """The logger of this process."""
        extra = context(self.core.name, self.id, type(self.behavior).__name__, name=self.name)
        return ContextAdapter(PROCESS_LOGGER, extra, self.core.levels)

    # --- aliases ------------------------------------------------------------------------------------------

    def create_alias(self) -> Alias:
        """Creates and returns one more address of the process."""
        alias = self.core.registry.make_alias()
        aliases = self.aliases or set()
        self.require_alive()  # after all allocations, which may have run a finalizer that has ended it
        self.core.registry.routes[alias] = self
        if self.aliases is None:
            self.aliases = aliases
        self.aliases.add(alias)
        return alias

    def delete_alias(self, alias: Alias) -> None:
        """Removes an alias; its links and monitors are notified with `Unregistered`. Raises `NotAllowed`."""
        if self.aliases is None or alias not in self.aliases:
            raise NotAllowed(f"{alias} is not an alias of {self.id}")
        self.aliases.discard(alias)
        self.core.registry.routes.pop(alias, None)  # absent already if the process is ending
        self.scheduler.run_in_portions(self.core.links.subject_gone, alias, self.id, Unregistered())

    def unregister_name(self) -> None:
        """Unregisters the name; its links and monitors are notified with `Unregistered`."""
        name = self.name
        if name is not None:
            self.core.registry.unregister_name(self)
            self.scheduler.run_in_portions(self.core.links.subject_gone, name, self.id, Unregistered())

    # --- the end ------------------------------------------------------------------------------------------

    def kill(self) -> None:
        """Ends the process whatever it does and traps: at once if it sleeps, otherwise when its callback allows it."""
        if self.state is _SLEEP:
            self.end(TerminateKill())
        elif self.alive:
            self._leave()
            self.state = _ZOMBIE
            self._set_aside()  # so that a turn in progress finds nothing more
            if self.task is not None:
                self.task.cancel()
        elif self.state is _ZOMBIE:
            self.hurry()
            for meta in (self.metas or {}).values():
                meta.hurry()

    def abandon(self) -> None:
        """Ends a killed process although its callback has not returned. The message in hand becomes a dead letter, as
        its outcome will not be known."""
        self.ending = True
        reason = TerminateKill()
        hand, self.hand = self.hand, None
        if hand is not None:
            send_dead_letter(self, hand, reason, in_hand=True)
        for _ in self._end_metas(reason):
            pass
        self.ended(reason)

    async def fail_init(self, reason: Exception) -> None:
        """Undoes a start whose `init` has failed. The process's `terminate` does not run, as in `gen_server`."""
        if self.ending:
            return  # a stopping node has abandoned it
        if not self.alive:
            reason = TerminateKill()
        self.ending = True
        self._leave()
        self.state = _ZOMBIE
        try:
            for _ in self._end_metas(reason, started=False):
                pass
            if tasks := self._ending_metas():
                await asyncio.wait(tasks)
        finally:
            self.ended(reason)

    def end(self, reason: Exception, fault: BaseException | None = None) -> None:
        if self.ending:
            return
        self.ending = True
        try:  # not `twice`, which takes memory itself before its first try
            self._begin_end(reason, fault)
        except MemoryError:
            self._begin_end(reason, fault)
        try:
            self._go_on_ending(reason)
        except MemoryError:
            self._go_on_ending(reason)

    def _begin_end(self, reason: Exception, fault: BaseException | None) -> None:
        attempt = self.core.attempt
        self._leave()
        self.state = _ZOMBIE
        hand, self.hand = self.hand, None
        if self.keeper is not None:
            attempt(self.keeper.ends, reason, fault, hand)
        if not is_orderly(reason):
            attempt(self._log_end, reason, fault, hand)
            if hand is not None:
                attempt(partial(send_dead_letter, in_hand=True), self, hand, reason)

    def _go_on_ending(self, reason: Exception) -> None:
        if self.metas:
            self.scheduler.run_in_portions(Again, self._end_after_metas, reason)
        else:
            self._terminate(reason)

    def _end_after_metas(self, reason: Exception) -> Iterator[object]:
        yield from self.core.attempt_steps(self._end_metas, reason)
        if not twice(self._awaits_metas, reason):
            self._terminate(reason)

    def _awaits_metas(self, reason: Exception) -> bool:
        """Returns True if meta-processes need time to end: then a task waits for them, and continues the end."""
        tasks = self._ending_metas()
        if tasks:
            over = partial(self._metas_over, reason)  # first: after the task is created, nothing may fail
            self.task = self.core.loop.create_task(_wait_for(tasks))
            self.task.add_done_callback(over)
        return bool(tasks)

    def _metas_over(self, reason: Exception, task: asyncio.Task[None]) -> None:
        self._terminate(reason)

    def _log_end(self, reason: Exception, fault: BaseException | None, hand: Entry | None) -> None:
        if fault is not None:
            text = "%s crashed%s: %s"
            self.core.crashed(self.log_adapter, text, self.title, describe(hand), safe_repr(reason), fault=fault)
        elif (
            PROCESS_LOGGER.isEnabledFor(logging.INFO) or self.core.levels
        ):  # the texts take a fifth of the time of a kill
            self.core.note(self.log_adapter, "%s ended: %s", self.title, safe_repr(reason))

    def _terminate(self, reason: Exception) -> None:
        self.terminate(reason, self.hooks.terminate_timeout)

    def terminate_failed(self, error: BaseException) -> None:
        text = "terminate of %s failed: %s"
        self.core.log_failure(self.log_adapter, text, self.title, safe_repr(error), fault=error)

    @property
    def title(self) -> str:
        name = f" ({self.name!r})" if self.name else ""
        return f"process {self.id}{name} {class_name(self.behavior)}"

    def _leave(self) -> None:
        """Removes all routes to it. Its name stays taken until links and monitors have been notified."""
        routes = self.core.registry.routes
        if self.id in routes:
            for alias in tuple(self.aliases or ()):
                routes.pop(alias, None)
            if self.name is not None:
                routes.pop(self.name, None)
            if self.requests:
                self.scheduler.run_in_portions(Again, self.core.calls.cancel_requests, self)
            self.scheduled = True
            routes.pop(self.id, None)  # last, so that everything is repeated if any of it fails

    def _end_metas(self, reason: Exception, *, started: bool = True) -> Iterator[object]:
        """Ends the meta-processes, the last started first, except those that outlive a crash: one in each step."""
        for meta in twice(list, (self.metas or {}).values())[::-1]:
            self.core.attempt(self._end_meta, meta, reason, started)
            yield WAKES  # ending has woken the task of the meta-process

    def _ending_metas(self) -> list[asyncio.Task[None]]:
        """Returns the tasks of the meta-processes that need time to end."""
        return [meta.task for meta in (self.metas or {}).values() if meta.task is not None]

    def _end_meta(self, meta: MetaRunner, reason: Exception, started: bool) -> None:
        if meta.lingers(reason, started):
            meta.outlive(reason)
        else:
            meta.end(reason)

    def ended(self, reason: Exception) -> None:
        """Notifies callers, links and monitors, and releases everything. Goes on if a step raises."""
        if self.state is _TERMINATED:
            return
        try:
            leave = Again(self._take_leave, reason)
        except MemoryError:
            leave = Again(self._take_leave, reason)
        self.state = _TERMINATED
        self.reason = reason
        try:
            self._run_leave(leave)
        except MemoryError:
            self._run_leave(leave)

    def _run_leave(self, leave: Iterator[object]) -> None:
        self.core.processes.pop(self.id, None)
        self.scheduler.run_in_portions(iter, leave)

    def _take_leave(self, reason: Exception) -> Iterator[object]:
        """Notifies callers, links and monitors, and releases everything, step by step."""
        core, links, steps = self.core, self.core.links, self.core.attempt_steps
        attempt = core.attempt
        if self.keeper is not None:
            attempt(self.keeper.left, reason)
        yield from steps(self._leave_mailbox, reason)
        if self.links or self.monitors:
            yield from steps(links.consumer_gone, self)
        if self.events:
            yield from steps(core.events.owner_gone, self, reason)
        of_pid, of_name = attempt(links.subject_gone, self.id, self.id, reason), None
        if self.name is not None:  # from here on another process may have it
            core.registry.names.pop(self.name, None)
            of_name = attempt(links.subject_gone, self.name, self.id, reason)
        for told in (of_pid, of_name):
            if told is not None:
                yield from steps(iter, told)
        for alias in tuple(self.aliases or ()):
            yield from steps(links.subject_gone, alias, self.id, reason)
            yield None
        yield from steps(self.release)
        if self.application is not None:
            attempt(core.applications.process_ended, self, reason)
        attempt(core.changed)

    # --- its messages ---------------------------------------------------------------------------------------

    @property
    def _preserves(self) -> bool:
        """True if the messages that wait at its end are kept or sent on."""
        return self.options.preserve_mailbox or self.options.dead_letters is not None

    def _set_aside(self) -> None:
        """Takes the queued messages out of the lanes, and keeps them if they are to be preserved."""
        if self._preserves:
            preserving.set_aside(self)
        self.scheduler.run_in_portions(self.core.attempt_steps, self.discard)

    def _leave_mailbox(self, reason: Exception) -> Iterator[object]:
        """Preserves the queued messages, if they are to be; fails the calls waiting for it."""
        if self._preserves:
            return preserving.leave(self, reason)
        return self.core.calls.callee_gone(self, reason)

    def forget_preserved(self, child: PID) -> None:
        """Abandons the messages that waited at `child`, and its state, as it gets no successor."""
        preserving.forget(self, child)
        if self.core.states is not None:
            self.core.states.forget_ended(child)

    def release(self) -> Iterator[object]:
        for child in tuple(self.preserved_mailboxes or ()):
            self.forget_preserved(child)
            yield None
        yield from super().release()
        self._part_from_behavior()

    def _part_from_behavior(self) -> None:
        """Replaces the behavior by an empty one of its class. A process and a behavior that refer to each other would
        be a cycle: if thousands end at once, the garbage collector would hold the event loop to find them."""
        self.handler = self.forwarder = self.last_target = None
        self.hooks = _NO_HOOKS
        self.keeper = None
        try:
            self.behavior = object.__new__(type(self.behavior))  # keeps the class, for the log
        except TypeError:
            pass  # a base of the class cannot be created in this way


async def _wait_for(tasks: list[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks)
