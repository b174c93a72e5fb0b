from __future__ import annotations

import datetime as dt
import sys

import pytest
from lake_arrivals import LOG, START, Event, Raw, declare_thing, thing

import onepipe as op
from onepipe.errors import ConfigurationError, CorruptFile, DeclarationError, MissingDependency
from onepipe.lake import columns as c
from onepipe.lake import open_lake
from onepipe.lake.dedup import dedup
from onepipe.lake.read import Table
from onepipe.lake.storage import LocalStorage

TOPIC = declare_thing()
FIELDS = [field.name for field in TOPIC.record.fields]


@pytest.fixture
def lake(tmp_path):
    return open_lake(tmp_path / "lake")


@pytest.fixture
def table(lake):
    raw = Raw(lake, TOPIC)
    raw.archive([thing("a", day=0, weight=1.5), thing("b", day=1, tags=["x"]), thing("c", day=2), thing("d", day=None)])
    dedup(lake, TOPIC)
    raw.archive(
        [thing("a", 1, day=0, weight=2.5), thing("c", 1, day=2, deleted=True), Event({}, error="unreadable: ?")]
    )
    dedup(lake, TOPIC)
    return Table(lake, TOPIC)


def names(table):
    return sorted(table.select("name").to_arrow()["name"].to_pylist())


def opened(monkeypatch, read):
    paths = []
    real = LocalStorage.open

    def noting(storage, path):
        paths.append(path)
        return real(storage, path)

    monkeypatch.setattr(LocalStorage, "open", noting)
    read()
    return {"/".join(path.split("/")[2:5]) for path in paths if path.startswith("clean/")}


def test_what_is_true_is_read_with_the_topics_fields(table):
    assert table.schema.names == FIELDS
    rows = {row["name"]: row for row in table.to_arrow().to_pylist()}
    assert sorted(rows) == ["a", "b", "d"]
    assert rows["a"] == {**thing("a", 1, day=0, weight=2.5).values}
    assert table.count() == 3


def test_nothing_is_read_of_a_topic_that_was_never_merged(lake):
    table = Table(lake, TOPIC)
    assert (table.count(), table.to_arrow().num_rows, list(table.records())) == (0, 0, [])
    assert table.to_duckdb().fetchall() == []
    assert "0 records" in table._repr_html_()


def test_deleted_rows_and_the_lakes_columns_are_shown_on_demand(table):
    shown = table.include_deleted().system_columns().to_arrow()
    assert shown.schema.names == [*FIELDS, *c.CLEAN_COLUMNS.names]
    rows = {row["name"]: row for row in shown.to_pylist()}
    assert sorted(rows) == ["a", "b", "c", "d"]
    assert rows["c"][c.DELETED]
    assert (rows["a"][c.ARRIVALS], rows["a"][c.LOG], rows["a"][c.OFFSET]) == (2, LOG, 4)
    assert table.include_deleted().count() == 4


@pytest.mark.parametrize(
    ("start", "end", "days", "found"),
    [
        (dt.date(2013, 1, 2), dt.date(2013, 1, 3), {"2013/01/02"}, ["b"]),
        (dt.date(2013, 1, 2), None, {"2013/01/02", "2013/01/03"}, ["b"]),
        (None, dt.date(2013, 1, 2), {"2013/01/01"}, ["a"]),
        (START, START + dt.timedelta(days=1), {"2013/01/01", "2013/01/02"}, ["a"]),
        (START + dt.timedelta(days=1), START + dt.timedelta(days=1, hours=1), {"2013/01/02", "2013/01/03"}, ["b"]),
        (dt.date(2020, 1, 1), None, set(), []),
        (dt.date.min, dt.date.min, set(), []),
        (dt.date.min, dt.date.max, {"2013/01/01", "2013/01/02", "2013/01/03"}, ["a", "b"]),
    ],
)
def test_a_range_opens_only_the_files_of_its_days(table, monkeypatch, start, end, days, found):
    ranged = table.between(start, end)
    assert opened(monkeypatch, ranged.to_arrow) == days
    assert names(ranged) == found
    assert ranged.count() == len(found)
    assert sorted(name for (name,) in ranged.select("name").to_duckdb().fetchall()) == found


def test_a_range_in_local_time_is_the_same_moments(table):
    zone = dt.timezone(dt.timedelta(hours=5))
    assert names(table.between(START.astimezone(zone), (START + dt.timedelta(days=1)).astimezone(zone))) == ["a"]


def test_a_range_of_naive_datetimes_is_refused(table):
    with pytest.raises(ConfigurationError, match="aware"):
        table.between(dt.datetime(2013, 1, 1), None)  # noqa: DTZ001  # what is refused


def test_columns_are_selected_in_the_order_asked_for(table):
    assert table.select("status", c.ARRIVALS, "name").to_arrow().schema.names == ["status", c.ARRIVALS, "name"]
    with pytest.raises(ConfigurationError, match="did you mean 'status'"):
        table.select("statsu")


def test_arguments_of_another_type_are_configuration_errors_at_the_call(table):
    with pytest.raises(ConfigurationError, match="name is text, not int"):
        table.select(5)
    with pytest.raises(ConfigurationError, match="not str"):
        table.between("2013-01-01", None)
    with pytest.raises(ConfigurationError, match="as_of is an aware datetime"):
        table.as_of("2013-01-01")
    with pytest.raises(ConfigurationError, match="as_of needs a timezone"):
        table.as_of(dt.datetime(2013, 1, 1))  # noqa: DTZ001  # what is refused
    for version in (-1, 1 << 63, "1", True, None):
        with pytest.raises(ConfigurationError, match="version is a whole number from 0"):
            table.at(version)


@pytest.mark.parametrize(
    "moment",
    [
        dt.datetime.min.replace(tzinfo=dt.timezone(dt.timedelta(hours=14))),
        dt.datetime.max.replace(tzinfo=dt.timezone(-dt.timedelta(hours=12))),
    ],
)
def test_a_range_that_begins_or_ends_beyond_the_calendar_is_refused(table, moment):
    for start, end in ((moment, None), (None, moment)):
        with pytest.raises(ConfigurationError, match=r"a range is within the years 1 to 9999 \(UTC\)"):
            table.between(start, end)


def test_narrowing_leaves_the_table_as_it_was(table):
    table.select("name")
    table.system_columns()
    table.between(dt.date(2020, 1, 1), None)
    assert (table.schema.names, table.count()) == (FIELDS, 3)


def test_what_arrived_is_read_raw(table):
    raw = table.raw()
    assert raw.count() == 7
    errors = raw.select("name", c.ERROR, c.DELETED).to_arrow().to_pylist()
    assert [row["name"] for row in errors if row[c.ERROR]] == [None]
    assert [row["name"] for row in errors if row[c.DELETED]] == ["c"]
    assert len(list(raw.records())) == 5
    assert "7 messages" in raw._repr_html_()
    assert names(raw.between(dt.date(2013, 1, 2), dt.date(2013, 1, 3))) == ["b"]


def test_earlier_versions_are_read_by_number_and_moment(lake, table):
    version = lake.clean("Things").snapshot().version
    assert names(table.at(version - 1)) == ["a", "b", "c", "d"]
    assert names(table.as_of(dt.datetime.now(dt.UTC))) == ["a", "b", "d"]


def test_frames_and_relations_hold_the_same_rows(table):
    assert sorted(table.to_pandas()["name"]) == ["a", "b", "d"]
    assert sorted(table.to_polars()["name"]) == ["a", "b", "d"]
    relation = table.to_duckdb()
    assert relation.columns == FIELDS
    assert relation.aggregate("count(*)").fetchall() == [(3,)]


def test_a_relation_belongs_to_the_connection_given(table):
    import duckdb

    connection = duckdb.connect()
    table.to_duckdb(connection).create_view("things")
    assert connection.execute("SELECT count(*) FROM things").fetchall() == [(3,)]


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_a_missing_package_is_named_with_its_extra(table, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependency, match=rf"onepipe\[{package}\]"):
        getattr(table, f"to_{package}")()


def test_batches_come_without_reading_every_file_first(table, monkeypatch):
    def one():
        next(table.to_batches())

    assert len(opened(monkeypatch, one)) == 1


def test_a_file_that_is_gone_is_named(lake, table, monkeypatch):
    path = next(file.path for file in lake.clean("Things").snapshot().files)
    lake.storage.delete(f"clean/Things/{path}")
    with pytest.raises(CorruptFile, match="chunk1"):
        table.to_arrow()


def test_a_table_shows_itself(table):
    page = table._repr_html_()
    assert "Things: 3 records" in page
    assert "<td>a</td>" in page


@op.record
class Named:
    name: str
    created: dt.datetime | None
    tags: list[str] | None


@op.record
class Coloured:
    name: str
    colour: str


def test_records_come_as_instances_of_their_class(table):
    found = sorted(table.records(Named), key=lambda record: record.name)
    assert found == [
        Named(name="a", created=START, tags=None),
        Named(name="b", created=START + dt.timedelta(days=1), tags=["x"]),
        Named(name="d", created=None, tags=None),
    ]


def test_a_class_with_a_field_the_table_lacks_is_refused(table):
    with pytest.raises(DeclarationError, match="colour"):
        next(table.records(Coloured))
