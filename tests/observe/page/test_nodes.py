"""The view of the nodes of a cluster."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from ...cli.nodes import short_directory
from .conftest import Node, free_port

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("zenoh")
from playwright.sync_api import Page, expect

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[Node, Node]]:
    """Two nodes of a cluster: shop@host and edge@host."""
    address = f"tcp/127.0.0.1:{free_port(socket.SOCK_STREAM)}"
    with ExitStack() as stack:
        runtime = stack.enter_context(short_directory())
        options = ("--cluster", "test", "--cluster-inspect")
        shop = stack.enter_context(closing(Node(runtime, *options, "--listen", address)))
        edge = stack.enter_context(
            closing(Node(runtime, *options, "--join", address, "--name", "edge@host", "--tag", "front"))
        )
        for node in (shop, edge):
            node.start()
        yield shop, edge


@pytest.mark.parametrize("width", [400, 1600])
def test_it_fits_narrow_and_wide_windows(cluster: tuple[Node, Node], open_page: Open, width: int) -> None:
    page = open_page(f"{cluster[0].url}#/nodes", viewport={"width": width, "height": 800})
    expect(page.get_by_role("heading", level=1)).to_have_text("Nodes of cluster test")
    expect(page.get_by_role("table", name="Nodes").locator("tbody tr")).to_have_count(2)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_it_shows_the_other_nodes_until_they_are_down(cluster: tuple[Node, Node], open_page: Open) -> None:
    page = open_page(cluster[0].url)
    page.get_by_role("link", name="Nodes", exact=True).click()
    rows = page.get_by_role("table", name="Nodes").locator("tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.nth(0)).to_contain_text("shop@host")
    expect(rows.nth(0)).to_contain_text("this node")
    expect(rows.nth(1)).to_contain_text("edge@host")
    expect(rows.nth(1)).to_contain_text("front")
    cluster[1].kill()
    expect(rows).to_have_count(1)
    cluster[1].start()
    expect(rows).to_have_count(2)


def test_a_node_in_no_cluster_has_no_such_view(served: Node, open_page: Open) -> None:
    page = open_page(served.url)
    expect(page.get_by_role("link", name="Events", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="Nodes", exact=True)).to_have_count(0)
    page.goto(f"{served.url}#/nodes")
    expect(page.get_by_text("This node is in no cluster.")).to_be_visible()
