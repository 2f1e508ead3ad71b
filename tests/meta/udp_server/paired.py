"""One server with two options at a time, and random traffic for it: what was sent, and what its receiver got.

Every datagram has a number, in the order of sending, which on the loopback is that of arrival; a key; and a source.
"""

from __future__ import annotations

import asyncio
import random
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Self

import homing
from homing import act, gen, meta

from ...datagram.traffic import Sender
from ...support import Probe, eventually
from ..servers import Gate, balanced, open_server

HEAD = struct.Struct("!BBI")
"""Of a payload: the source, the key, the number. Bytes behind it make it longer."""
AGE = 0.02
"""Seconds. Short, so that some datagrams grow too old in a run; how many does not matter."""
REFUSED, SEPARATE = b"r"[0], b"-"[0]
"""The keys of datagrams that `admit` refuses, and of those that are not conflated."""
KEYS = [*b"abc", SEPARATE, SEPARATE, REFUSED]
SMALL = 8192
"""A receive buffer that holds about 20 short datagrams."""
LARGE = 1 << 20
"""A receive buffer in which all datagrams of a run find room."""
MOST_LETS = 100_000
QUEUE = 20
"""Most datagrams of one source that wait, if `fair` is one of the two."""


def key_of(message: meta.MessageUDP) -> tuple[int, int] | None:
    """The source and the key, if it is to be conflated."""
    source, key, _ = HEAD.unpack_from(message.data)
    return None if key == SEPARATE else (source, key)


ADMITTED = meta.where[1] != REFUSED
ON: dict[str, dict[str, Any]] = {
    "loss_markers": {"loss_markers": True},
    "max_age": {"max_age": AGE},
    "conflate": {"conflate": key_of},
    "codel": {"codel": meta.CoDel(target=0.001, interval=0.005)},
    "high_water_seconds": {"high_water_seconds": 0.001},
    "fair": {},
    "amplification": {"amplification": meta.Amplification(factor=3.0, exempt=())},
    "admit in the process": {"admit": ADMITTED, "admit_in": "process"},
    "admit in the kernel": {"admit": ADMITTED, "admit_in": "kernel"},
    "tap": {},
    "state": {},
}
"""What is given to the server for each of them. The tap's file, the queues of `fair` and the process with a state are
made by the run."""
OFF: dict[str, Any] = {"loss_markers": False}
"""The value with which an option does nothing, if that is not None."""


class Got(NamedTuple):
    """A datagram, or a marker, whose turn at the receiver has come. stale: the numbers of which none may come now."""

    number: int
    source: int
    key: int
    intact: bool
    stale: range
    marker: meta.MessageUDPLoss | None


class Receiver(act.Actor):
    """As slow as its gate. Its state is the number of datagrams that it has handled."""

    def init(self, run: Run) -> None:
        self.run = run
        self.handled = 0

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        if message == "crash":
            self.run.crashes -= 1
            raise RuntimeError("on request")
        self.run.note(message)
        await self.run.gate.enter(None)
        if isinstance(message, meta.MessageUDP):
            self.handled += 1
            if self.run.answers:
                self.send(message.id, message.reply(bytes(self.run.answers)))

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> int:
        return self.handled

    def dump_state(self) -> int:
        return self.handled

    def load_state(self, state: int) -> None:
        self.handled = state


class Keeper(act.Supervisor):
    """Starts the receiver again after a crash, with its state and its mailbox."""

    def init(self, run: Run, options: gen.ProcessOptions) -> act.SupervisorSpec:
        child = act.ChildSpec(name="receiver", behavior=Receiver, args=(run,), options=options)
        return act.SupervisorSpec(children=(child,), intensity=1000)


class Run:
    """A server with the options of a pair. All that is random follows from `seed`.

    sent: the payloads by number. got: what the receiver got, in order.
    crashes: how many the receiver was asked for and has not had.
    changed: which of the two were off for a time. answers: the bytes of each answer; 0: there is none.
    """

    server: meta.UDPServer
    alias: gen.Alias

    def __init__(self, pair: tuple[str, str], seed: str, path: Path) -> None:
        self.pair, self.path = pair, path
        self.choose = choose = random.Random(seed)
        self.gate = Gate()
        self.sent: list[bytes] = []
        self.got: list[Got] = []
        self.sources = [Sender() for _ in range(3)]
        self.changed: set[str] = set()
        self.on = dict.fromkeys(pair, True)
        self.crashes = 0
        self.trains = sys.platform == "linux" and choose.random() < 0.5
        self.answers = choose.choice([40, 200]) if {"amplification", "tap"} & set(pair) else 0
        self.pool = meta.BufferPool(1000) if "fair" not in pair and choose.random() < 0.2 else None
        # A train that the kernel drops before it has divided it counts as one datagram there.
        self.small = choose.random() < 0.5
        self._gro = not (self.trains and self.small)
        self._stale = range(0)
        self._aged_from: int | None = 0
        self._addresses = {sender.address: number for number, sender in enumerate(self.sources)}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for sender in self.sources:
            sender.socket.close()

    def always(self, name: str) -> bool:
        """True if it is one of the two, and was never off."""
        return name in self.pair and name not in self.changed

    def is_alive(self) -> bool:
        """True if the receiver takes calls."""
        try:
            return self.node.process_info("receiver").state is not gen.ProcessState.INIT
        except gen.NameUnknown:
            return False

    @property
    def admits(self) -> bool:
        """True if one of the two refuses datagrams."""
        return any(name.startswith("admit") for name in self.pair)

    def options_of(self, name: str) -> dict[str, Any]:
        """The server's options for one of the two."""
        if name == "fair":
            by = self.choose.choice([meta.where[0:1], meta.where[0:2], "source"])
            queue, ahead = self.choose.choice([1, 5, QUEUE]), self.choose.choice([1, 4, 16])
            return {"fair": meta.Fair(by=by, queue=queue, ahead=ahead)}
        return {"tap": meta.Tap(self.path)} if name == "tap" else ON[name]

    def note(self, message: Any) -> None:
        """Notes what has come to the receiver."""
        if isinstance(message, meta.MessageUDPLoss):
            self.got.append(Got(-1, -1, -1, True, range(0), message))
            return
        data = bytes(message.data)
        source, key, number = HEAD.unpack_from(data)
        intact = self.sent[number] == data and self._addresses[message.addr] == source
        self.got.append(Got(number, source, key, intact, self._stale, None))

    @property
    def datagrams(self) -> list[Got]:
        """The datagrams that the receiver got."""
        return [one for one in self.got if one.marker is None]

    @property
    def markers(self) -> list[meta.MessageUDPLoss]:
        """The markers that the receiver got."""
        return [one.marker for one in self.got if one.marker is not None]

    # --- what happens -------------------------------------------------------------------------------------

    async def start(self, node: homing.Node, probe: Probe) -> None:
        """Starts the receiver and the server."""
        self.node, choose = node, self.choose
        size = choose.choice([0, 0, 20])
        if "state" in self.pair:
            state = gen.StateOptions(trial=0)
            options = gen.ProcessOptions(mailbox_size=size, state=state, preserve_mailbox=True)
            await node.spawn(Keeper, self, options)
        else:
            await node.spawn(Receiver, self, name="receiver", options=gen.ProcessOptions(mailbox_size=size))
        given: dict[str, Any] = {
            "process": "receiver",
            "overflow": choose.choice([*([] if "fair" in self.pair else ["pause"]), "drop_newest", "drop_oldest"]),
            "high_water": choose.choice([1, 5, 30, 1000]),
            "high_water_seconds": None,
            "receive_buffer": SMALL if self.small else LARGE,
            "receive_batch": choose.choice([1, 7, 64]),
            "buffer_pool": self.pool,
            "gro": self._gro,
        }
        for name in self.pair:
            given |= self.options_of(name)
        self.high_water = given["high_water"]
        self.server, self.alias = await open_server(probe, **given)

    async def go(self, steps: int) -> None:
        """Sends, lets messages pass, and changes the options, at random."""
        ways: list[Callable[[], Any]] = [self.burst, self.burst, self.let, self.turn, self.turn]
        if self.choose.random() < 0.5:
            ways.append(self.switch)
        if "state" in self.pair:
            ways.append(self.crash)
        rests = 2 if {"max_age", "codel"} & set(self.pair) else 0
        for step in range(steps):
            await self.choose.choice(ways)()
            if rests and step % (steps // 2) == steps // 3:
                await self.rest()
            ledger = balanced(self.server)
            assert not self.always("fair") or self.trains or ledger.waiting <= QUEUE * 3 * len(KEYS)
        for name in self.pair:
            await self.turn_on(name, True)

    async def burst(self) -> None:
        """Sends some datagrams, from one source or from several; some of them joined."""
        if self.trains and self.choose.random() < 0.5:
            self._send_joined(self.choose.choice([2, 10, 40]), self.choose.choice([0, 20, 400]))
            return
        source = self.choose.choice([0, 1, 2, None])
        for _ in range(self.choose.choice([1, 5, 15, 40])):
            number = self.choose.randrange(3) if source is None else source
            size = self.choose.choice([0, 0, 10, 600])
            self.sources[number].send(self._payload(number, size), self.server.local_address)

    def _send_joined(self, count: int, size: int) -> None:
        number = self.choose.randrange(3)
        train = [self._payload(number, size) for _ in range(count)]
        self.sources[number].send(b"".join(train), self.server.local_address, HEAD.size + size)

    def _payload(self, source: int, size: int) -> bytes:
        number = len(self.sent)
        data = HEAD.pack(source, self.choose.choice(KEYS), number) + self.choose.randbytes(size)
        self.sent.append(data)
        return data

    async def let(self) -> None:
        """Lets some messages pass."""
        self.gate.let(self.choose.choice([1, 10, 100]))

    async def turn(self) -> None:
        """Lets the loop turn."""
        await asyncio.sleep(0)

    async def rest(self) -> None:
        """Lets so much time pass that everything which waits at the receiver is too old."""
        ledger = balanced(self.server)
        known = ledger.received == len(self.sent) and ledger.waiting == 0
        sent, aged_from = len(self.sent), self._aged_from
        end = time.monotonic() + AGE
        await eventually(lambda: time.monotonic() > end)
        if known and aged_from is not None and self.on.get("max_age"):
            self._stale = range(aged_from, sent)

    async def switch(self) -> None:
        """Switches one of the two off, or on again."""
        name = self.choose.choice(self.pair)
        if name != "state":
            self.changed.add(name)
            await self.turn_on(name, not self.on[name])

    async def turn_on(self, name: str, on: bool) -> None:
        """Switches one of the two on or off."""
        if self.on[name] is on:
            return
        changes = self.options_of(name)
        if not on:
            changes = {key: OFF.get(key) for key in changes if key != "admit_in"}
        await self.node.call(self.alias, meta.Reconfigure(**changes))
        self.on[name] = on
        if name == "max_age":
            self._stale = range(0)
            self._aged_from = len(self.sent) if on else None

    async def crash(self) -> None:
        """Has the receiver crash when it has handled what waits there, unless there is no room for that."""
        try:
            self.node.send("receiver", "crash")
            self.crashes += 1
        except (gen.MailboxFull, gen.NameUnknown):
            pass

    async def settle(self) -> meta.Ledger:
        """Lets everything pass, and waits until all that was sent is accounted for. Returns the ledger."""
        self.gate.let(MOST_LETS)

        def settled() -> bool:
            ledger = balanced(self.server)
            found = (ledger.received, ledger.waiting, ledger.delivered)
            return found == (len(self.sent), 0, len(self.datagrams))

        def told() -> str:
            return f"{self.pair}: {len(self.sent)} sent, {len(self.datagrams)} got, {balanced(self.server)}"

        try:
            await eventually(settled)
        except AssertionError:
            raise AssertionError(told()) from None
        return balanced(self.server)
