"""OpenSSL is imported when it is needed, and its absence is told with the remedy."""

from __future__ import annotations

import subprocess
import sys

import pytest

from homing import gen, meta
from homing.meta.dtls import psk

from ..servers import HOST


def test_openssl_is_not_imported_with_homing() -> None:
    code = "import sys, homing.meta; print({'OpenSSL', 'cryptography'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_without_pyopenssl_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "OpenSSL", None)
    with pytest.raises(gen.NotAllowed, match=r"pip install 'homing\[dtls\]'"):
        meta.DTLSClientOptions(host=HOST, port=5684)


def test_without_the_private_bindings_keys_are_refused_and_certificates_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psk, "available", lambda: False)
    with pytest.raises(gen.NotAllowed, match="psk= needs bindings"):
        meta.DTLSServerOptions(psk={})
    assert meta.DTLSClientOptions(host=HOST, port=5684).verify == "name"


def test_the_installed_versions_have_the_bindings() -> None:
    assert psk.available()
