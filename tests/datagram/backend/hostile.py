"""Drives the native backend on a kernel that lies (`hostile.c`): random reads and sends, case by case.

Run as a module, with the library preloaded: `python -m tests.datagram.backend.hostile --seconds 60 --seed 1`. A case
depends on its number alone: `--case N` repeats one. The number of the case that runs is written to `--progress`.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import random
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from homing import gen
from homing.datagram.backend.contract import Backend
from homing.datagram.batch import DatagramBatch
from homing.datagram.message import MessageUDP, PacketInfo
from homing.datagram.policy.admission import Admission
from homing.datagram.policy.limits import RateLimit

STEPS = 24
"""Calls of a case."""

_EXPECTED = (OSError, gen.HomingError, TypeError, ValueError, OverflowError)
"""What a backend may raise: an error of the system, or what is wrong with a message."""

Seed = Callable[[int], None]


def preloaded() -> Seed:
    """The function that seeds the hostile kernel. Raises `AttributeError` if it is not preloaded."""
    seed = ctypes.CDLL(None).hostile_seed
    seed.argtypes = (ctypes.c_uint64,)
    seed.restype = None
    return seed  # type: ignore[no-any-return]


class Case:
    """One backend and its socket, and what a model of it expects."""

    def __init__(self, number: int) -> None:
        from homing.datagram.backend.native import NativeBackend  # the other drivers run without the extensions too

        self.random = draw = random.Random(number)
        self.size = draw.choice((1, 2, 512, 1500, 65535))
        self.sock = socket.socket(draw.choice((socket.AF_INET, socket.AF_INET6)), socket.SOCK_DGRAM)
        self.sock.setblocking(False)
        self.info = draw.random() < 0.5
        gro, gso = draw.random() < 0.7, draw.random() < 0.7
        self.backend: Backend = NativeBackend(self.sock, self.size, gro, gso, self.info)
        if draw.random() < 0.3:
            self.backend.admission = _admission(draw)
        if draw.random() < 0.3:
            self.backend.retry = lambda number, tries: tries < draw.randrange(4)
        self.batches: list[DatagramBatch] = []
        self.kept: list[memoryview] = []

    def close(self) -> None:
        self.backend.close()
        self.sock.close()
        for batch in self.batches:
            batch._end()
        for view in self.kept:
            check_payload(view)  # whoever looks into memory keeps it

    def step(self) -> None:
        before = self.backend.packets_in
        step = self.random.choice((self.receive, self.receive, self.columns, self.pooled, self.send, self.end))
        try:
            received = step()
        except _EXPECTED:
            return
        check(self.backend.packets_in - before == received, "each datagram is counted once")
        check(self.backend.waiting >= 0, "no fewer than none wait")

    def receive(self) -> int:
        limit = self.random.choice((1, 3, 64, 512, 1 << 20))
        waited = self.backend.waiting
        octets = self.random.choice((1, 1000, sys.maxsize))
        messages = self.backend.receive(limit, self.random.choice((1, 2, 64, 1000)), "id", octets)
        check(len(messages) <= limit, "no more than asked for")
        check(sum(len(message.data) for message in messages[:-1]) < octets, "none after those that are long enough")
        if waited:
            check(self.backend.waiting == waited - len(messages), "what waits is what was not returned")
        for message in messages:
            check_payload(message.data)
            check(len(message.data) <= self.size, "no datagram is longer than the buffer")
            check_address(message.addr)
            repr(message.info)
        return len(messages)

    def columns(self) -> int:
        columns = self.backend.receive_columns(self.random.choice((1, 2, 64, 1000)))
        if columns is None:
            return 0
        batch = DatagramBatch("id", columns)
        check(self.backend.waiting == 0, "a batch has all")
        check(sum(batch.lengths) == batch.bytes, "the bytes are the sum of the lengths")
        host = 4 if self.sock.family == socket.AF_INET else 16
        check(len(batch.hosts) == batch.count * host and len(batch.ports) == batch.count, "one host, one port each")
        for offset, length in zip(batch.offsets, batch.lengths, strict=True):
            check(
                0 <= offset <= offset + min(length, self.size) == offset + length <= len(batch.buffer),
                "inside the buffer",
            )
            check_payload(batch.buffer[offset : offset + length])
        for index in self.random.sample(range(batch.count), min(3, batch.count)):
            check_address(batch[index].addr)
            repr(batch.info(index))
            if self.random.random() < 0.1:
                self.kept.append(batch.buffer[batch.offsets[index] : batch.offsets[index] + batch.lengths[index]])
        check(all(0 <= number < batch.count for number in batch.cut), "what was cut is in the batch")
        copy = batch.detach()
        check([m.data for m in copy] == [m.data for m in batch], "a copy has the same")
        self.batches.append(batch)
        return batch.count

    def end(self) -> int:
        if self.batches:
            self.batches.pop(self.random.randrange(len(self.batches)))._end()
        return 0

    def pooled(self) -> int:
        if self.backend.waiting:
            return 0  # a server has a pool or none
        out: set[int] = set()

        def get() -> Any:
            buffer = bytearray(self.random.choice((1, 7, 1500, 65536)))
            out.add(id(buffer))
            return buffer

        got = self.backend.receive_pooled(
            self.random.choice((1, 5, 64, 200)), get, lambda buffer: out.discard(id(buffer))
        )
        for buffer, length, address, _, info in got:
            check(0 <= length <= len(buffer), "the length is inside the buffer")
            check_payload(buffer[:length])
            check_address(address)
            repr(info)
        check(len(out) == len(got), "unused buffers are returned")
        return len(got)

    def send(self) -> int:
        messages = [self._message() for _ in range(self.random.choice((1, 2, 65, 300)))]
        failures: list[tuple[int, Exception]] = []
        done = self.backend.send_many(messages, failures)
        check(0 <= done <= len(messages), "no more is sent than there is")
        check(all(0 <= index < done for index, _ in failures), "what failed is done")
        return 0

    def _message(self) -> MessageUDP:
        draw = self.random
        payload = bytes(draw.choice((0, 1, 100, 100, 100, 1472, 65507, 70000)))
        data: Any = draw.choice((payload, payload, bytearray(payload), memoryview(payload), payload.decode(), None, 7))
        host = draw.choice(("127.0.0.1", "127.0.0.1", "::1", "::ffff:127.0.0.1", "fe80::1", "localhost", "", None))
        port = draw.randrange(-2, 65538)
        address: Any = draw.choice(((host, 9), (host, 9), (host, port), (host, 9, 1, 2), (host,), None))
        infos = (None, None, PacketInfo(tos=4), PacketInfo(local="127.0.0.1"), PacketInfo(local="::1"), 5)
        return MessageUDP(None, address, data, info=draw.choice(infos))  # type: ignore[arg-type]


def _admission(draw: random.Random) -> Admission:
    admission = Admission()
    if draw.random() < 0.5:
        admission.set_sources((), ("255.0.0.0/8", "::/1"))
    else:
        admission.limiter.apply(RateLimit(rate=100.0))
    return admission


def check(true: bool, promise: str) -> None:
    if not true:
        raise AssertionError(promise)


def check_payload(data: Any) -> None:
    """Every payload of the hostile kernel consists of one byte, repeated."""
    check(
        len(data) == 0 or bytes(data) == bytes(data[:1]) * len(data), "a payload is what was received, and nothing else"
    )


def check_address(address: Any) -> None:
    check(isinstance(address, tuple) and len(address) in (2, 4), "an address is the socket module's tuple")
    check(isinstance(address[0], str) and 0 <= address[1] <= 65535, "a host and a port")


def run(number: int, seed: Seed) -> None:
    """Runs the case `number`. Raises `AssertionError`, with the number, if a promise is broken."""
    seed(number + 1)
    case = Case(number)
    try:
        for _ in range(STEPS):
            case.step()
    finally:
        seed(0)
        case.close()
    check(
        bytes(0) == b"" and ctypes.string_at(id(b"") + bytes.__basicsize__ - 1, 1) == b"\0", "the empty bytes are empty"
    )


def drive(run: Callable[[int, Seed], None], *, lies: bool = True) -> int:
    """Runs cases as the command line asks. Returns the exit code.

    lies: the hostile kernel has to be preloaded.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--case", type=int)
    parser.add_argument("--progress", default=os.devnull)
    arguments = parser.parse_args()
    seed = preloaded() if lies else lambda number: None
    first, until = arguments.seed * 1_000_000_000, time.monotonic() + arguments.seconds
    cases = 0
    with open(arguments.progress, "wb", buffering=0) as progress:
        while cases == 0 or (arguments.case is None and time.monotonic() < until):
            number = first + cases if arguments.case is None else arguments.case
            progress.seek(0)
            progress.write(b"%d\n" % number)
            try:
                run(number, seed)
            except Exception as error:
                error.add_note(f"repeat it with --case {number}")
                raise
            cases += 1
    print(f"{cases} cases")
    return 0


if __name__ == "__main__":
    sys.exit(drive(run))
