"""Datagrams from a socket, of which some are traced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..messaging.delivery import split_address
from ..messaging.flow import Inlet
from .envelopes import TracedEntry, TracedMessage

if TYPE_CHECKING:
    from ..scheduling.activity import Activity
    from .trace import Handling, Recorder
    from .tracer import Tracer


class TracedInlet(Inlet):
    """Takes the place of a socket's inlet while datagrams are traced."""

    __slots__ = ()

    @property
    def _tracer(self) -> Tracer:
        return self.owner.core.tracer  # type: ignore[return-value] # it has made this inlet

    def _receiving(self) -> Activity | None:
        tracer = self._tracer
        return tracer.core.registry.routes.get(self.receiver)

    def lone_receiver(self) -> Activity | None:
        receiver = super().lone_receiver()
        if receiver is not None:
            for one in self._tracer.recorders:  # a plain loop, as this is on the way of each lone datagram
                if one.due() and one.wants(self.owner, receiver):
                    return None  # it goes through the mailbox, in an envelope
        return receiver

    def count(self, number: int) -> None:
        super().count(number)
        for one in self._tracer.recorders:
            if one.target is None or one.wants(self.owner, self._receiving()):
                one.passed(number)

    def put(self, messages: list[Any], octets: int = 0, longest: int = 0) -> int:
        receiver = self._receiving()
        recorders = self._tracer.recorders_of(self.owner, receiver)
        picked: dict[int, list[Recorder]] = {}
        for recorder in recorders:
            for index in recorder.pick(len(messages)):
                picked.setdefault(index, []).append(recorder)
        if not picked or receiver is None:
            return super().put(messages, octets, longest)
        done = start = 0
        for index in (*sorted(picked), len(messages)):
            done += self._put_plain(messages[start:index], octets, longest)
            if done < index:
                break
            if index < len(messages):
                done += self._put_traced(messages[index], receiver, tuple(picked[index]))
                if done <= index:
                    break
            start = index + 1
        return done

    def _put_plain(self, messages: list[Any], octets: int, longest: int) -> int:
        if not messages:
            return 0
        return super().put(messages, sum(len(one.data) for one in messages) if octets else 0, longest)

    def _put_traced(self, message: Any, receiver: Activity, recorders: tuple[Recorder, ...]) -> int:
        """Puts one datagram in an envelope. (The limit in bytes does not count it; it counts as a message.)"""
        handling = self._begin("packet", receiver, recorders)
        handling.trace.describe(message)
        entry = TracedMessage(self.sender, message, handling)
        entry.to = split_address(receiver, self.receiver)
        return int(super().put_entry(entry))

    def put_entry(self, entry: Any) -> bool:
        receiver = self._receiving()
        recorders = [one for one in self._tracer.recorders_of(self.owner, receiver) if one.pick(1)]
        batch = getattr(entry, "batch", None)
        if not recorders or receiver is None or batch is None:
            return super().put_entry(entry)
        handling = self._begin("batch", receiver, tuple(recorders))
        trace = handling.trace
        trace.count = len(batch)
        trace.size = sum(len(message.data) for message in batch)
        return super().put_entry(TracedEntry(entry, handling))

    def _begin(self, kind: str, receiver: Activity, recorders: tuple[Recorder, ...]) -> Handling:
        hooks: Any = getattr(self.owner, "hooks", None)
        handling = self._tracer.begin(kind, self.owner.id, receiver, recorders)
        handling.trace.socket = None if hooks is None else hooks.socket_address
        return handling
