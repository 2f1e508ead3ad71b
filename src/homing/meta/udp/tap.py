"""The tap of a server or client: one recording for all its sockets, which options start, change and end."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ...datagram import Endpoint, Tap, format_address
from ...datagram.capture.tapping import Ear, Tapping, TapState
from ...datagram.capture.writer import Interface
from ...datagram.message import MessageUDP
from ...gen import PID
from ...node.processes.meta_process import MetaRunner
from .sender import Sender


class SocketTap:
    """Records for one server or client while it has the option `tap`.

    receiver: returns the process that gets the datagrams, as the comments name it.
    recorded, missed: counters of all recordings so far, see `Statistics`.
    """

    def __init__(self, kind: str, receiver: Callable[[], str]) -> None:
        self._kind = kind
        self._receiver = receiver
        self._tapping: Tapping | None = None
        self._former: list[Tapping] = []  # the last one last
        self._before = (0, 0)  # counters of those before
        self._ears: dict[Endpoint, Ear] = {}
        self._sender: Sender | None = None
        self._process: MetaRunner | None = None

    def apply(self, options: Tap | None, process: MetaRunner, sender: Sender, endpoints: Iterable[Endpoint]) -> None:
        """Records from now on as `options` say. A recording with the same options continues."""
        self._process, self._sender = process, sender
        if self._tapping is not None and self._tapping.options != options:
            self.close()
        if options is not None and self._tapping is None:
            self._tapping = self._begin(options, process)
        for endpoint in endpoints:
            self.attach(endpoint)
        self._note_senders()

    def _begin(self, options: Tap, process: MetaRunner) -> Tapping:
        core, pid = process.core, os.getpid()
        tapping = Tapping(
            options,
            process.loop,
            node=core.name,
            program=_program,
            comment=f"node {core.name}, OS process {pid}, {self._kind} {process.id} of {process.owner.id}",
            finished=self._finished,
        )
        core.unwritten.add(tapping)
        return tapping

    @property
    def recording(self) -> bool:
        """True while there is a recording."""
        return self._tapping is not None

    def attach(self, endpoint: Endpoint) -> None:
        """Records the datagrams of a socket too, if there is a recording."""
        tapping = self._tapping
        if tapping is None or endpoint in self._ears or endpoint.closed:
            return
        name = f"udp {format_address(endpoint.local_address)}"
        interface = Interface(name, f"socket of the {self._kind} at {format_address(endpoint.local_address)}")
        ear = Ear(tapping, interface, lambda: endpoint.local_address, self._receiver, lambda: endpoint.kernel.drops)
        self._ears[endpoint] = ear
        endpoint.listen_by(ear)

    def detach(self, endpoint: Endpoint) -> None:
        """Forgets a socket that is closed."""
        self._ears.pop(endpoint, None)

    def _note_senders(self) -> None:
        if self._sender is not None:
            self._sender.note_senders(self._note if self._ears else None)

    def _note(self, message: MessageUDP, sender: Any) -> None:
        endpoint = None if self._sender is None else self._sender.leaves_by(message)
        ear = None if endpoint is None else self._ears.get(endpoint)
        if ear is not None:
            ear.note_sender(message, sender)

    def dropped(self, message: Any, cause: str, process: PID | None) -> None:
        """Called by the workers or peers of a server, which have dropped a datagram."""
        if type(message) is MessageUDP and self._ears:
            ear = next(iter(self._ears.values()))
            ear.dropped(message, cause, "" if process is None else str(process))

    def close(self) -> None:
        """Ends the recording, if there is one. Returns at once; what it has is written after that."""
        tapping = self._tapping
        if tapping is None:
            return
        self._detach_all()
        tapping.close()

    def _finished(self, tapping: Tapping, error: str) -> None:
        """Called when a file is closed, maybe because the recording has ended by itself."""
        if tapping is self._tapping:
            self._detach_all()
        process = self._process
        if process is not None:
            process.core.unwritten.discard(tapping)
            process.core.changed()
            if error:
                process.warn("tap", "the tap of %s has ended: %s", process.title, error)

    def _detach_all(self) -> None:
        ears, self._ears = self._ears, {}
        for endpoint, ear in ears.items():
            if not endpoint.closed:
                ear.refresh()
                endpoint.listen_by(None)
        self._note_senders()
        if self._tapping is not None:
            self._former.append(self._tapping)
            self._tapping = None
        while len(self._former) > 1 and self._former[0].state.state == "ended":
            state = self._former.pop(0).state
            self._before = self._before[0] + state.recorded, self._before[1] + state.missed

    # --- facts --------------------------------------------------------------------------------------------

    @property
    def state(self) -> TapState | None:
        """The state of the recording, or of the last one; None: there was none."""
        tapping = self._tapping or (self._former[-1] if self._former else None)
        return None if tapping is None else tapping.state

    def counters(self) -> dict[str, int]:
        """Returns fields of `Statistics`."""
        recorded, missed = self._before
        for tapping in (*self._former, *([] if self._tapping is None else [self._tapping])):
            state = tapping.state
            recorded, missed = recorded + state.recorded, missed + state.missed
        return {"tapped": recorded, "tap_missed": missed}

    def facts(self) -> dict[str, Any]:
        """Returns facts for an inspection."""
        state = self.state
        return {"tap": None if state is None else state._asdict()}


def _program() -> str:
    """Returns the program's name and version. Reads files: called in the thread that writes."""
    try:
        number = version("homing")
    except PackageNotFoundError:
        number = "of an unknown version"
    return f"homing {number}, Python {platform.python_version()}"
