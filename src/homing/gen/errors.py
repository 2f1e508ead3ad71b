"""Errors and exit reasons. Every exception that Homing raises derives from `HomingError`.

Neighbours are told apart: `ProcessUnknown` (never lived here) and `ProcessTerminated` (it did);
`NameUnknown` (nobody has that name now); `AliasUnknown` and `MetaTerminated`, alike.

A process stops by raising. `TerminateNormal` and `TerminateShutdown` are orderly ends; any other exception
is a crash. Exit reasons are exception instances; wherever one is asked for, its class does as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .foreign import class_name, is_a, safe_repr, safe_str


class HomingError(Exception):
    """The root of every exception of this package."""


# --- exit reasons ----------------------------------------------------------------------------------------


class TerminateReason(HomingError):
    """Base of the exit reasons that have a name (Ergo's `gen.TerminateReason...`)."""

    text = "terminated"

    def __str__(self) -> str:
        return self.args[0] if self.args and isinstance(self.args[0], str) else self.text


class TerminateNormal(TerminateReason):
    """The work is done. Not logged; a transient child is not restarted."""

    text = "normal"


class TerminateShutdown(TerminateReason):
    """Stopped on request: by a supervisor, an exit signal or the node's stop. Not logged."""

    text = "shutdown"


class TerminateRestart(TerminateShutdown):
    """Ended by its supervisor in order to be started again, because of the end of another child. Not logged."""

    text = "restart"


class TerminateKill(TerminateReason):
    """Ended by `kill`, which no process can trap."""

    text = "kill"


class TerminatePanic(TerminateReason):
    """A callback raised what is not an `Exception` (`SystemExit`, `KeyboardInterrupt`, a stray `CancelledError`).

    The original is its `__cause__`. It ends that process only, never the node.
    """

    text = "panic"


class Unregistered(TerminateReason):
    """The reason that links and monitors of a name, an alias or an event get when only that went away."""

    text = "unregistered"


def as_reason(reason: object) -> Exception:
    """Turns what a user gave as an exit reason (an exception or its class) into an instance.

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
    """True for the ends after which a successor goes on with what is left: every abnormal one, and a restart."""
    return not is_orderly(reason) or is_a(reason, TerminateRestart)


def is_orderly(reason: BaseException) -> bool:
    """True for `normal` and `shutdown`: the ends that are not a fault (OTP's transient rule)."""
    return is_a(reason, (TerminateNormal, TerminateShutdown))


# --- wrong use -------------------------------------------------------------------------------------------


class BadOption(HomingError, ValueError):
    """An option or argument has a value that cannot work. Names it and says what to do."""

    def __init__(self, option: str, value: object, why: str) -> None:
        super().__init__(option, value, why)
        self.option = option
        self.value = value
        self.why = why

    def __str__(self) -> str:
        return f"{self.option}={safe_repr(self.value)}: {self.why}"

    def __repr__(self) -> str:
        return f"{class_name(self)}({self.option!r}, {safe_repr(self.value)}, {self.why!r})"


class NotAllowed(HomingError):
    """The call makes no sense here or now; the text says why."""


class CallToSelf(NotAllowed):
    """A process called itself: it would wait for its own answer for ever. Call the function instead."""

    def __init__(self, target: object) -> None:
        super().__init__(
            f"{safe_str(target)} called itself and would wait for its own answer; call the method directly"
        )
        self.target = target


class AlreadyLinked(NotAllowed):
    """This process has that link (or monitor) already."""


# --- delivery --------------------------------------------------------------------------------------------


class DeliveryError(HomingError):
    """A message could not be put into its receiver's mailbox. `target` is the address."""

    def __init__(self, target: object, text: str) -> None:
        super().__init__(text)
        self.target = target


class ProcessUnknown(DeliveryError):
    """No such process ever lived on this node."""

    def __init__(self, target: object, text: str = "") -> None:
        super().__init__(target, text or f"no process {safe_str(target)} ever lived here")


class NameUnknown(ProcessUnknown):
    """No process has that name now."""

    def __init__(self, target: object) -> None:
        super().__init__(target, f"no process is registered as {safe_repr(target)}")


def _why(reason: BaseException | None) -> str:
    return "" if reason is None else f": {safe_repr(reason)}"


class ProcessTerminated(DeliveryError):
    """The process lived here and has ended. `reason` is its exit reason where the caller was waiting for it."""

    def __init__(self, target: object, reason: BaseException | None = None) -> None:
        super().__init__(target, f"{safe_str(target)} has terminated" + _why(reason))
        self.reason = reason
        self.__cause__ = reason


class AliasUnknown(DeliveryError):
    """No such alias was ever made on this node."""

    def __init__(self, target: object, text: str = "") -> None:
        super().__init__(target, text or f"no {safe_str(target)} was ever made here")


class MetaTerminated(AliasUnknown):
    """The alias is gone: its meta-process has ended, or its process has deleted it. `reason` is the exit reason
    where the caller was waiting for an answer."""

    def __init__(self, target: object, reason: BaseException | None = None) -> None:
        text = f"{safe_str(target)} is gone: its meta-process has ended, or the alias was deleted"
        super().__init__(target, text + _why(reason))
        self.reason = reason
        self.__cause__ = reason


class NodeUnknown(DeliveryError):
    """The address is on another node, and there is no connection to it."""

    def __init__(self, target: object, node: str) -> None:
        super().__init__(target, f"{safe_str(target)} lives on node {safe_repr(node)}, to which there is no connection")
        self.node = node


class MailboxFull(DeliveryError):
    """The receiver's mailbox holds as many messages as its `mailbox_size` allows."""

    def __init__(self, target: object, limit: int) -> None:
        super().__init__(target, f"mailbox of {safe_str(target)} is full (limit {limit} messages)")
        self.limit = limit


class CallTimeout(HomingError, TimeoutError):
    """No answer came within the time given. A late one is dropped and counted."""

    def __init__(self, target: object, seconds: float) -> None:
        super().__init__(f"no answer from {safe_str(target)} within {seconds:g} s")
        self.target = target
        self.seconds = seconds


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
        super().__init__(f"nobody has registered {safe_str(event)}")
        self.event = event


class NodeTerminated(HomingError):
    """The node is stopping or has stopped."""

    def __init__(self, node: str) -> None:
        super().__init__(f"node {node!r} is stopping or has stopped")
        self.node = node


class NodeForked(NodeTerminated):
    """This OS process is a fork of the one in which the node runs. Nothing of the node works here: its sockets are
    closed, its mailboxes are empty, and signals do what they do by default."""

    def __init__(self, node: str) -> None:
        HomingError.__init__(
            self,
            f"node {node!r} runs in the OS process that was forked; start a node of its own in the child, "
            "or make the child by multiprocessing's method 'spawn'",
        )
        self.node = node


# --- applications ------------------------------------------------------------------------------------------


class ApplicationUnknown(HomingError):
    """No application of that name is loaded."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no application {safe_repr(name)} is loaded; load it with application_load")
        self.name = name


class ApplicationTaken(HomingError):
    """An application of that name is loaded already."""

    def __init__(self, name: str) -> None:
        super().__init__(f"an application {name!r} is loaded already; unload that one, or give this one another name")
        self.name = name


class ApplicationRunning(HomingError):
    """The application is not just loaded: it runs, or is starting or stopping (`state` says which)."""

    def __init__(self, name: str, state: str) -> None:
        super().__init__(f"application {name!r} is {state}; stop it first with application_stop")
        self.name = name
        self.state = state


class ApplicationDepends(HomingError):
    """Applications depend on each other in a way that forbids it. `names` are the others; the text says what to do."""

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
        """Finds the errors of UDP, which live with the sockets: they are imported when one is first asked for."""
        if not name.startswith("_"):  # such as `__path__`, for which every import asks
            from ..datagram import errors as udp

            if name in udp.__all__:
                return getattr(udp, name)
        raise AttributeError(f"module 'homing.gen' has no attribute {name!r}", name=name)
