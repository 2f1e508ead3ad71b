"""Forwards the main lane of a table of peers: each datagram to the process of its peer."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from types import CoroutineType
from typing import Any

from ...datagram import MessageUDP
from ...gen import ProcessState
from ...gen.foreign import safe_key, safe_repr
from ...node.mailbox.envelope import Exit, content
from ...node.messaging.distribution import hand
from ...node.scheduling.forwarder import Forwarder
from ..udp.outgoing import is_datagram
from .lifecycle import Lifecycle
from .peer import Peer

_STRETCH = 64
"""Most datagrams forwarded in one go, before the clock is read."""

_STARTS = 4
"""Most newcomers in one go: a start costs as much as a dozen datagrams."""

_TERMINATED = ProcessState.TERMINATED


class PeerForwarder(Forwarder):
    """Puts the datagrams of the table's main lane into the mailboxes of the peers' processes. It never waits: one slow
    peer does not stop the others."""

    def __init__(self, life: Lifecycle) -> None:
        super().__init__()
        self._life = life
        self._counters = life.counters
        self._dropped = life.counters.dropped
        self._find = life.table.get
        self._starts = 0

    def take_main(self, main: deque[Any]) -> int:
        """Takes entries from the main lane. Returns how many."""
        taken, now = 0, self._life.now()
        self._starts = 0
        while main and taken < _STRETCH and self._starts < _STARTS:
            entry = main.popleft()
            taken += 1
            message = entry[1] if type(entry) is tuple else content(entry)
            if is_datagram(message):
                self._counters.received += 1
                try:
                    self._take(entry, message, now)
                except MemoryError:
                    self._dropped["no_memory"] += 1
            else:
                self._take_other(entry)
        return taken

    def _take_other(self, entry: Any) -> None:
        """Handles a message that is no datagram: the table itself is its receiver."""
        process = self._life.process
        if type(entry) is tuple:
            process.behavior.handle_message(*entry)
        elif isinstance(entry, Exit):
            self._life.close(entry)
        else:
            entry.handle(process)

    def _take(self, entry: Any, message: MessageUDP, now: float) -> None:
        life = self._life
        options = life.options
        identity: Hashable = message.addr
        key: Hashable = None
        if options.key is not None:
            try:
                key = options.key(message)
                if key is not None:
                    identity = (safe_key(key),)  # equal to no address: those of sockets are text, or 2 to 4 fields
            except MemoryError:
                raise
            except Exception as error:
                self._refuse("no_key", "key", error, message)
                return
        peer = self._find(identity)
        if peer is None:
            peer = self._welcome(message, identity, key, now)
            if peer is None:
                return
        elif peer.reason is None:
            peer.came(message)
            peer.last = now
            life.table.use(peer)
        if options.rate is not None and not peer.admit(now, options.rate, options.bucket):
            self._counters.drop("limited", message, peer._process.id)
            return
        self._put(peer, entry, message)

    def _refuse(self, way: str, function: str, error: Exception, message: MessageUDP) -> None:
        self._counters.drop(way, message)
        self._life.warn(function, "PeerOptions.%s failed, the datagram is dropped: %s", function, safe_repr(error))

    def _welcome(self, message: MessageUDP, identity: Hashable, key: Hashable, now: float) -> Peer | None:
        """Returns the peer of a first datagram, or None if that is dropped."""
        life = self._life
        accept = life.options.accept
        if accept is not None:
            try:
                result = accept(message)
                if type(result) is CoroutineType:  # which is true, so that nobody would be refused
                    result.close()
                    raise TypeError("it returned a coroutine; make it a plain def")
                accepted = bool(result)
            except MemoryError:
                raise
            except Exception as error:
                self._refuse("refused", "accept", error, message)
                return None
            if not accepted:
                self._counters.drop("refused", message)
                return None
        self._starts += 1
        if not life.make_place():
            self._counters.drop("full", message)
            return None
        peer = Peer(life, identity, key, message, now)
        if life.add(peer):
            return peer
        self._counters.drop("not_started", message)
        return None

    def _put(self, peer: Peer, entry: Any, message: MessageUDP) -> None:
        """Puts a datagram into the mailbox of its peer's process, if there is room."""
        options = self._life.options
        process = peer._process
        waiting = len(process.main) if process.main else 0
        longest = len(message.data)
        if waiting:
            longest = max(longest, peer.longest)
            if waiting >= options.queue or (waiting + 1) * longest > options.queue_bytes:
                self._counters.drop("overflow", message, process.id)
                return
        peer.longest = longest
        if process.limit != options.queue:
            process.limit = options.queue
        if hand(process, entry) or (not process.alive and self._put_late(process, entry)):
            self._counters.forwarded += 1
            peer.forwarded += 1
        else:
            self._counters.drop("overflow" if process.alive else "ended", message, process.id)

    def _put_late(self, process: Any, entry: Any) -> bool:
        """Keeps a datagram for the successor of a process that is ending. Whether there will be one is not known yet.
        Returns False if it is not kept."""
        if process.state is not _TERMINATED:
            if len(process.main or ()) >= self._life.options.queue:
                return False
            process.put(entry, 0)
            return True
        kept = (self._life.process.preserved_mailboxes or {}).get(process.id)
        if kept is None or len(kept) >= self._life.options.queue:
            return False
        kept.append(entry)
        return True
