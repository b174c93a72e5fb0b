"""The pages of the documentation, taken apart for tests: fenced blocks, headings and links.

A page's fenced blocks run from top to bottom in one namespace, by the word behind the fence:

    python              is executed
    python file=NAME    is written to a file of that name
    python skip         is not run (it needs what no test has)
    sh run              is run line by line
    output              is what the block before it printed; "…" stands for anything, and alone in
                        a line for any lines or none
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

ROOT: Final = Path(__file__).parent.parent
DOCS: Final = ROOT / "docs"
PAGES: Final = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md")))

_FENCE: Final = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_HEADING: Final = re.compile(r"^#{1,6} (?P<title>.+)$", re.MULTILINE)


@attrs.frozen
class Block:
    """A fenced block.

    Attributes:
        info: the words behind the fence.
        text: what stands between the fences.
        line: number of the page's line that the text begins in, from 1.
    """

    info: str
    text: str
    line: int


def name_of(page: Path) -> str:
    """A page's path below the root."""
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text("utf-8")
    for found in _FENCE.finditer(text):
        yield Block(found["info"].strip(), found["text"], text.count("\n", 0, found.start("text")) + 1)


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", page.read_text("utf-8"))


def links(page: Path) -> list[str]:
    """Targets of a page's links."""
    return [found["target"] for found in _LINK.finditer(prose(page))]


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings have."""
    titles = (found["title"] for found in _HEADING.finditer(prose(page)))
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}
