"""Links between pages lead somewhere, and every page is found from the front page."""

from __future__ import annotations

from pathlib import Path

import pytest
from doc_pages import DOCS, PAGES, anchors, links, name_of


def target_of(page: Path, link: str) -> tuple[Path, str]:
    path, _, anchor = link.partition("#")
    return (page.parent / path).resolve() if path else page, anchor


def inner_links(page: Path) -> list[str]:
    return [link for link in links(page) if "://" not in link]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_of_a_page_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in inner_links(page):
        target, anchor = target_of(page, link)
        assert target.exists(), f"{name_of(page)} links to {link}"
        assert not anchor or anchor in anchors(target), f"{name_of(page)} links to {link}"


def test_the_front_page_leads_to_every_page() -> None:
    index = DOCS / "index.md"
    linked = {target_of(index, link)[0] for link in inner_links(index)}
    assert {page for page in PAGES if page.is_relative_to(DOCS)} - linked == {index}


def test_the_readme_leads_to_the_front_page() -> None:
    readme = DOCS.parent / "README.md"
    assert DOCS / "index.md" in {target_of(readme, link)[0] for link in inner_links(readme)}
