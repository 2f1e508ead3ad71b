"""`homing cert`: the authority of a cluster, and the certificates of its nodes."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from homing.cli.app import app

pytest.importorskip("cryptography")


def cert(*arguments: str) -> tuple[int, str]:
    """Runs the command. Returns its exit code, and what it says."""
    done = CliRunner().invoke(app, ["cert", *arguments])
    return done.exit_code, done.stderr


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    code, said = cert("init", str(tmp_path / "ca"))
    assert code == 0, said
    return tmp_path / "ca"


def test_the_authority_and_its_key_are_made_once(authority: Path) -> None:
    assert stat.S_IMODE((authority / "ca.key").stat().st_mode) == 0o600
    key = (authority / "ca.key").read_bytes()
    code, said = cert("init", str(authority))
    assert (code, (authority / "ca.key").read_bytes()) == (1, key)
    assert "exists already" in said


def test_a_node_gets_a_directory_with_all_that_it_needs(authority: Path) -> None:
    code, said = cert("node", "edge@h1", "--dir", str(authority), "--host", "10.0.0.1", "--days", "30")
    made = authority / "nodes" / "edge@h1"
    assert (code, {path.name for path in made.iterdir()}) == (0, {"ca.pem", "node.pem", "node.key", "names"})
    assert f"made {made}" in said


def test_what_has_changed_for_the_other_nodes_is_named(authority: Path) -> None:
    cert("node", "a@h", "--dir", str(authority))
    _, said = cert("node", "b@h", "--dir", str(authority))
    assert "the file names has changed in a@h too" in said
    assert (authority / "nodes" / "a@h" / "names").read_text().split() == ["a@h", "b@h"]
    _, said = cert("node", "b@h", "--dir", str(authority))
    assert "made" in said, "a certificate is renewed"
    assert "has changed" not in said


@pytest.mark.parametrize("arguments", [("x@h", "--host", "no host"), ("x" * 70,), ("a@b@c",), ("a b@h",)])
def test_a_name_or_host_that_no_certificate_can_have_is_refused(authority: Path, arguments: tuple[str, ...]) -> None:
    code, said = cert("node", *arguments, "--dir", str(authority))
    assert code == 2, said


def test_without_an_authority_the_command_that_makes_it_is_named(tmp_path: Path) -> None:
    code, said = cert("node", "a@h", "--dir", str(tmp_path / "none"))
    assert code == 2
    assert "homing cert init" in said
