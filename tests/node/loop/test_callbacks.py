"""Callbacks of served sockets fail and are measured as those of the loop do."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator
from typing import Any

import pytest

import homing

from .sockets import Flood, datagrams, needs_selector, run, serving, several


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with datagrams() as made:
        yield made


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
