"""The demonstration over a real Kafka and a real S3 store: as right there as in a folder, and nothing else touched."""

from __future__ import annotations

import gc
import json
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo_process import run, start
from services.kafka import Kafka
from services.s3 import S3Store

import onepipe as op
from onepipe.audit.verify import verify
from onepipe.cli import main
from onepipe.demo.flights import flight_class, flights, life_events, source_table
from onepipe.demo.places import Places
from onepipe.demo.tampering import Tampering, unnamed
from onepipe.errors import LakeError
from onepipe.lake import open_lake
from onepipe.plugins import open_transport

pytestmark = [
    pytest.mark.slow,
    pytest.mark.flights,
    pytest.mark.kafka,
    pytest.mark.s3,
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # kafka-python leaves refused ones
]
BOTH = pytest.mark.parametrize("scheme", ["kafka", "kafka+confluent"])
MANY = 2000
FEW = 600


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """What a client leaves open is noticed in the test that it belongs to."""
    yield
    gc.collect()


@pytest.fixture
def lake(s3: S3Store, tmp_path, monkeypatch) -> str:
    """Where a new lake may be; AWS's variables name the store for as long as the test runs."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return f"s3://{s3.new_bucket()}/lake"


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "demo"


def url(kafka: Kafka, scheme: str = "kafka+confluent") -> str:
    return f"{scheme}://{kafka.address}"


def topics(kafka: Kafka) -> set[str]:
    """Names of the topics that the broker has."""
    transport = open_transport(url(kafka))
    try:
        return set(transport.topics())
    finally:
        transport.close()


def last_line(text: str) -> dict:
    return json.loads(text.splitlines()[-1])


def without_time_and_place(account: dict) -> dict:
    return {name: value for name, value in account.items() if name not in {"seconds", "folder"}}


def require_right(account: dict, flights: int) -> None:
    assert account["clean"] == account["source_rows"] == flights
    assert account["archived"] == account["published"]
    assert account["archived"] == account["clean"] + account["superseded"] + account["exact_duplicates"]
    assert (account["verdict"], account["query"], account["findings"]) == ("balanced", "equal", [])
    assert [(hop["state"], hop["found"]) for hop in account["hops"]] == [("balanced", account["published"])] * 4


@BOTH
def test_the_demo_over_kafka_and_s3_is_balanced_and_run_again_finds_what_it_left(
    kafka: Kafka, lake: str, folder: Path, scheme: str, capsys
) -> None:
    words = ["demo", "--dir", str(folder), "--flights", str(MANY), "--json"]
    before = topics(kafka)
    accounts = []
    for _ in range(2):
        code, said = main([*words, "--transport", url(kafka, scheme), "--lake", lake]), capsys.readouterr()
        assert code == 0, said.err + said.out
        accounts.append(last_line(said.out))
    require_right(accounts[0], MANY)
    assert "publish" not in accounts[1]["seconds"]
    assert without_time_and_place(accounts[0]) == without_time_and_place(accounts[1])
    (topic,) = topics(kafka) - before - {"_onepipe.audit"}
    assert open_lake(lake).topic(topic).name == topic
    assert not {"log", "lake"} & {path.name for path in folder.iterdir()}


def test_the_figures_are_those_of_a_demo_in_a_folder(kafka: Kafka, lake: str, tmp_path: Path) -> None:
    elsewhere, own = run(tmp_path / "elsewhere", FEW, places=Places(url(kafka), lake)), run(tmp_path / "own", FEW)
    assert without_time_and_place(elsewhere.to_json()) == without_time_and_place(own.to_json())


def test_two_demos_share_a_broker_a_registry_and_a_lake_and_neither_harms_the_other(
    kafka: Kafka, lake: str, tmp_path: Path
) -> None:
    places = Places(url(kafka), lake, f"sqlite:///{tmp_path}/registry.db")
    first, second = (run(tmp_path / name, FEW, seed=seed, places=places) for name, seed in (("one", 1), ("two", 2)))
    require_right(first.to_json(), FEW)
    require_right(second.to_json(), FEW)
    assert first.verdict.topic != second.verdict.topic
    found = open_lake(lake)
    assert verify(found, found.topic(first.verdict.topic)).balanced


def test_a_demo_waits_for_no_writer_of_other_topics_that_is_still_at_work(
    kafka: Kafka, lake: str, tmp_path: Path
) -> None:
    registry = f"sqlite:///{tmp_path}/registry.db"
    other = flight_class(f"other-{uuid.uuid4().hex}")
    with op.connect(url(kafka), registry=registry) as pipe, pipe.producer() as producer:
        source = source_table().slice(0, 1)
        for flight, timestamp, _ in flights(source, life_events(source, 1), other):
            producer.publish(flight, timestamp=timestamp)
        producer.flush()
        account = run(tmp_path / "demo", FEW, places=Places(url(kafka), lake, registry))
    require_right(account.to_json(), FEW)


@BOTH
@pytest.mark.parametrize(
    ("point", "call", "when"), [("raw file", 2, "after"), ("commit", 1, "before"), ("commit", 1, "after")]
)
def test_a_demo_killed_amid_its_archive_goes_on(
    kafka: Kafka, lake: str, folder: Path, scheme: str, point: str, call: int, when: str
) -> None:
    places = Places(url(kafka, scheme), lake)
    killed = start(folder, MANY, point, call, when, places=places)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    account = run(folder, MANY, places=places)
    require_right(account.to_json(), MANY)
    assert "publish" not in account.seconds


def test_a_demo_killed_while_it_published_deletes_that_topic_and_begins_another(
    kafka: Kafka, lake: str, folder: Path
) -> None:
    places, before = Places(url(kafka), lake), topics(kafka)
    killed = start(folder, FEW, "record", 500, "before", places=places)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    (left,) = topics(kafka) - before - {"_onepipe.audit"}
    account = run(folder, FEW, places=places)
    require_right(account.to_json(), FEW)
    assert topics(kafka) - before - {"_onepipe.audit"} == {account.verdict.topic} != {left}


@BOTH
def test_what_is_tampered_with_in_a_bucket_is_named_and_nothing_else(
    kafka: Kafka, lake: str, folder: Path, scheme: str, capsys
) -> None:
    words = ["demo", "--dir", str(folder), "--flights", str(MANY), "--json", "--transport", url(kafka, scheme)]
    assert main([*words, "--lake", lake, "--lose", "3", "--repeat", "3", "--alter", "3"]) == 1
    account = last_line(capsys.readouterr().out)
    assert account["tampered"] == account["named"] == len(account["findings"]) == 9
    assert {finding["hop"] for finding in account["findings"]} == {"raw", "clean"}


def test_with_the_log_in_the_folder_it_is_tampered_with_in_the_log_too(lake: str, folder: Path) -> None:
    account = run(folder, FEW, tampering=Tampering(3, 3, 3), places=Places(lake=lake))
    found = open_lake(lake)
    for verdict in (account.verdict, verify(found, found.topic(account.verdict.topic))):
        assert not unnamed(account.tampered, verdict), str(verdict)
        assert sorted({finding.hop.value for finding in verdict.findings}) == ["clean", "log", "raw"]
        assert len(verdict.findings) == 9


def test_a_lake_that_cannot_be_reached_is_said_before_anything_is_made(kafka: Kafka, lake: str, folder: Path) -> None:
    before = topics(kafka)
    with pytest.raises(LakeError, match="no such bucket"):
        run(folder, FEW, places=Places(url(kafka), "s3://onepipe-there-is-none/lake"))
    assert topics(kafka) == before
    assert not folder.exists()
