"""Packages of the extra `cluster`: one module imports zenoh, and `import homing` imports none of them."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import homing

PACKAGE = Path(homing.__file__).parent


def test_one_module_imports_zenoh() -> None:
    found = set()
    for path in PACKAGE.rglob("*.py"):
        source = path.read_text()
        for node in ast.walk(ast.parse(source)) if "zenoh" in source else ():
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            if any(name.split(".")[0] == "zenoh" for name in names):
                found.add(path.relative_to(PACKAGE).as_posix())
    assert found == {"cluster/zenoh_engine/connection.py"}


def test_import_homing_imports_no_package_of_the_cluster() -> None:
    code = "import sys, homing, homing.cluster; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"zenoh", "msgspec", "cryptography"} & set(found)
