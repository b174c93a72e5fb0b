"""The README's first lines are right, run once or twice over the same lake."""

from __future__ import annotations

import contextlib
import io
import sys
import types
from pathlib import Path

import pytest
from doc_pages import ROOT, blocks

from onepipe.lake import open_lake
from onepipe.lake.read import Table


def test_the_lines_run_twice_over_one_lake_leave_one_widget_and_a_balanced_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (lines,) = (block.text for block in blocks(ROOT / "README.md") if block.info == "python")
    for run in (1, 2):
        module = types.ModuleType(f"readme_{run}")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(lines, module.__dict__)  # noqa: S102 - the page is ours
        assert printed.getvalue().startswith("Widgets: balanced ")
        lake = open_lake(tmp_path / "lake")
        table = Table(lake, lake.topic("Widgets"))
        assert [record["sid"] for record in table.records()] == ["W1"]
        assert table.select("_op_arrivals").to_arrow().to_pydict() == {"_op_arrivals": [run]}


def test_the_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 100
