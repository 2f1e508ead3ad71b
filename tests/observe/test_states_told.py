"""Kept states in the records of processes and in the metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import homing
from homing import gen, observe
from homing.observe.http.server import HTTPServer

from ..node.states.keeping import NAME, Counter, Service, count, crash, put, state
from ..support import eventually
from .http.asking import samples, value
from .http.conftest import serve as serve

Serve = Callable[..., HTTPServer]


async def test_the_record_of_a_process_has_its_kept_state(node: homing.Node) -> None:
    observer = observe.Observer(node)
    await node.spawn(Service, gen.StateOptions(every=3600.0))
    await node.spawn(Service, None, Counter, "other")
    node.send(NAME, count)
    await state(node)
    kept = await record(observer, NAME)
    assert (kept["name"], kept["dumps"], kept["failures"], kept["loads"]) == (NAME, 1, 0, 0)
    assert (kept["size"] > 0, kept["error"]) == (True, "")
    assert await record(observer, "other") is None


async def record(observer: observe.Observer, name: str) -> Any:
    answer: Any = await observer.ask({"what": "process", "target": name})
    return answer["process"]["kept"]


async def test_the_metrics_have_each_name(node: homing.Node, serve: Serve) -> None:
    await node.spawn(Service, gen.StateOptions())
    server = serve()
    node.send(NAME, count)
    await crash(node)
    node.send(NAME, put(object()))
    await eventually(lambda: getattr(node.process_info(NAME).kept, "failures", 0) == 1)
    found = await samples(server)
    for name, expected in (("dumps_total", 1), ("failed_dumps_total", 1), ("loads_total", 1), ("discarded_total", 0)):
        assert value(found, f"homing_state_{name}", name=NAME) == expected
    assert value(found, "homing_state_bytes", name=NAME) > 0
    assert value(found, "homing_state_age_seconds", name=NAME) >= 0


async def test_without_a_kept_state_there_are_no_such_metrics(node: homing.Node, serve: Serve) -> None:
    await node.spawn(Service, None)
    assert not [name for name, _ in await samples(serve()) if name.startswith("homing_state_")]
