"""Check a built site: nothing is fetched, each link and anchor leads somewhere, each public name is there.

Usage: python docs/site/check_site.py build/site
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from public_names import public_names

LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src",
         "object": "data", "embed": "src"}  # fmt: skip
"""Attributes whose address a browser loads by itself."""
LOADED_LINKS = {"stylesheet", "icon", "preload", "prefetch", "preconnect", "dns-prefetch", "modulepreload", "manifest"}
REMOTE = re.compile(r"(?:https?:)?//", re.IGNORECASE)
IN_STYLE = re.compile(r"""(?:url\(\s*|@import\s+)["']?((?:https?:)?//[^"')\s]+)""", re.IGNORECASE)


class PageReader(HTMLParser):
    """What a page loads, where it links to, and the anchors that it has."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.without_text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the addresses and names of one element."""
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if values.get(name)}
        if address := values.get(LOADS.get(tag, "")):
            self.loads.append(address)
        if tag == "link" and LOADED_LINKS & set(values.get("rel", "").lower().split()):
            self.loads.append(values.get("href", ""))
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        if tag == "img" and not values.get("alt"):
            self.without_text.append(values.get("src", "")[:60])
        self.loads += IN_STYLE.findall(values.get("style", ""))


def read_pages(site: Path) -> dict[Path, PageReader]:
    """Read all pages of a site."""
    found = {}
    for path in sorted(site.rglob("*.html")):
        text = path.read_text(encoding="utf-8")
        found[path] = PageReader()
        found[path].feed(text)
        for style in re.findall(r"<style[^>]*>(.*?)</style>", text, re.DOTALL | re.IGNORECASE):
            found[path].loads += IN_STYLE.findall(style)
    return found


def problems(site: Path) -> list[str]:
    """Say what is wrong with a built site, a line each."""
    pages, found = read_pages(site), []
    if not pages:
        return [f"{site}: there is no site"]
    for path, page in pages.items():
        here = path.relative_to(site)
        found += [f"{here}: loads {address}" for address in page.loads if REMOTE.match(address)]
        found += [f"{here}: a picture without a text: {source}" for source in page.without_text]
        for link in [*page.links, *page.loads]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or here.name == "404.html":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.exists():
                found.append(f"{here}: {link} leads nowhere")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                found.append(f"{here}: {link}: there is no such anchor")
    for path in sorted(site.rglob("*.css")):
        remote = IN_STYLE.findall(path.read_text(encoding="utf-8"))
        found += [f"{path.relative_to(site)}: loads {address}" for address in remote]
    anchors = set().union(*(page.anchors for path, page in pages.items() if path.parent.name == "reference"))
    found += [f"{name} is not in the API reference" for name in public_names() if name not in anchors]
    return found


def main() -> int:
    """Print what is wrong, and return whether anything is."""
    site = Path(sys.argv[1]).resolve()
    found = problems(site)
    print(*found, sep="\n", end="\n" if found else "")
    print(f"{len(read_pages(site))} pages, {len(found)} problems")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
