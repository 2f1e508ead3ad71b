"""`parse_untrusted` of each server raises only `ValueError`, whatever the bytes."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ...support import examples
from ..fuzz import mutated
from .clients import NAMES, SERVERS, load
from .seeds import SEEDS


def datagrams(name: str) -> st.SearchStrategy[bytes]:
    """Any bytes, and well-formed datagrams of which a few bytes are changed, taken out or put in."""
    seeds = SEEDS.get(name, ())
    chance = st.randoms(use_true_random=False)
    if not seeds:
        return st.binary(max_size=300)
    changed = st.builds(lambda seed, chance: mutated(seed, chance), st.sampled_from(seeds), chance)
    cut = st.builds(lambda seed, length: seed[:length], st.sampled_from(seeds), st.integers(0, 100))
    return st.one_of(st.binary(max_size=300), changed, cut)


@pytest.mark.thorough
@pytest.mark.parametrize("name", NAMES)
def test_any_bytes_are_understood_or_a_value_error(name: str) -> None:
    module = pytest.importorskip(f"examples.servers.{name}")

    @settings(max_examples=examples(100, 5000))
    @given(datagrams(name))
    def parse(data: bytes) -> None:
        try:
            module.parse_untrusted(data)
        except ValueError:
            pass

    parse()


@pytest.mark.parametrize("name", sorted(SEEDS))
def test_a_well_formed_datagram_is_understood(name: str) -> None:
    for seed in SEEDS[name]:
        load(name).parse_untrusted(seed)


@pytest.mark.parametrize("name", NAMES)
def test_a_server_has_less_than_120_lines(name: str) -> None:
    assert len((SERVERS / f"{name}.py").read_text().splitlines()) < 120


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not installed")
def test_the_fuzzer_finds_another_error_in_a_server_and_names_the_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "examples" / "servers"
    folder.mkdir(parents=True)
    (folder / "planted.py").write_text(
        "def parse_untrusted(data):\n    if data[:1] == b'h' and data[1:2] == b'i':\n"
        "        raise KeyError('planted')\n"
    )
    options = ["-max_total_time=40", f"-artifact_prefix={tmp_path}/"]
    script = f"import sys; sys.path.append({str(tmp_path)!r}); from tests.examples.servers.fuzz import drive; "
    script += f"drive('planted', {options!r})"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=SERVERS.parents[1], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "KeyError: 'planted'" in done.stdout + done.stderr
    (fault,) = tmp_path.glob("crash-*")
    assert fault.read_bytes().startswith(b"hi")
