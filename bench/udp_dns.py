"""The function of a DNS server under test: that of the example `nameserver`, which keeps its answers.

It imports Homing, also for the other contestants: all have the same heap then.
"""

from __future__ import annotations

import os
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType

from homing import act, gen, meta

from .child import ROOT
from .udp_common import Counter


def _example() -> ModuleType:
    spec = spec_from_file_location("nameserver", os.path.join(ROOT, "examples", "servers", "nameserver.py"))
    if spec is None or spec.loader is None:
        raise ImportError("there is no example nameserver")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_answer = _example().answer_untrusted


def answer(data: bytes) -> bytes:
    """Returns the answer to a query without a cookie."""
    found: bytes = _answer(b"\0\0" + data[2:])[0]
    return data[:2] + found[2:]


class Answer(act.Actor):
    """The handler of Homing's server."""

    def init(self, counter: Counter) -> None:
        self.counter = counter

    def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        self.counter.packets += 1
        self.send(message.id, message.reply(answer(message.data)))
