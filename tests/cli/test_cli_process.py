"""The command line as a process: what it writes where, and how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from audited_world import World, lose

from onepipe.cli import main
from onepipe.cli.output import own_name

COMMAND = (sys.executable, "-m", "onepipe.cli")
FEW = "600"


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """The folder of a lake with a topic, Trips, of which many records are lost."""
    folder = tmp_path_factory.mktemp("lake")
    world = World(folder)
    world.publish(1000)
    world.lake_it()
    world.pipe.close()
    for number in range(30):
        lose(folder / "clean" / "Trips", id=number)
    return folder


def run(*words: object, **options) -> subprocess.CompletedProcess[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    return subprocess.run([*COMMAND, *map(str, words)], check=False, **pipes)


def test_results_go_to_standard_output_and_progress_to_standard_error(lake):
    done = run("verify", "Trips", "--lake", lake, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["verdict"] == "short"
    assert done.stderr == "verify …\n"


def test_output_that_nobody_reads_ends_the_command_quietly(lake):
    reading, writing = os.pipe()
    os.close(reading)
    done = run("verify", "Trips", "--lake", lake, "--json", stdout=writing)
    assert (done.returncode, done.stderr) == (141, "verify …\n")
    assert not run("--help", stdout=writing).stderr
    os.close(writing)


def test_output_that_cannot_be_written_is_said_so(lake):
    with Path("/dev/full").open("w") as full:
        done = run("verify", "Trips", "--lake", lake, stdout=full)
    assert done.returncode == 2
    assert "No space left" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_verdict_is_written_as_utf_8_to_a_file_whatever_the_systems_encoding(lake):
    done = run("verify", "Trips", "--lake", lake, env={**os.environ, "PYTHONIOENCODING": "cp1252"}, encoding="utf-8")
    assert done.returncode == 1
    assert "• lost at the clean hop" in done.stdout
    assert done.stderr == "verify …\n"


def test_a_terminal_that_lacks_a_character_shows_a_question_mark(lake):
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    words = [*COMMAND, "verify", "Trips", "--lake", str(lake)]
    with subprocess.Popen(words, stdout=theirs, stderr=subprocess.DEVNULL, env=environment) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # the terminal's other end is closed
            while piece := os.read(ours, 4096):
                shown += piece
    os.close(ours)
    assert process.returncode == 1
    assert b"? lost at the clean hop" in shown


def test_what_to_call_is_the_command_where_the_path_leads_to_it_and_else_as_it_was_called(tmp_path, monkeypatch):
    program = tmp_path / "a folder" / "onepipe"
    program.parent.mkdir()
    program.touch(0o755)
    monkeypatch.setattr(sys, "argv", [str(program)])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert own_name() == f"'{program}'"
    monkeypatch.setenv("PATH", str(program.parent))
    assert own_name() == "onepipe"
    monkeypatch.setattr(sys, "argv", ["/somewhere/onepipe/cli/__main__.py"])
    assert own_name() == f"{sys.executable} -m onepipe.cli"


def test_on_a_terminal_progress_is_a_bar(lake):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "verify", "Trips", "--lake", str(lake)],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:  # the terminal's other end is closed
        pass
    os.close(ours)
    assert process.wait() == 1
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert re.search(r"verify +━+ +\d+\.\d s", text)


def test_an_unforeseen_error_is_exit_code_2_and_shows_where(lake, monkeypatch, capsys):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr("onepipe.audit.verify.verify", fail)
    assert main(["verify", "Trips", "--lake", str(lake)]) == 2
    assert "RuntimeError: unforeseen" in capsys.readouterr().err


def test_an_error_of_the_system_names_the_file_and_shows_no_traceback(tmp_path, monkeypatch, capsys):
    def fail(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path / "secret"))

    monkeypatch.setattr("onepipe.lake.open_lake", fail)
    assert main(["verify", "Trips", "--lake", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"onepipe: {tmp_path / 'secret'}: Permission denied\n"


def test_a_demo_without_its_packages_says_what_to_install(monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith("onepipe.demo")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main(["demo", "--flights", "10"]) == 2
    assert "pip install 'onepipe[demo]'" in capsys.readouterr().err


@pytest.mark.flights
def test_the_demos_account_is_json_in_the_last_line(tmp_path):
    done = run("demo", "--dir", tmp_path, "--flights", FEW, "--json")
    assert done.returncode == 0
    account = json.loads(done.stdout.splitlines()[-1])
    assert account["source_rows"] == account["clean"] == int(FEW)
    assert account["verdict"] == "balanced"
    stages = ("read", "publish", "archive", "dedup", "verify", "query")
    assert done.stderr.splitlines() == [f"{stage} …" for stage in stages]


@pytest.mark.flights
def test_a_demo_with_faults_is_exit_code_1_and_verify_says_the_same_later(tmp_path):
    done = run("demo", "--dir", tmp_path, "--flights", FEW, "--json", "--lose", 1, "--repeat", 1, "--alter", 1)
    assert done.returncode == 1
    account = json.loads(done.stdout.splitlines()[-1])
    assert (account["tampered"], account["named"], len(account["findings"])) == (3, 3, 3)
    for finding in account["findings"]:
        assert finding["topic"] == "Flights"
        assert finding["identity"].keys() == {"carrier", "flight", "origin", "scheduled_hour"}
        assert None not in (finding["hop"], finding["partition"], finding["offset"])
    later = run("verify", "Flights", "--lake", tmp_path / "lake", "--json")
    assert later.returncode == 1
    assert json.loads(later.stdout)["findings"] == account["findings"]


@pytest.mark.flights
def test_without_a_folder_the_demo_makes_its_own(tmp_path):
    done = run("demo", "--flights", FEW, env={**os.environ, "TMPDIR": str(tmp_path)})
    assert done.returncode == 0
    (folder,) = tmp_path.iterdir()
    assert f"Everything lies in {folder}" in done.stdout
    assert f"onepipe.cli verify Flights --lake {folder / 'lake'}" in done.stdout


@pytest.mark.slow
@pytest.mark.flights
@pytest.mark.parametrize("stage", ["read", "publish", "archive", "dedup", "verify", "query"])
def test_an_interrupted_demo_is_exit_code_130_and_goes_on_when_run_again(tmp_path, stage):
    words = [*COMMAND, "demo", "--dir", str(tmp_path), "--flights", "2000", "--json"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    while process.stderr.readline() != f"{stage} …\n":
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130, said
    assert said.splitlines()[-1] == "onepipe: interrupted"
    assert "Traceback" not in said
    again = run("demo", "--dir", tmp_path, "--flights", "2000", "--json")
    account = json.loads(again.stdout.splitlines()[-1])
    assert (again.returncode, account["verdict"], account["clean"]) == (0, "balanced", 2000)
