"""The units of the deployment guide are units, and the one with few rights has few."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "deployment.md"
SOCKET, SERVICE, HARDENED = re.findall(r"^```ini\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
MOST_EXPOSED = 2.0

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")


def units(tmp_path: Path, more: str) -> Path:
    """The units as files, with lines `more` in the service; what it starts is there on every machine."""
    service = re.sub(r"ExecStart=.*", "ExecStart=/bin/true", SERVICE).replace("WorkingDirectory=/srv/dns\n", "")
    (tmp_path / "homing.socket").write_text(SOCKET)
    path = tmp_path / "homing.service"
    path.write_text(service.replace("\n[Install]", f"\n{more}\n[Install]"))
    return path


def analyzed(*arguments: str) -> str:
    done = subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("more", ["", HARDENED.replace("[Service]\n", "")], ids=["plain", "few rights"])
def test_the_units_have_no_line_that_systemd_does_not_know(tmp_path: Path, more: str) -> None:
    assert analyzed("verify", str(units(tmp_path, more)), str(tmp_path / "homing.socket")).strip() == ""


def test_the_unit_with_few_rights_is_little_exposed(tmp_path: Path) -> None:
    path = units(tmp_path, HARDENED.replace("[Service]\n", ""))
    exposure = re.search(r"exposure level for \S+: ([\d.]+)", analyzed("security", "--offline=true", str(path)))
    assert exposure is not None
    assert float(exposure[1]) < MOST_EXPOSED
