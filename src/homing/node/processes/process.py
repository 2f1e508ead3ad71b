"""The process: identity, links, and the order in which it ends.

It ends in this order, on every path: no address leads to it any more; its meta-processes end (sockets close); its
`terminate` runs; callers that wait for it, links and monitors are told. Whoever is told can bind the same port at once.
"""

from __future__ import annotations

import asyncio
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
    Subject,
    TerminateKill,
    Unregistered,
    is_orderly,
    is_succeeded,
)
from ...gen.foreign import class_name, safe_repr
from ...gen.hooks import ProcessHooks
from ...gen.retrying import Again, twice
from ..logs import PROCESS_LOGGER, ContextAdapter, context
from ..mailbox.preserved import PreservedMailbox, describe, send_dead_letter
from ..scheduling.activity import Activity
from ..scheduling.slices import WAKES

if TYPE_CHECKING:
    from ..core import Core
    from ..mailbox.mailbox import Entry
    from .meta_process import MetaRunner

_SLEEP, _ZOMBIE, _TERMINATED = ProcessState.SLEEP, ProcessState.ZOMBIE, ProcessState.TERMINATED


_NO_HOOKS = ProcessHooks(None, None)
"""Of a process that has ended."""


class Process(Activity):
    """An actor at run time. `sender` (its PID) stands on what it sends; `reason` is why it ended.

    ahead: messages out of its main lane that a thread of its own may go on with; see `node/processes/threaded.py`.
    application: the name of the one that it belongs to.
    set_aside: what waited when it was killed, until it has ended.
    preserved_mailboxes: what waited at children that have ended, until they have a successor.
    hooks: what its behavior base has to say.
    letters: dead letters that it has left: see `ProcessOptions.dead_letters`.
    """

    __slots__ = (
        "ahead",
        "aliases",
        "application",
        "ending",
        "env",
        "events",
        "hooks",
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
        "set_aside",
    )

    id: PID
    behavior: ProcessBehavior
    hooks: ProcessHooks
    options: ProcessOptions

    stuck = "swallows its cancellation"
    """Why it may be that a killed process does not end."""

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
        self.set_aside: PreservedMailbox | None = None
        self.preserved_mailboxes: dict[PID, PreservedMailbox] | None = None
        self.name: str | None = None
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
        """Runs the behavior's `init`. Gives a coroutine if that is to be awaited."""
        return self.behavior.init(*args)

    def traps_exit(self, sender: PID) -> bool:
        return self.behavior.trap_exit and sender != self.parent

    @property
    def wants_letters(self) -> bool:
        return self.options.dead_letters is not None

    def take_main(self) -> int:
        if self.main is None:
            return 0
        return self.hooks.take_main(self.main)

    def require_alive(self) -> None:
        """Raises `NotAllowed` if the process has ended."""
        if not self.alive:
            raise NotAllowed(f"{self.id} has ended; it can only send, in its terminate")

    @property
    def log_adapter(self) -> ContextAdapter:
        """The logger of this process."""
        extra = context(self.core.name, self.id, type(self.behavior).__name__, name=self.name)
        return ContextAdapter(PROCESS_LOGGER, extra)

    # --- aliases ------------------------------------------------------------------------------------------

    def create_alias(self) -> Alias:
        """Gives the process one more address."""
        alias = self.core.registry.make_alias()
        aliases = self.aliases or set()
        self.require_alive()  # once all is made: that may have run a finalizer that has ended it
        self.core.registry.routes[alias] = self
        if self.aliases is None:
            self.aliases = aliases
        self.aliases.add(alias)
        return alias

    def delete_alias(self, alias: Alias) -> None:
        """Takes an alias back; who links to it or monitors it is told `Unregistered`. Raises `NotAllowed`."""
        if self.aliases is None or alias not in self.aliases:
            raise NotAllowed(f"{alias} is not an alias of {self.id}")
        self.aliases.discard(alias)
        self.core.registry.routes.pop(alias, None)  # where it is ending, no alias leads to it any more
        self.scheduler.run_in_portions(self.core.links.subject_gone, alias, self.id, Unregistered())

    def unregister_name(self) -> None:
        """Gives the registered name up; who links to it or monitors it is told `Unregistered`."""
        name = self.name
        if name is not None:
            self.core.registry.unregister_name(self)
            self.scheduler.run_in_portions(self.core.links.subject_gone, name, self.id, Unregistered())

    # --- the end ------------------------------------------------------------------------------------------

    def kill(self) -> None:
        """Ends the process whatever it does and traps: at once if it sleeps, else as soon as its callback lets it."""
        if self.state is _SLEEP:
            self.end(TerminateKill())
        elif self.alive:
            self._leave()
            self.state = _ZOMBIE
            self._set_aside()  # so the turn in which it may be finds nothing more
            if self.task is not None:
                self.task.cancel()
        elif self.state is _ZOMBIE:
            self.hurry()
            for meta in (self.metas or {}).values():
                meta.hurry()

    def abandon(self) -> None:
        """Ends what a killed process holds although its callback has not returned: nobody waits for it any longer. What
        came of the message in hand nobody will know: it is a dead letter."""
        self.ending = True
        reason = TerminateKill()
        hand, self.hand = self.hand, None
        if hand is not None:
            send_dead_letter(self, hand, reason, in_hand=True)
        for _ in self._end_metas(reason):
            pass
        self.ended(reason)

    async def fail_init(self, reason: Exception) -> None:
        """`init` did not succeed: undoes what it did. Its `terminate` does not run, as in `gen_server`."""
        if self.ending:
            return  # a node that stops did not wait for it
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
        try:
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
        """True if meta-processes need time to end: a task waits for them, and goes on then."""
        tasks = self._ending_metas()
        if tasks:
            over = partial(self._metas_over, reason)  # first: once there is a task, nothing may fail
            self.task = self.core.loop.create_task(_wait_for(tasks))
            self.task.add_done_callback(over)
        return bool(tasks)

    def _metas_over(self, reason: Exception, task: asyncio.Task[None]) -> None:
        self._terminate(reason)

    def _log_end(self, reason: Exception, fault: BaseException | None, hand: Entry | None) -> None:
        why = safe_repr(reason)
        if fault is None:
            self.core.note(self.log_adapter, "%s ended: %s", self.title, why)
        else:
            self.core.crashed(self.log_adapter, "%s crashed%s: %s", self.title, describe(hand), why, fault=fault)

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
        """No address leads here any more. Nobody else can have the name before everybody has been told."""
        routes = self.core.registry.routes
        if self.id in routes:
            for alias in tuple(self.aliases or ()):
                routes.pop(alias, None)
            if self.name is not None:
                routes.pop(self.name, None)
            self.scheduled = True
            routes.pop(self.id, None)  # last, so that all of it is done again if any of it fails

    def _end_metas(self, reason: Exception, *, started: bool = True) -> Iterator[object]:
        """Ends the meta-processes, last started first, but those that outlive a crash: one with each step."""
        for meta in twice(list, (self.metas or {}).values())[::-1]:
            self.core.attempt(self._end_meta, meta, reason, started)
            yield WAKES  # its task

    def _ending_metas(self) -> list[asyncio.Task[None]]:
        """The tasks of the meta-processes that need time to end."""
        return [meta.task for meta in (self.metas or {}).values() if meta.task is not None]

    def _end_meta(self, meta: MetaRunner, reason: Exception, started: bool) -> None:
        if meta.lingers(reason, started):
            meta.outlive(reason)
        else:
            meta.end(reason)

    def ended(self, reason: Exception) -> None:
        """Tells everybody, and lets go of everything. Whatever a step raises, those after it are taken."""
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
        """The steps in which everybody is told: as many as there are to be told."""
        core, links, steps = self.core, self.core.links, self.core.attempt_steps
        attempt = core.attempt
        yield from steps(self._leave_mailbox, reason)
        yield from steps(links.consumer_gone, self)
        yield from steps(core.events.owner_gone, self, reason)
        of_pid, of_name = attempt(links.subject_gone, self.id, self.id, reason), None
        if self.name is not None:  # from here on somebody else may have it
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

    # --- what it leaves -------------------------------------------------------------------------------------

    @property
    def _preserves(self) -> bool:
        """True if what waits at its end is somebody's."""
        return self.options.preserve_mailbox or self.options.dead_letters is not None

    def _set_aside(self) -> None:
        """Takes what waits out of the lanes, for a successor if there may be one."""
        if self._preserves:
            self.set_aside = PreservedMailbox(self)
            self.core.attempt(self.set_aside.collect)
        self.scheduler.run_in_portions(self.core.attempt_steps, self.discard)

    def _leave_mailbox(self, reason: Exception) -> Iterator[object]:
        """What waits goes to the parent, for a successor, or is lost; callers who wait for it are told."""
        mailbox, self.set_aside = self.set_aside, None
        keeper = self._keeper()
        if mailbox is None and self._preserves and (is_succeeded(reason) or (keeper and keeper.hooks.succeeds_orderly)):
            mailbox = PreservedMailbox(self)
        if mailbox is not None:
            mailbox.collect()
            if keeper is not None:
                kept = keeper.preserved_mailboxes or {}
                if keeper.preserved_mailboxes is None:
                    keeper.preserved_mailboxes = kept
                keeper.preserved_mailboxes[self.id] = mailbox
                yield from self.core.calls.callee_gone(self, reason, mailbox.refs())
                return
            yield from mailbox.give_up()
        yield from self.core.calls.callee_gone(self, reason)

    def _keeper(self) -> Process | None:
        """The parent, if it starts a successor that gets what waits here."""
        parent = self.core.processes.get(self.parent) if self.options.preserve_mailbox else None
        return parent if parent is not None and parent.alive and parent.hooks.succeeds else None

    def forget_preserved(self, child: PID) -> None:
        """There will be no successor of `child`: what waited there is lost."""
        if self.preserved_mailboxes is not None:
            mailbox = self.preserved_mailboxes.pop(child, None)
            if mailbox is not None:
                self.scheduler.run_in_portions(mailbox.give_up)

    def forget_unclaimed(self) -> bool:
        """The node stops: no child that has ended gets a successor, but for those that are being started already.
        Returns True if something waited for one."""
        unclaimed = [child for child, mailbox in (self.preserved_mailboxes or {}).items() if not mailbox.claimed]
        for child in unclaimed:
            self.forget_preserved(child)
        return bool(unclaimed)

    def release(self) -> Iterator[object]:
        for child in tuple(self.preserved_mailboxes or ()):
            self.forget_preserved(child)
            yield None
        yield from super().release()
        self._part_from_behavior()

    def _part_from_behavior(self) -> None:
        """Leaves the behavior, which knows this process, to whoever still has it. Two that know each other would be
        garbage for the collector to find: of thousands that end at once, in a pass that holds the event loop."""
        self.handler = None
        self.hooks = _NO_HOOKS
        try:
            self.behavior = object.__new__(type(self.behavior))  # tells the class, for the log
        except TypeError:
            pass  # the class has a base that is made in another way


async def _wait_for(tasks: list[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks)
