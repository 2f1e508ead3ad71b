"""`homing.new_event_loop`: asyncio's loop in all that it does, while the selector serves sockets within it."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Self, TypeVar

import pytest

import homing

from .sockets import DEADLINE, datagrams, needs_selector, several

T = TypeVar("T")


def run(main: Callable[[], Awaitable[T]], *, debug: bool = False) -> T:
    """Runs `main` on a new loop."""

    async def body() -> T:
        async with asyncio.timeout(DEADLINE):
            return await main()

    with asyncio.Runner(loop_factory=homing.new_event_loop, debug=debug) as runner:
        return runner.run(body())


def serving() -> Any:
    """Returns the selector of the running loop."""
    return asyncio.get_running_loop().homing_selector  # type: ignore[attr-defined]


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with datagrams() as made:
        yield made


class Flood:
    """A served socket that is always ready: nobody reads its datagram. `calls`: how often it was called."""

    def __init__(self, action: Callable[[], object] = lambda: None) -> None:
        self.sock = datagrams(1)
        self.calls = 0
        self.action = action

    def __enter__(self) -> Self:
        serving().on_readable(self.sock.fileno(), self.called)
        return self

    def called(self) -> None:
        self.calls += 1
        self.action()

    def __exit__(self, *_: object) -> None:
        serving().on_readable(self.sock.fileno(), None)
        self.sock.close()


def test_it_is_asyncios_loop_of_selectors() -> None:
    loop = homing.new_event_loop()
    assert isinstance(loop, asyncio.SelectorEventLoop)
    loop.close()
    loop.close()


async def test_homing_runs_programs_on_it() -> None:
    program = "import asyncio, homing\nasync def main(node): return asyncio.get_running_loop()\nprint(homing.run(main))"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    output, _ = await process.communicate()
    loop = homing.new_event_loop()
    assert output.decode().split()[0] == repr(loop).split()[0]
    loop.close()


@pytest.mark.parametrize("missing", ["_ready", "_scheduled"])
@needs_selector
def test_where_asyncio_has_changed_inside_it_returns_to_the_loop_each_time(missing: str) -> None:
    async def main() -> int:
        serving().attach(_Other(asyncio.get_running_loop(), missing))
        turns = 0
        with Flood() as flood:
            while flood.calls < 10:
                await asyncio.sleep(0.001)
                turns += 1
        return turns

    assert run(main) >= 1


class _Other:
    """A loop as another version of Python might have it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, missing: str) -> None:
        self._loop = loop
        self._missing = missing

    def __getattr__(self, name: str) -> Any:
        if name == self._missing:
            raise AttributeError(name)
        return getattr(self._loop, name)


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

    def test_it_cannot_be_run_or_closed_within_a_callback(self) -> None:
        async def main() -> list[str]:
            loop, errors, done = asyncio.get_running_loop(), [], asyncio.Event()

            def misuse() -> None:
                for call in (loop.run_forever, loop.close):
                    try:
                        call()
                    except RuntimeError as error:
                        errors.append(str(error))
                done.set()

            with Flood(misuse):
                await done.wait()
            return errors

        assert run(main)[:2] == ["This event loop is already running", "Cannot close a running event loop"]


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
@pytest.mark.parametrize("debug", [False, True])
class TestFailures:
    def test_an_exception_goes_to_the_loops_handler_as_that_of_a_handle_does(self, debug: bool) -> None:
        async def main() -> dict[str, Any]:
            loop, told = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()

            def handler(_: object, context: dict[str, Any]) -> None:
                if not told.done():
                    told.set_result(context)

            loop.set_exception_handler(handler)

            def fail() -> None:
                raise ZeroDivisionError("by the callback")

            with Flood(fail):
                context: dict[str, Any] = await told
            return context

        context = run(main, debug=debug)
        assert {"message", "exception", "handle"} <= context.keys()
        assert str(context["exception"]) == "by the callback"
        assert "called" in context["message"]
        assert isinstance(context["handle"], asyncio.Handle)

    def test_the_others_are_served_all_the_same(self, debug: bool) -> None:
        async def main() -> int:
            asyncio.get_running_loop().set_exception_handler(lambda *_: None)
            done = asyncio.Event()

            def fail() -> None:
                raise ZeroDivisionError

            with Flood(fail), Flood(lambda: other.calls < 10 or done.set()) as other, Flood(fail):
                await done.wait()
                return other.calls

        assert run(main, debug=debug) >= 10

    @pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
    def test_what_is_to_end_the_program_ends_the_run(self, debug: bool, error: type[BaseException]) -> None:
        loop = homing.new_event_loop()
        loop.set_debug(debug)

        def fail() -> None:
            selector.on_readable(sock.fileno(), None)
            raise error("now")

        selector: Any = loop.homing_selector  # type: ignore[attr-defined]
        with datagrams(1) as sock:
            selector.on_readable(sock.fileno(), fail)
            with pytest.raises(error, match="now"):
                loop.run_forever()
        assert loop.run_until_complete(asyncio.sleep(0, "well")) == "well"
        loop.close()

    def test_an_exception_handler_that_raises_ends_nothing(self, debug: bool, caplog: pytest.LogCaptureFixture) -> None:
        async def main() -> None:
            def handler(*_: object) -> None:
                raise ValueError("by the handler")

            asyncio.get_running_loop().set_exception_handler(handler)
            done = asyncio.Event()

            def fail() -> None:
                done.set()
                raise ZeroDivisionError

            with Flood(fail):
                await done.wait()

        with caplog.at_level(logging.CRITICAL, "asyncio"):
            run(main, debug=debug)


@needs_selector
class TestDebug:
    def test_slow_callbacks_are_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        async def main() -> None:
            asyncio.get_running_loop().slow_callback_duration = 0.0
            done = asyncio.Event()
            with Flood(done.set):
                await done.wait()

        run(main, debug=True)
        assert any("Executing <Handle Flood.called()" in record.getMessage() for record in caplog.records)

    def test_it_can_be_turned_on_and_off_within_a_callback(self) -> None:
        async def main() -> None:
            loop, done = asyncio.get_running_loop(), asyncio.Event()

            def turn() -> None:
                loop.set_debug(flood.calls % 3 == 0)
                if flood.calls >= 100:
                    done.set()

            with Flood(turn) as flood, Flood() as other:
                await done.wait()
                assert abs(flood.calls - other.calls) <= 2

        run(main)

    def test_a_socket_that_is_stopped_before_its_turn_is_not_called(self) -> None:
        async def main() -> list[int]:
            calls: list[int] = []
            with several(3, fed=1) as socks:

                def stop_all(number: int) -> None:
                    calls.append(number)
                    for sock in socks:
                        serving().on_readable(sock.fileno(), None)

                for number, sock in enumerate(socks):
                    serving().on_readable(sock.fileno(), lambda number=number: stop_all(number))
                for _ in range(5):
                    await asyncio.sleep(0)
            return calls

        assert len(run(main, debug=True)) == 1

    def test_an_error_comes_before_the_others(self, sock: socket.socket) -> None:
        async def main() -> list[str]:
            calls: list[str] = []
            with datagrams() as gone:
                sock.connect(gone.getsockname())
            sock.send(b"x")
            done = asyncio.Event()

            def failed() -> None:
                calls.append("error")
                sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

            def write() -> None:
                calls.append("write")
                done.set()

            serving().on_error(sock.fileno(), failed)
            serving().on_writable(sock.fileno(), write)
            await done.wait()
            serving().on_writable(sock.fileno(), None)
            serving().off_error(sock.fileno(), failed)
            return calls

        assert run(main, debug=True)[:2] == ["error", "write"]


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


async def test_subprocesses_work() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "print(input())", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await asyncio.wait_for(process.communicate(b"hello\n"), DEADLINE)
    assert (output, process.returncode) == (b"hello\n", 0)


async def test_asyncios_own_datagrams_work() -> None:
    loop, got = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()

    class Protocol(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            got.set_result(data)

    transport, _ = await loop.create_datagram_endpoint(Protocol, ("127.0.0.1", 0))
    transport.sendto(b"hello", transport.get_extra_info("sockname"))
    assert await asyncio.wait_for(got, DEADLINE) == b"hello"
    transport.close()


@needs_selector
def test_a_closed_loop_watches_no_more(sock: socket.socket) -> None:
    loop = homing.new_event_loop()
    selector: Any = loop.homing_selector  # type: ignore[attr-defined]
    selector.on_readable(sock.fileno(), print)
    loop.close()
    selector.on_readable(sock.fileno(), None)
    with pytest.raises(RuntimeError, match="closed"):
        selector.on_readable(sock.fileno(), print)


@needs_selector
def test_a_loop_that_cannot_be_made_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Any:
        raise OSError(24, "Too many open files")

    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(socket, "socketpair", fail)
    with pytest.raises(OSError, match="Too many"):
        homing.new_event_loop()
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


@needs_selector
def test_a_loop_that_was_dropped_is_collected_with_the_callbacks_of_its_sockets(sock: socket.socket) -> None:
    loop = homing.new_event_loop()
    loop.homing_selector.on_readable(sock.fileno(), loop.stop)  # type: ignore[attr-defined]
    loop.close()
    gone = weakref.ref(loop)
    del loop
    gc.collect()
    assert gone() is None
