"""Stand-ins: real processes and meta-processes of the private node, which record what the subject sends to them, and
answer as the test has declared. Links, monitors, names and ends are the runtime's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from ...act import Actor
from ...gen import (
    NO_REPLY,
    PID,
    Alias,
    MessageExitPID,
    MetaBehavior,
    MetaOptions,
    NotAllowed,
    ProcessOptions,
    Ref,
    Target,
)
from ...gen.foreign import is_a
from ...gen.hooks import MetaHooks, ProcessHooks
from ...meta import MessageUDP, UDPClient
from ...node.mailbox.envelope import Exit, SplitMessage, is_coroutine
from ...node.processes.meta_process import MetaRunner
from ...node.processes.process import Process
from ...node.processes.spawning import register_meta

if TYPE_CHECKING:
    from ...node.core import Core
    from ...node.mailbox.mailbox import Entry
    from .outcomes import Outcomes

_NO_LIMIT = 1 << 30
"""A limit that is never reached. With any limit, all that is sent passes `put`."""


class Recorder(Protocol):
    """The part of the kit that stand-ins report to."""

    def made(self, stand_in: StandIn) -> None:
        """Records a new stand-in."""

    def sent(self, stand_in: StandIn, sender: Any, message: Any) -> None:
        """Records a message."""

    def called(self, stand_in: StandIn, kind: str, request: Any) -> Outcomes:
        """Records a request and returns its outcomes. Raises `Unexpected` if none are declared."""

    def failed(self, error: AssertionError) -> None:
        """Notes a failure of the test."""


class Behavior(Actor):
    """The behavior of a stand-in process: answers requests and inspections."""

    stand_in: ProcessStandIn

    def handle_message(self, sender: Any, message: Any) -> None:
        """Does nothing: the message was recorded when it was sent."""

    def handle_call(self, sender: PID, ref: Ref, request: Any) -> Any:
        return answer(self.stand_in, ref, request)

    def handle_inspect(self, sender: PID, *items: str) -> Any:
        return inspected(self.stand_in, items)


def inspected(stand_in: StandIn, items: tuple[str, ...]) -> Any:
    """Returns the declared answer to an inspection, or raises the error."""
    try:
        return stand_in.recorder.called(stand_in, "inspect", items).take(items)
    except AssertionError as error:
        stand_in.recorder.failed(error)
        raise


def answer(stand_in: StandIn, ref: Ref, request: Any) -> Any:
    """Returns the declared answer to a request, or fails the request and returns `NO_REPLY`."""
    try:
        value = stand_in.recorder.called(stand_in, "call", request).take(request)
    except Exception as error:
        return _fail(stand_in, ref, error)
    return _await(stand_in, ref, value) if is_coroutine(value) else _reply(stand_in, value)


async def _await(stand_in: StandIn, ref: Ref, pending: Any) -> Any:
    try:
        return _reply(stand_in, await pending)
    except Exception as error:
        return _fail(stand_in, ref, error)


def _reply(stand_in: StandIn, value: Any) -> Any:
    """Returns the datagram that a UDP client would return for bytes; any other answer as it is."""
    if type(value) is not bytes or stand_in.kind is None or not issubclass(stand_in.kind, UDPClient):
        return value
    client: Any = stand_in.original if isinstance(stand_in, MetaStandIn) else None
    try:
        peer = client.peer_address
    except NotAllowed:  # the peer was given by name
        peer = None
    return MessageUDP(stand_in.id, peer, value)


def _fail(stand_in: StandIn, ref: Ref, error: Exception) -> Any:
    if isinstance(error, AssertionError):
        stand_in.recorder.failed(error)
    stand_in.core.calls.fail(ref, error)
    return NO_REPLY


class ProcessStandIn(Process):
    """A process at the address `given`, if any; of the behavior class `kind` if the subject has spawned it."""

    __slots__ = ("given", "kind", "recorder")

    def __init__(self, core: Core, recorder: Recorder, address: Target | None = None, kind: type | None = None) -> None:
        super().__init__(core, core.pid, core.pid, core.env, False, ProcessOptions(mailbox_size=_NO_LIMIT))
        self.recorder = recorder
        self.kind = kind
        self.given = address
        if is_a(address, PID):
            self.id = self.sender = address
        behavior = Behavior()
        behavior._process = self
        behavior.stand_in = self
        self.behavior = behavior
        self.handler = None
        self.hooks = ProcessHooks(behavior, self)
        core.processes[self.id] = core.registry.routes[self.id] = self
        if is_a(address, str):
            core.registry.register_name(address, self)
        elif address is not None:
            core.registry.routes[address] = self
        recorder.made(self)
        self.start()

    @property
    def address(self) -> Target:
        """Its name, if it has one; otherwise its PID."""
        return self.name or self.id

    def put(self, entry: Entry, priority: int, limit: int = 0) -> bool:
        record(self, entry)
        return Process.put(self, entry, priority, limit)


class MetaStandInBehavior(MetaBehavior):
    """The behavior of a stand-in meta-process."""

    stand_in: MetaStandIn

    def init(self, process: Any) -> None:
        """Does nothing."""

    async def start(self) -> None:
        """Waits for its end."""
        await self.stand_in.core.loop.create_future()

    def handle_message(self, sender: Any, message: Any) -> None:
        """Does nothing: the message was recorded when it was sent."""

    def handle_call(self, sender: PID, ref: Ref, request: Any) -> Any:
        return answer(self.stand_in, ref, request)

    def handle_inspect(self, sender: PID, *items: str) -> Any:
        return inspected(self.stand_in, items)

    def terminate(self, reason: Exception) -> None:
        """Closes the socket of the server or client that it stands for."""
        original = self.stand_in.original
        if original is not None:
            original._runtime_hooks(original).stood_in_ended(reason)


class MetaStandIn(MetaRunner):
    """A meta-process in place of `original`, the behavior that the subject has spawned, if any."""

    __slots__ = ("original", "recorder")
    given = None

    def __init__(self, core: Core, owner: Process, recorder: Recorder, original: MetaBehavior | None) -> None:
        behavior = MetaStandInBehavior()
        super().__init__(core, owner, behavior, MetaHooks(behavior), MetaOptions(mailbox_size=_NO_LIMIT))
        self.recorder = recorder
        self.original = original
        behavior.stand_in = self
        behavior.process = self
        if original is not None:
            original.process = self
            original._runtime_hooks(original).stood_in()
        register_meta(core, owner, self)
        recorder.made(self)
        self.start()

    @property
    def kind(self) -> type | None:
        """The class of the behavior that it stands for."""
        return None if self.original is None else type(self.original)

    @property
    def address(self) -> Alias:
        """Its alias."""
        return self.id

    def put(self, entry: Entry, priority: int, limit: int = 0) -> bool:
        record(self, entry)
        return MetaRunner.put(self, entry, priority, limit)


StandIn = ProcessStandIn | MetaStandIn


def record(stand_in: StandIn, entry: Any) -> None:
    """Records the message in an entry of the mailbox of `stand_in`."""
    if type(entry) is tuple:
        sender, message = entry
    elif isinstance(entry, SplitMessage):
        sender, message = entry.sender, entry.message
    elif isinstance(entry, Exit) and entry.message is None:
        sender, message = entry.sender, MessageExitPID(entry.sender, entry.reason)
    else:
        return
    stand_in.recorder.sent(stand_in, sender, copied(message))


def copied(message: Any) -> Any:
    """Returns a datagram with a copy of its payload, which may be in a buffer that is used again; any other message as
    it is."""
    if type(message) is not MessageUDP or type(message.data) is bytes:
        return message
    try:
        data = bytes(memoryview(message.data))
    except (TypeError, ValueError):
        data = message.data  # no payload: the kit says so
    return MessageUDP(message.id, message.addr, data, info=message.info)
