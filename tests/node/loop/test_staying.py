"""While sockets are served, `select` stays inside and keeps nothing waiting: timers, callbacks, threads, signals."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

import homing

from .sockets import Flood, datagrams, needs_selector, run, serving


@needs_selector
class TestStaying:
    """Served sockets that are always ready keep nothing else waiting."""

    def test_it_stays_within_select_while_nothing_else_is_due(self) -> None:
        async def main() -> tuple[int, int]:
            loop, done = asyncio.get_running_loop(), asyncio.Event()
            selects = []
            select = loop._selector.select  # type: ignore[attr-defined]
            with Flood(lambda: flood.calls < 1000 or done.set()) as flood:
                spy = _Spy(loop._selector, lambda: selects.append(1))  # type: ignore[attr-defined]
                loop._selector = spy  # type: ignore[attr-defined]
                await done.wait()
                loop._selector = select.__self__  # type: ignore[attr-defined]
                return flood.calls, len(selects)

        calls, selects = run(main)
        assert calls >= 1000
        assert selects <= 5

    def test_timers_come_in_time(self) -> None:
        async def main() -> None:
            loop = asyncio.get_running_loop()
            with Flood() as flood:
                for delay in (0.01, 0.001, 0.0, 0.02):
                    due = loop.time() + delay
                    await asyncio.sleep(delay)
                    assert loop.time() >= due - 0.001
                assert flood.calls

        run(main)

    def test_a_timer_that_a_callback_sets_is_seen(self) -> None:
        async def main() -> None:
            loop, done = asyncio.get_running_loop(), asyncio.Event()
            loop.call_later(3600, print)

            def once() -> None:
                serving().on_readable(sock.fileno(), None)
                loop.call_later(0.005, done.set)

            with datagrams(1) as sock:
                serving().on_readable(sock.fileno(), once)
                await done.wait()

        run(main)

    def test_cancelled_timers_do_not_pile_up(self) -> None:
        async def main() -> int:
            loop, done = asyncio.get_running_loop(), asyncio.Event()
            with Flood(lambda: (loop.call_later(3600, print).cancel(), flood.calls < 5000 or done.set())) as flood:
                await done.wait()
            return len(loop._scheduled)  # type: ignore[attr-defined]

        assert run(main) < 500

    def test_callbacks_that_become_ready_run(self) -> None:
        async def main() -> None:
            loop, seen = asyncio.get_running_loop(), []
            with Flood(lambda: loop.call_soon(seen.append, flood.calls)) as flood:
                while len(seen) < 100:
                    await asyncio.sleep(0)
                assert flood.calls <= len(seen) + 2

        run(main)

    def test_other_threads_wake_it(self) -> None:
        async def main() -> int:
            loop = asyncio.get_running_loop()
            with Flood():
                total = 0
                for _ in range(20):
                    total += await loop.run_in_executor(None, lambda: 1)
                return total

        assert run(main) == 20

    def test_readers_of_the_loops_and_servers_have_their_turn(self) -> None:
        async def main() -> list[bytes]:
            async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                while data := await reader.read(100):
                    writer.write(data)
                writer.close()

            server = await asyncio.start_server(echo, "127.0.0.1", 0)
            answers = []
            with Flood():
                reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
                for number in range(20):
                    writer.write(b"%d" % number)
                    answers.append(await reader.read(100))
                writer.close()
                await writer.wait_closed()
            server.close()
            return answers

        assert run(main) == [b"%d" % number for number in range(20)]

    def test_stop_in_a_callback_ends_the_run_at_once(self) -> None:
        loop = homing.new_event_loop()
        selector: Any = loop.homing_selector  # type: ignore[attr-defined]
        with datagrams(1) as sock:
            calls: list[int] = []

            def stop() -> None:
                calls.append(1)
                loop.stop()

            for expected in (1, 2):  # and it can run again
                selector.on_readable(sock.fileno(), stop)
                loop.run_forever()
                assert len(calls) == expected
            selector.on_readable(sock.fileno(), None)
            assert loop.run_until_complete(asyncio.sleep(0, "done")) == "done"
            loop.close()

    def test_it_cannot_be_closed_within_a_callback(self) -> None:
        async def main() -> None:
            loop, done = asyncio.get_running_loop(), asyncio.Event()

            def close() -> None:
                with pytest.raises(RuntimeError, match="Cannot close a running event loop"):
                    loop.close()
                done.set()

            with Flood(close):
                await done.wait()

        run(main)


class _Spy:
    """A selector that notes each call of `select`."""

    def __init__(self, selector: Any, note: Callable[[], None]) -> None:
        self._selector = selector
        self._note = note

    def select(self, timeout: float | None) -> Any:
        self._note()
        return self._selector.select(timeout)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._selector, name)


@needs_selector
class TestSignals:
    def test_a_handler_of_the_loops_runs_while_sockets_are_busy_and_while_they_rest(self) -> None:
        async def main() -> None:
            loop = asyncio.get_running_loop()
            for busy in (True, False):
                got = asyncio.Event()
                loop.add_signal_handler(signal.SIGUSR1, got.set)
                threading.Timer(0.02, os.kill, [os.getpid(), signal.SIGUSR1]).start()
                with datagrams(1 if busy else 0) as sock:
                    serving().on_readable(sock.fileno(), lambda: None)
                    await got.wait()
                    serving().on_readable(sock.fileno(), None)
                loop.remove_signal_handler(signal.SIGUSR1)

        run(main)

    def test_python_handlers_run_while_only_callbacks_in_c_do(self) -> None:
        calls: list[int] = []

        async def main() -> None:
            loop, done = asyncio.get_running_loop(), asyncio.Event()

            def handle(*_: object) -> None:
                calls.append(1)
                loop.call_soon_threadsafe(done.set)

            before = signal.signal(signal.SIGALRM, handle)
            with datagrams(1) as sock:
                serving().on_readable(sock.fileno(), int)
                signal.setitimer(signal.ITIMER_REAL, 0.02)
                await done.wait()
                serving().on_readable(sock.fileno(), None)
            signal.signal(signal.SIGALRM, before)

        run(main)
        assert calls == [1]

    def test_ctrl_c_ends_a_run_whose_sockets_are_busy(self) -> None:
        async def main() -> None:
            with Flood(lambda: flood.calls == 100 and signal.raise_signal(signal.SIGINT)) as flood:
                await asyncio.Event().wait()

        with pytest.raises(KeyboardInterrupt):
            run(main)
