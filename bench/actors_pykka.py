"""Pykka's actors under test: a thread each."""

from __future__ import annotations

import threading
from time import process_time, sleep
from typing import Any

import pykka

from .memory import resident


class Sink(pykka.ThreadingActor):
    def __init__(self, expected: int, done: threading.Event) -> None:
        super().__init__()
        self.left = expected
        self.done = done

    def on_receive(self, message: Any) -> Any:
        self.left -= 1
        if self.left == 0:
            self.done.set()


class Pong(pykka.ThreadingActor):
    def on_receive(self, message: Any) -> Any:
        message.tell(self.actor_ref)


class Ping(pykka.ThreadingActor):
    def __init__(self, rounds: int, done: threading.Event) -> None:
        super().__init__()
        self.left = rounds
        self.done = done

    def on_receive(self, message: Any) -> Any:
        if self.left == 0:
            self.done.set()
        else:
            self.left -= 1
            message.tell(self.actor_ref)


class Callee(pykka.ThreadingActor):
    def on_receive(self, message: Any) -> Any:
        return message


class Pykka:
    """`actors.Contestant`."""

    def send(self, n: int) -> float:
        done = threading.Event()
        sink = Sink.start(n, done)
        begin = process_time()
        for _ in range(n):
            sink.tell(1)
        done.wait()
        return self._stop(process_time() - begin)

    def pingpong(self, n: int) -> float:
        done = threading.Event()
        pong = Pong.start()
        ping = Ping.start(n // 2, done)
        begin = process_time()
        ping.tell(pong)
        done.wait()
        return self._stop(process_time() - begin)

    def call(self, n: int) -> float:
        callee = Callee.start()
        begin = process_time()
        for _ in range(n):
            callee.ask(1)
        return self._stop(process_time() - begin)

    def spawn(self, n: int) -> float:
        begin = process_time()
        for _ in range(n):
            Callee.start()
        return self._stop(process_time() - begin)

    def memory(self, n: int, used: bool) -> float:
        before = resident()
        actors = [Callee.start() for _ in range(n)]
        if used:
            for actor in actors:
                actor.tell(1)
        sleep(0.1)
        return self._stop((resident() - before) / n)

    def _stop(self, figure: float) -> float:
        pykka.ActorRegistry.stop_all()
        return figure
