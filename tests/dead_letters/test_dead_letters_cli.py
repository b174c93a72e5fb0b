"""The command says which letters there are, shows no sensitive value unasked, and replays and drops them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dead_letter_world import Order, Refusing, orders, publish

import onepipe as op
from onepipe.cli import main
from onepipe.transport import Outgoing

Run = Callable[..., tuple[int, str]]


def connect(folder: Path) -> op.Pipeline:
    return op.connect(f"memory://{folder}/log", lake=folder / "lake", partitions=2)


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    with connect(tmp_path) as pipe:
        publish(pipe, 3)
        writer = pipe.transport.writer()
        writer.append(Outgoing("Orders", 0, b"k", b"junk", (), 0), lambda _: None)
        assert writer.flush(10)
        pipe.archive(Order)
        pipe.sink(Order, Refusing({"O1"}), name="crm", on_failure="dead_letter")

    def command(action: str, *arguments: str) -> tuple[int, str]:
        where = ["--url", f"memory://{tmp_path}/log", "--lake", str(tmp_path / "lake")]
        code = main(["dead-letters", action, "Orders", *arguments, *where])
        told = capsys.readouterr()
        return code, told.out or told.err

    return command


def listed(run: Run, *arguments: str) -> list[dict[str, Any]]:
    _, text = run("list", "--json", *arguments)
    return [json.loads(line) for line in text.splitlines()]


def test_list_names_each_letter_with_its_reason_and_no_record(run: Run) -> None:
    code, text = run("list")
    assert code == 0
    assert [line.split("/")[:2] for line in text.splitlines()] == [
        ["sink", "crm"],
        ["sink", "crm"],
        ["archive", "lake"],
    ]
    assert "open: ValueError in write" in text
    assert "example.org" not in text
    assert "O1" not in text
    assert {letter["stage"] for letter in listed(run, "--consumer", "lake")} == {"archive"}


def test_show_hides_sensitive_fields_unless_they_are_asked_for(run: Run) -> None:
    name = next(letter["name"] for letter in listed(run) if letter["rule"] == "ValueError")
    _, text = run("show", name)
    assert "id = O1" in text
    assert "email = (sensitive" in text
    assert "no room for O1" not in text
    assert orders(2)[1].email not in text
    _, text = run("show", name, "--sensitive")
    assert f"email = {orders(2)[1].email}" in text
    assert "detail: no room for O1" in text
    _, text = run("show", name, "--json")
    assert json.loads(text)["record"]["id"] == "O1"


def test_show_says_where_a_record_cannot_be_shown(run: Run) -> None:
    (letter,) = listed(run, "--consumer", "lake")
    code, text = run("show", letter["name"])
    assert code == 0
    assert "cannot be shown = " in text


def test_drop_closes_letters_and_all_lists_them(run: Run) -> None:
    names = [letter["name"] for letter in listed(run, "--consumer", "crm")]
    assert run("drop", *names) == (0, "Orders: 2 dropped\n")
    assert listed(run, "--consumer", "crm") == []
    assert [letter["state"] for letter in listed(run, "--consumer", "crm", "--all")] == ["dropped"] * 2


def test_a_replay_that_fails_again_says_so_by_the_exit_code(run: Run) -> None:
    assert run("replay") == (1, "Orders: 0 replayed, 1 failed\n")


def test_what_cannot_be_carried_out_is_said(run: Run) -> None:
    code, text = run("show")
    assert (code, "show needs the names of letters" in text) == (2, True)
    code, text = run("drop", "sink/crm/0")
    assert (code, "there is no letter 'sink/crm/0'" in text) == (2, True)
    code, text = run("replay", "--sink", "paper", "--consumer", "crm")
    assert (code, "there is no sink 'paper'" in text) == (2, True)
