"""The failures of a test that the kit finds. Each is raised in the test, also if the behavior under test catches it."""

from __future__ import annotations


class Unexpected(AssertionError):
    """The behavior has called, spawned or sent to something that the test has not declared."""


class Stuck(AssertionError):
    """A callback waits for something that never comes, or the behavior does not come to rest."""
