"""One browser and one node for all tests of the page; a page of its own for each."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from ...cli.nodes import PACKAGE, short_directory
from ...support import DEADLINE

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update"),
    *("--disable-background-networking", "--disable-sync"),
)
TOKEN = "0123456789abcdef"
DEADLINE_MS = 1000 * DEADLINE


class Node:
    """`homing run --http` with the program of these tests, at ports that stay over a restart."""

    def __init__(self, runtime: Path, *options: str, **environment: str) -> None:
        self.address = ("127.0.0.1", free_port(socket.SOCK_DGRAM))
        self.http = free_port(socket.SOCK_STREAM)
        self.url = f"http://127.0.0.1:{self.http}/"
        where = ("--http", f"127.0.0.1:{self.http}", "--env", f"port={self.address[1]}", "--name", "shop@host")
        self._command = (sys.executable, "-m", "homing", "run", "served:Service", *where, *options)
        self._environment = {**os.environ, "XDG_RUNTIME_DIR": str(runtime), "PYTHONPATH": str(PACKAGE), **environment}
        self._process: subprocess.Popen[bytes] | None = None
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def start(self) -> None:
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(
            self._command, cwd=Path(__file__).parent, env=self._environment, stdout=quiet, stderr=quiet
        )
        until = time.monotonic() + 2 * DEADLINE
        while not self._serves():
            assert time.monotonic() < until, "the node did not start"
            assert self._process.poll() is None, "the node has ended"
            time.sleep(0.05)

    def _serves(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=DEADLINE)
        with contextlib.closing(connection), contextlib.suppress(OSError):
            connection.request("GET", "/health/startup")
            return connection.getresponse().status == 200
        return False

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.kill()
        self._socket.close()

    def send(self, *messages: bytes) -> None:
        for message in messages:
            self._socket.sendto(message, self.address)


def free_port(kind: int) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def started(*options: str, **environment: str) -> Iterator[Node]:
    with short_directory() as runtime, contextlib.closing(Node(runtime, *options, **environment)) as node:
        node.start()
        yield node


@pytest.fixture(scope="module")
def served() -> Iterator[Node]:
    """A node that may only be looked at."""
    with started() as node:
        node.send(*[b"slow"] * 3)
        yield node


@pytest.fixture(scope="module")
def allowed() -> Iterator[Node]:
    """A node that may be changed, by those who have the token."""
    with started("--allow", HOMING_HTTP_TOKEN=TOKEN) as node:
        yield node


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


FILES = resources.files("homing.observe.http") / "page"
ALONE = "http://page.test/"


def without_a_node(page: Any) -> None:
    """Lets a page have its files at `ALONE`, and nothing else."""

    def answer(route: Any) -> None:
        name = route.request.url.removeprefix(ALONE).removeprefix("page/") or "index.html"
        route.fulfill(path=str(FILES / name)) if (FILES / name).is_file() else route.fulfill(status=204)

    page.route(f"{ALONE}**", answer)


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page in a window of its own. At the end no error has been written to a console: messages that contain
    one of the texts in `expected` excepted. And nothing was asked of another server."""
    opened: list[Any] = []
    errors: list[str] = []
    allowed: list[str] = []
    foreign: list[str] = []

    def open_one(
        url: str, *, expected: tuple[str, ...] = (), first: Callable[[Any], None] | None = None, **options: Any
    ) -> Any:
        allowed.extend(expected)
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        opened.append(context)
        context.set_default_timeout(DEADLINE_MS)
        page = context.new_page()
        page.on("console", lambda message: message.type in ("error", "warning") and errors.append(message.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        own = ("/".join([*url.split("/")[:3], ""]), "data:")
        page.on("request", lambda request: request.url.startswith(own) or foreign.append(request.url))
        if first is not None:
            first(page)
        page.goto(url)
        return page

    yield open_one
    for context in opened:
        context.close()
    assert foreign == []
    assert [error for error in errors if not any(text in error for text in allowed)] == []
