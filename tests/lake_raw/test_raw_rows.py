from __future__ import annotations

import datetime as dt
from decimal import Decimal
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_messages import MILLIS, MOMENT, author, declare, delete_digest, delete_header, pack, stored, values

from onepipe.errors import RegistryUnavailable
from onepipe.evidence.digest import UNDECODABLE_SEED, digest
from onepipe.evidence.header import AUDIT_HEADER, DELETE_HEADER
from onepipe.lake import columns as c
from onepipe.lake.columns import raw_schema
from onepipe.lake.raw_footer import Tally
from onepipe.lake.raw_headers import epoch_array, header_array, message_headers, read_audit, spread
from onepipe.lake.raw_rows import RowReader
from onepipe.registry import open_registry
from onepipe.schema.framing import VALUE_HEADER
from onepipe.schema.identity import identity_hash


@pytest.fixture
def registry():
    return open_registry("memory://")


@pytest.fixture
def topic():
    return declare()


def read(topic, registry, messages):
    rows = RowReader(topic, registry, "log-1").read(messages)
    assert rows.table.schema == raw_schema(topic)
    rows.table.validate(full=True)
    return rows.table.to_pylist()


def test_a_published_record_becomes_a_row_with_all_that_came(topic, registry):
    writer = author(topic, registry)
    (message,) = stored(writer.record(values(1), headers=(("mine", b"x"),)), first=5)
    (row,) = read(topic, registry, [message])
    found = digest(topic.schema.fingerprint, message.value[5:])
    assert row == {
        **values(1),
        "_op_log": "log-1",
        "_op_partition": 0,
        "_op_offset": 5,
        "_op_timestamp": MOMENT,
        "_op_key": b"W1",
        "_op_headers": [{"name": "mine", "value": b"x"}],
        "_op_schema": writer.schema_id,
        "_op_body": message.value,
        "_op_epoch": writer.epoch,
        "_op_sequence": 0,
        "_op_expected": None,
        "_op_digest_hi": found.hi,
        "_op_digest_lo": found.lo,
        "_op_identity": identity_hash(b"W1"),
        "_op_deleted": False,
        "_op_error": None,
    }


def test_a_foreign_record_has_the_identity_of_its_columns(topic, registry):
    (message,) = stored(author(topic, registry).record(values(1)))
    (row,) = read(topic, registry, [message._replace(key=b"theirs", headers=())])
    assert row["_op_identity"] == identity_hash(b"W1")
    assert (row["_op_epoch"], row["_op_sequence"], row["_op_error"]) == (None, None, None)


def test_a_delete_has_identity_version_and_event_time(topic, registry):
    writer = author(topic, registry)
    (message,) = stored(writer.delete({"sid": "W1", "updated": MOMENT}))
    (row,) = read(topic, registry, [message])
    assert (row["sid"], row["updated"], row["price"]) == ("W1", MOMENT, None)
    assert (row["_op_deleted"], row["_op_body"], row["_op_error"]) == (True, None, None)
    assert row["_op_schema"] == writer.schema_id
    assert row["_op_identity"] == identity_hash(b"W1")
    assert (row["_op_digest_hi"], row["_op_digest_lo"]) == delete_digest(b"W1", dict(message.headers)[DELETE_HEADER])
    assert [header["name"] for header in row["_op_headers"]] == [DELETE_HEADER]


def test_a_tombstone_is_quarantined_with_its_reason(topic, registry):
    (message,) = stored(author(topic, registry).record(values(1)))
    (row,) = read(topic, registry, [message._replace(value=None, headers=())])
    assert row["_op_error"].startswith("tombstone: ")
    assert (row["_op_deleted"], row["sid"], row["_op_identity"]) == (False, None, None)
    assert (row["_op_digest_hi"], row["_op_digest_lo"]) == delete_digest(b"W1", b"")


@pytest.mark.parametrize(
    "header",
    [
        {"schema": 1},
        {"schema": 1, "version": []},
        {"schema": 1, "version": ["x"]},
        {"schema": -1, "version": [1]},
        {"schema": 1 << 70, "version": [1]},
    ],
)
def test_a_delete_that_cannot_be_read_is_quarantined(topic, registry, header):
    author(topic, registry)
    (message,) = stored(author(topic, registry).record(values(1)))
    (row,) = read(topic, registry, [message._replace(value=None, headers=delete_header(**header))])
    assert row["_op_error"].startswith("bad delete: ")
    assert row["_op_deleted"] is False


def test_a_delete_of_an_unknown_schema_is_quarantined_as_such(topic, registry):
    (message,) = stored(author(topic, registry).record(values(1)))
    headers = delete_header(schema=99, version=[1])
    (row,) = read(topic, registry, [message._replace(value=None, headers=headers)])
    assert row["_op_error"] == "unknown schema: the registry gave no schema id 99"
    assert (row["_op_schema"], row["_op_deleted"]) == (99, False)


def test_an_altered_body_is_quarantined_with_the_check_it_should_have(topic, registry):
    (message,) = stored(author(topic, registry).record(values(1)))
    altered = message.value[:-1] + bytes([message.value[-1] ^ 1])
    (row,) = read(topic, registry, [message._replace(value=altered)])
    assert row["_op_error"].startswith("altered: ")
    assert row["_op_expected"] == digest(topic.schema.fingerprint, message.value[5:]).hi
    assert row["_op_digest_hi"] == digest(topic.schema.fingerprint, altered[5:]).hi
    assert row["_op_body"] == altered


def test_a_body_that_is_cut_short_is_quarantined_alone(topic, registry):
    messages = stored(*(author(topic, registry).record(values(n)) for n in range(3)))
    messages[1] = messages[1]._replace(value=messages[1].value[:-1], headers=())
    rows = read(topic, registry, messages)
    assert [row["sid"] for row in rows] == ["W0", None, "W2"]
    assert rows[1]["_op_error"].startswith("unreadable: ")
    assert [row["_op_error"] for row in rows[::2]] == [None, None]
    assert rows[1]["_op_identity"] is None


def test_an_unknown_schema_id_is_kept_undecoded_and_not_called_altered(topic, registry):
    (message,) = stored(author(topic, registry).record(values(1)))
    strange = message._replace(value=b"\0\0\0\0\x63" + message.value[5:])
    (row,) = read(topic, registry, [strange])
    assert row["_op_error"].startswith("unknown schema: ")
    assert (row["_op_schema"], row["sid"]) == (99, None)
    assert (row["_op_digest_hi"], row["_op_digest_lo"]) == digest(UNDECODABLE_SEED, strange.value)
    assert row["_op_expected"] == digest(topic.schema.fingerprint, message.value[5:]).hi


@pytest.mark.parametrize("value", [b"", b"{}", b"\0\0\0\0", b"\0\xff\xff\xff\xff", b"\xc3\x01" + bytes(8)])
def test_a_value_that_names_no_schema_id_is_quarantined(topic, registry, value):
    (message,) = stored(author(topic, registry).record(values(1)))
    (row,) = read(topic, registry, [message._replace(value=value, headers=())])
    assert row["_op_error"].startswith("unknown schema: ")
    assert (row["_op_schema"], row["_op_body"]) == (None, value)


def test_a_schema_id_in_a_header_counts_before_the_prefix(topic, registry):
    writer = author(topic, registry)
    (message,) = stored(writer.record(values(1)))
    header = (VALUE_HEADER, b"\0" + writer.schema_id.to_bytes(4, "big"))
    for others in ((), (("x", b"y"),)):
        (row,) = read(topic, registry, [message._replace(value=message.value[5:], headers=(*others, header))])
        assert (row["sid"], row["_op_schema"], row["_op_error"]) == ("W1", writer.schema_id, None)


def test_rows_of_several_schemas_and_kinds_stay_in_their_order(topic, registry):
    old = author(topic, registry)
    wider = declare("Widgets", {"name": "colour", "type": "string", "default": "grey"})
    new = author(wider, registry, b"f" * 16)
    messages = stored(
        old.record(values(0)),
        new.record({**values(1), "colour": "red"}),
        old.delete({"sid": "W2", "updated": MOMENT}),
        old.record(values(3)),
        new.record({**values(4), "colour": "blue"}),
    )
    rows = read(wider, registry, messages)
    assert [row["sid"] for row in rows] == ["W0", "W1", "W2", "W3", "W4"]
    assert [row["colour"] for row in rows] == ["grey", "red", None, "grey", "blue"]
    assert [row["_op_schema"] == new.schema_id for row in rows] == [False, True, False, False, True]
    assert [row["_op_sequence"] for row in rows] == [0, 0, 1, 2, 1]


def test_a_writers_schema_that_the_topic_cannot_read_is_quarantined(topic, registry):
    other = declare("Others")
    (message,) = stored(author(other, registry).record(values(1)))
    incompatible = declare("Widgets", {"name": "needed", "type": "string"})
    (row,) = read(incompatible, registry, [message._replace(topic="Widgets")])
    assert row["_op_error"].startswith("unreadable: ")
    assert row["_op_expected"] is None


def test_the_same_rows_are_those_of_one_by_one(topic, registry):
    writer = author(topic, registry)
    messages = stored(*(writer.record(values(n)) for n in range(4)), writer.delete({"sid": "W9", "updated": MOMENT}))
    assert read(topic, registry, messages) == [row for m in messages for row in read(topic, registry, [m])]


def test_rows_are_told_apart_by_partition_with_their_audit(topic, registry):
    writer = author(topic, registry)
    outgoing = [writer.record(values(n), partition=n % 3) for n in range(7)]
    messages = [m._replace(offset=n // 3) for n, m in enumerate(stored(*outgoing))]
    parts = dict(RowReader(topic, registry, "l").read(messages).by_partition())
    for number, part in parts.items():
        own = [m for m in messages if m.partition == number]
        alone = RowReader(topic, registry, "l").read(own)
        assert part.table.equals(alone.table)
        left, right = Tally(), Tally()
        part.count(left)
        alone.count(right)
        where = {"topic": "T", "log": "l", "partition": number, "first": 0, "next": 3}
        assert left.footer(**where) == right.footer(**where)
    assert sorted(parts) == [0, 1, 2]


@pytest.mark.parametrize("millis", [1 << 62, -(1 << 62), 253_402_300_800_000])
def test_a_timestamp_beyond_the_calendar_is_null_and_counted(topic, registry, millis):
    (message,) = stored(author(topic, registry).record(values(1)))
    rows = RowReader(topic, registry, "l").read([message._replace(timestamp=millis)])
    assert rows.table.column("_op_timestamp").to_pylist() == [None]
    tally = Tally()
    rows.count(tally)
    assert list(tally.footer(topic="T", log="l", partition=0, first=0, next=1).hours) == ["none"]


def test_a_topic_without_identity_has_no_identity_hash(registry):
    topic = declare("Log", identity=(), merge=None)
    (row,) = read(topic, registry, stored(author(topic, registry).record(values(1))))
    assert (row["_op_identity"], row["_op_error"]) == (None, None)


def test_a_registry_that_cannot_be_asked_stops_the_batch(topic, registry, monkeypatch):
    messages = stored(author(topic, registry).record(values(1)))

    def down(_schema_id):
        raise RegistryUnavailable("down")

    monkeypatch.setattr(registry, "schema", down)
    with pytest.raises(RegistryUnavailable):
        read(topic, registry, messages)


HEADER = st.tuples(st.sampled_from([AUDIT_HEADER, "a", "ü"]), st.binary(max_size=3))
SOUND = st.builds(
    lambda epoch, sequence, check: (AUDIT_HEADER, pack(epoch, sequence, check)),
    st.binary(min_size=16, max_size=16),
    st.integers(0, (1 << 64) - 1),
    st.integers(-(1 << 63), (1 << 63) - 1),
)


@settings(max_examples=200)
@given(st.lists(st.lists(HEADER | SOUND, max_size=4).map(tuple), min_size=1, max_size=10))
def test_headers_come_back_byte_for_byte(headers):
    audit = read_audit(headers)
    rows = pa.table(
        {
            c.HEADERS: header_array(headers, audit),
            c.EPOCH: epoch_array(audit),
            c.SEQUENCE: spread(audit.sequences, audit),
            c.EXPECTED: spread(audit.checks, audit),
            c.DIGEST_HI: pa.array([0] * len(headers)),
        }
    )
    assert message_headers(rows) == headers


def test_values_of_a_delete_are_those_of_a_record(registry):
    fields = [
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "time", "type": {"type": "int", "logicalType": "time-millis"}},
        {"name": "uid", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}},
        {"name": "raw", "type": {"type": "fixed", "name": "Raw", "size": 2}},
        {"name": "flag", "type": "boolean"},
        {"name": "big", "type": {"type": "bytes", "logicalType": "decimal", "precision": 50, "scale": 3}},
    ]
    names = [field["name"] for field in fields]
    topic = declare("Typed", *fields, identity=("sid", *names))
    writer = author(topic, registry)
    identity = {
        "sid": "a|b\\c",
        "day": dt.date(2020, 2, 29),
        "time": dt.time(1, 2, 3, 4000),
        "uid": UUID("12345678-1234-5678-1234-567812345678"),
        "kind": "B",
        "raw": b"\x00\xff",
        "flag": True,
        "big": Decimal("-12345678901234567890123456789012345678901.230"),
    }
    record = writer.record({"updated": MOMENT, "price": None, **identity}, at=MILLIS)
    delete = writer.delete({"updated": MOMENT, **identity})
    foreign = record._replace(headers=(), key=None)
    rows = read(topic, registry, stored(record, delete, foreign))
    assert [row["_op_error"] for row in rows] == [None, None, None]
    assert len({tuple(row[name] for name in ("sid", "updated", *names)) for row in rows}) == 1
    assert {row["_op_identity"] for row in rows} == {identity_hash(record.key)}
