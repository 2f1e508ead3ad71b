"""Unix datagram sockets: bound to a file, or on Linux to an abstract name, which begins with a null character. See
unix(7)."""

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
    errno.ENOTDIR: "a part of the path is not a directory",
    errno.EACCES: "this user may not write to that directory",
    errno.EROFS: "the file system is read-only",
}
_IN_USE = "another socket has it; `ss -xlp` shows its owner"
_LOCK_SECONDS = 1.0
"""Another server that replaces a file in the same directory holds the lock for well under a millisecond."""


class UnixSocket(socket.socket):
    """A socket that removes its file when it is closed, unless another socket was bound to the file since, or another
    program has this socket as well."""

    _file: tuple[str, int, int] | None = None

    def own(self, path: str) -> None:
        """Makes this socket the owner of the file at `path`."""
        found = os.lstat(path)
        self._file = (os.path.abspath(path), found.st_dev, found.st_ino)

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None and lender_of(self) is None:  # otherwise a successor has the socket too
            _remove(*file)
        super().close()

    def close_in_fork(self) -> None:
        """Closes the duplicate in a forked child. The file belongs to the parent."""
        self._file = None
        super().close()


def _remove(path: str, device: int, inode: int) -> None:
    """Removes a file if it is still the same one. (While a socket is bound to it, its inode number is not reused.)"""
    try:
        found = os.lstat(path)
        if (found.st_dev, found.st_ino) == (device, inode):
            os.unlink(path)
    except OSError:
        pass  # the file or its directory no longer exists, or may not be changed


def bind_path(path: str, options: SocketOptions) -> socket.socket:
    """Returns a bound, non-blocking Unix datagram socket. Replaces a stale file, left by a killed program.

    Raises `BindFailed` with the path, errno and a hint; neither socket nor file is left then.
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
        os.fchmod(sock.fileno(), mode)  # so that the file never has more permissions
    try:
        sock.bind(path)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        _replace(sock, path, error)
    sock.own(path)
    if mode is not None:
        os.chmod(path, mode)  # adds the permissions that the process's umask has removed


def _replace(sock: UnixSocket, path: str, error: OSError) -> None:
    """Binds `sock` to the path of an existing file."""
    with _locked(os.path.dirname(path) or "."):
        with suppress(FileNotFoundError):  # its owner has removed it
            _check_stale(path, error)
            os.unlink(path)
        sock.bind(path)


def _check_stale(path: str, error: OSError) -> None:
    """Raises `BindFailed` unless the file was left by a socket that no longer exists."""
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise BindFailed("", 0, error, "the path has a file that is not a socket; give another path", path=path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return
        except OSError:
            pass  # EPROTOTYPE: a stream socket, EACCES: no permission to try
    raise BindFailed("", 0, error, _IN_USE, path=path)


@contextmanager
def _locked(directory: str) -> Iterator[None]:
    """Locks a directory: if two programs find the same stale file, the second must not remove the first one's new
    file."""
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
