"""Asks a node again and again, on a daemon thread: a node that does not answer holds up neither the screen nor its
end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ....observe import RequestRefused
from ....observe.control.client import NotOneNode, ask, choose
from ....observe.control.directory import ControlError

Request = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Look:
    """The answers of a node to one round of requests.

    answers: by the names of the requests. refused: the reasons of refusals, by the same names.
    error: why there is none; "": there are.
    time: on the clock of `time.monotonic`, before the first request.
    """

    time: float
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    error: str = ""


class Poller:
    """Calls `deliver` with a `Look` every `interval` seconds, on its thread.

    requests: called before each round, for what to ask. name, path: the node; the path is found again if the node does
    not answer there, since a new one of that name may run.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        interval: float,
        requests: Callable[[], dict[str, Request]],
        deliver: Callable[[Look], object],
    ) -> None:
        self.interval = interval
        self.paused = False
        self._name, self._path = name, path
        self._requests, self._deliver = requests, deliver
        self._now = threading.Event()
        self._stopped = False

    def start(self) -> None:
        """Begins asking."""
        threading.Thread(target=self._run, name="homing top", daemon=True).start()

    def ask_now(self) -> None:
        """Asks at once, once even if it is paused."""
        self._now.set()

    def stop(self) -> None:
        """Asks no more."""
        self._stopped = True
        self._now.set()

    def _run(self) -> None:
        while not self._stopped:
            self._now.clear()
            found = self._look()
            if self._stopped:
                return
            self._deliver(found)
            self._now.wait(self.interval)
            while self.paused and not self._now.is_set():
                self._now.wait(self.interval)

    def _look(self) -> Look:
        found = Look(time.monotonic())
        for what, request in self._requests().items():
            try:
                found.answers[what] = self._ask(dict(request))
            except RequestRefused as error:
                found.refused[what] = error.message
            except NotOneNode:
                return Look(found.time, error="it does not run")
            except ControlError as error:
                return Look(found.time, error=str(error))
        return found

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            return ask(self._name, self._path, request)
        except ControlError:
            path = choose(self._name)[1]
            if path == self._path:
                raise
            self._path = path
            return ask(self._name, path, request)
