from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import homing
from homing import observe
from homing.observe.http.server import HTTPServer


@pytest.fixture
def serve(node: homing.Node) -> Callable[..., HTTPServer]:
    """Starts an HTTP server of the test's node, at any port. It ends with the node."""

    def start(**options: Any) -> HTTPServer:
        return observe.start_http(node, port=0, **options)

    return start
