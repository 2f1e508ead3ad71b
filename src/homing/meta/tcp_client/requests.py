"""Requests over one connection, and the frames that answer them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from ...datagram.errors import MatchFailed, RequestKeyTaken
from ...gen import CallTimeout, Ref, TooManyRequests
from ...node.processes.meta_process import MetaRunner
from ..tcp.messages import MessageTCP

Key = Callable[[Any], Hashable]
"""`TCPClientOptions.key`."""


class Requests:
    """The requests that wait for their answers: by key, or without keys in the order in which they were sent.

    A request whose caller has given up keeps its place until its answer comes, which is then dropped: without keys, it
    would be taken for the answer to the next request.

    answered: counts the frames that answered a request.
    """

    def __init__(self, process: MetaRunner, most: int, seconds: float, key: Key | None) -> None:
        self._process = process
        self._most = most
        self._seconds = seconds
        self._key = key
        self._open: dict[Hashable, tuple[Ref, float]] = {}
        self._next = 0
        self.answered = 0

    def __len__(self) -> int:
        return len(self._open)

    def key_for(self, data: Any) -> Hashable:
        """Returns the key of a request that is about to be sent. Raises `TooManyRequests`, `RequestKeyTaken`, and
        `MatchFailed` if the function `key` raises."""
        if len(self._open) >= self._most:
            raise TooManyRequests(self._most)
        if self._key is None:
            self._next += 1
            return self._next
        try:
            key = self._key(data)
            taken = key in self._open
        except Exception as error:
            raise MatchFailed("key", error) from error
        if taken:
            raise RequestKeyTaken(key)
        return key

    def add(self, key: Hashable, ref: Ref) -> None:
        """Notes a request that was sent."""
        self._open[key] = (ref, self._process.loop.time() + self._seconds)

    def take(self, messages: list[Any]) -> list[Any]:
        """Answers requests with the frames among `messages`. Returns the other messages."""
        return [message for message in messages if not self._answers(message)]

    def _answers(self, message: Any) -> bool:
        """Answers the request that a message belongs to. Returns False if it belongs to none."""
        if type(message) is not MessageTCP or not self._open:
            return False
        if self._key is None:
            key: Hashable = next(iter(self._open))
        else:
            try:
                key = self._key(message.data)
                if key not in self._open:
                    return False
            except Exception:  # a frame of which the function can make nothing
                return False
        ref, _ = self._open.pop(key)
        self.answered += 1
        self._process.send_response(self._process.parent, ref, message)
        return True

    def time_out(self, now: float) -> bool:
        """Fails the requests that have waited too long. Returns True if the connection cannot be used any more, as a
        late answer would be taken for that to another request."""
        late = [key for key, (_, until) in self._open.items() if now >= until]
        for key in late:
            ref, _ = self._open.pop(key)
            error = CallTimeout(self._process.id, self._seconds)
            self._process.send_response_error(self._process.parent, ref, error)
        return bool(late) and self._key is None

    def fail(self, error: Exception) -> None:
        """Fails all requests: the connection has ended."""
        requests, self._open = self._open, {}
        for ref, _ in requests.values():
            self._process.send_response_error(self._process.parent, ref, error)
