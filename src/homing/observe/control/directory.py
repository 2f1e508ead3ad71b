"""The directory of the control sockets: `$XDG_RUNTIME_DIR/homing`, else one in /tmp.

Rule 1: it belongs to the user, and nobody else can enter it.
Rule 2: in /tmp its name cannot be guessed: otherwise another user could create it first. It is found again by its
owner, so directories of others have no effect.
Rule 3: a program that creates, probes or removes a socket holds the lock of the directory, so that no program takes
the new socket of another for a stale one. An event loop is never blocked by waiting for the lock.
"""

from __future__ import annotations

import asyncio
import os
import stat
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from ...gen import HomingError

TEMPORARY = Path("/tmp")  # noqa: S108 - a directory there is used only if it is this user's alone
"""The directory is made here if there is no directory for runtime files."""

LOCK_TIMEOUT = 2.0
"""Seconds to wait for the lock of the directory. It is held for less than a millisecond."""

_TRY_AGAIN = 0.001


class ControlError(HomingError):
    """The control socket cannot be opened or connected to. The text says why, and what to do."""


def preferred() -> Path | None:
    """Returns `$XDG_RUNTIME_DIR/homing`, which may not exist yet; None if the variable names no directory of this
    user."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(runtime) and _belongs_to_user(runtime):  # `su` and `sudo` may keep the variable of another user
        return Path(runtime) / "homing"
    return None


def _belongs_to_user(path: str) -> bool:
    with suppress(OSError):
        return os.stat(path).st_uid == os.geteuid()
    return False


def temporary() -> list[Path]:
    """Returns this user's directories for control sockets in /tmp: mostly none or one."""
    try:
        with os.scandir(TEMPORARY) as entries:
            names = sorted(entry.name for entry in entries if entry.name.startswith(_prefix()))
    except OSError:
        return []
    return [path for path in (TEMPORARY / name for name in names) if _is_safe(path)]


def _prefix() -> str:
    return f"homing-{os.geteuid()}-"


def _is_safe(path: Path) -> bool:
    try:
        check_directory(path)
    except (OSError, ControlError):
        return False
    return True


def directories() -> list[Path]:
    """Returns the directories that may contain control sockets, the preferred one first."""
    first = preferred()
    return temporary() if first is None else [first, *temporary()]


def path_of(node: str, kind: str) -> Path:
    """Returns the path of a node's socket, or the path for a new one, and makes its directory if needed. Raises
    `ControlError`, `OSError`."""
    name = f"{quote(node, safe='@')}.{kind}"
    for directory in directories():
        if (directory / name).exists() and _is_safe(directory):
            return directory / name
    return _made() / name


def _made() -> Path:
    """Returns the directory for new sockets. Makes it if needed."""
    directory = preferred()
    if directory is None:
        return (temporary() or [_make_temporary()])[0]
    directory.mkdir(mode=0o700, exist_ok=True)
    check_directory(directory)
    return directory


def _make_temporary() -> Path:
    made = Path(tempfile.mkdtemp(prefix=_prefix(), dir=TEMPORARY))
    first = temporary()[0]
    if first != made:  # another program has made one at the same time
        made.rmdir()
    return first


def check_directory(path: Path) -> None:
    """Raises `ControlError` unless `path` is a directory of this user that nobody else can enter."""
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise ControlError(f"{path} is not a directory; remove it, or set XDG_RUNTIME_DIR to a directory of yours")
    if found.st_uid != os.geteuid():
        raise ControlError(f"{path} belongs to user {found.st_uid}; set XDG_RUNTIME_DIR to a directory of yours")
    if found.st_mode & 0o077:
        raise ControlError(f"others can enter {path} (mode {found.st_mode & 0o777:o}); `chmod 700 {path}`")


# --- its lock ---------------------------------------------------------------------------------------------


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Holds the lock of `directory`. Blocks; raises `ControlError` if another program holds it for too long."""
    with _opened(directory) as descriptor:
        give_up = time.monotonic() + LOCK_TIMEOUT
        while not _lock(descriptor):
            _check_patience(directory, give_up)
            time.sleep(_TRY_AGAIN)
        yield


@asynccontextmanager
async def locked_on_loop(directory: Path) -> AsyncIterator[None]:
    """Holds the lock of `directory`, as `locked` does, but awaits it."""
    with _opened(directory) as descriptor:
        give_up = time.monotonic() + LOCK_TIMEOUT
        while not _lock(descriptor):
            _check_patience(directory, give_up)
            await asyncio.sleep(_TRY_AGAIN)
        yield


@contextmanager
def locked_if_free(directory: Path) -> Iterator[bool]:
    """Holds the lock of `directory` if it is free. Yields True if it was."""
    with _opened(directory) as descriptor:
        yield _lock(descriptor)


@contextmanager
def _opened(directory: Path) -> Iterator[int]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    if sys.platform == "win32":
        return True  # no locks on this system, and no control sockets either
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _check_patience(directory: Path, give_up: float) -> None:
    if time.monotonic() >= give_up:
        raise ControlError(f"another program holds the lock of {directory}; `fuser -v` shows it")
