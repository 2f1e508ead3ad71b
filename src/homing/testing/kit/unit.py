"""The unit of a test: one behavior, what the test does to it, and what it has done."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

from ...datagram import Address, PacketInfo
from ...gen import (
    NO_REPLY,
    PID,
    Alias,
    BadOption,
    Event,
    MessagePriority,
    MetaBehavior,
    ProcessBehavior,
    ProcessOptions,
    Subject,
    Target,
    as_reason,
)
from ...gen.behavior import takes_batches
from ...gen.foreign import is_a, same
from ...gen.options import check_seconds, check_type
from ...meta import MessageUDP
from ...node.mailbox.envelope import exit_signal
from .batches import batch_entry, check_datagrams
from .outcomes import Outcomes
from .records import Called, Published, Responded, Spawned, SpawnedMeta
from .stand_in import MetaStandIn, ProcessStandIn, StandIn
from .subject import Subject as _Subject
from .surroundings import ADDRESSES

B = TypeVar("B", bound=ProcessBehavior)
_NORMAL = MessagePriority.NORMAL


class Unit(Generic[B]):
    """One behavior under test: returned by `unit`, used in a `with` block, which starts it.

    Each method that does something to the subject returns when the subject is at rest: its callbacks have returned, and
    nothing is queued. If a callback waits for a timeout meanwhile, the virtual clock jumps to it.

    Each of them may raise a failure of the test: `Unexpected` if the subject has called, spawned or sent to something
    undeclared, also if the subject has caught that; the exception of a callback that has crashed; `Stuck` if a callback
    waits for something that never comes. After its end they raise `gen.ProcessTerminated`, as in a node.
    """

    def __init__(self, subject: _Subject) -> None:
        self._subject = subject

    def __repr__(self) -> str:
        return f"<unit {self._subject.behavior.__name__}>"

    def __enter__(self) -> Self:
        """Starts the subject. Raises what its `init` raises, and the failures of the test."""
        self._subject.enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the subject, if it has not ended, with `gen.TerminateShutdown`, so that its `terminate` runs. Raises
        what that raises, and the failures of the test, unless the block has raised."""
        self._subject.leave(error)

    # --- what the test declares, also before the `with` block ----------------------------------------------

    def on_call(self, target: type[ProcessBehavior | MetaBehavior] | Target) -> Outcomes:
        """Declares what comes of requests to an address, or to anything that the subject has spawned of a class:
        `subject.on_call("store").answer(1)`, `subject.on_call(meta.UDPClient).answer(b"reply")`. Of a UDP client, bytes
        become the payload of the `meta.MessageUDP` that answers. Raises `BadOption`."""
        return self._subject.around.outcomes("call", target)

    def on_inspect(self, target: type[ProcessBehavior | MetaBehavior] | Target) -> Outcomes:
        """Declares what comes of `inspect` and `inspect_meta`. The request is the tuple of the items. Raises
        `BadOption`."""
        return self._subject.around.outcomes("inspect", target)

    def on_spawn(self, behavior: type[ProcessBehavior | MetaBehavior]) -> Outcomes:
        """Allows the subject to spawn processes of this class or a class derived from it. Each spawn returns the PID of
        a stand-in, unless an outcome is declared: `subject.on_spawn(Worker).raises(...)`. Meta-processes may be spawned
        without this. Raises `BadOption`."""
        return self._subject.around.outcomes("spawn", behavior)

    def exists(self, *addresses: Target | Event) -> None:
        """Declares addresses that the subject may send to, link to and monitor; they may be those of other nodes.
        `on_call` does this too. An event is published by `event`. Raises `BadOption`."""
        for address in addresses:
            self._subject.around.declare(address)

    def absent(self, *addresses: Target | Event) -> None:
        """Declares that nothing has these addresses, so that the subject gets the error that a node would raise
        (`gen.NameUnknown`), and the test does not fail. Raises `BadOption`."""
        for address in addresses:
            self._subject.around.declare_absent(address)

    def stand_in(self) -> PID:
        """Returns the PID of a new process without a name, which the subject may use as any other."""
        return self._subject.run(lambda: ProcessStandIn(self._subject.core, self._subject)).id

    # --- what the test does to the subject ----------------------------------------------------------------

    def message(
        self,
        message: Any,
        *,
        sender: Target | None = None,
        to: Target | None = None,
        priority: MessagePriority = _NORMAL,
    ) -> None:
        """Sends a message.

        sender: PID or alias of the sender, or a registered name, which stands for its PID. None: the parent.
        to: the name, or an alias, of the subject. None: its PID.
        """
        subject = self._subject
        subject.run(lambda: subject.core.delivery.send(self._at(sender).id, self._to(to), message, priority))

    def call(
        self, request: Any, *, sender: Target | None = None, to: Target | None = None, timeout: float = 5.0
    ) -> Any:
        """Sends a request and returns the answer, or `gen.NO_REPLY` if the subject is at rest and has not answered: a
        later answer is in `responses`. Raises what `call` raises in a node.

        sender, to: as for `message`; the caller must be a process.
        timeout: virtual seconds.
        """
        subject = self._subject

        def start() -> Any:
            waiter = subject.core.calls.start_request(self._process(sender), self._to(to), request, timeout, _NORMAL)
            if waiter.done:
                return waiter.take
            waiting = subject.core.loop.create_task(subject.core.calls.wait(waiter))
            waiting.add_done_callback(_taken)
            return lambda: waiting.result() if waiting.done() else NO_REPLY

        return subject.run(start)()

    def inspect(self, *items: str) -> Any:
        """Returns the result of `handle_inspect`, or raises its exception."""
        subject = self._subject
        task = subject.run(lambda: subject.core.loop.create_task(subject.node.inspect(subject.pid, *items)))
        return task.result()

    def datagram(
        self,
        data: Any,
        addr: Address,
        *,
        server: Alias | None = None,
        info: PacketInfo | None = None,
        truncated: bool = False,
    ) -> None:
        """Delivers a datagram: to `handle_datagrams` if the class defines it, otherwise to `handle_message`.

        data: the payload: bytes, or a writable `memoryview` as with a buffer pool.
        addr: the source, such as ("192.0.2.1", 4000).
        server: alias of the UDP server or client that has received it. None: the first server that the subject has
            spawned, or a stand-in.
        Raises `BadOption`, `gen.BadAddress`.
        """
        self._deliver([(data, addr)], server, info, truncated)

    def datagrams(self, *datagrams: tuple[bytes, Address], server: Alias | None = None) -> None:
        """Delivers several datagrams, as (data, addr), read in one wake-up. Raises as `datagram` does."""
        self._deliver(datagrams, server, None, False)

    def event(self, event: Event | str, message: Any) -> None:
        """Publishes an event that `exists` has declared; the subject gets it if it links to the event or monitors it.
        Raises `BadOption` if it is not declared."""
        subject = self._subject
        known = Event(event, subject.node.name) if is_a(event, str) else event
        check_type("event", known, Event, "a gen.Event or its name")
        token = subject.around.token(known)
        subject.run(lambda: subject.core.events.send(subject.parent, known.name, token, message))

    def down(self, address: Target | type[ProcessBehavior], reason: Exception | type[Exception]) -> None:
        """Ends a stand-in for `reason`: its links and monitors fire, calls to it fail, and sending to it raises
        `gen.ProcessTerminated`. Raises `BadOption`, and the errors of an unknown address.

        address: of a class that the subject has spawned, all of them end.
        """
        subject, cause = self._subject, as_reason(reason)

        if is_a(address, type):
            found = subject.around.of_class(address)
        else:
            found = [subject.around.once_at("address", address)]
        subject.run(lambda: subject.around.end(found, cause))

    def exit(self, reason: Exception | type[Exception], *, sender: Target | None = None) -> None:
        """Sends an exit signal: the subject ends for `reason`, or gets `gen.MessageExitPID` if it traps exits and
        `sender` is not its parent (None: it is)."""
        subject, cause = self._subject, as_reason(reason)
        subject.run(
            lambda: subject.core.registry.find(subject.pid).put_exit(exit_signal(self._process(sender).id, cause))
        )

    def fire_timers(self, seconds: float) -> None:
        """Advances the virtual clock: what is due until then happens in order, at its time: `send_after`, `send_every`,
        timeouts, `asyncio.sleep`. Raises `BadOption`."""
        seconds = check_seconds("seconds", seconds, zero=True)
        self._subject.run(lambda: None, seconds)

    # --- what the subject has done ------------------------------------------------------------------------

    @property
    def behavior(self) -> B:
        """The object under test. Its class is derived from the one that was given to `unit`."""
        return cast(B, self._subject.instance)

    @property
    def pid(self) -> PID:
        """The PID of the subject."""
        return self._subject.pid

    @property
    def parent(self) -> PID:
        """The PID of its parent, a stand-in, from which messages come unless a sender is named."""
        return self._subject.parent.id

    @property
    def now(self) -> float:
        """Virtual seconds since the start of the block."""
        return self._subject.driver.now

    @property
    def exited(self) -> Exception | None:
        """The reason for which the subject has ended; None while it is alive."""
        return self._subject.process.reason

    @property
    def log(self) -> list[logging.LogRecord]:
        """The log records of the subject: its own, by `self.log`, and the runtime's about it."""
        return self._subject.log.records

    def sent(self, to: Target | Address | None = None) -> list[Any]:
        """Returns what the subject has sent so far, in order: messages, and datagrams that were sent to a server.

        to: an address of a process or meta-process: the messages sent there. The address of a peer, such as
            ("192.0.2.1", 4000): the payloads of the datagrams sent there. None: all, as `Sent`.
        """
        outbox = self._subject.outbox
        if to is None:
            return [record for _, record in outbox]
        if is_a(to, tuple) and not is_a(to, (PID, Alias)):
            datagrams = [record.message for found, record in outbox if isinstance(found, MetaStandIn)]
            return [each.data for each in datagrams if type(each) is MessageUDP and same(each.addr, to)]
        target = self._subject.around.once_at("to", to)
        return [record.message for found, record in outbox if found is target]

    @property
    def calls(self) -> list[Called]:
        """The requests and inspections that the subject has made, in order."""
        return self._subject.calls

    @property
    def responses(self) -> list[Responded]:
        """The answers sent by `send_response` and `send_response_error`, in order."""
        return self._subject.responses

    @property
    def published(self) -> list[Published]:
        """The publications of its events, in order."""
        return self._subject.publications

    @property
    def spawned(self) -> list[Spawned]:
        """The processes that it has spawned, in order."""
        return self._subject.spawns

    @property
    def metas(self) -> list[SpawnedMeta]:
        """The meta-processes that it has spawned, in order."""
        return self._subject.metas

    @property
    def name(self) -> str | None:
        """Its registered name, or None."""
        return self._subject.process.name

    @property
    def aliases(self) -> frozenset[Alias]:
        """Its aliases."""
        return frozenset(self._subject.process.aliases or ())

    @property
    def events(self) -> frozenset[Event]:
        """The events that it has registered."""
        return frozenset(self._subject.process.events or ())

    @property
    def links(self) -> frozenset[Subject]:
        """The processes, names, aliases and events to which it is linked."""
        return frozenset(self._subject.process.links or ())

    @property
    def monitors(self) -> frozenset[Subject]:
        """The processes, names, aliases and events that it monitors."""
        return frozenset(self._subject.process.monitors or ())

    # --- addresses ----------------------------------------------------------------------------------------

    def _to(self, to: Target | None) -> Target:
        """Returns the address at which the subject is reached."""
        subject = self._subject
        address = subject.pid if to is None else to
        if subject.core.registry.find(address) is not subject.process:
            raise BadOption("to", to, "give the name or an alias of the subject")
        return address

    def _at(self, sender: Target | None) -> StandIn:
        """Returns the stand-in that is the sender."""
        subject = self._subject
        if sender is None:
            return subject.parent
        check_type("sender", sender, ADDRESSES, "a PID, an Alias or a registered name")
        return subject.around.at(sender)

    def _process(self, sender: Target | None) -> ProcessStandIn:
        """Returns the process that is the sender."""
        found = self._at(sender)
        if isinstance(found, ProcessStandIn):
            return found
        raise BadOption("sender", sender, "give the PID or the name of a process")

    def _deliver(
        self,
        datagrams: Sequence[tuple[Any, Address]],
        server: Alias | None,
        info: PacketInfo | None,
        truncated: bool,
    ) -> None:
        subject = self._subject
        check_datagrams(datagrams)
        check_type("server", server, (Alias, type(None)), "the alias of a UDP server or client")
        check_type("info", info, (PacketInfo, type(None)), "a meta.PacketInfo or None")

        def deliver() -> None:
            process = subject.core.registry.find(subject.pid)
            alias = subject.around.server(server)
            messages = [MessageUDP(alias, addr, data, truncated, None, info) for data, addr in datagrams]
            if takes_batches(subject.behavior):
                process.put_runtime(batch_entry(alias, messages), _NORMAL)
            else:
                for message in messages:
                    subject.core.delivery.send(alias, process.id, message)

        subject.run(deliver)


def _taken(future: asyncio.Future[Any]) -> None:
    """Takes the outcome of a call that nobody waits for, so that asyncio does not complain."""
    if not future.cancelled():
        future.exception()


def unit(
    behavior: type[B],
    *args: Any,
    name: str | None = None,
    options: ProcessOptions | None = None,
    node: str = "unit@localhost",
) -> Unit[B]:
    """Returns a unit test of one behavior: `with unit(Handler, *args) as subject:` starts it, with `init(*args)`.

    It is a real process, alone in a private node, in virtual time that begins at 0. Everything around it is replaced by
    stand-ins: no socket is opened, no other behavior runs, and no real time passes. Works in a plain test and in an
    `async def` test, whose loop stands still meanwhile.

    name: its registered name.
    options: its options; not `thread`.
    node: name of the node.
    Raises `BadOption`, also for pools, routers and supervisors: test these in a node, with `FakeNetwork`.

    >>> from homing import act
    >>> from homing.testing import unit
    >>> class Echo(act.Actor):
    ...     def handle_message(self, sender, message):
    ...         self.reply(message, b"OK: " + message.data)
    >>> with unit(Echo) as subject:
    ...     subject.datagram(b"hello", ("192.0.2.1", 4000))
    ...     subject.sent(to=("192.0.2.1", 4000))
    [b'OK: hello']
    """
    return Unit(_Subject(behavior, args, name, options, node))
