"""A program with a configuration, for the tests."""

from __future__ import annotations

from typing import Any

import msgspec

import homing
from homing import act, gen


class Words(msgspec.Struct):
    word: str = "OK"
    numbered: bool = False
    fault: bool = False

    def __post_init__(self) -> None:
        if self.fault:
            raise ValueError("fault is set")


service = homing.Service("words")


@service.udp(host="127.0.0.1", port=0, high_water=50)
def answer(packet: Any) -> bytes:
    words = service.config(Words)
    return packet.data + b" 1" if words.numbered else words.word.encode()


class Listening(act.Actor):
    """Prints what it is told."""

    def init(self) -> None:
        self.word = self.config(Words, notify=True).word
        print(f"word {self.word}", flush=True)

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        match message:
            case gen.MessageConfig(section="", config=Words(word=word)):
                print(f"word {word}", flush=True)
