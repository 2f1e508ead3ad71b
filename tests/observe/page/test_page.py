"""The web page, as an operator uses it: in a real browser, on a real node."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from .conftest import TOKEN, Node
from .served import HOSTILE

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from playwright.sync_api import Page, expect

Open = Callable[..., Page]

VIEWS = ("overview", "sockets", "processes", "tree", "events", "logs", "trace", "process/echo", "process/workers")
LOST = ("Failed to load resource",)
"""What a browser itself writes about a server that does not answer, or wants a token."""


def tile(page: Page, name: str) -> Any:
    return page.locator(".tile", has=page.get_by_text(name, exact=True)).locator("dd")


def rows(page: Page, table: str) -> Any:
    return page.get_by_role("table", name=table).locator("tbody tr")


def test_the_overview_shows_the_rates_and_the_drops_of_a_service_under_load(served: Node, open_page: Open) -> None:
    page = open_page(served.url)
    expect(tile(page, "Processes")).to_have_text(re.compile(r"6\d"))
    served.send(*[b"hello"] * 200)
    expect(tile(page, "Received")).to_have_text(re.compile(r"[1-9]\d* packets/s"))
    expect(rows(page, "Processes whose messages wait longest").first).to_contain_text("slow")
    expect(page.get_by_role("img", name="Packets: ")).to_have_attribute("aria-label", re.compile(r"received \d"))
    expect(page.locator(".plot canvas")).to_have_count(6)
    expect(rows(page, "Health checks").first).to_contain_text("ok")


def test_sockets_show_who_receives_and_the_drops_by_cause(served: Node, open_page: Open) -> None:
    page = open_page(f"{served.url}#/sockets")
    row = rows(page, "Sockets").first
    expect(row).to_contain_text(f"127.0.0.1:{served.address[1]}")
    expect(row.get_by_role("link", name="echo")).to_be_visible()
    expect(row).to_contain_text("reading")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as denied:
        denied.bind(("127.0.0.2", 0))
        denied.sendto(b"x", served.address)
    expect(row).to_contain_text("in denied 1")
    row.get_by_role("link").first.click()
    expect(page.get_by_role("region", name="Socket")).to_contain_text("Receive buffer")


def test_processes_are_sorted_by_the_node(served: Node, open_page: Open) -> None:
    page = open_page(f"{served.url}#/processes")
    heading = page.get_by_role("columnheader", name="Waiting")
    expect(rows(page, "Processes").first).to_contain_text("top")
    heading.get_by_role("button").click()
    expect(rows(page, "Processes").first).to_contain_text("slow")
    expect(heading).to_have_attribute("aria-sort", "descending")
    expect(rows(page, "Processes").first.locator(".mark")).to_have_text(re.compile(r"s$"))  # the age is marked
    heading.get_by_role("button").click()
    expect(heading).to_have_attribute("aria-sort", "ascending")
    expect(page.get_by_text("50 of ")).to_be_visible()


def test_processes_are_filtered_by_the_node(served: Node, open_page: Open) -> None:
    page = open_page(f"{served.url}#/processes")
    with page.expect_request(lambda request: "filter=work" in request.url and "kind=pool" not in request.url):
        page.get_by_label("Filter processes").fill("work")
    expect(rows(page, "Processes")).to_have_count(1)
    page.get_by_label("Filter processes").fill("nothing like it")
    expect(page.get_by_text("No process matches.")).to_be_visible()


def test_the_tree_shows_restarts_and_leads_to_details(served: Node, open_page: Open) -> None:
    page = open_page(f"{served.url}#/tree")
    served.send(b"crash")
    branch = page.get_by_role("treeitem").filter(has_text=re.compile("^▾?echo"))
    expect(branch).to_contain_text("restarts")
    expect(branch).to_contain_text("RuntimeError('asked for <b>bold</b>')")
    assert branch.get_attribute("aria-level") == "3"
    expect(page.get_by_text("10 more, see Processes")).to_be_visible()
    branch.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("echo")
    expect(page.get_by_role("region", name="About")).to_contain_text("RuntimeError('asked for <b>bold</b>')")
    expect(page.get_by_role("region", name="Inspect")).to_contain_text("<b>bold</b>")


def test_everything_is_reached_with_the_keyboard_alone(served: Node, open_page: Open) -> None:
    page = open_page(served.url)
    expect(tile(page, "Processes")).to_be_visible()
    keys = page.keyboard
    keys.press("3")
    expect(rows(page, "Processes").first).to_be_visible()
    keys.press("/")
    keys.type("served")
    keys.press("Escape")
    expect(page.locator("main")).to_be_focused()
    rows(page, "Processes").first.locator("a").wait_for()
    for _ in range(20):
        keys.press("Tab")
        if page.evaluate("document.activeElement.matches('a.row')"):
            break
    expect(rows(page, "Processes").nth(0).locator("a")).to_be_focused()
    keys.press("ArrowDown")
    keys.press("j")
    expect(rows(page, "Processes").nth(2).locator("a")).to_be_focused()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    keys.press("Shift+Tab")
    assert not page.evaluate("document.activeElement.matches('a.row')")  # Tab reaches one row of a table
    keys.press("Tab")
    keys.press("Home")
    keys.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("top")
    keys.press("Escape")
    keys.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("pause and continue")
    keys.press("Escape")
    keys.press("4")
    item = page.get_by_role("treeitem")
    item.first.focus()
    count = item.count()
    keys.press("ArrowLeft")
    expect(item).to_have_count(1)
    keys.press("ArrowRight")
    expect(item).to_have_count(count)


def test_the_row_with_the_focus_keeps_it_while_the_table_changes(served: Node, open_page: Open) -> None:
    page = open_page(f"{served.url}#/processes")
    page.get_by_label("Rows").select_option("200")
    rows(page, "Processes").nth(55).locator("a").focus()
    name = page.evaluate("document.activeElement.hash")
    with page.expect_response(lambda response: "reverse=true" in response.url):
        page.get_by_role("columnheader", name="Process").get_by_role("button").evaluate(
            "button => {button.click(); button.click()}"
        )
    expect(page.get_by_role("columnheader", name="Process")).to_have_attribute("aria-sort", "descending")
    assert page.evaluate("document.activeElement.hash") == name


def test_names_are_text_and_never_markup(served: Node, open_page: Open) -> None:
    page = open_page(f"{served.url}#/tree")
    shown = page.get_by_title(re.compile("onerror")).first
    expect(shown).to_contain_text("<img src=x onerror=document.title='owned'>\\u{202e}gpj.exe")
    for view in VIEWS:
        page.goto(f"{served.url}#/{view}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert page.locator("main img, main b > *, iframe").count() == 0
    page.goto(f"{served.url}#/processes")
    page.get_by_label("Filter processes").fill("onerror")
    expect(rows(page, "Processes")).to_have_count(1)
    rows(page, "Processes").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("\\u{202e}gpj.exe")
    assert "owned" not in page.title().split(" ")[0]
    assert HOSTILE.split("\n")[1][:20] in (page.get_by_role("heading", level=1).get_attribute("title") or "")


@pytest.mark.parametrize("width", [400, 1600])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_views_fit_narrow_and_wide_windows_in_light_and_dark(
    served: Node, open_page: Open, width: int, scheme: str
) -> None:
    page = open_page(served.url, viewport={"width": width, "height": 800}, color_scheme=scheme)
    for view in VIEWS:
        page.goto(f"{served.url}#/{view}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.get_by_text("Loading")).to_have_count(0)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, view
    light = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0] > 128")
    assert light == (scheme == "light")


def test_the_page_survives_the_restart_of_the_node(open_page: Open, allowed: Node) -> None:
    page = signed_in(open_page, allowed)
    before = page.locator(".uptime").get_attribute("title")
    allowed.kill()
    expect(page.get_by_text("No connection to the node for")).to_be_visible(timeout=10_000)
    allowed.start()
    expect(page.get_by_text("No connection to the node for")).to_have_count(0)
    expect(page.locator(".uptime")).not_to_have_attribute("title", before or "")
    allowed.send(b"hello")
    expect(tile(page, "Received")).to_have_text(re.compile(r"[1-9].* packets/s|0\.\d+"))


def test_a_node_that_is_blocked_is_said_not_to_answer(open_page: Open, allowed: Node) -> None:
    page = signed_in(open_page, allowed, "Failed to load resource", "504", "503")
    allowed.send(b"block")
    expect(page.get_by_text("The node has not answered for")).to_be_visible(timeout=10_000)
    expect(page.locator("body")).to_have_class("stale")
    expect(page.get_by_text("The node has not answered for")).to_have_count(0)


def signed_in(open_page: Open, node: Node, *expected: str) -> Page:
    page = open_page(node.url, expected=LOST + expected)
    page.get_by_role("textbox", name="Token").fill(TOKEN)
    page.get_by_role("button", name="Open").click()
    expect(tile(page, "Processes")).to_be_visible()
    return page


def test_the_token_is_asked_for_and_stays_in_the_tab(open_page: Open, allowed: Node) -> None:
    asked: list[str] = []
    page = open_page(
        allowed.url, expected=LOST, first=lambda page: page.on("request", lambda request: asked.append(request.url))
    )
    page.get_by_role("textbox", name="Token").fill("the-wrong-token-of-all")
    page.keyboard.press("Enter")
    expect(page.get_by_text("The server refused the token.")).to_be_visible()
    page.get_by_role("textbox", name="Token").fill(TOKEN)
    page.keyboard.press("Enter")
    expect(tile(page, "Processes")).to_be_visible()
    assert not [url for url in asked if TOKEN in url]
    assert page.evaluate("[localStorage.length, document.cookie, sessionStorage.length]") == [0, "", 1]
    page.reload()
    expect(tile(page, "Processes")).to_be_visible()  # it is not asked for again
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_node_that_allows_reading_only_offers_no_changes(served: Node, open_page: Open) -> None:
    page = open_page(f"{served.url}#/process/echo")
    expect(page.get_by_role("button", name="Trace")).to_be_visible()
    expect(page.get_by_text("read-only")).to_be_visible()
    for name in ("Kill", "Exit", "Send", "Drain", "Log level", "Reconfigure"):
        assert page.get_by_role("button", name=name).count() == 0


def test_a_process_shows_its_kept_state(served: Node, open_page: Open) -> None:
    page = open_page(f"{served.url}#/process/slow")
    expect(page.get_by_text("Kept state")).to_be_visible()
    expect(page.get_by_text("0 failures, 0 loads, 0 discarded")).to_be_visible()


def test_changes_ask_first_and_tell_why_they_are_refused(open_page: Open, allowed: Node) -> None:
    page = signed_in(open_page, allowed, "400")
    page.goto(f"{allowed.url}#/process/slow")
    first = page.get_by_text(re.compile(r"<shop@host\.\d+>")).first.inner_text()
    page.get_by_role("button", name="Kill …").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text(first)).to_be_visible()
    page.get_by_role("button", name="Send …").click()
    page.get_by_label("Message").fill('"work"')
    page.get_by_role("dialog").get_by_role("button", name="Send").click()
    expect(page.get_by_text("Send to slow: done.")).to_be_visible()
    page.get_by_role("button", name="Kill …").click()
    page.get_by_role("dialog").get_by_role("button", name="Kill").click()
    expect(page.get_by_text("Kill slow: done.")).to_be_visible()
    expect(page.get_by_text(first)).to_have_count(0)  # its successor has the name
    page.goto(f"{allowed.url}#/sockets")
    rows(page, "Sockets").first.get_by_role("link").first.click()
    page.get_by_role("button", name="Reconfigure …").click()
    page.get_by_label("Options").fill("rate_limit = many")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("rate_limit")
    page.get_by_label("Options").fill("ttl = 9")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_the_log_is_followed_by_level_and_tells_what_it_left_out(served: Node, open_page: Open) -> None:
    page = open_page(f"{served.url}#/logs")
    log = page.get_by_role("log")
    served.send(b"crash")
    expect(log.get_by_text("RuntimeError: asked for <b>bold</b>").first).to_be_visible()
    expect(log.get_by_text("child 'echo' was restarted").first).to_be_visible()
    log.get_by_text("Traceback").first.click()
    expect(log.locator("pre").first).to_contain_text("handle_message")
    page.get_by_label("Level").select_option("error")
    expect(log.get_by_text("child 'echo' was restarted")).to_have_count(0)
    with page.expect_response(lambda response: "level=warning" in response.url):
        page.get_by_label("Level").select_option("warning")
    served.send(b"log")
    expect(page.get_by_text(re.compile(r"suppressed \d+"))).to_be_visible()
    assert log.get_by_role("article").count() <= 500
    page.get_by_label("Filter log").fill("burst 17")
    expect(log.get_by_role("article").first).to_contain_text("burst 17")


def test_a_trace_shows_the_waterfall_of_a_packet(served: Node, open_page: Open) -> None:
    page = open_page(f"{served.url}#/trace")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_text("Waiting for a packet")).to_be_visible()
    found = page.get_by_role("listbox", name="Traces").get_by_role("option")
    until = time.monotonic() + 10
    while not found.count() and time.monotonic() < until:  # the node begins a moment after the page has asked
        served.send(b"hello", b"world")
        page.wait_for_timeout(200)
    expect(found.nth(1)).to_be_visible()
    waterfall = page.get_by_role("region", name="Waterfall")
    expect(waterfall).to_contain_text("echo packet")
    expect(waterfall).to_contain_text("reply to 127.0.0.1:")
    expect(waterfall.get_by_role("img", name=re.compile("queue .* handling "))).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    page.goto(f"{served.url}#/process/echo")
    expect(page.get_by_role("region", name="Last traced messages")).to_contain_text("reply to")


def test_events_lead_to_their_owners(served: Node, open_page: Open) -> None:
    page = open_page(f"{served.url}#/events")
    row = rows(page, "Events").first
    expect(row).to_contain_text("changes")
    expect(row).to_contain_text("0 of 7")
    row.get_by_role("link").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("echo")


def test_a_process_that_does_not_exist_is_named(served: Node, open_page: Open) -> None:
    page = open_page(f"{served.url}#/process/nobody", expected=LOST)
    expect(page.get_by_role("alert")).to_contain_text("no process has the name 'nobody'")


def test_nothing_is_asked_while_the_page_is_hidden_or_paused(served: Node, open_page: Open) -> None:
    page = open_page(served.url)
    expect(tile(page, "Processes")).to_be_visible()
    hide = """hidden => {
        Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    with page.expect_event("requestfailed", lambda request: "stream/watch" in request.url):
        page.evaluate(hide, True)
    with page.expect_request(lambda request: "stream/watch" in request.url):
        page.evaluate(hide, False)
    with page.expect_event("requestfailed", lambda request: "stream/watch" in request.url):
        page.keyboard.press("p")
    expect(page.get_by_text("Paused.")).to_be_visible()
    with page.expect_request(lambda request: "stream/watch" in request.url):
        page.get_by_role("button", name="Continue").click()
    expect(page.get_by_text("Paused.")).to_have_count(0)
