"""The forwarder of a UDP server whose receiver is on another node: takes the datagrams of a read, or of the mailbox."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from ...datagram.message import MessageUDP
from ...gen.copying import refuse_copy
from ...meta.udp.outgoing import any_leased, take_datagrams
from ...node.scheduling.forwarder import Forwarder

if TYPE_CHECKING:
    from .away import Away

TAKEN = 512
"""Most datagrams taken in one go."""


class ToReceiver(Forwarder):
    """Takes the main lane of the process, and what is read while nothing waits there."""

    __slots__ = ("_away", "_process")

    __reduce__ = refuse_copy

    def __init__(self, away: Away) -> None:
        super().__init__()
        self._away = away
        self._process = away.process
        self.takes_now = True

    def take_now(self, messages: list[MessageUDP]) -> int:
        """Sends datagrams at once, as many as there is room for."""
        flow = self._away.flow
        room = flow.room()
        if room <= 0:
            return 0
        done = self._put(flow, messages if room >= len(messages) else messages[:room])
        self._process.handled += done
        return done

    def take_main(self, main: deque[Any]) -> int:
        """Sends the datagrams at the head of the main lane, as many as there is room for. Returns how many entries it
        took."""
        flow = self._away.flow
        room = flow.room()
        if room == 0:
            self._away.pauses += 1
            self._process.pause()
            return 0
        messages = take_datagrams(main, min(room, TAKEN))
        if messages:
            return self._send(flow, main, messages)
        entry: Any = main.popleft()
        if type(entry) is tuple:
            self._process.behavior.handle_message(*entry)
        else:
            entry.handle(self._process)
        return 1

    def _send(self, flow: Any, main: deque[Any], messages: list[MessageUDP]) -> int:
        done = self._put(flow, messages)
        if done < len(messages):
            sender = messages[0].id
            for message in reversed(messages[done:]):
                main.appendleft((sender, message))
            self._process.pause()
        return done

    def _put(self, flow: Any, messages: list[MessageUDP]) -> int:
        done = int(flow.put(messages))
        if any_leased(messages):
            for message in messages[:done]:
                message.release()
        return done
