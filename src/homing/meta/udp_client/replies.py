"""Finds the request of a UDP client that a datagram answers, and counts, delivers or drops the other datagrams."""

from __future__ import annotations

from collections.abc import Hashable

from ...datagram import Address, MessageUDP, format_address
from ...datagram.address import is_from, unscoped
from ...datagram.errors import MatchFailed, SpoofingSuspected
from ...gen import as_reason
from ...gen.copying import refuse_copy
from ...gen.foreign import safe_key
from ...node.processes.meta_process import MetaRunner
from .guesses import Guesses
from .open_requests import Table
from .options import HEARD, UDPClientOptions, key_functions
from .outcomes import Outcomes
from .request import Request


class Replies:
    """The `Matcher` of a client's reader.

    memory: the requests that have ended.
    drops_rest: datagrams that belong to no request are dropped.
    replies, late, duplicate, heard, stray, dropped_stray: see `UDPClientStatistics`.
    """

    __slots__ = (
        "_checks_source",
        "_connected",
        "_counts_guesses",
        "_guards",
        "_guesses",
        "_identifies",
        "_key",
        "_loop",
        "_open",
        "_outcomes",
        "_peer",
        "_reply_key",
        "_suspicious",
        "dropped_stray",
        "drops_rest",
        "duplicate",
        "heard",
        "late",
        "memory",
        "replies",
        "stray",
    )

    __reduce__ = refuse_copy

    def __init__(
        self, process: MetaRunner, outcomes: Outcomes, peer: Address, options: UDPClientOptions, guesses: Guesses
    ) -> None:
        self._loop = process.loop
        self._outcomes = outcomes
        self._open = outcomes.open
        self.memory = outcomes.memory
        self._peer = peer
        self._connected = options.connected
        self._checks_source = not options.connected and not options.any_source
        self._guards = False
        self._guesses = guesses
        self._suspicious = guesses.limit is not None
        self._key, self._reply_key = key_functions(options)
        self._identifies = options.id is not None
        self._counts_guesses = self._key is not None and (options.ports > 1 or self._suspicious)
        self.drops_rest = options.stray == "drop"
        self.replies = self.late = self.duplicate = self.heard = self.stray = self.dropped_stray = 0

    def __len__(self) -> int:
        return self._open.count

    def check_source(self) -> None:
        """Checks the source of replies from now on, also if the socket is connected: for a moment it was not."""
        if self._connected:
            self._guards = self._checks_source = True

    def move(self, peer: Address) -> None:
        """Changes the address of the client's own peer."""
        self._peer = peer

    def take_replies(self, messages: list[MessageUDP]) -> list[MessageUDP]:
        """Passes replies to their requests. Returns the other datagrams, unless these are to be dropped."""
        if not self._open.count and not self.memory and not self._checks_source and not self._counts_guesses:
            self.stray += len(messages)
            self.dropped_stray += len(messages) if self.drops_rest else 0
            return [] if self.drops_rest else messages
        return [message for message in messages if not self._take(message)]

    def _take(self, message: MessageUDP) -> bool:
        """Returns True if `message` was a reply, or is dropped; False if it is to be delivered."""
        if self._guards and not self._is_from_peer(message.addr):
            return self._stray(message)
        source, key = message.addr, self._reply_key_of(message)
        if self._offer(self._open.answered_by(source), key, message):
            return True
        scoped = self._checks_source and len(source) == 4 and source[3]
        if scoped and self._offer(self._open.answered_by(unscoped(source)), key, message):
            return True  # the request was sent to an address without a scope: the peer may be on any link
        remembered = self.memory.find(key, message, self._loop.time())
        if remembered is not None:
            self._count_again(remembered)
            return True
        return self._stray(message)

    def _offer(self, table: Table | None, key: Hashable, message: MessageUDP) -> bool:
        """Passes `message` to the request of `table` that it answers. Returns False if there is none."""
        if table is None:
            return False
        request = table.keyed.get(key) if key is not None else None
        if request is not None:
            if self._identifies and request.plan.match is not None:
                return self._confirm(request, message)
            self._give(request, message)
            return True
        return len(table.others) > 0 and self._scan(table, message)

    def _stray(self, message: MessageUDP) -> bool:
        """Counts a datagram that belongs to no request. Returns True if it is dropped."""
        self.stray += 1
        foreign = self._checks_source and not self._is_from_peer(message.addr)
        if self._key is not None and not (foreign and self._open.answered_by(message.addr) is None):
            self._guesses.count(self._loop.time())
        drops = self.drops_rest or foreign
        self.dropped_stray += drops
        return drops

    def _reply_key_of(self, message: MessageUDP) -> Hashable:
        """Returns the key of a reply; None if it has none."""
        if self._reply_key is None:
            return None
        try:
            key: Hashable = self._reply_key(message.data)
            if type(key) is not bytes and type(key) is not int:
                key = safe_key(key)
        except BaseException:
            return None  # any bytes may come from a network: a datagram that `key` rejects belongs to no request
        return key

    def _is_from_peer(self, source: Address) -> bool:
        """Returns True for the client's own peer."""
        return is_from(source, self._peer)

    def _scan(self, table: Table, message: MessageUDP) -> bool:
        """Passes `message` to the oldest request without a key that it answers. Returns False if there is none."""
        broken: list[tuple[Request, MatchFailed]] = []
        request, said = self._asked(table, message, broken)
        for each, failure in broken:
            if each.is_open:
                self._outcomes.fail(each, failure)
        if request is None:
            return False
        if not request.is_open:  # its `match` has ended it
            self.late += 1
        elif said is HEARD:
            self._hear(request)
        else:
            self._give(request, message)
        return True

    def _asked(
        self, table: Table, message: MessageUDP, broken: list[tuple[Request, MatchFailed]]
    ) -> tuple[Request | None, object]:
        """Calls `match` of the requests without a key, the oldest first, until one accepts `message`. Returns that
        request and the result. broken: receives the requests whose `match` raises.

        `match` is the user's code, and may open and end requests: then the walk starts again, without the requests that
        were tried. A request that was opened meanwhile cannot have a reply yet."""
        last, after = self._outcomes.last, 0
        changes = -1
        while changes != self._outcomes.changes:
            changes = self._outcomes.changes
            for request in table.others.values():
                if request.number <= after or request.number > last:
                    continue
                after = request.number
                try:
                    said = request.matches(message)
                    if said:
                        return request, said
                except BaseException as error:
                    broken.append((request, MatchFailed("match", as_reason(error))))
                if changes != self._outcomes.changes:
                    break
        return None, None

    def _confirm(self, request: Request, message: MessageUDP) -> bool:
        """Passes `message`, which has the id that was drawn for `request`, to it if its `match` agrees. Returns False
        if not."""
        try:
            said = request.confirms(message)
        except BaseException as error:
            failure = MatchFailed("match", as_reason(error))
            if request.is_open:
                self._outcomes.fail(request, failure)
            return False
        if said is HEARD:
            self._hear(request)
        elif said:
            self._give(request, message)
        return bool(said)

    def _hear(self, asked: Request) -> None:
        """Counts a datagram by which the peer promises a later answer."""
        request = self._outcomes.waiting(asked)
        if request is None:
            self.late += 1
        elif request.heard:
            self.duplicate += 1
        else:
            self.replies += 1
            self.heard += 1
            for each in request.sharing():
                each.heard = True

    def _give(self, asked: Request, message: MessageUDP) -> None:
        request = self._outcomes.waiting(asked)
        if request is None:
            self.late += 1
        elif self._suspicious and self._guesses.suspects(request.guesses):
            self.replies += 1
            peer = format_address(request.message.addr)
            self._outcomes.fail(request, SpoofingSuspected(peer, self._guesses.total - request.guesses))
        elif not request.plan.collect:
            self.replies += 1
            self._outcomes.reply(request, message)
        elif (seen := (message.addr, message.data)) in request.seen:
            self.duplicate += 1
        else:
            self.replies += 1
            request.seen.add(seen)
            request.replies.append(request.restored(message))
            if len(request.replies) >= request.plan.collect:
                self._outcomes.answer(request, request.replies, message)

    def _count_again(self, answered: bool) -> None:
        if answered:
            self.duplicate += 1
        else:
            self.late += 1
