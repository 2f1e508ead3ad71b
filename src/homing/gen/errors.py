"""Errors and exit reasons. Every exception that Homing raises derives from `HomingError`.

Similar errors are distinct: `ProcessUnknown` (the process never existed on this node) and `ProcessTerminated` (it has
ended); `NameUnknown` (no process has that name now); `AliasUnknown` and `MetaTerminated` likewise.

A process stops by raising. `TerminateNormal` and `TerminateShutdown` are orderly ends; any other exception
is a crash. Exit reasons are exception instances; an exception class is accepted in place of an instance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .foreign import class_name, is_a, safe_repr, safe_str


class HomingError(Exception):
    """The root of every exception of this package."""


# --- exit reasons ----------------------------------------------------------------------------------------


class TerminateReason(HomingError):
    """Base of the named exit reasons (Ergo's `gen.TerminateReason...`)."""

    text = "terminated"

    def __str__(self) -> str:
        return self.args[0] if self.args and isinstance(self.args[0], str) else self.text


class TerminateNormal(TerminateReason):
    """The process has finished its work. Not logged; a transient child is not restarted."""

    text = "normal"


class TerminateShutdown(TerminateReason):
    """Stopped on request: by a supervisor, an exit signal or the node's stop. Not logged."""

    text = "shutdown"


class TerminateRestart(TerminateShutdown):
    """Stopped by its supervisor to be restarted, because another child has ended. Not logged."""

    text = "restart"


class TerminateKill(TerminateReason):
    """Ended by `kill`, which no process can trap."""

    text = "kill"


class TerminatePanic(TerminateReason):
    """A callback raised an exception outside `Exception` (`SystemExit`, `KeyboardInterrupt`, a stray `CancelledError`).

    The original exception is its `__cause__`. It ends only that process, never the node.
    """

    text = "panic"


class Unregistered(TerminateReason):
    """The reason that links and monitors of a name, an alias or an event receive when it is unregistered or deleted
    while its process lives on."""

    text = "unregistered"


def as_reason(reason: object) -> Exception:
    """Returns a user's exit reason (an exception or its class) as an instance.

    Raises `BadOption` for anything else.
    """
    given = reason() if is_a(reason, type) and issubclass(reason, Exception) else reason
    if is_a(given, Exception):
        return given
    if is_a(reason, BaseException):
        panic = TerminatePanic(f"panic: {safe_repr(reason)}")
        panic.__cause__ = reason
        return panic
    raise BadOption("reason", reason, "give an exception or its class, for example gen.TerminateShutdown")


def is_succeeded(reason: BaseException) -> bool:
    """Returns True for the ends after which a successor takes over the waiting messages: abnormal ends and restarts."""
    return not is_orderly(reason) or is_a(reason, TerminateRestart)


def is_orderly(reason: BaseException) -> bool:
    """Returns True for `normal` and `shutdown`: the ends that are not a fault (OTP's transient rule)."""
    return is_a(reason, (TerminateNormal, TerminateShutdown))


# --- wrong use -------------------------------------------------------------------------------------------


class BadOption(HomingError, ValueError):
    """An option or argument has an invalid value. The text names the option and says what to give."""

    def __init__(self, option: str, value: object, why: str) -> None:
        super().__init__(option, value, why)
        self.option = option
        self.value = value
        self.why = why

    def __str__(self) -> str:
        return f"{self.option}={safe_repr(self.value)}: {self.why}"

    def __repr__(self) -> str:
        return f"{class_name(self)}({self.option!r}, {safe_repr(self.value)}, {self.why!r})"


class BadConfiguration(HomingError, ValueError):
    """A file of `homing run --config`, or an environment variable, has invalid values; nothing of it was applied.

    problems: a line for each, with file, line, key, and what to write.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(self.problems)


class NotAllowed(HomingError):
    """The operation is not possible here or now; the text says why."""


class CallToSelf(NotAllowed):
    """A process called itself: it would wait for its own answer forever. Call the method directly instead."""

    def __init__(self, target: object) -> None:
        super().__init__(
            f"{safe_str(target)} called itself and would wait for its own answer; call the method directly"
        )
        self.target = target


class AlreadyLinked(NotAllowed):
    """This process already has that link or monitor."""


# --- delivery --------------------------------------------------------------------------------------------


class DeliveryError(HomingError):
    """A message could not be put into its receiver's mailbox. `target` is the address."""

    def __init__(self, target: object, text: str) -> None:
        super().__init__(text)
        self.target = target


class ProcessUnknown(DeliveryError):
    """No such process ever existed on this node."""

    def __init__(self, target: object, text: str = "") -> None:
        super().__init__(target, text or f"no process {safe_str(target)} ever existed on this node")


class NameUnknown(ProcessUnknown):
    """No process has that name now."""

    def __init__(self, target: object) -> None:
        super().__init__(target, f"no process is registered as {safe_repr(target)}")


def _why(reason: BaseException | None) -> str:
    return "" if reason is None else f": {safe_repr(reason)}"


class ProcessTerminated(DeliveryError):
    """The process has ended. `reason` is its exit reason if the caller was waiting for an answer."""

    def __init__(self, target: object, reason: BaseException | None = None) -> None:
        super().__init__(target, f"{safe_str(target)} has terminated" + _why(reason))
        self.reason = reason
        self.__cause__ = reason


class AliasUnknown(DeliveryError):
    """No such alias was ever created on this node."""

    def __init__(self, target: object, text: str = "") -> None:
        super().__init__(target, text or f"no {safe_str(target)} was ever created on this node")


class MetaTerminated(AliasUnknown):
    """The alias no longer exists: its meta-process has ended, or its process has deleted it. `reason` is the exit
    reason if the caller was waiting for an answer."""

    def __init__(self, target: object, reason: BaseException | None = None) -> None:
        text = f"{safe_str(target)} no longer exists: its meta-process has ended, or the alias was deleted"
        super().__init__(target, text + _why(reason))
        self.reason = reason
        self.__cause__ = reason


class NodeUnknown(DeliveryError):
    """The address is on another node, and there is no connection to it."""

    def __init__(self, target: object, node: str) -> None:
        super().__init__(target, f"{safe_str(target)} is on node {safe_repr(node)}, to which there is no connection")
        self.node = node


class MailboxFull(DeliveryError):
    """The receiver's mailbox holds as many messages as its `mailbox_size` allows."""

    def __init__(self, target: object, limit: int) -> None:
        super().__init__(target, f"mailbox of {safe_str(target)} is full (limit {limit} messages)")
        self.limit = limit


class CallTimeout(HomingError, TimeoutError):
    """No answer came within the timeout. A late answer is dropped and counted."""

    def __init__(self, target: object, seconds: float) -> None:
        super().__init__(f"no answer from {safe_str(target)} within {seconds:g} s")
        self.target = target
        self.seconds = seconds


class TooManyRequests(HomingError):
    """As many requests are open as `max_requests` allows, of the process (`ProcessOptions`) or of the UDP client
    (`meta.UDPClientOptions`). The new request was not sent."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} requests are open, as many as max_requests allows; the new request was not sent")
        self.limit = limit


class InitTimeout(HomingError, TimeoutError):
    """An `init`, asynchronous or on a thread of its own, did not finish within `init_timeout`."""

    def __init__(self, behavior: str, seconds: float) -> None:
        super().__init__(f"init of {behavior} did not finish within init_timeout={seconds:g} s")
        self.behavior = behavior
        self.seconds = seconds


# --- names, events, node ---------------------------------------------------------------------------------


class NameTaken(HomingError):
    """Another process is registered under that name."""

    def __init__(self, name: str, owner: object) -> None:
        super().__init__(f"name {safe_repr(name)} is taken by {owner}")
        self.name = name
        self.owner = owner


class EventTaken(HomingError):
    """Another process has registered that event."""

    def __init__(self, event: object, owner: object) -> None:
        super().__init__(f"{safe_str(event)} is registered by {owner}")
        self.event = event
        self.owner = owner


class EventUnknown(HomingError):
    """No process has registered that event."""

    def __init__(self, event: object) -> None:
        super().__init__(f"no process has registered {safe_str(event)}")
        self.event = event


class NodeTerminated(HomingError):
    """The node is stopping or has stopped."""

    def __init__(self, node: str) -> None:
        super().__init__(f"node {node!r} is stopping or has stopped")
        self.node = node


class NodeForked(NodeTerminated):
    """This OS process is a fork of the one in which the node runs. The node does not work here: its sockets are closed,
    its mailboxes are empty, and signals have their default effect."""

    def __init__(self, node: str) -> None:
        HomingError.__init__(
            self,
            f"node {node!r} runs in the parent OS process, not in this fork; start a new node in the child, "
            "or use multiprocessing's start method 'spawn'",
        )
        self.node = node


# --- applications ------------------------------------------------------------------------------------------


class ApplicationUnknown(HomingError):
    """No application of that name is loaded."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no application {safe_repr(name)} is loaded; load it with application_load")
        self.name = name


class ApplicationTaken(HomingError):
    """An application of that name is already loaded."""

    def __init__(self, name: str) -> None:
        super().__init__(f"an application {name!r} is already loaded; unload it, or give the new one another name")
        self.name = name


class ApplicationRunning(HomingError):
    """The application is running, starting or stopping; `state` says which."""

    def __init__(self, name: str, state: str) -> None:
        super().__init__(f"application {name!r} is {state}; stop it first with application_stop")
        self.name = name
        self.state = state


class ApplicationDepends(HomingError):
    """The operation is not possible because of the dependencies between applications. `names` are the other
    applications; the text says what to do."""

    def __init__(self, name: str, names: tuple[str, ...], why: str) -> None:
        super().__init__(f"application {name!r} {why}")
        self.name = name
        self.names = names


class ApplicationTerminated(HomingError):
    """The application has ended. `reason` says why."""

    def __init__(self, name: str, reason: BaseException) -> None:
        super().__init__(f"application {name!r} has terminated: {safe_repr(reason)}")
        self.name = name
        self.reason = reason
        self.__cause__ = reason


# --- errors of UDP, under their old names -------------------------------------------------------------------

if TYPE_CHECKING:
    from ..datagram.errors import *  # noqa: F403
else:
    __all__ = [
        name for name, value in globals().items() if getattr(value, "__module__", "") == __name__ and name[0] != "_"
    ]

    def __getattr__(name: str) -> object:
        """Returns an error of UDP from `datagram.errors`, which is imported at the first such access."""
        if not name.startswith("_"):  # every import looks up `__path__`
            from ..datagram import errors as udp

            if name in udp.__all__:
                return getattr(udp, name)
        raise AttributeError(f"module 'homing.gen' has no attribute {name!r}", name=name)
