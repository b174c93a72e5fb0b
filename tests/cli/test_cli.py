from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from audited_world import World, lose

from onepipe.cli import main

COMMANDS = ("archive", "dedup", "maintain", "verify", "accept", "codegen", "demo")
HEAVY = ("pyarrow", "duckdb", "numpy", "deltalake", "pandas", "rich", "fastavro", "sqlalchemy")
DOCUMENT = {"type": "record", "name": "Widget", "fields": [{"name": "sid", "type": "string"}]}


@pytest.fixture
def lake(tmp_path):
    """The folder of a lake with a balanced topic, Trips."""
    world = World(tmp_path / "lake")
    world.publish()
    world.lake_it()
    world.pipe.close()
    return tmp_path / "lake"


def python(*words: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False, **options)


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--help"])
    assert stopped.value.code == 0
    output = capsys.readouterr()
    assert output.out.startswith("usage: onepipe")
    assert not output.err


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    output = capsys.readouterr().out
    assert all(f"    {name} " in output for name in COMMANDS)


@pytest.mark.parametrize("words", [["verfy"], ["verify"], ["archive"], ["dedup"], ["demo", "--lose", "some"]])
def test_a_wrong_command_line_is_said_so_with_exit_code_2(words, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("usage: onepipe")


def test_without_a_command_the_help_says_which_there_are_with_exit_code_2(capsys):
    assert main([]) == 2
    output = capsys.readouterr()
    assert not output.out
    assert all(f"    {name} " in output.err for name in COMMANDS)


@pytest.mark.parametrize("option", ["--seed", "--lose", "--repeat", "--alter", "--flights"])
@pytest.mark.parametrize("value", ["-1", "1.5", "ten", ""])
def test_the_demos_numbers_are_whole_and_not_negative(option, value, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["demo", f"{option}={value}"])
    assert stopped.value.code == 2
    assert "not a whole number from 0" in capsys.readouterr().err


def test_a_demo_without_flights_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["demo", "--flights", "0"])
    assert "at least 1" in capsys.readouterr().err


def test_the_release_is_told(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out.startswith("onepipe ")


def test_help_needs_none_of_the_heavy_packages():
    check = f"import sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    script = f"from onepipe.cli import main\ntry:\n main(['--help'])\nexcept SystemExit: pass\n{check}"
    done = python("-c", script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_balanced_topic_is_exit_code_0(lake, capsys):
    assert main(["verify", "Trips", "--lake", str(lake)]) == 0
    output = capsys.readouterr()
    assert output.out.startswith("Trips: balanced (proved, ")
    assert output.err == "verify …\n"


@pytest.mark.parametrize("level", ["accounted", "proved", "deep"])
def test_a_topic_that_is_not_balanced_is_exit_code_1(lake, level, capsys):
    lose(lake / "clean" / "Trips", id=7)
    assert main(["verify", "Trips", "--lake", str(lake), "--level", level]) == 1
    assert "lost at the clean hop: Trips, partition" in capsys.readouterr().out


def test_the_verdict_as_json_is_one_line(lake, capsys):
    lose(lake / "clean" / "Trips", id=7)
    assert main(["verify", "Trips", "--lake", str(lake), "--json"]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    document = json.loads(line)
    assert document["verdict"] == "short"
    assert [finding["identity"] for finding in document["findings"]] == [{"id": 7}]


def test_the_verdict_as_html_is_a_page(lake, capsys):
    assert main(["verify", "Trips", "--lake", str(lake), "--html"]) == 0
    assert capsys.readouterr().out.startswith("<!doctype html>")


def test_json_and_html_exclude_each_other(lake, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["verify", "Trips", "--lake", str(lake), "--html", "--json"])
    assert stopped.value.code == 2
    assert "not allowed with" in capsys.readouterr().err


def refused(words: list[str], capsys) -> str:
    """What the command line says where it cannot go on; one line, and nothing on standard output."""
    assert main(words) == 2
    output = capsys.readouterr()
    assert not output.out
    assert "Traceback" not in output.err
    (line,) = output.err.splitlines()
    assert line.startswith("onepipe: ")
    return line


def test_an_unknown_topic_is_told_with_the_nearest_match(lake, capsys):
    assert "did you mean 'Trips'?" in refused(["verify", "Trip", "--lake", str(lake)], capsys)


def test_a_folder_without_lake_is_told_and_not_made(tmp_path, capsys):
    missing = tmp_path / "nowhere"
    assert f"there is no lake in {missing}" in refused(["verify", "Trips", "--lake", str(missing)], capsys)
    assert not missing.exists()
    assert "there is no lake" in refused(["verify", "Trips", "--lake", str(tmp_path)], capsys)
    assert not list(tmp_path.iterdir())


def test_the_folder_above_a_lake_is_told_from_it(lake, capsys):
    line = refused(["verify", "Trips", "--lake", str(lake.parent)], capsys)
    assert f"did you mean {lake}?" in line


@pytest.mark.parametrize("command", ["archive", "dedup", "maintain", "verify"])
def test_a_command_without_lake_says_how_to_name_one(command, capsys, monkeypatch):
    monkeypatch.delenv("ONEPIPE_LAKE", raising=False)
    assert refused([command, "Trips"], capsys) == "onepipe: no lake is named (--lake LAKE, or set ONEPIPE_LAKE)"


def test_the_lake_may_be_named_by_the_environment(lake, capsys, monkeypatch):
    monkeypatch.setenv("ONEPIPE_LAKE", str(lake))
    assert main(["verify", "Trips"]) == 0


def test_a_lake_on_an_unknown_storage_is_told(capsys):
    assert "nowhere://" in refused(["verify", "Trips", "--lake", "nowhere://bucket"], capsys)


def test_codegen_prints_source_that_makes_the_class(tmp_path, capsys):
    file = tmp_path / "widget.avsc"
    file.write_text(json.dumps(DOCUMENT))
    assert main(["codegen", str(file), "--topic", "Widgets"]) == 0
    module: dict[str, object] = {"__name__": "generated"}
    exec(compile(capsys.readouterr().out, "generated", "exec", dont_inherit=True), module)  # noqa: S102 - our own source
    assert module["Widget"](sid="W1").sid == "W1"


def test_codegen_reads_standard_input(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(DOCUMENT)))
    assert main(["codegen", "-"]) == 0
    assert "class Widget" in capsys.readouterr().out


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"not JSON",
        b"{}",
        b'{"type": "record"}',
        b"\xff\xfe\x00",
        b'{"type": "record", "name": "W", "fields": 3}',
        b"[]",
    ],
)
def test_codegen_refuses_garbage(tmp_path, garbage, capsys):
    file = tmp_path / "garbage.avsc"
    file.write_bytes(garbage)
    assert f"{file}" in refused(["codegen", str(file)], capsys)


def test_codegen_of_a_file_that_is_not_there_names_it(tmp_path, capsys):
    file = tmp_path / "nothing.avsc"
    assert refused(["codegen", str(file)], capsys) == f"onepipe: {file} cannot be read: No such file or directory"


def test_codegen_of_standard_input_that_is_no_text_is_refused():
    with Path(sys.executable).open("rb") as program:
        done = python("-m", "onepipe.cli", "codegen", "-", stdin=program)
    assert done.returncode == 2
    assert done.stderr.startswith("onepipe: ")
    assert "Traceback" not in done.stderr
