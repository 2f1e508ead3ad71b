"""Actor: the behavior that users derive from. Each of its methods is a line or two over the parts of the runtime."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from ..gen import (
    NO_REPLY,
    PID,
    Alias,
    BadOption,
    CancelTimer,
    MessageEvent,
    MessagePriority,
    MetaBehavior,
    MetaOptions,
    NotAllowed,
    ProcessBehavior,
    ProcessID,
    ProcessOptions,
    Ref,
    Target,
    as_reason,
    typed,
)
from ..gen.behavior import Result
from ..gen.foreign import class_name
from ..gen.hooks import ProcessHooks
from ..gen.typed import declared
from ..node.logs import RateLimited
from ..node.mailbox.envelope import Exit, exit_signal
from ..node.messaging.pressure import hold_back_from
from ..node.messaging.sending import reply, send
from ..node.processes.meta_process import MetaRunner
from ..node.processes.spawning import spawn, spawn_meta
from . import links, names
from .links import check_address
from .missing import MissingCallback

if TYPE_CHECKING:
    from ..datagram.batch import DatagramBatch
    from ..node.processes.process import Process
    from ..node.scheduling.activity import Activity

_NORMAL = MessagePriority.NORMAL


class ActorHooks(ProcessHooks):
    """Hooks of an actor: one object for all. Those of a class derived from this one have an object each."""

    __slots__ = ()

    @classmethod
    def of(cls, behavior: Actor, process: Process) -> ProcessHooks:
        behavior._process = process
        return _SHARED if cls is ActorHooks else cls(behavior, process)


_SHARED = ActorHooks(None, None)
"""One object for each actor would take 90 bytes of its 700, and a quarter of the time of a spawn."""


class Actor(ProcessBehavior):
    """A process: private state, one mailbox, one message at a time.

    Derive from it, keep state in `self`, and define the callbacks that are needed (`gen.ProcessBehavior` lists them).
    Each may be `def` or `async def`. To stop, raise `gen.TerminateNormal` or `gen.TerminateShutdown`; any other
    exception is a crash: logged once with its traceback, told to links and monitors.

    trap_exit: exit signals come to `handle_message` as `gen.MessageExitPID` and its kin, but for the parent's.
    split_handle: what is sent by name comes to `handle_message_name` and `handle_call_name`, what is sent by alias to
        `handle_message_alias` and `handle_call_alias`. Set both on the class, or `trap_exit` also later on `self`.
    """

    _runtime_hooks: ClassVar[type[ProcessHooks]] = ActorHooks
    _process: Process

    @property
    def _here(self) -> Process:
        """The process, for what belongs to the node's thread. Raises `NotAllowed` on another one, `NodeForked` in a
        fork."""
        process = self._process
        process.core.require_thread()
        return process

    # --- what it is ---------------------------------------------------------------------------------------

    @property
    def pid(self) -> PID:
        """This process."""
        return self._process.id

    @property
    def name(self) -> str | None:
        """Its registered name, or None."""
        return self._process.name

    @property
    def parent(self) -> PID:
        """The process that spawned it, or the node's own PID."""
        return self._process.parent

    @property
    def leader(self) -> PID:
        """Its group leader: inherited from the parent unless given in `ProcessOptions`."""
        return self._process.leader

    @property
    def node(self) -> str:
        """The name of its node."""
        return self._process.core.name

    @property
    def env(self) -> Mapping[str, Any]:
        """Its environment: the node's, then the parent's, then its own options, the later winning."""
        return self._process.env

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """Its logger, `homing.process`, with node, pid, process_name and behavior in each record's `extra`."""
        return self._process.log_adapter

    @cached_property
    def _limited_log(self) -> RateLimited:
        """For what others make it log: how often they do is theirs to say."""
        return RateLimited(self.log, self._process.core.bounded_log)

    def _warn(self, kind: str, text: str, *args: object) -> None:
        self._limited_log.warning(self._process.core.loop.time(), kind, text, *args)

    # --- callbacks: what happens where a class does not define them -----------------------------------------

    def init(self, *args: Any, **kwargs: Any) -> Any:
        """Runs once, before any message is handled, with the arguments of `spawn`. What it raises, `spawn` raises."""

    def handle_message(self, sender: Any, message: Any) -> Result:
        """A message by `send`, or a datagram. Where a class does not define it, a warning is logged, at a bounded rate.

        sender: the address to answer to. That of a datagram is the UDP server: see `reply`.
        """
        self._unhandled("handle_message", "", sender, message)
        return None

    def handle_message_name(self, name: str, sender: Any, message: Any) -> Result:
        """With `split_handle`: a message that was sent to the registered name."""
        self._unhandled("handle_message_name", " to " + repr(name), sender, message)
        return None

    def handle_message_alias(self, alias: Alias, sender: Any, message: Any) -> Result:
        """With `split_handle`: a message that was sent to one of the aliases."""
        self._unhandled("handle_message_alias", f" to {alias}", sender, message)
        return None

    def handle_datagrams(self, batch: DatagramBatch) -> Result:
        """All datagrams that one wake-up of a UDP server has read, as a sequence of `meta.MessageUDP`. Called only if a
        class defines it: else each datagram comes to `handle_message`. The batch ends when this returns."""
        return None

    def handle_call(self, sender: PID, ref: Ref, request: Any) -> Any:
        """A request by `call`. Returns the answer, or `gen.NO_REPLY` if `send_response` is to give it later. Where a
        class does not define it, the caller gets `NotAllowed` at once."""
        return self._refuse(ref, "handle_call", request)

    def handle_call_name(self, name: str, sender: PID, ref: Ref, request: Any) -> Any:
        """With `split_handle`: a request that was sent to the registered name."""
        return self._refuse(ref, "handle_call_name", request)

    def handle_call_alias(self, alias: Alias, sender: PID, ref: Ref, request: Any) -> Any:
        """With `split_handle`: a request that was sent to one of the aliases."""
        return self._refuse(ref, "handle_call_alias", request)

    def handle_event(self, event: MessageEvent) -> Result:
        """A publication of an event that this process is linked to or monitors."""
        self._warn(str(event.event), "unhandled %s", event.event)
        return None

    def handle_inspect(self, sender: PID, *items: str) -> Any:
        """Answers `inspect` with a mapping. What it raises goes to the inspector; the process lives on."""
        return {}

    def handle_log(self, record: logging.LogRecord) -> Result:
        """A log record, where this process is a log receiver."""
        return None

    def terminate(self, reason: Exception) -> Result:
        """Runs once, last, whatever the reason; its sockets are closed by then. What it raises is logged."""
        return None

    def _unhandled(self, callback: str, to: str, sender: Any, message: Any) -> None:
        kind, missing = class_name(message), MissingCallback(type(self), callback)
        self._warn(kind + to, "unhandled message of type %s%s from %s: %s", kind, to, sender, missing)

    def _refuse(self, ref: Ref, callback: str, request: Any) -> Any:
        """An unhandled request gets an error at once; in Ergo its caller waits until the timeout."""
        what = f"{class_name(self)} has no {callback} (request of type {class_name(request)}); define it"
        self._process.core.calls.fail(ref, NotAllowed(what))
        return NO_REPLY

    # --- sending ------------------------------------------------------------------------------------------

    send = send
    reply = reply

    def send_pid(self, to: PID, message: Any) -> None:
        """Like `send`, but only to a PID: raises `BadOption` for any other address."""
        self.send(check_address(to, PID, "a PID"), message)

    def send_name(self, to: str | ProcessID, message: Any) -> None:
        """Like `send`, but only to a registered name: raises `BadOption` for any other address."""
        self.send(check_address(to, (str, ProcessID), "a registered name"), message)

    def send_alias(self, to: Alias, message: Any) -> None:
        """Like `send`, but only to an alias: raises `BadOption` for any other address."""
        self.send(check_address(to, Alias, "an Alias"), message)

    def send_with_priority(self, to: Target, message: Any, priority: MessagePriority) -> None:
        """As `send`, to the lane of `priority`: NORMAL main, HIGH system, MAX urgent."""
        self._process.core.delivery.send(self._process.sender, to, message, priority)
        self._process.messages_out += 1
        if self._process.fed:
            hold_back_from(self._process, to)

    def send_after(self, to: Target, message: Any, seconds: float) -> CancelTimer:
        """Sends `message` once, `seconds` from now. Returns the function that cancels it: True if it was still to fire,
        or its message still waited in a mailbox, from which it is taken back; False if that was handled or has gone.

        The timer ends with this process. If the receiver is gone or full by then, that is counted
        (`NodeInfo.timer_failures`). Raises `BadOption`.
        """
        self._here.require_alive()
        return self._process.core.timers.start(self._process, to, message, seconds, periodic=False)

    def send_every(self, to: Target, message: Any, seconds: float) -> CancelTimer:
        """Sends `message` every `seconds`. Returns the function that cancels it, and takes back the tick that waits.

        Ticks are due at start + n * seconds. Those missed while the loop was busy are dropped; so are those that find
        the one before still waiting to be handled, which are counted (`NodeInfo.timer_skips`). Ends with this process,
        or when the receiver's PID or alias has ended. Raises `BadOption`.
        """
        self._here.require_alive()
        return self._process.core.timers.start(self._process, to, message, seconds, periodic=True)

    def send_exit(self, pid: PID, reason: Exception | type[Exception]) -> None:
        """Sends an exit signal: that process ends for `reason`, or gets `MessageExitPID` if it traps exits.

        Raises `NotAllowed` for itself or its parent (raise instead; ask instead), `ProcessUnknown`,
        `ProcessTerminated`.
        """
        process = self._here
        if check_address(pid, PID, "a PID") in (process.id, process.parent):
            raise NotAllowed(
                f"{process.id} cannot send an exit signal to itself or its parent; raise the reason instead"
            )
        cause = as_reason(reason)
        process.core.registry.find(pid).put_exit(exit_signal(process.id, cause))

    def send_exit_meta(self, alias: Alias, reason: Exception | type[Exception]) -> None:
        """Ends a meta-process for `reason`, after what waits in its system lane. Raises `AliasUnknown`,
        `MetaTerminated`."""
        cause = as_reason(reason)
        self._meta(alias).put_exit(Exit(self._process.id, cause, None), 1)

    def _meta(self, alias: Alias) -> MetaRunner:
        target = self._find(check_address(alias, Alias, "an Alias"))
        if not isinstance(target, MetaRunner):
            raise BadOption("alias", alias, "it belongs to a process, not to a meta-process")
        return target

    def _find(self, address: PID | Alias) -> Activity:
        return self._here.core.registry.find(address)

    # --- calls --------------------------------------------------------------------------------------------

    @declared(typed.call)
    async def call(self, to: Target, request: Any, *, timeout: float = 5.0, priority: MessagePriority = _NORMAL) -> Any:
        """Sends a request and returns the answer. Only in `async def` callbacks; meanwhile the mailbox waits.

        request: anything; the answer of a `gen.Request[int]` is an `int` to type checkers.
        timeout: seconds. Raises `CallTimeout`; `ProcessTerminated` with the reason as soon as the callee ends; what
        `send_response_error` gave; `CallToSelf`; and the errors of `send`.
        """
        calls = self._process.core.calls
        waiter = calls.start_request(self._process, to, request, timeout, priority)
        return waiter.take() if waiter.done else await calls.wait(waiter, timeout)

    def send_response(self, to: PID, ref: Ref, answer: Any) -> None:
        """Answers a request whose `handle_call` returned `gen.NO_REPLY`; any process may. A late answer is counted."""
        self._process.core.calls.answer(ref, answer)
        self._process.messages_out += 1

    def send_response_error(self, to: PID, ref: Ref, error: Exception) -> None:
        """Answers a request with an error, which `call` raises. The callee lives on."""
        self._process.core.calls.fail(ref, as_reason(error))
        self._process.messages_out += 1

    def forward(
        self,
        to: Target,
        message: Any,
        *,
        sender: PID | Alias,
        ref: Ref | None = None,
        priority: MessagePriority = _NORMAL,
    ) -> None:
        """Passes on a message, or with `ref` a request, as if `sender` had sent it to `to`: the answer goes to the
        original caller, which gets an error at once if the new callee ends. `handle_call` then returns `gen.NO_REPLY`.

        Raises as `send` does, and `CallToSelf` for a request forwarded to this process.
        """
        core = self._process.core
        check_address(sender, (PID, Alias), "the PID of the sender, or the alias of the meta-process")
        if ref is None:
            core.delivery.send(sender, to, message, priority)
        else:
            core.calls.forward(self._process, to, sender, ref, message, priority)
        self._process.messages_out += 1
        if self._process.fed:
            hold_back_from(self._process, to)

    async def inspect(self, pid: PID | str, *items: str, timeout: float = 5.0) -> Any:
        """Returns the result of that process's `handle_inspect`. The request passes a full mailbox."""
        return await self._here.core.calls.inspect(self._process, pid, items, timeout)

    async def inspect_meta(self, alias: Alias, *items: str, timeout: float = 5.0) -> Any:
        """Returns the result of that meta-process's `handle_inspect`. The request passes a full mailbox."""
        return await self._here.core.calls.inspect(self._process, alias, items, timeout)

    # --- children -----------------------------------------------------------------------------------------

    @declared(typed.spawn)
    async def spawn(
        self,
        behavior: type[ProcessBehavior],
        *args: Any,
        name: str | None = None,
        options: ProcessOptions | None = None,
    ) -> PID:
        """Starts a child process with `init(*args)` and returns its PID once `init` has finished.

        Raises what `init` raised, `InitTimeout`, `NameTaken`, `BadOption`, `NodeTerminated`.
        """
        return await spawn(self._here.core, self._process, behavior, args, name, options)

    async def spawn_meta(self, behavior: MetaBehavior, options: MetaOptions | None = None) -> Alias:
        """Starts a meta-process of this process and returns its alias. If that fails, its `terminate` has run."""
        return await spawn_meta(self._here.core, self._process, behavior, options)

    def give_meta(self, alias: Alias, pid: PID) -> None:
        """Transfers a meta-process of this process to another one of the node, as OTP's `gen_udp:controlling_process`.

        From then on it belongs to that process: it ends with that process, and a UDP server whose datagrams go to its
        owner sends them there. Messages that wait in this process's mailbox stay here. Alias, links, monitors,
        counters, workers and `linger` stay as they are. No process is notified: to announce the alias, send a message
        first; it arrives before the first datagram.

        `pid` may still be in its `init`, and ask for it from there. Raises `NotAllowed` if this process is not the
        owner; `AliasUnknown`, `MetaTerminated`, `ProcessUnknown`, `ProcessTerminated`, `NodeUnknown`; `BadOption` if
        these are no alias of a meta-process and no PID.
        """
        meta = self._meta(alias)
        owner: Any = self._find(check_address(pid, PID, "a PID"))
        meta.transfer(self._process, owner)

    # --- links and monitors -----------------------------------------------------------------------------------

    link = links.link
    monitor = links.monitor
    unlink = links.unlink
    demonitor = links.demonitor
    link_pid = links.link_pid
    link_name = links.link_name
    link_alias = links.link_alias
    link_event = links.link_event
    monitor_pid = links.monitor_pid
    monitor_name = links.monitor_name
    monitor_alias = links.monitor_alias
    monitor_event = links.monitor_event
    unlink_pid = links.unlink_pid
    unlink_name = links.unlink_name
    unlink_alias = links.unlink_alias
    unlink_event = links.unlink_event
    demonitor_pid = links.demonitor_pid
    demonitor_name = links.demonitor_name
    demonitor_alias = links.demonitor_alias
    demonitor_event = links.demonitor_event

    # --- names, aliases, events -------------------------------------------------------------------------------

    register_name = names.register_name
    unregister_name = names.unregister_name
    create_alias = names.create_alias
    delete_alias = names.delete_alias
    register_event = names.register_event
    unregister_event = names.unregister_event
    send_event = names.send_event
