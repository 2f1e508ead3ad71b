"""`homing run --http`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from ..gen import BadOption
from ..gen.foreign import safe_repr
from ..observe import Observer
from .run_options import RunOptions
from .saying import say

if TYPE_CHECKING:
    from ..observe.http.options import HTTPOptions
    from ..observe.http.server import HTTPServer

RETRY_SECONDS = 0.1
"""Seconds between two tries to listen while the predecessor still does."""

MOST_SECONDS = 60.0
"""Seconds after which a successor gives up: by then its predecessor has stopped, or somebody else has the port."""

Start = Callable[[], "HTTPServer"]


def open_http(observer: Observer, options: RunOptions, *, succeeds: bool = False) -> str:
    """Starts the HTTP server of `--http`. Returns its URL for the banner, and "" without that option.

    succeeds: a predecessor may still have the port; then the server starts when it is free.
    Raises `BadOption`, `NotAllowed`.
    """
    if not options.http:
        return ""
    from ..observe.http.start import serve_node

    node, wanted = observer.node, http_options(options)
    own = Observer(node, wanted.allow)
    own.requests, own.streams = observer.requests, observer.streams
    try:
        return f"{serve_node(own, wanted).url} ({access(options, wanted)})"
    except BadOption as error:
        if not succeeds or error.option != "port":
            raise
    task = asyncio.get_running_loop().create_task(_retry(partial(serve_node, own, wanted), node.log.info))
    node.on_stopped(partial(_end, task))
    return f"http://{options.http}/ ({access(options, wanted)}), once the predecessor has ended"


def http_options(options: RunOptions) -> HTTPOptions:
    """Returns the options of the server. Raises `BadOption`."""
    from ..observe.http.options import HTTPOptions, is_loopback, parse_address, read_token

    host, port = parse_address(options.http)
    token = read_token(options.http_token_file or None)
    if not is_loopback(host) and not (options.http_public and token):
        why = "other machines could connect: give --http-public and a token, or the address 127.0.0.1"
        raise BadOption("http", options.http, f"{why} (the token by --http-token-file, or HOMING_HTTP_TOKEN)")
    return HTTPOptions(
        host=host,
        port=port,
        public=options.http_public,
        token=token,
        allow=options.allow and token is not None,
        hosts=tuple(options.http_host),
        wait_ready=True,
    )


def access(options: RunOptions, wanted: HTTPOptions) -> str:
    """Returns who may do what, for the banner."""
    if wanted.token is None:
        return "without a token; read-only" + (": --allow needs a token here" if options.allow else "")
    return "with the token" + ("; also changes the node" if wanted.allow else "; read-only")


def _end(task: asyncio.Task[HTTPServer | None]) -> None:
    task.cancel()


async def _retry(start: Start, tell: Callable[[str], None]) -> HTTPServer | None:
    loop = asyncio.get_running_loop()
    until = loop.time() + MOST_SECONDS
    while True:
        await asyncio.sleep(RETRY_SECONDS)
        try:
            server = start()
        except BadOption as error:
            if loop.time() < until:
                continue
            tell(f"there is no HTTP server: {error}")
            return None
        tell(f"the HTTP server listens at {server.url}")
        return server


@asynccontextmanager
async def merged_http(name: str, names: list[str], options: RunOptions) -> AsyncIterator[None]:
    """Runs the HTTP server of `homing run --processes` during an `async with`. Raises `BadOption`, `NotAllowed`.

    name: of the application. names: of the nodes.
    """
    if not options.http:
        yield
        return
    from ..observe.http.start import serve
    from ..observe.merged import MergedObserver

    wanted = http_options(options)
    observer = MergedObserver(name, names, wanted.allow)
    start = partial(serve, observer, asyncio.get_running_loop(), wanted, _fault)
    first = None
    try:
        first = start()
        _tell(f"HTTP server of all processes together: {first.url} ({access(options, wanted)})")
    except BadOption as error:
        if not options.takeover or error.option != "port":
            raise
    later = None if first is not None else asyncio.create_task(_retry(start, _tell))
    try:
        yield
    finally:
        if later is not None and not later.done():
            later.cancel()
        server = first if later is None or later.cancelled() or not later.done() else later.result()
        if server is not None:
            server.close()


def _tell(text: str) -> None:
    say(f"homing run: {text}")


def _fault(error: Exception) -> None:
    _tell(f"fault in the HTTP server: {safe_repr(error)}")
