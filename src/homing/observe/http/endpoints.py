"""The endpoints: health, metrics, the API, streams, the page.

| path | answer |
|---|---|
| `/` , `/page/...` | the web page |
| `/health/live`, `/health/ready`, `/health/startup` | probes: 200 or 503 |
| `/metrics` | Prometheus and OpenMetrics |
| `/api/v1/<what>` | requests to the observer: GET to read, POST to change |
| `/api/v1/stream/<what>` | server-sent events |
| `/openapi.json` | describes all of these |
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ..encoding import TooLong
from ..fields import from_texts
from ..merged import MergedObserver
from ..observer import Observer
from ..refusals import RequestRefused
from .answers import STATUS, as_error, as_json, event
from .bridge import SILENT_SECONDS, Bridge, Ended, Items, Unanswered
from .exposition import expose
from .openapi import describe
from .options import HTTPOptions
from .probes import REFRESH_SECONDS, Probes
from .static import Files

ANSWER_SECONDS = 5.0
"""Seconds for which other requests wait for the loop."""

METRICS_SECONDS = 2.5
"""Seconds for which a scrape waits for the loop: longer than the answer of several nodes waits for one of them, shorter
than the interval of an impatient Prometheus, which is also its timeout."""

HEARTBEAT_SECONDS = 15.0
"""Seconds of silence after which a stream gets a comment: proxies end silent connections after 30 to 60 s."""

MOST_STREAMS = 20
"""Streams open at once: each costs the node a snapshot in each period."""

EVENTS = "text/event-stream"

LONGEST_BODY = 65_536
"""Most bytes of the body of a request."""


class Endpoints:
    """The endpoints of one server."""

    def __init__(self, bridge: Bridge, observer: Observer | MergedObserver, options: HTTPOptions) -> None:
        self._bridge = bridge
        self._observer = observer
        self._options = options
        self._probes = Probes(bridge, options.live_seconds)
        self._files = Files()
        self._streams = 0
        self._closing = asyncio.Event()
        self._description = describe(observer)

    def app(self) -> Starlette:
        """Returns the ASGI application."""
        routes = [
            Route("/", self._page),
            Route("/page/{name:path}", self._page),
            Route("/metrics", self._metrics),
            Route("/health/{probe}", self._health),
            Route("/openapi.json", self._openapi),
            Route("/api/v1/stream/{what}", self._stream),
            Route("/api/v1/{what}", AnyMethod(self._api)),
        ]
        handlers: dict[Any, Any] = {
            HTTPException: _http_error,
            RequestRefused: _refused,
            TooLong: _too_long,
            Unanswered: _unanswered,
            TimeoutError: _unanswered,
            Exception: _fault,
        }
        app = Starlette(routes=routes, exception_handlers=handlers)
        app.router.redirect_slashes = False
        return app

    def close(self) -> None:
        """Ends all streams. On the server's loop."""
        self._closing.set()

    async def refresh(self) -> None:
        """Looks at the health, again and again, until it is cancelled."""
        while True:
            await self._probes.look(ANSWER_SECONDS)
            await asyncio.sleep(REFRESH_SECONDS)

    # --- health -------------------------------------------------------------------------------------------

    async def _health(self, request: Request) -> Response:
        probe = request.path_params["probe"]
        if probe not in ("live", "ready", "startup"):
            raise HTTPException(404)
        ok, checks, age = await self._probes.answer(probe)
        body: dict[str, Any] = {"ok": ok}
        if request.scope["trusted"]:
            body |= {"checks": checks, "age": round(age, 3)}
        return await as_json(body, 200 if ok else 503)

    # --- metrics ------------------------------------------------------------------------------------------

    async def _metrics(self, request: Request) -> Response:
        if request.query_params:
            raise HTTPException(400, "/metrics has no parameters")
        (health, _), (facts, age) = await asyncio.gather(self._probes.look(), self._counters())
        measured = self._probes.measured(health, facts, age)
        body, content_type = expose(measured, self._options.registries, request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    async def _counters(self) -> tuple[dict[str, Any], float]:
        """Returns the answer to `metrics`, and its age; without any, an empty one."""
        try:
            return await self._bridge.ask({"what": "metrics"}, METRICS_SECONDS)
        except (Unanswered, RequestRefused):
            return {}, 0.0

    # --- the API ------------------------------------------------------------------------------------------

    async def _api(self, request: Request) -> Response:
        what = request.path_params["what"]
        kind = self._observer.requests.get(what)
        if kind is None or not kind.over_http:
            raise HTTPException(404, f"there is no request {what[:100]!r}; see /openapi.json")
        if request.method not in (("POST",) if kind.changes else ("GET", "HEAD")):
            raise HTTPException(405, headers={"Allow": "POST" if kind.changes else "GET, HEAD"})
        if kind.changes:
            fields = await _body(request)
            answer = await self._bridge.ask({**fields, "what": what}, ANSWER_SECONDS, keep=False)
        else:
            fields = from_texts(kind.fields, _single(request))
            answer = await self._bridge.ask({**fields, "what": what}, ANSWER_SECONDS)
        stale = {"Age": str(int(answer.age))} if answer.age else None
        return await as_json(answer.facts, headers=stale)

    async def _openapi(self, request: Request) -> Response:
        return await as_json(self._description)

    # --- streams ------------------------------------------------------------------------------------------

    async def _stream(self, request: Request) -> Response:
        what = request.path_params["what"]
        kind = self._observer.streams.get(what)
        if kind is None:
            raise HTTPException(404, f"there is no stream {what[:100]!r}; see /openapi.json")
        fields = from_texts(kind.fields, _single(request))
        if request.method == "HEAD":
            return Response(media_type=EVENTS)
        if self._streams >= MOST_STREAMS:
            raise HTTPException(503, f"{MOST_STREAMS} streams are open; close some")
        items = self._bridge.stream({**fields, "what": what})
        self._streams += 1
        return EventStream(self._events(items), partial(self._stream_ended, items))

    def _stream_ended(self, items: Items) -> None:
        self._streams -= 1
        items.close()

    async def _events(self, items: Items) -> AsyncIterator[bytes]:
        spoke = time.monotonic()
        try:
            yield b": homing\n\n"
            while not self._closing.is_set():
                item = await items.next(1.0)
                if item is not None:
                    yield await event(item)
                elif self._bridge.silent >= SILENT_SECONDS:
                    yield await event({"seconds": round(self._bridge.silent, 1)}, "silent")
                elif time.monotonic() - spoke >= HEARTBEAT_SECONDS:
                    yield b": alive\n\n"
                else:
                    continue
                spoke = time.monotonic()
        except Ended:
            yield await event({}, "end")
        except RequestRefused as refused:
            yield await event({"code": refused.code, "message": refused.message}, "error")

    # --- the page -----------------------------------------------------------------------------------------

    async def _page(self, request: Request) -> Response:
        return self._files.answer(request.path_params.get("name", "index.html"), request.headers.get("if-none-match"))


class EventStream(StreamingResponse):
    """Server-sent events. ended: called at the end, also if the client leaves before the first event."""

    def __init__(self, events: AsyncIterator[bytes], ended: Callable[[], None]) -> None:
        super().__init__(events, media_type=EVENTS, headers={"x-accel-buffering": "no"})  # nginx would hold them back
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._ended()


class AnyMethod:
    """An endpoint that gets requests of all methods: the kind of the request decides which are allowed."""

    def __init__(self, answer: Callable[[Request], Awaitable[Response]]) -> None:
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._answer(Request(scope, receive, send))
        await response(scope, receive, send)


def _single(request: Request) -> dict[str, str]:
    """Returns the parameters of a URL. Raises `RequestRefused` if one is given twice."""
    pairs = request.query_params.multi_items()
    found = dict(pairs)
    if len(found) < len(pairs):
        raise RequestRefused("bad_request", "a parameter is given twice")
    return found


async def _body(request: Request) -> dict[str, Any]:
    """Returns the JSON object in the body. A form of another site cannot have this content type."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "give Content-Type: application/json")
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > LONGEST_BODY:
                raise HTTPException(413, f"the body is longer than {LONGEST_BODY} bytes")
    except ClientDisconnect:
        raise RequestRefused("bad_request", "the body is not complete") from None
    try:
        found = json.loads(bytes(body) or b"{}")
    except (ValueError, RecursionError):
        raise RequestRefused("bad_request", "the body is no JSON") from None
    if not isinstance(found, dict):
        raise RequestRefused("bad_request", "the body is no JSON object")
    if "what" in found or "v" in found:
        raise RequestRefused("bad_request", "what and v stand in the path")
    return found


# --- errors -----------------------------------------------------------------------------------------------


async def _http_error(request: Request, error: HTTPException) -> Response:
    status = HTTPStatus(error.status_code)
    where = f"{request.method} {request.url.path[:200]}: {status.phrase}"
    message = where if error.detail == status.phrase else error.detail
    return await as_error(error.status_code, status.phrase.lower().replace(" ", "_"), message, error.headers)


async def _fault(request: Request, error: Exception) -> Response:
    return await as_error(500, "failed", "a fault of the server; the node's log says more")


async def _refused(request: Request, error: RequestRefused) -> Response:
    return await as_error(STATUS[error.code], error.code, error.message)


async def _too_long(request: Request, error: TooLong) -> Response:
    return await as_error(400, "bad_request", str(error))


async def _unanswered(request: Request, error: Exception) -> Response:
    message = str(error) or f"the node has not answered within {ANSWER_SECONDS:g} s; the change may still be made"
    return await as_error(503, "unanswered", message, {"Retry-After": "1"})
