"""Admission: passwords that are made, given and refused, and addresses that need certificates."""

from __future__ import annotations

import os
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from homing import gen
from homing.cluster.certificates import make_authority, make_node_certificate
from homing.cluster.endpoints import TLS
from homing.cluster.security import Security, derived, make_secret, prepare, secret_path


@pytest.fixture(autouse=True)
def directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory for runtime files is the test's own."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    (tmp_path / "run").mkdir(mode=0o700)
    (tmp_path / "home").mkdir(mode=0o700)
    return tmp_path


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("authority")
    make_authority(directory)
    make_node_certificate(directory, "a@h")
    make_node_certificate(directory, "b@h")
    return directory


def prepared(node: str = "a@localhost", **options: Any) -> Security:
    return prepare(gen.ClusterOptions(name="prod", **options), node)


def file_of(path: Path, text: str, mode: int = 0o600) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


# --- passwords --------------------------------------------------------------------------------------------


def test_the_password_is_made_once_for_this_user_alone(directories: Path) -> None:
    first = prepared()
    assert prepared().password == first.password
    path = directories / "run" / "homing" / "prod.secret"
    assert first.secret_file == path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert len(path.read_text().strip()) == 43


def test_programs_that_make_it_at_once_have_the_same() -> None:
    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(make_secret, ["prod"] * 16))) == 1
    assert [path.name for path in secret_path("prod").parent.iterdir()] == ["prod.secret"]


def test_without_a_runtime_directory_it_is_in_the_home_directory(
    directories: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert prepared().secret_file == directories / "home/.local/state/homing/prod.secret"


def test_without_any_directory_the_error_says_what_to_give(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.delenv("HOME")
    with pytest.raises(gen.BadOption, match="neither XDG_RUNTIME_DIR nor HOME is set; give a file"):
        prepared()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660])
def test_one_that_was_made_and_that_others_can_read_is_refused(directories: Path, mode: int) -> None:
    path = Path(str(prepared().secret_file))
    path.chmod(mode)
    with pytest.raises(gen.BadOption, match=r"others can read it .*chmod 600"):
        prepared()


def test_a_directory_that_others_can_enter_is_refused(directories: Path) -> None:
    (directories / "run" / "homing").mkdir()
    (directories / "run" / "homing").chmod(0o755)
    with pytest.raises(gen.BadOption, match=r"others can read it .*chmod 700"):
        prepared()


def test_a_given_secret_is_used_without_its_line_end(directories: Path) -> None:
    one = prepared(secret_file=file_of(directories / "one", "sixteen characters"))
    two = prepared(secret_file=file_of(directories / "two", "sixteen characters\n", 0o440))
    assert one.password == two.password == derived("prod", "sixteen characters")


def test_each_cluster_has_another_password_from_one_secret() -> None:
    assert derived("a", "sixteen characters") != derived("b", "sixteen characters")
    assert derived("a", "sixteen characters").isalnum()


@pytest.mark.parametrize(
    ("text", "mode", "why"),
    [
        ("sixteen characters", 0o644, "others can read it"),
        ("sixteen characters", 0o602, "others can read it"),
        ("fifteen letters\n", 0o600, "it has 15 characters; write at least 16"),
        ("", 0o600, "it has 0 characters"),
    ],
)
def test_a_given_secret_that_is_short_or_read_by_others_is_refused(
    directories: Path, text: str, mode: int, why: str
) -> None:
    with pytest.raises(gen.BadOption, match=why) as caught:
        prepared(secret_file=file_of(directories / "s", text, mode))
    assert caught.value.option == "secret_file"


def test_a_secret_that_is_no_file_is_refused(directories: Path) -> None:
    with pytest.raises(gen.BadOption, match="cannot be read: No such file"):
        prepared(secret_file=str(directories / "none"))
    with pytest.raises(gen.BadOption, match="it is no file"):
        prepared(secret_file=str(directories))
    (directories / "binary").write_bytes(b"\xff" * 20)
    (directories / "binary").chmod(0o600)
    with pytest.raises(gen.BadOption, match="it is no text"):
        prepared(secret_file=str(directories / "binary"))


# --- addresses --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"listen": ("tcp/0.0.0.0:7447",)},
        {"listen": ("tcp/127.0.0.1:1", "tcp/[::]:7447")},
        {"join": ("tcp/10.0.0.1:7447",)},
        {"join": ("dns:headless.ns",)},
    ],
)
def test_addresses_of_other_machines_need_certificates_or_the_option(options: dict[str, Any]) -> None:
    with pytest.raises(gen.BadOption, match=r"other machines .*: give the directory of a certificate"):
        prepared("a@h", **options)
    assert prepared("a@h", insecure=True, **options).password


def test_tls_needs_certificates_and_with_them_all_is_tls(authority: Path) -> None:
    with pytest.raises(gen.BadOption, match="tls/ needs the directory of a certificate"):
        prepared(listen=("tls/127.0.0.1:1",))
    with pytest.raises(gen.BadOption, match=r"a certificate needs TLS everywhere: give tls/127\.0\.0\.1:1"):
        prepared("a@h", cert=str(authority / "nodes/a@h"), join=("tcp/127.0.0.1:1",))


def test_the_name_of_a_node_that_others_reach_is_not_at_localhost() -> None:
    with pytest.raises(gen.BadOption, match="@localhost is another node on each machine"):
        prepared("a@localhost", listen=("tcp/0.0.0.0:7447",), insecure=True)


def test_a_unix_socket_in_a_directory_that_others_can_enter_is_refused(directories: Path) -> None:
    (directories / "open").mkdir()
    (directories / "open").chmod(0o755)
    with pytest.raises(gen.BadOption, match="others can enter the directory of the socket"):
        prepared(listen=(f"unixsock-stream/{directories}/open/s",))
    with pytest.raises(gen.BadOption, match="the directory of the socket: No such file"):
        prepared(listen=(f"unixsock-stream/{directories}/none/s",))


# --- certificates -----------------------------------------------------------------------------------------


def test_a_directory_of_certificates_is_checked_and_its_names_are_read(authority: Path) -> None:
    found = prepared("a@h", cert=str(authority / "nodes/a@h"))
    assert found.names == ("a@h", "b@h")
    assert (found.password, found.uses_certificates, found.listen[0].protocol) == ("", True, TLS)


def test_the_certificate_of_another_node_is_refused_unless_all_are_trusted(authority: Path) -> None:
    with pytest.raises(gen.BadOption, match="it is the certificate of 'a@h', and this node is 'b@h'"):
        prepared("b@h", cert=str(authority / "nodes/a@h"))
    assert prepared("b@h", cert=str(authority / "nodes/a@h"), trust="all").names is None


@pytest.mark.parametrize(
    ("file", "text", "why"),
    [
        ("names", None, "names is missing, the list of the nodes' names"),
        ("names", "b@h\n", "it does not list this node, 'a@h'"),
        ("node.key", None, "cannot be read: No such file"),
        ("node.pem", "x", "it is no certificate in PEM"),
    ],
)
def test_a_directory_that_lacks_something_is_refused(
    authority: Path, directories: Path, file: str, text: str | None, why: str
) -> None:
    target = directories / "cert"
    shutil.copytree(authority / "nodes/a@h", target)
    if text is None:
        os.unlink(target / file)
    else:
        (target / file).write_text(text)
    with pytest.raises(gen.BadOption, match=why):
        prepared("a@h", cert=str(target))


def test_a_key_that_others_can_read_is_refused(authority: Path, directories: Path) -> None:
    target = directories / "cert"
    shutil.copytree(authority / "nodes/a@h", target)
    (target / "node.key").chmod(0o644)
    with pytest.raises(gen.BadOption, match="others can read it"):
        prepared("a@h", cert=str(target))
