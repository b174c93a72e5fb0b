"""The architecture page says where everything is: each module by its path, by a pattern, or by its folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

from doc_pages import DOCS, ROOT

PAGE = "explanation/architecture.md"


def named() -> set[str]:
    """What the first column of the section's tables names, below the root."""
    _, _, rest = (DOCS / PAGE).read_text("utf-8").partition("\n## What stands where\n")
    rows = re.findall(r"^\| (`[^|]+`) \|", rest.partition("\n## ")[0], re.MULTILINE)
    paths = [path for row in rows for path in re.findall(r"`([^`]+)`", row)]
    assert len(paths) == len(set(paths)), "a path is named once"
    return {path.removeprefix("../") if path.startswith("../") else f"onepipe/{path}" for path in paths}


def modules() -> Iterator[str]:
    for package in ("onepipe", *(each.name for each in ROOT.glob("onepipe_*") if each.is_dir())):
        for file in (ROOT / package).rglob("*.py"):
            if file.name != "__init__.py":
                yield file.relative_to(ROOT).as_posix()


def stands_for(name: str, module: str) -> bool:
    return module.startswith(name) if name.endswith("/") else fnmatchcase(module, name)


def test_every_module_has_its_place_on_the_page() -> None:
    names = named()
    missing = sorted(module for module in modules() if not any(stands_for(name, module) for name in names))
    assert not missing, f"name these, or their folders, in docs/{PAGE}, section 'What stands where'"


def test_every_place_on_the_page_is_there() -> None:
    found = set(modules())
    assert sorted(name for name in named() if not any(stands_for(name, module) for module in found)) == []
