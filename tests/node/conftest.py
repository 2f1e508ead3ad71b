"""What depends on how a loop runs tasks is tested on asyncio's loop and, where it is installed, on uvloop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest

from ..meta import conftest as meta

ON_EVERY_LOOP = ("test_inline_async.py", "test_threaded.py", "test_threaded_end.py", "test_watchdog.py")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.path.name in ON_EVERY_LOOP:
        return meta.pytest_asyncio_loop_factories(config, item)
    return {"asyncio": asyncio.new_event_loop}
