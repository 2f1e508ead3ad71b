"""Unix datagram sockets: bound to a file, or on Linux to a name that is none ("abstract", begins with a null
character). See unix(7)."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..errors import BindFailed
from .forks import close_in_forks
from .inherited import lender_of
from .options import SocketOptions
from .set_options import apply, apply_bound

_HINTS = {
    errno.ENOENT: "there is no such directory",
    errno.ENOTDIR: "what should be a directory is none",
    errno.EACCES: "this user may not write to that directory",
    errno.EROFS: "nothing can be written there",
}
_IN_USE = "another socket has it; `ss -xlp` shows whose it is"
_LOCK_SECONDS = 1.0
"""Another server that replaces a file in the same directory holds the lock for well under a millisecond."""


class UnixSocket(socket.socket):
    """A socket with a file of its own, which goes with it when it is closed: unless somebody else has bound another
    socket there since, or has this one as well."""

    _file: tuple[str, int, int] | None = None

    def own(self, path: str) -> None:
        """The file at `path` is ours, from now on."""
        found = os.lstat(path)
        self._file = (os.path.abspath(path), found.st_dev, found.st_ino)

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None and lender_of(self) is None:  # else a successor has it too
            _remove(*file)
        super().close()

    def close_in_fork(self) -> None:
        """Closes the duplicate that a forked child has. The file is the parent's."""
        self._file = None
        super().close()


def _remove(path: str, device: int, inode: int) -> None:
    """The number of a file is not used anew as long as a socket is bound to it."""
    try:
        found = os.lstat(path)
        if (found.st_dev, found.st_ino) == (device, inode):
            os.unlink(path)
    except OSError:
        pass  # it is gone, or its directory is, or not ours any more


def bind_path(path: str, options: SocketOptions) -> socket.socket:
    """A bound, non-blocking Unix datagram socket. A file that nobody listens at any more, left by a program that was
    killed, is replaced.

    Raises `BindFailed` with the path, errno and what to do. Neither socket nor file is left then.
    """
    sock = close_in_forks(UnixSocket(socket.AF_UNIX, socket.SOCK_DGRAM), UnixSocket.close_in_fork)
    try:
        sock.setblocking(False)
        apply(sock, options)
        _bind(sock, path, options.path_mode)
        apply_bound(sock, options)
    except OSError as error:
        sock.close()
        if isinstance(error, BindFailed):
            raise
        raise BindFailed("", 0, error, _HINTS.get(error.errno or 0, ""), path=path) from None
    except BaseException:
        sock.close()
        raise
    return sock


def _bind(sock: UnixSocket, path: str, mode: int | None) -> None:
    if path.startswith("\0"):
        try:
            sock.bind(path)
        except OSError as error:
            raise BindFailed("", 0, error, _IN_USE if error.errno == errno.EADDRINUSE else "", path=path) from None
        return
    if mode is not None and sys.platform == "linux":
        os.fchmod(sock.fileno(), mode)  # so the file never has more than this, not even at first
    try:
        sock.bind(path)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        _replace(sock, path, error)
    sock.own(path)
    if mode is not None:
        os.chmod(path, mode)  # what the process's umask has taken away


def _replace(sock: UnixSocket, path: str, error: OSError) -> None:
    """Binds `sock` where there is a file already."""
    with _locked(os.path.dirname(path) or "."):
        with suppress(FileNotFoundError):  # it was removed by whoever had it
            _check_stale(path, error)
            os.unlink(path)
        sock.bind(path)


def _check_stale(path: str, error: OSError) -> None:
    """Raises `BindFailed` unless the file was left by a socket that is no more."""
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise BindFailed("", 0, error, "a file is there that is no socket; give another path", path=path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return
        except OSError:
            pass  # EPROTOTYPE: a stream socket, EACCES: not ours to try
    raise BindFailed("", 0, error, _IN_USE, path=path)


@contextmanager
def _locked(directory: str) -> Iterator[None]:
    """Of two programs that find the same stale file, the second must not remove what the first has bound since."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        end = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise
                time.sleep(0.001)
        yield
    finally:
        os.close(descriptor)
