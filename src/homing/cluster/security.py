"""Admission to a cluster: a password on one machine, certificates between machines, and what is refused.

Rule 1: an address that other machines reach needs certificates (mutual TLS), or the option `insecure`.
Rule 2: without certificates a password is always asked for, on loopback too: other users of the machine reach that.
Rule 3: a secret that others can read is refused, not used.
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from ..gen import BadOption
from .certificates import AUTHORITY, CERTIFICATE, KEY, NAMES, common_name, days_left, read_names
from .endpoints import DNS, TCP, TLS, UNIX, Endpoint, is_loopback, parse

if TYPE_CHECKING:
    from ..gen import ClusterOptions

SHORTEST_SECRET = 16
"""Characters of a password: an eavesdropper can try passwords offline."""

_LONGEST_FILE = 1 << 20

_CERTIFICATE = "the directory of a certificate (cert=, --cluster-cert), as `homing cert` makes it"

_KINDS = {"secret_file": "secret", "cert": "certificate"}
"""The contents of the private file of an option."""


@dataclass(frozen=True)
class Security:
    """How a node proves who it is, and whom it believes.

    listen: its listeners. join: its seeds.
    password: of the cluster; "" if certificates are used.
    authority, certificate, key: PEM files; None without certificates.
    names: the names of nodes that certificates may speak for. None: no such check (`trust="all"`, or no certificates).
    secret_file: where the password came from.
    days_left: days until the certificate is over; None without one.
    """

    listen: tuple[Endpoint, ...]
    join: tuple[Endpoint, ...]
    password: str = ""
    secret_file: Path | None = None
    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    names: tuple[str, ...] | None = None
    days_left: float | None = None

    @property
    def uses_certificates(self) -> bool:
        return self.certificate is not None


def prepare(options: ClusterOptions, node: str) -> Security:
    """Checks addresses, secrets and certificates of `options` for the node called `node`, and makes the password of
    this user's clusters if there is none. Reads files: call it off the loop. Raises `BadOption`."""
    secure = options.cert is not None
    listen = tuple(parse("listen", one) for one in options.listen) or (Endpoint(TLS if secure else TCP, "127.0.0.1"),)
    join = tuple(parse("join", one) for one in options.join)
    _check_addresses(options, listen, join)
    check_name(node, listen)
    if options.cert is None:
        path = None if options.secret_file is None else Path(options.secret_file)
        secret, path = (make_secret(options.name), secret_path(options.name)) if path is None else (_given(path), path)
        return Security(listen, join, password=derived(options.name, secret), secret_file=path)
    directory = Path(options.cert)
    for name in (AUTHORITY, CERTIFICATE, KEY):
        _read("cert", directory / name, private=name == KEY)
    names = check_names(directory, node) if options.trust == "names" else None
    return Security(
        listen,
        join,
        authority=directory / AUTHORITY,
        certificate=directory / CERTIFICATE,
        key=directory / KEY,
        names=names,
        days_left=days_left(directory / CERTIFICATE),
    )


def check_name(node: str, listen: tuple[Endpoint, ...]) -> None:
    """Refuses names of nodes that mean another node on each machine. Raises `BadOption`."""
    if node.rpartition("@")[2] == "localhost" and not all(one.is_local for one in listen):
        public = next(one for one in listen if not one.is_local)
        raise BadOption(
            "name",
            node,
            f"@localhost is another node on each machine, and other machines reach {public}; give NAME@HOST, "
            "as with socket.gethostname()",
        )


def _check_addresses(options: ClusterOptions, listen: tuple[Endpoint, ...], join: tuple[Endpoint, ...]) -> None:
    for option, endpoints in (("listen", listen), ("join", join)):
        for one in endpoints:
            if options.cert is not None:
                if one.protocol == TCP:
                    raise BadOption(option, str(one), f"a certificate needs TLS everywhere: give tls/{str(one)[4:]}")
            elif one.protocol == TLS:
                raise BadOption(option, str(one), f"tls/ needs {_CERTIFICATE}")
            elif not options.insecure and not _stays_here(one):
                raise BadOption(
                    option,
                    str(one),
                    f"other machines {'reach this address' if option == 'listen' else 'are reached there'}: give "
                    f"{_CERTIFICATE}; or allow it (insecure=True, --cluster-insecure) if everybody in that network is "
                    "trusted",
                )
            if one.protocol == UNIX and option == "listen":
                _check_socket_directory(Path(one.host).parent)


def _stays_here(endpoint: Endpoint) -> bool:
    return is_loopback(endpoint.host) if endpoint.protocol == DNS else endpoint.is_local


def _check_socket_directory(directory: Path) -> None:
    """A Unix socket is as private as its directory: connections to it are not asked for a certificate."""
    try:
        found = directory.stat()
    except OSError as error:
        raise BadOption("listen", str(directory), f"the directory of the socket: {error.strerror}") from None
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise BadOption(
            "listen", str(directory), f"others can enter the directory of the socket; `chmod 700 {directory}`"
        )


# --- the password -----------------------------------------------------------------------------------------


def derived(cluster: str, secret: str) -> str:
    """Returns the password of one cluster: of letters and digits only, and another one for each cluster that has the
    same secret."""
    return blake2b(secret.encode(), digest_size=32, person=b"homing-cluster1", salt=_salt(cluster)).hexdigest()


def _salt(cluster: str) -> bytes:
    return blake2b(cluster.encode(), digest_size=16).digest()


def secret_path(cluster: str) -> Path:
    """Returns where the password of this user's cluster is kept: `$XDG_RUNTIME_DIR/homing`, or else
    `$XDG_STATE_HOME/homing` (`~/.local/state/homing`). Raises `BadOption` if there is neither."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(runtime) and _is_mine(runtime):  # `su` and `sudo` may keep the variable of another user
        return Path(runtime) / "homing" / f"{cluster}.secret"
    state = os.environ.get("XDG_STATE_HOME", "")
    home = os.environ.get("HOME", "")
    if not os.path.isabs(state):
        if not os.path.isabs(home):
            raise BadOption(
                "secret_file", None, "neither XDG_RUNTIME_DIR nor HOME is set; give a file of at least 16 characters"
            )
        state = os.path.join(home, ".local", "state")
    return Path(state) / "homing" / f"{cluster}.secret"


def _is_mine(path: str) -> bool:
    with suppress(OSError):
        return os.stat(path).st_uid == os.geteuid()
    return False


def make_secret(cluster: str) -> str:
    """Returns the password of this user's cluster. Makes it if there is none, for several programs at once too. Raises
    `BadOption` if others can read it."""
    path = secret_path(cluster)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_private("secret_file", path.parent, 0o077)
        if not path.exists():
            _write_secret(path)
    except OSError as error:
        raise BadOption("secret_file", str(path), f"cannot be made: {error.strerror}; give another file") from None
    return _secret(path, 0o077)


def _write_secret(path: Path) -> None:
    """Makes the file whole or not at all; the first of two programs wins."""
    made = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
        with suppress(FileExistsError):
            os.link(made, path)
    finally:
        made.unlink()


def _given(path: Path) -> str:
    return _secret(path, 0o007)


def _secret(path: Path, mask: int) -> str:
    text = _read("secret_file", path, private=True, mask=mask).strip()
    if len(text) < SHORTEST_SECRET:
        raise BadOption("secret_file", str(path), f"it has {len(text)} characters; write at least {SHORTEST_SECRET}")
    return text


def _read(option: str, path: Path, *, private: bool, mask: int = 0o007) -> str:
    """Returns the text of a file. private: refused if others can read it. Raises `BadOption`."""
    try:
        if not stat.S_ISREG(path.stat().st_mode) or path.stat().st_size > _LONGEST_FILE:
            raise BadOption(option, str(path), "it is no file of at most 1 MiB")
        if private:
            _check_private(option, path, mask)
        return path.read_text()
    except OSError as error:
        raise BadOption(option, str(path), f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadOption(option, str(path), "it is no text") from None


def _check_private(option: str, path: Path, mask: int) -> None:
    """Refuses what others can read or write. A file of a mount may belong to root, if this user can read it."""
    found = path.stat()
    if found.st_uid not in (os.geteuid(), 0):
        raise BadOption(option, str(path), f"it belongs to user {found.st_uid}; give one of yours")
    if found.st_mode & mask:
        raise BadOption(
            option,
            str(path),
            f"others can read it (mode {stat.S_IMODE(found.st_mode):o}); "
            f"`chmod {'700' if path.is_dir() else '600'} {path}`, and make a new {_KINDS[option]}",
        )


# --- certificates -----------------------------------------------------------------------------------------


def check_names(directory: Path, node: str) -> tuple[str, ...]:
    """Returns the names that certificates may speak for. Refuses a certificate that is not this node's, and a list
    without this node. Raises `BadOption`."""
    found = common_name(directory / CERTIFICATE)
    if found != node:
        raise BadOption(
            "cert",
            str(directory / CERTIFICATE),
            f"it is the certificate of {found!r}, and this node is {node!r}; `homing cert node` makes one for it",
        )
    names = read_names(directory)
    if node not in names:
        raise BadOption("cert", str(directory / NAMES), f"it does not list this node, {node!r}; add it, here and there")
    return names
