"""What is given to others: an sdist whose tests run; wheels that are small, hardened, and the same wherever they are
built; a page on a package index whose links lead somewhere."""

from __future__ import annotations

import email
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS = ["src", "tests", "docs", "examples", "bench", "deploy", ".ci"]
FILES = ["setup.py", "pyproject.toml", "MANIFEST.in", "Makefile", "README.md", "LICENSE", "CHANGELOG.md", "SECURITY.md"]
NOT_SOURCES = shutil.ignore_patterns("*.so", "*.egg-info", "__pycache__", ".hypothesis")
BUILD = "import sys; from setuptools import build_meta; getattr(build_meta, 'build_' + sys.argv[1])('dist')"
MEGABYTE = 1 << 20

pytestmark = [
    pytest.mark.skipif(
        not (find_spec("setuptools") and find_spec("Cython")), reason="builds with the tools that are here"
    ),
    pytest.mark.timeout(300),  # it copies and packs all sources first
]


def checkout(to: Path) -> Path:
    """A copy of all sources."""
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, to / folder, ignore=NOT_SOURCES)
    for file in FILES:
        shutil.copy2(ROOT / file, to)
    return to


def build(folder: Path, kind: str, **more: str) -> Path:
    """Builds a "wheel" or "sdist" in `folder`, as pip does."""
    environment = {**os.environ, "HOMING_EXTENSIONS": "1", "SOURCE_DATE_EPOCH": "1700000000", **more}
    command = [sys.executable, "-c", BUILD, kind]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (folder / "build.log").write_text(done.stderr)
    return next((folder / "dist").glob("*.whl" if kind == "wheel" else "*.tar.gz"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an unpacked sdist."""
    folder = checkout(tmp_path_factory.mktemp("checkout"))
    unpacked = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(build(folder, "sdist", HOMING_EXTENSIONS="0")) as archive:
        archive.extractall(unpacked, filter="data")
    return next(unpacked.iterdir())


# --- the sdist --------------------------------------------------------------------------------------------


def test_an_sdist_has_all_sources_and_nothing_that_was_built(sdist: Path) -> None:
    def files(root: Path) -> set[str]:
        paths = (path for folder in FOLDERS for path in (root / folder).rglob("*") if path.is_file())
        return {str(path.relative_to(root)) for path in paths if not path.match("*.egg-info/*")}

    clean = checkout(sdist.parent / "clean")
    assert files(sdist) == files(clean)
    assert all((sdist / file).is_file() for file in FILES)
    built = {".so", ".pyc", ".c", ".o"}
    assert not [path for path in (sdist / "src").rglob("*") if path.suffix in built]
    assert not (sdist / "build").exists()


def test_what_an_sdist_installs_has_all_files_of_a_new_project(sdist: Path, tmp_path: Path) -> None:
    command = [sys.executable, "setup.py", "--quiet", "build_py", "--build-lib", str(tmp_path)]
    environment = {**os.environ, "HOMING_EXTENSIONS": "0"}
    subprocess.run(command, cwd=sdist, env=environment, capture_output=True, check=True)

    def contents(root: Path) -> dict[str, str]:
        template = root / "homing" / "cli" / "template"
        files = (path for path in template.rglob("*") if path.is_file())
        return {str(path.relative_to(template)): path.read_text() for path in files}

    assert contents(tmp_path) == contents(ROOT / "src")
    assert ".dockerignore.in" in contents(tmp_path)


def test_what_an_sdist_installs_has_the_servers_of_the_demo_and_runs_them(sdist: Path, tmp_path: Path) -> None:
    """As a wheel has them, outside of any source tree."""
    command = [sys.executable, "setup.py", "--quiet", "build_py", "--build-lib", str(tmp_path)]
    environment = {**os.environ, "HOMING_EXTENSIONS": "0"}
    subprocess.run(command, cwd=sdist, env=environment, capture_output=True, check=True)
    (tmp_path / "elsewhere").mkdir()

    def demo(*arguments: str) -> str:
        command = [sys.executable, "-m", "homing", "demo", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        done = subprocess.run(
            command, cwd=tmp_path / "elsewhere", env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout

    names = [line.split()[0] for line in demo("--list").splitlines()]
    assert names == sorted(path.stem for path in (ROOT / "examples" / "servers").glob("[!_]*.py"))
    assert "stun listens on UDP" in demo("stun", "--port", "0", "--seconds", "0.1")


def run_tests(sdist: Path, *arguments: str) -> None:
    # the sdist stays what it is for the other tests
    environment = {**os.environ, "PYTHONPATH": str(sdist / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", *arguments]
    done = subprocess.run(command, cwd=sdist, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_tests_of_an_sdist_run_from_it_that_look_for_files_beside_them(sdist: Path) -> None:
    run_tests(sdist, "tests/gen", "tests/test_maps.py", "tests/test_readme.py", "-k", "not pasted")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_all_tests_of_an_sdist_are_found_there(sdist: Path) -> None:
    run_tests(sdist, "--collect-only", "tests")


# --- what a package index shows ---------------------------------------------------------------------------


def metadata(sdist: Path) -> email.message.Message:
    return email.message_from_string((sdist / "PKG-INFO").read_text())


def test_each_link_of_the_page_on_a_package_index_is_whole_and_leads_to_a_file_of_that_version(sdist: Path) -> None:
    page = metadata(sdist).get_payload()
    assert isinstance(page, str)
    prefix = f"{PROJECT['project']['urls']['Repository']}/(?:blob|raw)/v{PROJECT['project']['version']}/"
    links = re.findall(r"\]\(([^)]+)\)", page)
    assert links
    assert all(link.startswith("https://") for link in links)
    own = [re.sub(prefix, "", link).partition("#")[0] for link in links if re.match(prefix, link)]
    assert len(own) > 20
    assert all((ROOT / path).exists() for path in own)
    assert metadata(sdist)["Description-Content-Type"].startswith("text/markdown")


def test_the_metadata_name_urls_versions_and_licence(sdist: Path) -> None:
    found = metadata(sdist)
    assert {url.split(",")[0] for url in found.get_all("Project-URL", [])} == set(PROJECT["project"]["urls"])
    assert {"Repository", "Documentation", "Changelog", "Issues", "Security"} <= set(PROJECT["project"]["urls"])
    assert "Programming Language :: Python :: 3.11" in found.get_all("Classifier", [])
    assert found["License-Expression"] == "MIT"


def test_what_builds_it_is_bounded_on_both_sides() -> None:
    for requirement in PROJECT["build-system"]["requires"]:
        assert re.search(r">=\d.*,<\d", requirement), requirement


# --- wheels -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two wheels of one source, built in two folders."""
    return [build(checkout(tmp_path_factory.mktemp(name)), "wheel") for name in ("one", "another_with_a_longer_name")]


def extensions(wheel: Path, to: Path) -> list[Path]:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(to)
    return sorted(to.rglob("*.so"))


def read_elf(path: Path, *options: str) -> str:
    return subprocess.run(["readelf", *options, str(path)], capture_output=True, text=True, check=True).stdout


LINUX = pytest.mark.skipif(
    not sys.platform.startswith("linux") or not shutil.which("gcc") or not shutil.which("readelf"),
    reason="builds extensions, and looks into them",
)


@LINUX
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_wheels_built_in_two_folders_are_the_same_byte_by_byte(wheels: list[Path]) -> None:
    assert wheels[0].name == wheels[1].name
    assert wheels[0].read_bytes() == wheels[1].read_bytes()


@LINUX
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_build_says_how_far_it_is(wheels: list[Path]) -> None:
    log = (wheels[0].parents[1] / "build.log").read_text()
    told = re.findall(r"^homing: compiled (\d+) of (\d+): homing\.", log, re.MULTILINE)
    assert [int(number) for number, _ in told] == list(range(1, len(told) + 1))
    assert {int(all_) for _, all_ in told} == {len(told)} != {0}


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_a_set_up_begins_with_what_it_will_do_and_compiles_where_one_sees_it() -> None:
    """Not inside of pip, which keeps to itself how far it is."""
    command = ["make", "--dry-run", "--always-make", "venv", "EXTRA=cli"]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    said = next(number for number, line in enumerate(lines) if "two minutes" in line)
    pip = next(number for number, line in enumerate(lines) if "--editable" in line)
    compiled = next(number for number, line in enumerate(lines) if "build_ext --inplace" in line)
    assert said < pip < compiled
    assert "HOMING_EXTENSIONS=0" in lines[pip]


@LINUX
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_wheel_has_one_shared_object_stripped_hardened_and_it_knows_nothing_of_where_it_was_built(
    wheels: list[Path], tmp_path: Path
) -> None:
    assert wheels[0].stat().st_size < 3 * MEGABYTE
    (path,) = extensions(wheels[0], tmp_path)
    assert path.parent == tmp_path / "homing"
    dynamic = read_elf(path, "-dW")
    assert "BIND_NOW" in dynamic
    assert "RPATH" not in dynamic
    assert "RUNPATH" not in dynamic
    assert "GNU_RELRO" in read_elf(path, "-lW")
    assert ".symtab" not in read_elf(path, "-SW")
    assert "__stack_chk_fail" in read_elf(path, "-sW", "--dyn-syms")
    content = path.read_bytes()
    for place in (str(wheels[0].parents[1]), str(ROOT), sys.base_prefix, sys.prefix):
        assert place.encode() not in content, place


@LINUX
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_an_installed_wheel_runs_compiled_on_the_native_backend(wheels: list[Path], tmp_path: Path) -> None:
    extensions(wheels[0], tmp_path)
    program = (
        "from homing import meta; from homing.datagram import why_portable; from homing.node.mailbox import lane;"
        "assert why_portable() == '' and lane.COMPILED"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], env=environment, cwd=tmp_path, check=True)
