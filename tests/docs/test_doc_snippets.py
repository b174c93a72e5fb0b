"""Every page's snippets run, in order, in a folder of the page's own, and print what the page says."""

from __future__ import annotations

import code
import contextlib
import io
import os
import re
import subprocess
import sys
import types
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from doc_pages import DOCS, PAGES, Block, blocks, name_of

_KNOWN = re.compile(r"(?!(py|sh|output))|(python( file=\S+| skip)?|sh( run)?|output)\Z")


def runs(page: Path) -> bool:
    return any(block.info == "python" or block.info.startswith("python file=") for block in blocks(page))


@pytest.fixture
def namespace() -> Iterator[dict[str, object]]:
    module = types.ModuleType("doc_page")
    sys.modules["doc_page"] = module
    yield module.__dict__
    del sys.modules["doc_page"]


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if runs(page)], ids=name_of)
def test_the_snippets_of_a_page_run_and_print_what_it_says(
    page: Path, namespace: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in ("ONEPIPE_URL", "ONEPIPE_LAKE", "ONEPIPE_REGISTRY"):
        monkeypatch.delenv(variable, raising=False)
    printed = ""
    for block in blocks(page):
        if block.info == "python":
            printed = _execute(page, block, namespace)
        elif block.info.startswith("python file="):
            Path(block.info.partition("=")[2]).write_text(block.text, "utf-8")
        elif block.info == "sh run":
            printed = _run(block.text.splitlines())
        elif block.info == "output":
            _require(page, block, printed)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_fence_of_code_says_whether_it_runs(page: Path) -> None:
    unknown = [block.info for block in blocks(page) if not _KNOWN.match(block.info)]
    assert not unknown, f"{name_of(page)} has fences {unknown}; see tests/doc_pages.py"


class Session(code.InteractiveConsole):
    """An interactive session that compiles what is pasted, and runs nothing of it."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: list[str] = []

    def runcode(self, code: types.CodeType) -> None:
        """Leave it at compiling."""

    def showsyntaxerror(self, *_: object, **__: object) -> None:
        self.refused.append("\n".join(self.buffer))


def refused(text: str) -> list[str]:
    """What an interactive session refuses of a text that is pasted with an empty line behind it."""
    session = Session()
    for line in [*text.splitlines(), ""]:
        session.push(line)
    return session.refused


def test_the_tutorials_blocks_can_be_pasted_into_an_interactive_session() -> None:
    """Before Python 3.13 an empty line ends what is indented there, and nothing else does."""
    for block in blocks(DOCS / "tutorial.md"):
        if block.info == "python":
            assert not refused(block.text), f"line {block.line}"
    assert refused("class A:\n    a = 1\n\n    b = 2\n")
    assert refused("for _ in []:\n    pass\nprint()\n")


def test_what_a_page_prints_is_compared() -> None:
    said = Block("output", "one … three\n", 1)
    _require(PAGES[0], said, "one two three\n")
    with pytest.raises(AssertionError, match="line 1"):
        _require(PAGES[0], said, "one two four\n")
    lines = Block("output", "one\n…\ntwo\n…\n", 1)
    for printed in ("one\ntwo\n", "one\nmore\nand more\ntwo\n", "one\ntwo\nmore\n"):
        _require(PAGES[0], lines, printed)
    with pytest.raises(AssertionError, match="line 1"):
        _require(PAGES[0], lines, "one more\ntwo\n")


def _execute(page: Path, block: Block, namespace: dict[str, object]) -> str:
    """Run a block, with the page's own line numbers in its tracebacks; what it printed."""
    compiled = compile("\n" * (block.line - 1) + block.text, str(page), "exec")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compiled, namespace)  # noqa: S102 - the pages are ours
    return printed.getvalue()


def _run(lines: Sequence[str]) -> str:
    """Run commands with this interpreter; what they printed."""
    words = {"python": [sys.executable], "onepipe": [sys.executable, "-m", "onepipe.cli"]}
    environment = {**os.environ, "PYTHONWARNINGS": "error", "PYTHONIOENCODING": "utf-8"}
    printed = ""
    for line in lines:
        command, *arguments = line.split()
        done = subprocess.run(
            [*words[command], *arguments], capture_output=True, env=environment, encoding="utf-8", check=False
        )
        assert done.returncode == 0, f"{line}: {done.stderr}"
        printed += done.stdout
    return printed


def _require(page: Path, said: Block, printed: str) -> None:
    """Compare what was printed with what the page says, spaces at the ends of lines apart."""
    whole_lines = re.split(r"\n…$", _trimmed(said.text), flags=re.MULTILINE)
    pattern = r"(?:\n.*?)?".join(".*?".join(map(re.escape, part.split("…"))) for part in whole_lines)
    message = f"{name_of(page)}, line {said.line}: the page says\n{said.text}\nbut it prints\n{printed}"
    assert re.fullmatch(pattern, _trimmed(printed), re.DOTALL), message


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())
