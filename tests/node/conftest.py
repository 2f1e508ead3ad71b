"""Keeps the proof of `tests/conftest.py` cheap: it collects garbage after each test."""

from __future__ import annotations

import gc

import pytest


def pytest_collection_finish(session: pytest.Session) -> None:
    """What was imported and collected is never garbage: collections need not look at it."""
    gc.collect()
    gc.freeze()
