"""Asks an HTTP server, while the node's loop goes on."""

from __future__ import annotations

import asyncio
import http.client
import json
from dataclasses import dataclass
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from homing.observe.http.server import HTTPServer
from tests.support import DEADLINE

TOKEN = "0123456789abcdef"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of an error, which must be JSON."""
        assert self.headers["content-type"] == "application/json"
        return str(self.json["error"]["code"])


async def ask(
    server: HTTPServer,
    path: str,
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: bytes | None = None,
) -> Reply:
    return await asyncio.to_thread(ask_blocking, server, path, method, headers or {}, body)


def ask_blocking(
    server: HTTPServer, path: str, method: str = "GET", headers: dict[str, str] | None = None, body: bytes | None = None
) -> Reply:
    """Asks from a thread that the node's loop does not need."""
    connection = http.client.HTTPConnection(*server.address, timeout=DEADLINE)
    try:
        connection.request(method, path, body, headers or {})
        found = connection.getresponse()
        return Reply(found.status, {name.lower(): value for name, value in found.getheaders()}, found.read())
    finally:
        connection.close()


async def samples(server: HTTPServer) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """The samples of /metrics, by name and labels."""
    return samples_of(await ask(server, "/metrics"))


def samples_of(reply: Reply) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    assert reply.status == 200, reply.body
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for family in text_string_to_metric_families(reply.body.decode()):
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in found, f"{key} is there twice"
            found[key] = sample.value
    return found


def value(found: dict[tuple[str, frozenset[tuple[str, str]]], float], name: str, /, **labels: str) -> float:
    return found[name, frozenset(labels.items())]
