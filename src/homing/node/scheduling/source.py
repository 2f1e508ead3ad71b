"""The source: puts messages into mailboxes from outside, such as datagrams that were read from a socket."""

from __future__ import annotations

from ...gen.copying import refuse_copy


class Source:
    """Base of what `Scheduler.run_with` takes messages from."""

    __slots__ = ()

    __reduce__ = refuse_copy

    def put_messages(self) -> None:
        """Puts messages into mailboxes."""
