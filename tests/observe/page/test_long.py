"""A page that is left open: an hour by the page's clock, in seconds."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ...support import DEADLINE
from .conftest import ALONE, without_a_node

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from playwright.sync_api import Page, expect


def test_a_page_left_open_for_an_hour_does_not_grow(open_page: Callable[..., Page]) -> None:
    def first(page: Page) -> None:
        without_a_node(page)
        page.clock.install(time=1_800_000_000)
        page.add_init_script(path=Path(__file__).parent / "hour.js")

    def look(view: str, minutes: int) -> None:
        page.goto(f"{ALONE}#/{view}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        page.clock.run_for(minutes * 60_000)

    page = open_page(ALONE, first=first, viewport={"width": 400, "height": 200})
    for _ in range(2):  # the browser keeps the view before, but no more than one
        look("logs", 3)
        look("overview", 3)
    before = memory(page)
    look("logs", 20)
    look("overview", 40)
    expect(page.locator(".uptime")).to_have_text(re.compile("1.h 1[012].m"))
    until = time.monotonic() + DEADLINE  # the browser frees some of it when it is idle
    while (grown := growth(before, memory(page))) and time.monotonic() < until:
        pass
    assert not grown


def growth(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What has grown by more than a tenth and a little, with its sizes."""
    little = {"Nodes": 20, "JSEventListeners": 20, "JSHeapUsedSize": 600_000}
    return {name: (before[name], after[name]) for name in little if after[name] > before[name] * 1.1 + little[name]}


def memory(page: Page) -> dict[str, Any]:
    """What the page holds, after a collection of garbage."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    metrics = session.send("Performance.getMetrics")["metrics"]
    session.detach()
    return {entry["name"]: entry["value"] for entry in metrics}
