"""Looks at every link and anchor of the built site, those of the generated reference included: `make docs` runs it.

python tests/docs/check_site.py build/site
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

HOME = "https://homing.example/"
FOREIGN = ("http:", "https:", "mailto:", "data:", "javascript:")


class Page(HTMLParser):
    """The links of a page, and the anchors that others may link to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = {""}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.anchors |= {value for name in ("id", "name") if (value := found.get(name))}
        if link := found.get("href" if tag in ("a", "link") else "src"):
            self.links.append(link)


def broken(site: Path) -> list[str]:
    """Each link of the site that leads to no file or no anchor, with the page where it stands."""
    pages = {path: Page(path.read_text()) for path in site.rglob("*.html") if path.name != "404.html"}
    found = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link.removeprefix(HOME) if link.startswith(HOME) else link)
            if link.startswith(FOREIGN) and not link.startswith(HOME):
                continue
            base = site if link.startswith(HOME) else path.parent
            target = (base / unquote(parts.path)).resolve() if parts.path or base is site else path.resolve()
            if target.is_dir():
                target /= "index.html"
            there = pages.get(site.resolve() / target.relative_to(site.resolve())) if target.exists() else None
            if not target.exists() or (there is not None and unquote(parts.fragment) not in there.anchors):
                found.append(f"{path.relative_to(site)}: {link}")
    return sorted(found)


def main() -> int:
    site = Path(sys.argv[1]).resolve()
    found = broken(site)
    count = len(list(site.rglob("*.html")))
    print(*found, f"{count} pages, {len(found)} broken links", sep="\n")
    return 1 if found or count < 20 else 0


if __name__ == "__main__":
    sys.exit(main())
