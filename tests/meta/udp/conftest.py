"""Fixtures: the reads of UDP servers, and the two ways in which datagrams come."""

from __future__ import annotations

import pytest

from homing.datagram import endpoint

from .lone import Reads, Way


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    """The reads of all UDP servers of the test."""
    noted = Reads()
    monkeypatch.setattr(endpoint, "open_backend", noted.open)
    return noted


@pytest.fixture(params=["alone", "at once"])
def way(request: pytest.FixtureRequest, reads: Reads) -> Way:
    """Each of the two ways in its turn."""
    return Way(request.param, reads)
