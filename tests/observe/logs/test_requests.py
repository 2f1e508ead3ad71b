"""The requests `logs` and `log_level`: the last records, streams that are bounded, levels at run time."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

import homing
from homing import gen
from homing.observe import Observer, RequestRefused
from homing.observe.logs.ring import MOST_KEPT, MOST_RATE, MOST_STREAMS
from homing.testing import run_virtual

from ...node.actors import QUIET, Doer
from ...support import DEADLINE, Probe, in_thread

LOGGER = logging.getLogger("homing.test")
OTHER = logging.getLogger("program.module")


@pytest.fixture(autouse=True)
def levels_as_before(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.INFO)
    yield
    logging.getLogger("homing").setLevel(logging.NOTSET)
    OTHER.setLevel(logging.NOTSET)


@pytest.fixture
def observer(node: homing.Node) -> Observer:
    return Observer(node, allow=True)


async def last(observer: Observer, **request: Any) -> list[Any]:
    return [item async for item in observer.stream({"what": "logs", **request})]


def messages(items: list[Any]) -> list[str]:
    return [item["message"] for item in items]


@asynccontextmanager
async def followed(observer: Observer, **request: Any) -> AsyncIterator[Any]:
    """A stream that is open: its first item, which was logged before, has come."""
    LOGGER.warning("open")
    async with aclosing(observer.stream({"what": "logs", "follow": True, "last": 1, **request})) as stream:
        async with asyncio.timeout(100 * DEADLINE):  # also of virtual time
            assert (await anext(stream))["message"] == "open"
            yield stream


# --- the last records ---------------------------------------------------------------------------------------


async def test_the_last_records_are_told_in_order(observer: Observer) -> None:
    for number in range(5):
        LOGGER.warning("%d", number)
    assert messages(await last(observer, last=3)) == ["2", "3", "4"]
    assert await last(observer, last=0) == []


async def test_records_of_the_programs_own_loggers_are_kept_once_too(observer: Observer, node: homing.Node) -> None:
    OTHER.warning("theirs")
    node.log.warning("ours")
    assert messages(await last(observer)) == ["theirs", "ours"]


async def test_records_of_another_node_are_not_kept(observer: Observer) -> None:
    async with homing.start_node("other@localhost", QUIET) as other:
        other.log.warning("theirs")
    assert messages(await last(observer)) == []


async def test_records_below_a_level_are_left_out(observer: Observer) -> None:
    LOGGER.info("info")
    LOGGER.error("error")
    assert messages(await last(observer, level="warning")) == ["error"]


async def test_of_a_target_only_its_own_records_are_told(observer: Observer, node: homing.Node, probe: Probe) -> None:
    node.log.warning("the node's")
    await node.spawn(Doer, name="named")
    await node.call("named", lambda actor: actor.log.warning("named"))
    await probe.do(lambda actor: actor.log.warning("probe's"))
    assert messages(await last(observer, target="named")) == ["named"]
    for target in (str(probe.pid), str(probe.pid.id)):
        assert messages(await last(observer, target=target)) == ["probe's"]


async def test_a_target_that_has_logged_nothing_is_refused_if_it_does_not_live(
    observer: Observer, probe: Probe
) -> None:
    assert await last(observer, target=str(probe.pid)) == []
    with pytest.raises(RequestRefused) as refused:
        await last(observer, target="nobody")
    assert refused.value.code == "unknown_target"


async def test_no_more_records_and_bytes_are_kept_than_the_limits(observer: Observer) -> None:
    for number in range(MOST_KEPT + 10):
        LOGGER.warning("%d", number)
    assert messages(await last(observer, last=MOST_KEPT))[0] == "10"
    for _ in range(400):
        LOGGER.warning("x" * 12_000)
    assert 100 < len(await last(observer, last=MOST_KEPT)) < 200


async def test_a_stopped_node_leaves_no_handler_behind() -> None:
    loggers = logging.getLogger(), logging.getLogger("homing")
    before = [list(logger.handlers) for logger in loggers]
    async with homing.start_node("log@localhost", QUIET) as node:
        Observer(node)
        Observer(node)
        assert [len(logger.handlers) for logger in loggers] == [len(handlers) + 1 for handlers in before]
    assert [logger.handlers for logger in loggers] == before


def test_a_program_without_handlers_can_still_set_up_logging() -> None:
    root = logging.getLogger()
    before = list(root.handlers)

    async def main() -> None:
        async with homing.start_node("log@localhost", QUIET) as node:
            Observer(node)
            assert root.handlers == []

    for handler in before:
        root.removeHandler(handler)
    try:
        asyncio.run(main())
    finally:
        for handler in before:
            root.addHandler(handler)


# --- streams ------------------------------------------------------------------------------------------------


async def test_a_stream_goes_on_with_new_records_from_any_thread(observer: Observer) -> None:
    async with followed(observer) as stream:
        LOGGER.warning("here")
        in_thread(lambda: LOGGER.warning("there"))
        assert messages([await anext(stream), await anext(stream)]) == ["here", "there"]


async def test_a_stream_ends_with_the_node() -> None:
    node = await homing.start_node("log@localhost", QUIET)
    async with followed(Observer(node)) as stream:
        await node.stop()
        async with asyncio.timeout(DEADLINE):
            assert [item["message"] async for item in stream] == []


async def test_no_more_streams_are_open_than_the_limit(observer: Observer) -> None:
    LOGGER.warning("open")
    request = {"what": "logs", "follow": True, "last": 1}
    streams = [observer.stream(request) for _ in range(MOST_STREAMS)]
    for stream in streams:
        await anext(stream)
    with pytest.raises(RequestRefused, match="32 streams"):
        await anext(observer.stream(request))
    await streams[0].aclose()
    another = observer.stream(request)
    assert (await anext(another))["message"] == "open"
    for stream in (*streams, another):
        await stream.aclose()


def test_of_a_flood_some_records_a_second_come_and_the_number_of_the_others() -> None:
    async def main() -> list[Any]:
        async with homing.start_node("log@localhost", QUIET) as node, followed(Observer(node)) as stream:
            await asyncio.sleep(2)
            for number in range(MOST_RATE + 500):
                LOGGER.warning("%d", number)
            items = [await anext(stream) for _ in range(MOST_RATE + 1)]
            await asyncio.sleep(2)
            LOGGER.warning("later")
            return [*items, await anext(stream)]

    items = run_virtual(main)
    assert messages(items[:MOST_RATE]) == [str(number) for number in range(MOST_RATE)]
    assert items[MOST_RATE] == {"suppressed": 500}
    assert items[-1]["message"] == "later"


def test_every_record_of_a_flood_comes_or_is_counted() -> None:
    async def main() -> tuple[int, int]:
        came = left_out = 0
        async with homing.start_node("log@localhost", QUIET) as node, followed(Observer(node)) as stream:
            await asyncio.sleep(2)
            for _ in range(30):
                for number in range(97):
                    LOGGER.warning("%d", number)
                await asyncio.sleep(0.1)
            while came + left_out < 30 * 97:
                item = await anext(stream)
                left_out += item.get("suppressed", 0)
                came += "message" in item
        return came, left_out

    came, left_out = run_virtual(main)
    assert came + left_out == 30 * 97
    assert 3 * MOST_RATE <= came <= 4 * MOST_RATE


def test_a_reader_that_does_not_read_keeps_no_more_than_the_limit() -> None:
    async def main() -> list[Any]:
        async with homing.start_node("log@localhost", QUIET) as node, followed(Observer(node)) as stream:
            for _ in range(20):
                await asyncio.sleep(1)
                for number in range(MOST_RATE):
                    LOGGER.warning("%d", number)
            return [await anext(stream) for _ in range(1001)]

    items = run_virtual(main)
    assert sum("message" in item for item in items) == 1000
    assert items[-1]["suppressed"] == 20 * MOST_RATE - 1000


async def test_threads_that_log_at_once_lose_no_record(observer: Observer) -> None:
    async with followed(observer) as stream:
        threads = [threading.Thread(target=lambda: [OTHER.warning("x") for _ in range(200)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        count = 0
        while count < 800:
            item = await anext(stream)
            count += item.get("suppressed", 0) + ("message" in item)
        for thread in threads:
            await asyncio.to_thread(thread.join)
    assert count == 800


# --- levels -------------------------------------------------------------------------------------------------


async def test_the_level_of_a_process_changes(observer: Observer, node: homing.Node, probe: Probe) -> None:
    await node.spawn(Doer, name="named")
    asked = {"what": "log_level", "level": "error"}
    answer = await observer.ask({**asked, "target": "named"})
    assert answer == {"level": "error", "target": "named", "module": None}
    answer = await observer.ask({**asked, "target": str(probe.pid.id)})
    assert answer == {"level": "error", "target": str(probe.pid), "module": None}
    assert dict(observer.core.levels) == {"named": logging.ERROR, probe.pid: logging.ERROR}
    await observer.ask({"what": "log_level", "level": "default", "target": "named"})
    assert dict(observer.core.levels) == {probe.pid: logging.ERROR}


async def test_the_level_of_a_logger_changes_and_goes_back(observer: Observer) -> None:
    answer = await observer.ask({"what": "log_level", "level": "debug", "module": "program.module"})
    assert answer == {"level": "debug", "target": None, "module": "program.module"}
    assert OTHER.level == logging.DEBUG
    await observer.ask({"what": "log_level", "level": "default", "module": "program.module"})
    assert OTHER.level == logging.NOTSET


async def test_the_level_of_the_program_changes(observer: Observer) -> None:
    logging.getLogger("homing").setLevel(logging.INFO)
    answer = await observer.ask({"what": "log_level", "level": "warning"})
    assert answer == {"level": "warning", "target": None, "module": None}
    assert logging.getLogger("homing").level == logging.getLogger().level == logging.WARNING


@pytest.mark.parametrize(
    ("request_", "code", "text"),
    [
        ({"level": "loud"}, "bad_request", "level"),
        ({}, "bad_request", "level"),
        ({"level": "default"}, "bad_request", "level"),
        ({"level": "info", "target": "x", "module": "y"}, "bad_request", "target and module"),
        ({"level": "info", "target": "nobody"}, "unknown_target", "nobody"),
        ({"level": "info", "module": "program.modul"}, "unknown_target", "program.module"),
    ],
)
async def test_a_request_that_does_not_fit_is_refused(
    observer: Observer, request_: dict[str, Any], code: str, text: str
) -> None:
    with pytest.raises(RequestRefused, match=text) as refused:
        await observer.ask({"what": "log_level", **request_})
    assert refused.value.code == code


async def test_a_level_is_changed_only_if_changes_are_allowed(node: homing.Node) -> None:
    with pytest.raises(RequestRefused) as refused:
        await Observer(node).ask({"what": "log_level", "level": "debug"})
    assert refused.value.code == "not_allowed"


async def test_a_threaded_process_changes_its_level_too(observer: Observer, node: homing.Node) -> None:
    await node.spawn(Doer, name="threaded", options=gen.ProcessOptions(thread=True))
    await observer.ask({"what": "log_level", "level": "error", "target": "threaded"})
    await node.call("threaded", lambda actor: actor.log.warning("not told"))
    assert messages(await last(observer)) == []
