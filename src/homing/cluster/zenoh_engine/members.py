"""Which nodes are up. A node is up from the moment when batches can be sent to it, until its token disappears.

Rule 1: `peer_up` and `peer_down` come in turn for each start of a node, on the loop.
Rule 2: of two starts of a node, the later one counts. An earlier one that still shows itself is ignored.
"""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence

from ..engine import Peer, Receiver
from .inbox import Arrival
from .keys import Token
from .sender import END, LANES, Outlet, Sender

MOST_NODES = 256
"""Nodes beside this one: as many sessions as zenoh is allowed to have."""

_EARLY_SENDERS, _EARLY_BATCHES, _EARLY_BYTES = 64, 16, 4 << 20
"""Limits of the batches kept for nodes whose token has not come yet, or to which nothing can be sent yet. The first
batches of a node are short. Of more, the oldest are dropped."""

_LOG = logging.getLogger("homing.cluster")


class Member:
    """One start of another node, in one session of it."""

    __slots__ = ("early", "ended", "peer", "sender", "session", "up")

    def __init__(self, token: Token, early: deque[Arrival]) -> None:
        self.peer = token.peer
        self.session = token.session
        self.early = early
        self.up = False
        self.ended: set[int] = set()  # lanes in which nothing more comes
        self.sender: Sender | None = None


class Members:
    """The other nodes of the cluster. All methods are called on the loop."""

    def __init__(
        self,
        receiver: Receiver,
        declare: Callable[[Peer], Sequence[Outlet]],
        post: Callable[..., None],
        address_of: Callable[[str], str],
    ) -> None:
        """declare: makes the outlets to a node, in the thread of its sender. post: calls a function on the loop, from
        any thread. address_of: the address of a session, from any thread."""
        self._receiver = receiver
        self._declare = declare
        self._post = post
        self._address_of = address_of
        self._members: dict[str, Member] = {}
        self._early: OrderedDict[Peer, deque[Arrival]] = OrderedDict()
        self._early_bytes = 0
        self._refused: set[Peer] = set()

    def __len__(self) -> int:
        return len(self._members)

    def appeared(self, token: Token) -> None:
        """A token is there."""
        present = self._members.get(token.peer.name)
        if present is not None:
            if present.peer.creation > token.peer.creation:
                self._refuse(token.peer, f"a later start, {present.peer.creation}, is there")
                return
            if present.peer == token.peer and present.session == token.session:
                return
            self._down(present, "it connects anew" if present.peer == token.peer else "it was started again")
        elif len(self._members) >= MOST_NODES:
            self._refuse(token.peer, f"there are {MOST_NODES} other nodes already")
            return
        self._start(token)

    def _refuse(self, peer: Peer, why: str) -> None:
        if peer not in self._refused and len(self._refused) < MOST_NODES:
            self._refused.add(peer)
            _LOG.warning("node %r (creation %d) is not connected: %s", peer.name, peer.creation, why)

    def _start(self, token: Token) -> None:
        member = Member(token, self._take_early(token.peer))
        self._members[token.peer.name] = member
        member.sender = Sender(
            token.peer.name,
            lambda: self._declare(token.peer),
            lambda: self._post(self._ready, member, self._address_of(token.session)),
        )
        member.sender.start()

    def _ready(self, member: Member, address: str) -> None:
        if self._members.get(member.peer.name) is member and not member.up:
            member.up = True
            self._receiver.peer_up(member.peer, address)
            while member.early and self._members.get(member.peer.name) is member:
                arrival = member.early.popleft()
                self._receiver.batch(arrival.peer, arrival.lane, arrival.data)

    def gone(self, token: Token, reason: str) -> None:
        """A token is not there any more."""
        member = self._members.get(token.peer.name)
        if member is not None and member.peer == token.peer and member.session == token.session:
            self._down(member, reason)

    def still_sends(self, token: Token) -> bool:
        """Returns True if that node is up, and has not ended its lanes yet."""
        member = self._members.get(token.peer.name)
        return member is not None and member.peer == token.peer and member.up and len(member.ended) < LANES

    def all_down(self, reason: str) -> None:
        """No node can be reached any more."""
        for member in tuple(self._members.values()):
            self._down(member, reason)

    def _down(self, member: Member, reason: str) -> None:
        del self._members[member.peer.name]
        if member.sender is not None:
            member.sender.stop()
        member.early.clear()
        if member.up:
            member.up = False
            self._receiver.peer_down(member.peer, reason)

    def forget_all(self) -> list[Sender]:
        """Forgets all nodes without a notice, and returns their senders."""
        senders = [member.sender for member in self._members.values() if member.sender is not None]
        self._members.clear()
        self._early.clear()
        return senders

    def sender_to(self, peer: Peer) -> Sender | None:
        """Returns the sender to that start of a node; None if it is not there."""
        member = self._members.get(peer.name)
        return member.sender if member is not None and member.peer == peer else None

    # --- batches ------------------------------------------------------------------------------------------

    def arrived(self, arrival: Arrival) -> None:
        """A batch has come. It is kept for a while if its node is not up yet: its token travels beside it."""
        member = self._members.get(arrival.peer.name)
        if arrival.data == END:
            if member is not None and member.peer == arrival.peer:
                member.ended.add(arrival.lane)
        elif member is None:
            self._keep_early(arrival)
        elif member.peer != arrival.peer:
            if member.peer.creation < arrival.peer.creation:
                self._keep_early(arrival)
        elif member.up:
            self._receiver.batch(arrival.peer, arrival.lane, arrival.data)
        else:
            _append(member.early, arrival)

    def _keep_early(self, arrival: Arrival) -> None:
        kept = self._early.setdefault(arrival.peer, deque())
        self._early_bytes += _append(kept, arrival)
        self._early.move_to_end(arrival.peer)
        while len(self._early) > _EARLY_SENDERS or self._early_bytes > _EARLY_BYTES:
            _, oldest = self._early.popitem(last=False)
            self._early_bytes -= sum(len(one.data) for one in oldest)

    def _take_early(self, peer: Peer) -> deque[Arrival]:
        for other in [one for one in self._early if one.name == peer.name]:
            found = self._early.pop(other)
            self._early_bytes -= sum(len(one.data) for one in found)
            if other == peer:
                return found
        return deque()


def _append(kept: deque[Arrival], arrival: Arrival) -> int:
    """Keeps an arrival, the oldest giving way. Returns by how many bytes there are more."""
    more = len(arrival.data)
    kept.append(arrival)
    if len(kept) > _EARLY_BATCHES:
        more -= len(kept.popleft().data)
    return more
