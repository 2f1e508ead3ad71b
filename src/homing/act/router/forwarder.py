"""Forwards the main lane of a router to its routes."""

from __future__ import annotations

from collections import deque
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeAlias

from ...gen import (
    PID,
    Alias,
    BadOption,
    HomingError,
    MailboxFull,
    MessagePriority,
    NotAllowed,
    ProcessID,
    Ref,
    Target,
)
from ...gen.foreign import forget_frames, safe_repr
from ...node.mailbox.envelope import Exit, Request, SplitMessage, Tick, is_taken_back
from ...node.messaging.distribution import hand, without_address
from ...node.processes.process import Process
from ...node.scheduling.activity import Activity
from ...node.scheduling.forwarder import Forwarder as BulkForwarder
from .errors import RouteDisabled, RouteDiscarded, RouteRestarting, RouteUnknown
from .options import DISCARD, RouterOptions
from .route_keeper import RouteKeeper
from .routes import Route, Tally, Undelivered

if TYPE_CHECKING:
    from .router import Router

STRETCH = 256
"""Messages routed in one go: as many as a process handles in a turn (`NodeOptions.turn_messages`)."""

_CLOCK_STEP = 8
"""The most messages between two readings of the clock: `route_message` may be slow."""

Choice: TypeAlias = str | tuple[str, ...] | None
"""The result of the routing callbacks: the name of a route, a tuple of names, or `DISCARD`."""


class Forwarder(BulkForwarder):
    """Distributes the messages queued in the main lane of one router, by the router's own callbacks.

    discarded: number of messages that the callbacks dropped. pauses: how often the router waited for a full route.
    """

    def __init__(self, process: Process, router: Router, keeper: RouteKeeper) -> None:
        super().__init__()
        self._process = process
        self._router = router
        self._keeper = keeper
        self.options = RouterOptions()
        self.discarded = 0
        self.pauses = 0
        self._chosen: tuple[str, ...] = ()  # routes of the message at the head of the main lane, which waits for room
        self._waits_for: set[PID | Alias] = set()

    def take_main(self, main: deque[Any]) -> int:
        """Routes messages of the main lane, at most `STRETCH`. Returns how many entries it took."""
        process, routes, route_message = self._process, self._keeper.routes, self._router.route_message
        end = perf_counter() + process.scheduler.turn_seconds
        taken, check = 0, 1
        entry: Any = None
        try:
            if self._chosen:
                chosen, self._chosen = self._chosen, ()
                entry = main.popleft()
                taken = self._distribute(main, entry, chosen)
            while main and taken < STRETCH and not process.paused:
                if taken >= check:
                    if perf_counter() >= end:
                        break
                    check += min(taken, _CLOCK_STEP)
                entry = main.popleft()
                if type(entry) is not tuple:
                    taken += self._take_envelope(main, entry)
                    continue
                choice = route_message(*entry)
                route = routes.get(choice) if isinstance(choice, str) else None
                if route is not None and hand(route.process, entry):
                    route.forwarded += 1
                    taken += 1
                else:
                    taken += self._distribute(main, entry, choice)
        except BaseException:
            process.hand = entry
            raise
        return taken

    def _take_envelope(self, main: deque[Any], entry: Any) -> int:
        """Routes an entry that is not a plain message. One that is no message goes to the router's own callbacks."""
        if isinstance(entry, Request):
            return self._distribute(main, entry, self._router.route_call(entry.sender, entry.ref, entry.request))
        if isinstance(entry, Tick):
            return self._take_tick(main, entry)
        if isinstance(entry, SplitMessage):
            return self._distribute(main, entry, self._router.route_message(entry.sender, entry.message))
        if isinstance(entry, Undelivered):
            return self._distribute(main, entry, entry.names)
        if isinstance(entry, Exit):
            self._keeper.retire_all(entry.reason)
            return 1
        self._process.put_runtime(entry, 1)
        return 0

    def _take_tick(self, main: deque[Any], tick: Tick) -> int:
        """Routes a timer's message. With one route it stays the same object, so that its timer knows whether it is
        still queued."""
        if is_taken_back(tick):
            self.discarded += 1
            return 1
        choice = self._router.route_message(tick.sender, tick.message)
        route = self._keeper.routes.get(choice) if isinstance(choice, str) else None
        if route is not None and hand(route.process, without_address(tick, self._process)):
            route.forwarded += 1
            return 1
        return self._distribute(main, tick, choice)

    def _distribute(self, main: deque[Any], entry: Any, choice: Choice) -> int:
        """Delivers an entry to all routes chosen. Returns 1; or, if one of them is full and the router waits for room,
        0 with the entry put back at the head of the lane."""
        if not self._process.alive:
            self._process.hand = entry  # the routing callback has killed the router
            return 1
        sender, message, ref = _parts(entry)
        names = _names(choice)
        if not names:
            self._discard(ref)
        elif ref is not None and len(names) > 1:
            error = NotAllowed(f"a request goes to one route; route_call returned {safe_repr(names)}")
            self._fail(self._keeper.others, names[0], sender, message, ref, error)
        else:
            alone = len(names) == 1 and isinstance(entry, Tick)
            for number, name in enumerate(names):
                if not self._deliver(name, sender, entry if alone else message, ref):
                    main.appendleft(entry if number == 0 else Undelivered(names[number:], sender, message))
                    self._chosen = names[number:]
                    return 0
        return 1

    def _deliver(self, name: str, sender: PID | Alias, message: Any, ref: Ref | None) -> bool:
        """Forwards to one route, or counts the failure. Returns False if the route is full and the router waits."""
        route = self._keeper.routes.get(name)
        tally = self._keeper.others if route is None else route
        try:
            self._forward(self._address(name, route), sender, message, ref)
        except HomingError as error:
            if self._wait_for_room(error):
                return False
            self._fail(tally, name, sender, message, ref, error)
        else:
            tally.forwarded += 1
        return True

    def _address(self, name: str, route: Route | None) -> Target:
        """Returns the current target of a route. Raises `RouteError`."""
        to: Target = name if route is None or route.spec.target is None else route.spec.target
        if route is None:
            if not (self.options.registered_names and name in self._process.routes):
                raise RouteUnknown(name)
        elif not route.enabled:
            raise RouteDisabled(name)
        elif route.spec.behavior is not None:
            if route.process is None or not route.process.alive:
                raise RouteRestarting(name)
            to = route.process.id
        return to

    def _forward(self, to: Target, sender: PID | Alias, message: Any, ref: Ref | None) -> None:
        core = self._process.core
        if self.local(to) is self._process:
            raise NotAllowed(f"the route leads back to the router itself, {self._process.id}")
        if isinstance(message, Tick):
            core.delivery.tick(to, message)
        elif ref is None:
            core.delivery.send(sender, to, message)
        else:
            core.calls.forward(self._process, to, sender, ref, message, MessagePriority.NORMAL)

    def local(self, to: object) -> Activity | None:
        """Returns the activity behind an address, if it is on this node and alive."""
        name = to.name if isinstance(to, ProcessID) and to.node == self._process.core.name else to
        return self._process.routes.get(name)

    def _fail(
        self, tally: Tally, name: str, sender: PID | Alias, message: Any, ref: Ref | None, error: HomingError
    ) -> None:
        tally.failed[type(error).__name__] += 1
        forget_frames(error)  # the frames would keep the message alive, and with it a pooled buffer
        if ref is None:
            told = message.message if isinstance(message, Tick) else message
            self._router.handle_route_failed(name, sender, told, error)
        else:
            self._process.core.calls.fail(ref, error)

    def _discard(self, ref: Ref | None) -> None:
        self.discarded += 1
        if ref is not None:
            self._process.core.calls.fail(ref, RouteDiscarded())

    def _wait_for_room(self, error: HomingError) -> bool:
        """Pauses the main lane until the full mailbox has drained to half. Returns False, without a pause, if `error`
        has another cause or the router drops messages instead."""
        if not isinstance(error, MailboxFull) or self.options.overflow == "drop":
            return False
        receiver = self.local(error.target)
        if receiver is None:
            return False
        self._process.pause()
        self.pauses += 1
        if receiver.id not in self._waits_for:
            self._waits_for.add(receiver.id)
            receiver.when_drained(receiver.limit // 2, partial(self._drained, receiver.id))
        return True

    def _drained(self, id: PID | Alias) -> None:
        self._waits_for.discard(id)
        self._process.resume()


def _parts(entry: Any) -> tuple[PID | Alias, Any, Ref | None]:
    """Returns sender, message and, for a request, the ref of an entry."""
    if isinstance(entry, Request):
        return entry.sender, entry.request, entry.ref
    if isinstance(entry, (SplitMessage, Undelivered)):
        return entry.sender, entry.message, None
    sender, message = entry
    return sender, message, None


def _names(choice: object) -> tuple[str, ...]:
    """Returns the names chosen by a routing callback. Raises `BadOption`."""
    if choice is DISCARD:
        return ()
    if isinstance(choice, str):
        return (choice,)
    if isinstance(choice, tuple) and all(isinstance(name, str) for name in choice):
        return choice
    raise BadOption("route_message", choice, "return the name of a route, a tuple of names, or act.DISCARD")
