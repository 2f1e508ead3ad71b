"""Actor: the behavior that users derive from. Most of its methods are a line or two over the parts of the runtime."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from ..datagram import MessageUDP
from ..gen import (
    NO_REPLY,
    PID,
    Alias,
    BadOption,
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
from ..gen.foreign import class_name, is_a
from ..gen.hooks import ProcessHooks
from ..gen.typed import declared
from ..node.logs import RateLimited
from ..node.mailbox.envelope import Exit, exit_signal
from ..node.messaging.pressure import hold_back_from
from ..node.messaging.sending import reply, send, send_request
from ..node.processes.meta_process import MetaRunner
from ..node.processes.spawning import spawn, spawn_meta
from ..node.servers import server_address
from . import clustered, links, names, remote, responses, timers
from .config import config
from .health import health
from .links import check_address
from .missing import MissingCallback
from .timers import IDLE_TIMEOUT

if TYPE_CHECKING:
    from ..datagram.batch import DatagramBatch
    from ..node.processes.process import Process
    from ..node.scheduling.activity import Activity

_NORMAL = MessagePriority.NORMAL


class ActorHooks(ProcessHooks):
    """Hooks of an actor. All plain actors share one object; an actor with a derived hooks class has its own."""

    __slots__ = ()

    def source(self, sender: PID | Alias, message: Any) -> Any:
        """Returns the peer of a datagram, without the flow label of IPv6, which may change; otherwise the sender."""
        if type(message) is not MessageUDP:
            return sender
        address = message.addr
        return (address[0], address[1], address[3]) if type(address) is tuple and len(address) == 4 else address

    @classmethod
    def of(cls, behavior: Actor, process: Process) -> ProcessHooks:
        behavior._process = process
        if behavior._class_idle_timeout is not None:
            behavior.idle_timeout = behavior._class_idle_timeout
        return _SHARED if cls is ActorHooks else cls(behavior, process)


_SHARED = ActorHooks(None, None)
"""Shared: an object for each actor would take 90 of the actor's 700 bytes, and a quarter of the time of a spawn."""


class Actor(ProcessBehavior):
    """A process: private state, one mailbox, one message at a time.

    Derive from it, keep state in `self`, and define the callbacks that are needed (`gen.ProcessBehavior` lists them).
    Each may be `def` or `async def`. To stop, raise `gen.TerminateNormal` or `gen.TerminateShutdown`; any other
    exception is a crash: it is logged once with its traceback and sent to links and monitors.

    trap_exit: exit signals, except the parent's, arrive in `handle_message` as `gen.MessageExitPID` and the like.
    split_handle: messages and requests sent by name go to `handle_message_name` and `handle_call_name`, those sent by
        alias to `handle_message_alias` and `handle_call_alias`. Set either on the class; `trap_exit` also on `self`.
    idle_timeout: seconds of silence after which `handle_timeout` is called, again and again, as by the timeout of
        OTP's `gen_server`. Silence is when no callback runs, and no message, request, response, event or datagram is
        handled; inspections do not count. Set it on `self`, at any time, or on the class; None: never. A bad value
        raises `BadOption`.
    """

    idle_timeout: float | None = IDLE_TIMEOUT  # type: ignore[assignment] # a descriptor
    _class_idle_timeout: ClassVar[float | None] = None
    _set_idle_timeout = timers._set_idle_timeout

    _runtime_hooks: ClassVar[type[ProcessHooks]] = ActorHooks
    _process: Process

    def __init_subclass__(cls, **how: Any) -> None:
        super().__init_subclass__(**how)
        seconds = timers.class_value(cls)
        if seconds is not IDLE_TIMEOUT:
            cls._class_idle_timeout, cls.idle_timeout = seconds, IDLE_TIMEOUT  # type: ignore[assignment]

    @property
    def _here(self) -> Process:
        """Returns the process, for methods that need the node's thread. Raises `NotAllowed` on another thread,
        `NodeForked` in a forked process."""
        process = self._process
        process.core.require_thread()
        return process

    # --- identity -----------------------------------------------------------------------------------------

    @property
    def pid(self) -> PID:
        """The PID of this process."""
        return self._process.id

    @property
    def name(self) -> str | None:
        """The registered name of this process, or None."""
        return self._process.name

    @property
    def parent(self) -> PID:
        """The process that spawned this one, or the node's own PID."""
        return self._process.parent

    @property
    def leader(self) -> PID:
        """The group leader: inherited from the parent unless given in `ProcessOptions`."""
        return self._process.leader

    @property
    def node(self) -> str:
        """The name of the node."""
        return self._process.core.name

    @property
    def env(self) -> Mapping[str, Any]:
        """The environment: the node's, then the parent's, then the process's own options; the later wins."""
        return self._process.env

    config = config

    @property
    def server_address(self) -> Any:
        """The address of the only UDP server of this process, or that sends it datagrams: see `Node.address_of`."""
        return self._server_address()

    def _server_address(self) -> Any:
        """A method, so that it can be called on a thread of the process's own."""
        return server_address(self._here.core, self._process)

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """The logger, `homing.process`, with node, pid, process_name and behavior in each record's `extra`."""
        return self._process.log_adapter

    @cached_property
    def _limited_log(self) -> RateLimited:
        """The logger for warnings that others can cause: its rate is bounded, as they decide how often."""
        return RateLimited(self.log, self._process.core.bounded_log)

    def _warn(self, kind: str, text: str, *args: object) -> None:
        self._limited_log.warning(self._process.core.loop.time(), kind, text, *args)

    # --- callbacks, with the defaults for those that a class does not define --------------------------------

    def init(self, *args: Any, **kwargs: Any) -> Any:
        """Runs once, before any message is handled, with the arguments of `spawn`, which raises what this raises."""

    def handle_message(self, sender: Any, message: Any) -> Result:
        """Handles a message from `send`, or a datagram. The default logs a warning, at a bounded rate.

        sender: the address to answer to. For a datagram it is the UDP server: see `reply`.
        """
        self._unhandled("handle_message", "", sender, message)
        return None

    def handle_message_name(self, name: str, sender: Any, message: Any) -> Result:
        """With `split_handle`: handles a message sent to the registered name."""
        self._unhandled("handle_message_name", " to " + repr(name), sender, message)
        return None

    def handle_message_alias(self, alias: Alias, sender: Any, message: Any) -> Result:
        """With `split_handle`: handles a message sent to one of the aliases."""
        self._unhandled("handle_message_alias", f" to {alias}", sender, message)
        return None

    def handle_datagrams(self, batch: DatagramBatch) -> Result:
        """Handles all datagrams that one wake-up of a UDP server has read, as a sequence of `meta.MessageUDP`. If a
        class does not define it, each datagram goes to `handle_message`. The batch is valid until this returns."""
        return None

    def handle_call(self, sender: PID, ref: Ref, request: Any) -> Any:
        """Handles a request from `call`. Returns the answer, or `gen.NO_REPLY` if `send_response` will send it later.
        The default raises `NotAllowed` at the caller at once."""
        return self._refuse(ref, "handle_call", request)

    def handle_call_name(self, name: str, sender: PID, ref: Ref, request: Any) -> Any:
        """With `split_handle`: handles a request sent to the registered name."""
        return self._refuse(ref, "handle_call_name", request)

    def handle_call_alias(self, alias: Alias, sender: PID, ref: Ref, request: Any) -> Any:
        """With `split_handle`: handles a request sent to one of the aliases."""
        return self._refuse(ref, "handle_call_alias", request)

    def handle_response(self, label: Any, answer: Any) -> Result:
        """Handles the response to a request of `send_request`: called exactly once for each, unless it was cancelled.
        The default logs a warning, at a bounded rate.

        label: as given to `send_request`. answer: the answer, or the error as an exception: `CallTimeout`,
            `ProcessTerminated`, the error passed to `send_response_error` ...
        """
        kind, missing = class_name(answer), MissingCallback(type(self), "handle_response")
        self._warn(f"response {kind}", "unhandled response of type %s: %s", kind, missing)
        return None

    def handle_timeout(self) -> Result:
        """Called after `idle_timeout` seconds of silence, in the main lane, and again after each further silence. The
        default logs a warning, at a bounded rate."""
        self._warn("timeout", "unhandled timeout: %s", MissingCallback(type(self), "handle_timeout"))
        return None

    def handle_event(self, event: MessageEvent) -> Result:
        """Handles a publication of an event that this process is linked to or monitors."""
        self._warn(str(event.event), "unhandled %s", event.event)
        return None

    def handle_inspect(self, sender: PID, *items: str) -> Any:
        """Returns a mapping for `inspect`. Its exception is raised at the inspector; this process continues."""
        return {}

    def handle_log(self, record: logging.LogRecord) -> Result:
        """Handles a log record, if this process is a log receiver."""
        return None

    def terminate(self, reason: Exception) -> Result:
        """Runs once, last, whatever the reason; the sockets are closed by then. An exception here is logged."""
        return None

    def _unhandled(self, callback: str, to: str, sender: Any, message: Any) -> None:
        kind, missing = class_name(message), MissingCallback(type(self), callback)
        self._warn(kind + to, "unhandled message of type %s%s from %s: %s", kind, to, sender, missing)

    def _refuse(self, ref: Ref, callback: str, request: Any) -> Any:
        """Answers an unhandled request with an error at once. In Ergo its caller waits until the timeout."""
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
        """Like `send`, to the lane of `priority`: NORMAL main, HIGH system, MAX urgent."""
        self._process.core.delivery.send(self._process.sender, to, message, priority)
        self._process.messages_out += 1
        if self._process.fed:
            hold_back_from(self._process, to)

    send_after = timers.send_after
    send_every = timers.send_every

    def send_exit(self, pid: PID, reason: Exception | type[Exception]) -> None:
        """Sends an exit signal: that process ends for `reason`, or gets `MessageExitPID` if it traps exits.

        A process of another node may refuse it (`ProcessOptions.remote`), or may have ended; this one is not told.
        Raises `NotAllowed` for this process (raise the reason instead) and its parent (send a message instead),
        `ProcessUnknown`, `ProcessTerminated`, `NodeUnknown`.
        """
        process = self._here
        if check_address(pid, PID, "a PID") in (process.id, process.parent):
            raise NotAllowed(
                f"{process.id} cannot send an exit signal to itself or its parent; raise the reason instead"
            )
        cause = as_reason(reason)
        process.core.registry.find(pid).put_exit(exit_signal(process.id, cause))

    def send_exit_meta(self, alias: Alias, reason: Exception | type[Exception]) -> None:
        """Ends a meta-process for `reason`, after the messages queued in its system lane. Raises `AliasUnknown`,
        `MetaTerminated`, `NodeUnknown`."""
        cause = as_reason(reason)
        elsewhere = is_a(alias, Alias) and alias.node != self.node
        target = self._find(alias) if elsewhere else self._meta(alias)
        target.put_exit(Exit(self._process.id, cause, None), 1)

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
        """Sends a request and returns the answer. Only in `async def` callbacks; the mailbox waits meanwhile.

        request: anything; the answer of a `gen.Request[int]` is an `int` to type checkers.
        timeout: seconds. Raises `CallTimeout`; `ProcessTerminated` with the reason as soon as the callee ends; the
            error passed to `send_response_error`; `CallToSelf`; and the errors of `send`.
        """
        calls = self._process.core.calls
        waiter = calls.start_request(self._process, to, request, timeout, priority)
        return waiter.take() if waiter.done else await calls.wait(waiter)

    send_request = send_request
    cancel_request = responses.cancel_request
    requests = property(responses.requests)
    send_response = responses.send_response
    send_response_error = responses.send_response_error
    forward = responses.forward

    async def inspect(self, pid: PID | str, *items: str, timeout: float = 5.0) -> Any:
        """Returns the result of that process's `handle_inspect`. A full mailbox accepts the request too."""
        return await self._here.core.calls.inspect(self._process, pid, items, timeout)

    async def inspect_meta(self, alias: Alias, *items: str, timeout: float = 5.0) -> Any:
        """Returns the result of that meta-process's `handle_inspect`. A full mailbox accepts the request too."""
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

        Raises the exception of `init`, `InitTimeout`, `NameTaken`, `BadOption`, `NodeTerminated`.
        """
        return await spawn(self._here.core, self._process, behavior, args, name, options)

    async def spawn_meta(self, behavior: MetaBehavior, options: MetaOptions | None = None) -> Alias:
        """Starts a meta-process of this process and returns its alias. If that fails, its `terminate` has run."""
        return await spawn_meta(self._here.core, self._process, behavior, options)

    def give_meta(self, alias: Alias, pid: PID) -> None:
        """Transfers a meta-process of this process to another process of the node, like OTP's `controlling_process`.

        From then on it belongs to the new owner: it ends with that process, and a UDP server whose datagrams go to its
        owner sends them there. Messages queued in this process's mailbox stay here. Alias, links, monitors, counters,
        workers and `linger` stay as they are. No process is notified: to announce the alias, send a message first; it
        arrives before the first datagram.

        `pid` may still be in its `init`, and request the transfer from there. Raises `NotAllowed` if this process is
        not the owner, or `pid` is of another node; `AliasUnknown`, `MetaTerminated`, `ProcessUnknown`,
        `ProcessTerminated`, `NodeUnknown`; `BadOption` if `alias` is not the alias of a meta-process, or `pid` not a
        PID.
        """
        meta = self._meta(alias)
        owner: Any = self._find(check_address(pid, PID, "a PID"))
        if pid.node != self.node:
            raise NotAllowed(f"{alias} cannot be given to {pid}: a meta-process stays on its node")
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

    # --- the cluster ------------------------------------------------------------------------------------------

    spawn_remote = clustered.spawn_remote
    join_group = clustered.join_group
    leave_group = clustered.leave_group
    monitor_group = clustered.monitor_group
    demonitor_group = clustered.demonitor_group

    # --- names, aliases, events -------------------------------------------------------------------------------

    register_name = names.register_name
    unregister_name = names.unregister_name
    create_alias = names.create_alias
    delete_alias = names.delete_alias
    register_event = names.register_event
    unregister_event = names.unregister_event
    send_event = names.send_event

    # --- other nodes ------------------------------------------------------------------------------------------

    send_important = remote.send_important
    monitor_node = remote.monitor_node
    demonitor_node = remote.demonitor_node

    # --- health -----------------------------------------------------------------------------------------------

    health = health
