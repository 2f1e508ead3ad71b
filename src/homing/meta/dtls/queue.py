"""The send queue of a DTLS socket: encrypts what is sent, and passes it on."""

from __future__ import annotations

from typing import Any, Protocol

from ...datagram import MessageUDP
from ...datagram.send_queue import SendQueue

Failure = tuple[int, Exception]


class Encrypts(Protocol):
    """The sessions of a socket."""

    @property
    def waiting(self) -> int:
        """Messages that wait for the end of a handshake."""

    def encrypt(self, message: MessageUDP) -> MessageUDP:
        """Returns the datagram with an encrypted message. Raises an error if there is no session."""

    def postpone(self, message: MessageUDP, token: Any) -> bool:
        """Keeps a message until the handshake is complete. Returns False if there is nothing to wait for. Raises an
        error if too many wait."""

    def left(self) -> list[tuple[MessageUDP, Any]]:
        """Returns the messages that wait, and forgets them."""


class DTLSQueue(SendQueue):
    """A send queue whose datagrams are encrypted; `send_raw` sends others.

    sessions: encrypt. None: not yet, and nothing can be sent.
    """

    sessions: Encrypts

    def send(self, message: Any, token: Any) -> int | None:
        try:
            if self.sessions.postpone(message, token):
                return None
            encrypted = self.sessions.encrypt(message)
        except Exception as error:
            self.count_error(error)
            raise
        sent = SendQueue.send(self, encrypted, token)
        return None if sent is None else len(message.data)

    def send_lone(self, message: Any) -> bool:
        return False  # `send_many` does it, and says why not

    def send_columns(self, addresses: list[Any], places: Any, lengths: Any, data: bytes) -> int:
        return 0

    def send_many(self, messages: list[MessageUDP]) -> tuple[int, list[Failure]]:
        failures: list[Failure] = []
        encrypted: list[MessageUDP] = []
        numbers: list[int] = []
        kept = len(messages)  # the first that waits for a handshake; those behind it do as well
        for number, message in enumerate(messages):
            try:
                if self.sessions.postpone(message, None):
                    kept = min(kept, number)
                    continue
                encrypted.append(self.sessions.encrypt(message))
                numbers.append(number)
            except Exception as error:
                self.count_error(error)
                failures.append((number, error))
        if not encrypted:
            return kept, failures
        done, refused = SendQueue.send_many(self, encrypted)
        failures += [(numbers[index], error) for index, error in refused]
        return min(kept, numbers[done] if done < len(encrypted) else len(messages)), failures

    def send_raw(self, messages: list[MessageUDP]) -> list[Failure]:
        """Sends datagrams as they are. Returns those that failed."""
        _, failures = SendQueue.send_many(self, messages)
        return failures

    @property
    def waiting(self) -> int:
        """Number of queued datagrams, and of messages that wait for a handshake."""
        return SendQueue.waiting.__get__(self) + self.sessions.waiting  # type: ignore[no-any-return]

    def close(self) -> list[tuple[MessageUDP, Any]]:
        left = self.sessions.left()
        self.dropped += len(left)
        return SendQueue.close(self) + left
