"""The files of the web page, from the package, in memory."""

from __future__ import annotations

from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.exceptions import HTTPException
from starlette.responses import Response

TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
    "png": "image/png",
    "ico": "image/x-icon",
    "woff2": "font/woff2",
    "txt": "text/plain; charset=utf-8",
}
"""Types by the end of the name. Other files, such as licenses, are plain text."""


class Files:
    """The files under `page`, by their paths."""

    def __init__(self) -> None:
        self._files = {path: (body, f'"{sha256(body).hexdigest()[:32]}"') for path, body in _read(_page(), "")}

    def answer(self, path: str, known: str | None) -> Response:
        """Returns a file; without its body if the browser has it: `known` is its If-None-Match."""
        if path not in self._files:
            raise HTTPException(404)
        body, tag = self._files[path]
        headers = {"etag": tag, "cache-control": "no-cache"}  # the browser asks each time whether it has changed
        if known is not None and tag in known.replace("W/", "").split(", "):
            return Response(status_code=304, headers=headers)
        kind = TYPES.get(path.rpartition(".")[2], TYPES["txt"])
        return Response(body, headers={**headers, "content-type": kind})


def _page() -> Traversable:
    return files(__package__ or "") / "page"


def _read(folder: Traversable, path: str) -> list[tuple[str, bytes]]:
    found = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _read(entry, f"{path}{entry.name}/")
        else:
            found.append((path + entry.name, entry.read_bytes()))
    return found
