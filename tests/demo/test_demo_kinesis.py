"""The demonstration over a real Kinesis and a real S3 store: as right there as in a folder, killed and run again."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo_process import run, start
from services.kinesis import ENVIRONMENT, Kinesis, kinesis_mock
from services.s3 import S3Store
from services.service import start_own

from onepipe.cli import main
from onepipe.demo.places import Places
from onepipe.plugins import open_transport

pytestmark = [pytest.mark.slow, pytest.mark.flights, pytest.mark.kinesis, pytest.mark.s3]
FEW = 600
AUDIT = "_onepipe.audit"


@pytest.fixture(scope="module")
def own() -> Iterator[Kinesis]:
    """A service of this module's own: whose topic of evidence is written by its demonstrations alone."""
    with contextlib.ExitStack() as stack:
        yield start_own("Kinesis", lambda: stack.enter_context(kinesis_mock()))


@pytest.fixture
def places(own: Kinesis, s3: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Places]:
    """A log and a lake elsewhere; AWS's variables name the store, and Kinesis takes its keys as any others."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**ENVIRONMENT, **s3.environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = Places(own.url(f"sqlite:///{tmp_path}/positions.db"), f"s3://{s3.new_bucket()}/lake")
    yield made
    with contextlib.closing(open_transport(made.transport)) as transport:
        for name in transport.topics():  # evidence is written by one registry, and the next test has another
            transport.delete_topic(name)


def topics(places: Places) -> set[str]:
    """Names of the streams, but for that of the evidence."""
    with contextlib.closing(open_transport(places.transport)) as transport:
        return set(transport.topics()) - {AUDIT}


def require_right(account: dict) -> None:
    assert account["clean"] == account["source_rows"] == FEW
    assert account["archived"] == account["published"]
    assert account["archived"] == account["clean"] + account["superseded"] + account["exact_duplicates"]
    assert (account["verdict"], account["query"], account["findings"]) == ("balanced", "equal", [])
    assert [(hop["state"], hop["found"]) for hop in account["hops"]] == [("balanced", account["published"])] * 4


def without_time_and_place(account: dict) -> dict:
    return {name: value for name, value in account.items() if name not in {"seconds", "folder"}}


def test_the_demo_over_kinesis_and_s3_is_balanced_and_run_again_finds_what_it_left(
    places: Places, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["demo", "--dir", str(tmp_path / "demo"), "--flights", str(FEW), "--json"]
    accounts = []
    for _ in range(2):
        assert main([*words, "--transport", places.transport, "--lake", places.lake]) == 0
        accounts.append(json.loads(capsys.readouterr().out.splitlines()[-1]))
    require_right(accounts[0])
    assert "publish" not in accounts[1]["seconds"]
    own = run(tmp_path / "own", FEW).to_json()
    figures = [without_time_and_place(account) for account in (*accounts, own)]
    assert figures[0] == figures[1]
    assert figures[0] == {**figures[2], "hops": figures[0]["hops"]}
    assert len(topics(places)) == 1


@pytest.mark.parametrize(("point", "call", "when"), [("raw file", 2, "after"), ("commit", 1, "after")])
def test_a_demo_killed_amid_its_archive_goes_on(
    places: Places, tmp_path: Path, point: str, call: int, when: str
) -> None:
    killed = start(tmp_path / "demo", FEW, point, call, when, places=places)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    account = run(tmp_path / "demo", FEW, places=places)
    require_right(account.to_json())
    assert "publish" not in account.seconds


def test_a_demo_killed_while_it_published_deletes_that_stream_and_begins_another(
    places: Places, tmp_path: Path
) -> None:
    killed = start(tmp_path / "demo", FEW, "record", 500, "before", places=places)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    (left,) = topics(places)
    account = run(tmp_path / "demo", FEW, places=places)
    require_right(account.to_json())
    assert topics(places) == {account.verdict.topic} != {left}


def test_tampering_is_refused_before_anything_is_made_where_a_lost_record_would_have_no_name(
    places: Places, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["demo", "--dir", str(tmp_path / "demo"), "--flights", str(FEW), "--transport", places.transport]
    assert main([*words, "--lake", places.lake, "--lose", "1"]) == 2
    assert "a lost one would have no name" in capsys.readouterr().err
    assert topics(places) == set()
    assert not (tmp_path / "demo").exists()
