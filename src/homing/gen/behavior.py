"""Contracts between the runtime and the classes that users write.

A callback may be `def` (runs inline, the fast path) or `async def` (the process stays busy, its mailbox waits, the node
continues). One callback of a process runs at a time, unless `ProcessOptions.concurrency` allows more.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias

from .errors import NotAllowed
from .foreign import class_name
from .hooks import MetaHooks, ProcessHooks
from .identifiers import PID, Alias, Ref, Target
from .messages import NO_REPLY, MessageEvent, MessagePriority
from .options import MetaOptions

if TYPE_CHECKING:
    from ..datagram.batch import DatagramBatch  # only for its type: a callback is declared with what users annotate

Result: TypeAlias = Awaitable[None] | None
"""Return type of a callback: None, or an awaitable."""

CancelTimer = Callable[[], bool]
"""Cancels a timer. Returns True if its message will not be handled: the timer had not fired, or its message was still
in the mailbox."""


class ProcessBehavior:
    """The contract of a process. `act.Actor` and the other bases derive from it; users derive from those."""

    trap_exit: bool = False
    """Turns exit signals into messages (`MessageExitPID` ...), except the parent's."""
    split_handle: bool = False
    """Messages sent to a name or an alias go to separate callbacks."""

    _runtime_hooks: ClassVar[type[ProcessHooks]] = ProcessHooks
    """For behavior bases only, see `gen.hooks`."""

    def init(self, *args: Any, **kwargs: Any) -> Any:
        """Runs once, before any message is handled. If it raises, `spawn` raises the same and `terminate` is not
        called."""

    def handle_message(self, sender: Any, message: Any) -> Result:
        """Handles a message sent by `send`. An exception ends the process and becomes its exit reason.

        sender: the address to answer to: the PID of a process, or the alias of a meta-process. The sender of a
            datagram is the UDP server; send `message.reply(...)` to it.
        """
        return None

    def handle_message_name(self, name: str, sender: Any, message: Any) -> Result:
        """With `split_handle`: handles a message that was sent to the registered name."""
        return None

    def handle_message_alias(self, alias: Alias, sender: Any, message: Any) -> Result:
        """With `split_handle`: handles a message that was sent to one of the aliases."""
        return None

    def handle_call(self, sender: PID, ref: Ref, request: Any) -> Any:
        """Handles a request made by `call`. Returns the answer, or `NO_REPLY` if `send_response` will send it later."""
        return None

    def handle_call_name(self, name: str, sender: PID, ref: Ref, request: Any) -> Any:
        """With `split_handle`: handles a request that was sent to the registered name."""
        return None

    def handle_call_alias(self, alias: Alias, sender: PID, ref: Ref, request: Any) -> Any:
        """With `split_handle`: handles a request that was sent to one of the aliases."""
        return None

    def handle_response(self, label: Any, answer: Any) -> Result:
        """Handles the response to a request of `send_request`. Called exactly once for each, unless it was cancelled.

        label: as given to `send_request`. answer: the answer, or the error as an exception.
        """
        return None

    def handle_timeout(self) -> Result:
        """Called when nothing was handled for `idle_timeout` seconds."""
        return None

    def handle_datagrams(self, batch: DatagramBatch) -> Result:
        """Handles all datagrams that a UDP server has read in one wake-up, as a sequence of `meta.MessageUDP`. Called
        only if the class defines it; otherwise each datagram is passed to `handle_message`. The batch is valid until
        this returns."""
        return None

    def handle_event(self, event: MessageEvent) -> Result:
        """Handles a publication of an event that this process is linked to or monitors."""
        return None

    def handle_inspect(self, sender: PID, *items: str) -> Any:
        """Answers `inspect` with a mapping. An exception is raised at the inspector; the process continues."""
        return None

    def handle_log(self, record: logging.LogRecord) -> Result:
        """Handles a log record, if this process is a log receiver."""
        return None

    def dump_state(self) -> Any:
        """With `ProcessOptions.state`: returns the state to keep for a successor. A plain `def`, called between two
        callbacks; it should be quick. Nothing returned is kept by reference.

        Returns bytes; plain data: None (nothing to keep), and str, int, float, bool, and lists and dicts of these, the
        keys of dicts being str; or, with msgspec (`homing[cluster]`), whatever could be sent to another node: also
        tuples, sets, bytes and any keys inside, and instances of classes marked by `gen.message`. If it raises, or
        returns anything else or too much, that is counted and logged once, and the former dump stays.
        """
        return None

    def load_state(self, state: Any) -> Result:
        """With `ProcessOptions.state`: takes over what `dump_state` has returned in an earlier process. Called after
        `init` and before any message; after a takeover by another OS process in a turn of its own, before the first
        datagram.

        `def` or `async def`. If it raises, that is logged, and the process starts again without the state. After a
        takeover it is not started again: its attributes are set as they were before.
        """
        return None

    def terminate(self, reason: Exception) -> Result:
        """Runs once, as the last callback, whatever the reason. The process's meta-processes have already ended.
        Exceptions are logged."""
        return None


def takes_batches(behavior: type) -> bool:
    """Returns True if a behavior class defines `handle_datagrams`. The base classes only declare it."""
    for kind in behavior.__mro__:
        if "handle_datagrams" in vars(kind):
            return "_runtime_hooks" not in vars(kind) and vars(kind)["handle_datagrams"] is not None
    return False


class MetaProcess(Protocol):
    """The `process` of a meta-process: its access to the runtime. Safe to use from the thread of a blocking `start`."""

    @property
    def id(self) -> Alias:
        """This meta-process's alias."""

    @property
    def parent(self) -> PID:
        """The process that owns it, which is the sender of its messages."""

    @property
    def env(self) -> Mapping[str, Any]:
        """The parent's environment."""

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """Logger with node, parent, alias and behavior in `extra`."""

    def warn(self, kind: str, text: str, *args: object) -> None:
        """Logs `text % args` as a warning: the first of a `kind`, then one in five seconds with the number of those
        held back. For what others make it log: how often they do is theirs to say."""

    def send(self, to: Target, message: Any) -> None:
        """Sends `message`, from the alias: an answer comes to `handle_message`."""

    def send_with_priority(self, to: Target, message: Any, priority: MessagePriority) -> None:
        """Sends `message` to the lane of `priority`."""

    def send_after(self, to: Target, message: Any, seconds: float) -> CancelTimer:
        """Sends `message` once, after `seconds`. Returns the cancel function."""

    def send_every(self, to: Target, message: Any, seconds: float) -> CancelTimer:
        """Sends `message` every `seconds`, keeping the phase. Returns the cancel function."""

    def send_response(self, to: PID, ref: Ref, answer: Any) -> None:
        """Answers a request for which `handle_call` returned `NO_REPLY`."""

    def send_response_error(self, to: PID, ref: Ref, error: Exception) -> None:
        """Answers a request for which `handle_call` returned `NO_REPLY`: the caller raises `error`."""

    async def spawn_meta(self, behavior: MetaBehavior, options: MetaOptions | None = None) -> Alias:
        """Starts another meta-process of the same parent."""


class MetaBehavior:
    """The contract of a meta-process: an adapter between an outside source and the actors.

    Two activities run side by side: `start`, which serves the outside source until it returns, and the mailbox handler.
    A meta-process can be linked to and monitored; it makes no links, monitors or calls. It ends when `start` returns
    (reason `normal`) or raises (the exception is the reason), by `send_exit_meta`, when a callback raises, or with its
    parent, for the parent's reason.
    """

    process: MetaProcess

    _runtime_hooks: ClassVar[type[MetaHooks]] = MetaHooks
    """For behavior bases only, see `gen.hooks`."""

    def init(self, process: MetaProcess) -> Result:
        """Runs once, before `start`, and stores `process`. If it raises, `terminate` is called and `spawn_meta` raises
        the same."""
        self.process = process
        return None

    def start(self) -> Result:
        """Serves the outside source. An `async def` runs as a task of the loop; a `def` runs in a thread of its own and
        may block: then `terminate` has to make it return."""
        return None

    def handle_message(self, sender: Any, message: Any) -> Result:
        """Handles a message sent to the alias. If a class does not define it, a warning is logged, at a bounded
        rate."""
        kind = class_name(message)
        self.process.warn(kind, "unhandled message of type %s from %s", kind, sender)
        return None

    def handle_call(self, sender: PID, ref: Ref, request: Any) -> Any:
        """Handles a request made to the alias, as in `ProcessBehavior`. If a class does not define it, the caller gets
        an error at once."""
        what = f"{type(self).__name__} has no handle_call (request of type {type(request).__name__})"
        self.process.send_response_error(sender, ref, NotAllowed(what))
        return NO_REPLY

    def handle_inspect(self, sender: PID, *items: str) -> Any:
        """Answers `inspect_meta` with a mapping."""
        return {}

    def drain(self) -> None:
        """Called when the node stops: accept no more input. Messages sent to the alias still go out."""

    def drained(self) -> bool:
        """Returns False while output is pending; a stopping node waits for it."""
        return True

    def terminate(self, reason: Exception) -> Result:
        """Releases the resources of the meta-process. Called exactly once on every path, also after a failed start."""
        return None
