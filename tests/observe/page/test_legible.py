"""The page can be read: contrast, widths, and its state in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Node
from .test_page import VIEWS, signed_in

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from playwright.sync_api import Page, expect

CONTRAST = (Path(__file__).parent / "contrast.js").read_text().partition("\n")[2].strip().removesuffix(";")

Open = Callable[..., Page]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_the_contrast_of_wcag_aa(served: Node, open_page: Open, scheme: str) -> None:
    page = open_page(served.url, color_scheme=scheme)
    for view in VIEWS:
        page.goto(f"{served.url}#/{view}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.get_by_text("Loading")).to_have_count(0)
        assert page.evaluate(CONTRAST) == [], view
    page.keyboard.press("p")
    expect(page.get_by_text("Paused. What is shown does not change.")).to_be_visible()
    assert page.evaluate(CONTRAST) == [], "paused"


@pytest.mark.parametrize("width", [400, 800, 1024, 1400])
def test_the_links_to_all_views_are_in_sight(allowed: Node, open_page: Open, width: int) -> None:
    page = signed_in(open_page, allowed)
    page.set_viewport_size({"width": width, "height": 800})
    for link in page.get_by_role("navigation").get_by_role("link").all():
        expect(link).to_be_in_viewport(ratio=1)
