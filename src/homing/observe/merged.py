"""The observer of several nodes that run the same application, one in each OS process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from ..gen import HomingError
from . import merged_streams
from .control.directory import ControlError
from .control.remote import RemoteObserver
from .fields import Field, read
from .merging import merge
from .observer import REQUESTS, STREAMS, Request, Stream, kind_of, require_allowed
from .refusals import RequestRefused
from .targets import node_in
from .watching import watch

Answer = dict[str, Any]

NODE = Field(kind="text", nullable=True, text="Only this node.")

ONE = ("process", "resolve", "send", "exit", "kill")
"""Requests for one process: they go to the node that has it."""


class MergedObserver:
    """Like an `Observer`, for the nodes of one application: it asks them by their control sockets, and merges the
    answers (`merging`). Every request may have a `node`: then only that one is asked.

    Answers contain `missing`: why a node is not in them, by its name. Requests for one process go to the node that has
    it; requests that change something else, to all.

    name: that of the application. names: those of the nodes.
    requests, streams, allow: as those of an `Observer`.
    """

    def __init__(self, name: str, names: Sequence[str], allow: bool = False) -> None:
        self.name = name
        self.allow = allow
        self.requests: dict[str, Request] = {
            what: Request(kind.handler, {**kind.fields, "node": NODE}, kind.changes, kind.local)
            for what, kind in REQUESTS.items()
        }
        self.streams: dict[str, Stream] = {
            what: Stream(kind.handler, {**kind.fields, "node": NODE}, kind.changes) for what, kind in STREAMS.items()
        }
        self._nodes = {name: RemoteObserver(name) for name in names}

    async def ask(self, request: Mapping[str, Any]) -> Answer:
        """Carries out a request. Raises `RequestRefused`."""
        kind: Request = kind_of(request, self.requests, self.streams, "a stream: use stream")
        require_allowed(self, request, kind)
        query = read(kind.fields, request)
        what, passed = request["what"], _passed(request)
        names = self._names(query.pop("node"))
        if what == "cluster":
            return await self._ask_first(names, passed)
        if what in ONE:
            return await self._nodes[await self._owner(names, query["target"])].ask(passed)
        answers, missing = await self._ask_all(names, passed)
        return {**merge(self.name, {"what": what, **query}, answers), "missing": missing}

    def streams_what(self, request: Mapping[str, Any]) -> bool:
        """Returns True if the request is for a stream."""
        what = request.get("what")
        return type(what) is str and what in self.streams

    def _names(self, node: str | None) -> list[str]:
        """Returns the nodes that are asked."""
        if node is None:
            return list(self._nodes)
        if node not in self._nodes:
            raise RequestRefused("bad_request", f"node={node!r}: give one of {', '.join(self._nodes)}")
        return [node]

    async def _ask_all(self, names: list[str], request: Answer) -> tuple[dict[str, Answer], dict[str, str]]:
        """Returns the answers by node, and why others are missing. Raises the refusal, if no node answers."""
        results = await asyncio.gather(*[self._nodes[name].ask(request) for name in names], return_exceptions=True)
        answers: dict[str, Answer] = {}
        missing: dict[str, str] = {}
        refusals: list[RequestRefused] = []
        for name, result in zip(names, results, strict=True):
            if isinstance(result, HomingError):
                missing[name] = str(result)
                refusals += [result] if isinstance(result, RequestRefused) else []
            elif isinstance(result, BaseException):
                raise result
            else:
                answers[name] = result
        if not answers:
            raise refusals[0] if refusals else RequestRefused("failed", "; ".join(missing.values()))
        return answers, missing

    async def _ask_first(self, names: list[str], request: Answer) -> Answer:
        """Returns the answer of the first node that answers. Raises the error of the last, if none does."""
        *before, last = names
        for name in before:
            try:
                return await self._nodes[name].ask(request)
            except ControlError:
                continue  # it does not run at present
        return await self._nodes[last].ask(request)

    async def _owner(self, names: list[str], target: str) -> str:
        """Returns the node that has `target`."""
        told = node_in(target)
        if told in self._nodes:
            return told
        answers, _ = await self._ask_all(names, {"what": "resolve", "target": target})
        if len(answers) > 1:
            raise RequestRefused("bad_request", f"several nodes have {target!r}: {', '.join(answers)}; give its node")
        return next(iter(answers))

    # --- streams --------------------------------------------------------------------------------------------

    async def stream(self, request: Mapping[str, Any]) -> AsyncIterator[Answer]:
        """Yields the items of all nodes, each with its `node` (`merged_streams`). Raises `RequestRefused`."""
        kind: Stream = kind_of(request, self.streams, self.requests, "no stream: use ask")
        require_allowed(self, request, kind)
        query = read(kind.fields, request)
        names = self._names(query.pop("node"))
        items = watch(self, query) if request["what"] == "watch" else self._together(names, query, _passed(request))
        async with aclosing(items):
            async for item in items:
                yield item

    def _together(self, names: list[str], query: Answer, request: Answer) -> AsyncGenerator[Answer]:
        merged = {"logs": merged_streams.logs, "trace": merged_streams.traces}[request["what"]]
        return merged({name: self._nodes[name] for name in names}, query, request)


def _passed(request: Mapping[str, Any]) -> Answer:
    return {name: value for name, value in request.items() if name not in ("node", "v")}
