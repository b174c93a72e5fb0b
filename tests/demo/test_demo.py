from __future__ import annotations

import json

import pytest
from demo_process import run

import onepipe as op
from onepipe.audit.verdict import Hop, Kind
from onepipe.audit.verify import verify
from onepipe.declaring.record import topic_of
from onepipe.demo.account import text_account
from onepipe.demo.flights import Flight, source_table
from onepipe.demo.places import Places
from onepipe.demo.tampering import Tampering, unnamed
from onepipe.errors import ConfigurationError
from onepipe.lake import open_lake

pytestmark = pytest.mark.flights
FEW = 600
KEYS = {
    "source_rows",
    "published",
    "rejected",
    "archived",
    "exact_duplicates",
    "superseded",
    "clean",
    "verdict",
    "seconds",
    "query",
}


def same(left, right) -> None:
    """Two accounts agree in all but time and place."""
    passing = {"seconds", "folder"}
    one, other = ({k: v for k, v in each.to_json().items() if k not in passing} for each in (left, right))
    assert one == other


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    return run(tmp_path_factory.mktemp("demo"), FEW)


def test_every_flight_is_in_the_clean_table_once_and_every_arrival_is_accounted_for(account):
    assert account.source_rows == account.clean == FEW
    assert account.archived == account.published == account.clean + account.superseded + account.exact_duplicates
    assert account.verdict.balanced
    assert account.query_right
    assert account.sound
    assert account.superseded > FEW
    assert account.exact_duplicates > 0
    assert sum(account.rejected.values()) > 0


def test_the_account_as_json_has_every_figure(account):
    document = json.loads(json.dumps(account.to_json()))
    assert document.keys() >= KEYS
    assert document["verdict"] == "balanced"
    assert document["query"] == "equal"
    assert document["seconds"].keys() == {"read", "publish", "archive", "dedup", "verify", "query"}


def test_the_same_seed_gives_the_same_figures_and_another_seed_others(account, tmp_path):
    same(account, run(tmp_path / "same", FEW))
    assert run(tmp_path / "other", FEW, seed=1).published != account.published


def test_a_finished_job_run_again_finds_what_it_left(account):
    same(account, run(account.folder, FEW))


def test_the_account_fits_into_80_columns_but_for_paths(account, tmp_path):
    tampered = run(tmp_path, FEW, tampering=Tampering(2, 2, 2))
    for each in (account, tampered):
        paths = (str(each.folder), ".parquet")
        lines = [line for line in text_account(each).splitlines() if not any(path in line for path in paths)]
        assert max(map(len, lines)) <= 80
        assert any("the lake's answer" in line for line in lines)


def test_what_to_try_next_is_called_as_the_demo_was_and_depends_on_what_it_did(account, tmp_path):
    balanced = text_account(account, ".venv/bin/onepipe")
    assert f"  .venv/bin/onepipe verify Flights --lake {account.folder / 'lake'}\n" in balanced
    assert "  .venv/bin/onepipe demo --lose 3" in balanced
    tampered = text_account(run(tmp_path / "a folder", FEW, tampering=Tampering(lose=1)))
    assert f"  onepipe verify Flights --lake '{tmp_path / 'a folder' / 'lake'}' --html" in tampered
    assert "demo --lose" not in tampered


def check_named(account, folder, count: int) -> None:
    """The verdict names each record that was tampered with and no other, then and from the files alone."""
    assert len(account.tampered) == count
    assert not account.sound
    lake = open_lake(folder / "lake")
    for verdict in (account.verdict, verify(lake, lake.topic("Flights"))):
        assert not unnamed(account.tampered, verdict), str(verdict)
        assert len(verdict.findings) == count, str(verdict)
        assert {finding.topic for finding in verdict.findings} == {"Flights"}
        assert not verdict.balanced


@pytest.mark.parametrize("kind", list(Kind))
def test_a_single_fault_is_named_and_nothing_else(tmp_path, kind):
    chosen = {Kind.LOST: "lose", Kind.REPEATED: "repeat", Kind.ALTERED: "alter"}[kind]
    account = run(tmp_path, FEW, tampering=Tampering(**{chosen: 1}))
    check_named(account, tmp_path, 1)
    assert account.verdict.findings[0].kind is kind


@pytest.mark.parametrize(("count", "seed"), [(3, 2013), (10, 1)])
def test_every_fault_is_named_and_nothing_else(tmp_path, count, seed):
    account = run(tmp_path, FEW, seed=seed, tampering=Tampering(count, count, count))
    check_named(account, tmp_path, 3 * count)
    for hop in (Hop.LOG, Hop.RAW, Hop.CLEAN):
        assert sum(account.verdict.faults(hop).values()) == count


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("count", [1, 3, 10])
def test_every_fault_is_named_and_nothing_else_whatever_the_seed(tmp_path, count, seed):
    account = run(tmp_path, 300, seed=seed, tampering=Tampering(count, count, count))
    check_named(account, tmp_path, 3 * count)


def test_no_identity_is_tampered_with_twice(tmp_path):
    account = run(tmp_path, 40, tampering=Tampering(10, 10, 10))
    identities = {tuple(tampered.identity.values()) for tampered in account.tampered}
    assert len(identities) == 30
    check_named(account, tmp_path, 30)


def test_more_faults_than_there_are_flights_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="take more flights"):
        run(tmp_path, 5, tampering=Tampering(lose=30))


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("a year of work")
    with pytest.raises(ConfigurationError, match="holds something else"):
        run(tmp_path, FEW)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_log_and_a_lake_that_are_not_the_demos_are_left_alone(tmp_path):
    for name in ("log", "lake"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "records").write_text("a year of work")
    with pytest.raises(ConfigurationError, match="holds something else"):
        run(tmp_path, FEW)
    assert sorted(path.parent.name for path in tmp_path.glob("*/records")) == ["lake", "log"]


def test_a_job_of_other_figures_is_not_continued(account):
    with pytest.raises(ConfigurationError, match="other figures"):
        run(account.folder, FEW - 1)


def elsewhere(folder) -> Places:
    """A log and a lake that others may use too."""
    return Places(f"memory://{folder / 'their log'}", str(folder / "their lake"))


def test_a_demo_elsewhere_gives_the_same_figures_under_a_topic_of_its_own_and_goes_on(account, tmp_path):
    found = run(tmp_path / "demo", FEW, places=elsewhere(tmp_path))
    same(account, found)
    assert found.verdict.topic.startswith("Flights-")
    same(found, run(tmp_path / "demo", FEW, places=elsewhere(tmp_path)))
    assert not {"log", "lake"} & {path.name for path in (tmp_path / "demo").iterdir()}
    assert f"verify {found.verdict.topic} --lake '{tmp_path / 'their lake'}'" in text_account(found)


def test_demos_elsewhere_leave_each_other_and_what_is_there_alone(tmp_path):
    places = elsewhere(tmp_path)
    with op.connect(places.transport, lake=places.lake, partitions=2) as pipe:
        pipe.register(Flight)
        first, second = (run(tmp_path / name, FEW, seed=seed, places=places) for name, seed in (("one", 1), ("two", 2)))
        assert first.verdict.balanced
        assert second.verdict.balanced
        assert {"Flights", first.verdict.topic, second.verdict.topic} <= set(pipe.transport.topics())
        assert pipe.transport.describe_topic("Flights").partitions == 2
        assert pipe.archive(Flight).rows == 0
        assert verify(pipe.lake, pipe.lake.topic(first.verdict.topic)).balanced


def test_in_a_log_elsewhere_nothing_is_tampered_with_but_all_of_it_in_the_lake(tmp_path):
    account = run(tmp_path / "demo", FEW, tampering=Tampering(3, 3, 3), places=elsewhere(tmp_path))
    assert len(account.tampered) == len(account.verdict.findings) == 9
    assert not account.unnamed
    assert {finding.hop for finding in account.verdict.findings} == {Hop.RAW, Hop.CLEAN}


def test_a_job_of_another_place_is_not_continued(tmp_path):
    run(tmp_path / "demo", FEW, places=elsewhere(tmp_path))
    with pytest.raises(ConfigurationError, match="other figures"):
        run(tmp_path / "demo", FEW, places=Places(lake=str(tmp_path / "their lake")))


def test_no_secret_of_a_place_is_noted_or_shown():
    places = Places("kafka://user:hush@host:9092?ssl.keystore.password=hush", "lake", "postgresql://user:hush@host/db")
    assert "hush" not in str(places.shown())
    assert places.shown()["transport"].startswith("kafka://user:")


def test_the_source_has_as_many_flights_as_identities():
    source = source_table()
    names = {"scheduled_hour": "time_hour"}
    keys = source.select([names.get(name, name) for name in topic_of(Flight).identity])
    assert source.num_rows == keys.group_by(keys.column_names).aggregate([]).num_rows == 336_776


@pytest.mark.slow
def test_a_year_of_flights_is_balanced_and_the_query_is_right(tmp_path):
    account = run(tmp_path, None)
    assert account.source_rows == account.clean == 336_776
    assert account.archived == account.published == account.clean + account.superseded + account.exact_duplicates
    assert account.sound, str(account.verdict)
    assert account.query_right


@pytest.mark.slow
def test_faults_in_a_year_of_flights_are_named_and_nothing_else(tmp_path):
    check_named(run(tmp_path, None, tampering=Tampering(3, 3, 3)), tmp_path, 9)
