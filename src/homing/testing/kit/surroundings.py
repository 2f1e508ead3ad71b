"""The surroundings of the subject: the addresses that the test has declared, and the stand-ins at them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ...gen import (
    PID,
    Alias,
    AliasUnknown,
    BadOption,
    Event,
    EventOptions,
    EventUnknown,
    HomingError,
    MetaBehavior,
    MetaTerminated,
    NodeUnknown,
    ProcessBehavior,
    ProcessID,
    ProcessUnknown,
    Ref,
)
from ...gen.foreign import is_a, safe_repr
from ...gen.options import check_name, check_type
from ...meta import UDPServer
from .failures import Unexpected
from .outcomes import Outcomes
from .stand_in import MetaStandIn, ProcessStandIn, Recorder, StandIn

if TYPE_CHECKING:
    from ...node.core import Core

ADDRESSES = (str, PID, Alias, ProcessID)


class Surroundings:
    """Everything around the subject. `core`: of its node, once that has been started.

    stand_ins: all of them, in the order of their creation.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._known: dict[Any, None] = {}
        self._absent: set[Any] = set()
        self._outcomes: dict[tuple[str, Any], Outcomes] = {}
        self._addresses: dict[Any, StandIn] = {}
        self._tokens: dict[Event, Ref] = {}
        self.stand_ins: list[StandIn] = []
        self.core: Core | None = None

    def start(self, core: Core) -> ProcessStandIn:
        """Makes the stand-ins that have been declared. Returns the parent of the subject."""
        self.core = core
        parent = ProcessStandIn(core, self._recorder)
        for address in self._known:
            self.at(address)
        return parent

    # --- declarations -------------------------------------------------------------------------------------

    def declare(self, address: Any) -> None:
        """Declares an address, before the start or later. Raises `BadOption`."""
        self._check("address", address)
        self._known[address] = None
        self._absent.discard(address)
        if self.core is not None:
            self.at(address)

    def declare_absent(self, address: Any) -> None:
        """Declares that there is nothing at an address. Raises `BadOption`."""
        self._check("address", address)
        self._absent.add(address)

    def outcomes(self, kind: str, target: Any) -> Outcomes:
        """Returns the outcomes of requests to an address, or to what the subject has spawned of a class. Raises
        `BadOption`."""
        if is_a(target, type) and issubclass(target, (ProcessBehavior, MetaBehavior)):
            title = target.__name__
        elif kind == "spawn":
            raise BadOption("behavior", target, "give the class that is spawned")
        elif is_a(target, (type, Event)):
            raise BadOption("target", target, "give an address, or a class of processes or meta-processes")
        else:
            self.declare(target)
            title = safe_repr(target)
        return self._outcomes.setdefault((kind, target), Outcomes(f"on_{kind}({title})", kind))

    def _check(self, option: str, address: Any) -> None:
        check_type(option, address, (*ADDRESSES, Event), "a registered name, a PID, an Alias, a ProcessID or an Event")
        if is_a(address, str):
            check_name(option, address)

    # --- look-up ------------------------------------------------------------------------------------------

    def at(self, address: Any) -> StandIn:
        """Returns the stand-in at an address, and makes it if there is none. For an event, it is the producer. Raises
        `BadOption` for an address of the subject."""
        core: Any = self.core
        if is_a(address, Event):
            return self._producer(core, address)
        try:
            found = core.registry.find(address)
        except HomingError:
            return ProcessStandIn(core, self._recorder, address)
        if not isinstance(found, StandIn):
            raise BadOption("address", address, "it is the subject's own")
        return found

    def _producer(self, core: Core, event: Event) -> StandIn:
        parent = self.stand_ins[0]
        if event.node != core.name:
            raise BadOption("event", event, f"give gen.Event({event.name!r}, {core.name!r})")
        if event not in self._tokens and isinstance(parent, ProcessStandIn):
            self._tokens[event] = core.events.register(parent, event.name, EventOptions())
        return parent

    def token(self, event: Event) -> Ref:
        """Returns the token of a declared event. Raises `BadOption`."""
        token = self._tokens.get(event)
        if token is None:
            raise BadOption("event", event, "declare it: subject.exists(event)")
        return token

    def once_at(self, option: str, address: Any) -> StandIn:
        """Returns the stand-in that has, or had, this address. Raises `BadOption`."""
        check_type(option, address, ADDRESSES, "a registered name, a PID, an Alias or a ProcessID")
        found = self._addresses.get(address)
        if found is None:
            raise BadOption(option, address, "the test has declared no such address, and the subject has spawned none")
        return found

    def of_class(self, kind: type) -> list[StandIn]:
        """Returns the stand-ins for what the subject has spawned of a class."""
        return [each for each in self.stand_ins if each.kind is not None and issubclass(each.kind, kind)]

    def server(self, alias: Alias | None) -> Alias:
        """Returns the alias of the server that delivers a datagram; None: the first server. Raises `BadOption`."""
        if alias is not None:
            if isinstance(self.once_at("server", alias), MetaStandIn):
                return alias
            raise BadOption("server", alias, "it is no meta-process")
        metas = (each for each in self.stand_ins if isinstance(each, MetaStandIn) and each.alive)
        first = next((each for each in metas if each.kind is None or issubclass(each.kind, UDPServer)), None)
        parent: Any = self.stand_ins[0]
        return (first or MetaStandIn(parent.core, parent, self._recorder, None)).id

    def find_outcomes(self, kind: str, keys: Iterable[Any]) -> Outcomes | None:
        """Returns the outcomes declared for the first of `keys` that has any."""
        found = (self._outcomes.get((kind, key)) for key in keys)
        return next((each for each in found if each is not None), None)

    def check_known(self, address: Any, what: str) -> None:
        """Raises `Unexpected` if there is nothing at an address and the test has not declared that."""
        core: Any = self.core
        if address in self._absent:
            return
        try:
            (core.events if is_a(address, Event) else core.registry).find(address)
        except MetaTerminated:
            pass
        except (ProcessUnknown, AliasUnknown, NodeUnknown, EventUnknown):
            text = f"{what} is unexpected: there is no {safe_repr(address)}; declare it by on_call, exists or absent"
            raise Unexpected(text) from None
        except HomingError:
            pass  # it has lived, and the subject gets what a node would raise

    # --- changes ------------------------------------------------------------------------------------------

    def made(self, stand_in: StandIn) -> None:
        """Notes a new stand-in."""
        self.stand_ins.append(stand_in)
        for address in (stand_in.id, stand_in.address, stand_in.given):
            if address is not None:
                self._addresses[address] = stand_in

    def register(self, name: str, stand_in: ProcessStandIn) -> None:
        """Registers the name of a process that the subject has spawned. Raises `NameTaken`, `BadOption`."""
        stand_in.core.registry.register_name(name, stand_in)
        self._addresses[name] = stand_in

    def end(self, found: Iterable[StandIn], reason: Exception) -> None:
        """Ends stand-ins. Their names are free then, and the subject may meet that."""
        for each in found:
            self._absent.add(each.address)
            each.end(reason)
