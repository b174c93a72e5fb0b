"""What records hold: envelopes, aggregated records of others, plain values."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onepipe.transport import Outgoing
from onepipe_kinesis.aggregation import MAGIC as AGGREGATED
from onepipe_kinesis.aggregation import disaggregate
from onepipe_kinesis.envelope import MAGIC, OVERHEAD, Batch, encode_message, read_batch, seal
from onepipe_kinesis.records import Record, contents
from onepipe_kinesis.varint import Bytes, Malformed, sized, varint

OPTIONAL = st.none() | st.binary(max_size=40)
HEADERS = st.lists(st.tuples(st.text(max_size=8), st.binary(max_size=20)), max_size=4).map(tuple)
CONTENTS = st.tuples(OPTIONAL, OPTIONAL, HEADERS, st.integers(-(2**63), 2**63 - 1))
BATCHES = st.builds(
    Batch,
    st.binary(min_size=16, max_size=16),
    st.integers(0, 2**40),
    st.integers(0, 2**31),
    st.lists(CONTENTS, min_size=1, max_size=6).map(tuple),
)


def sealed(batch):
    encoded = [encode_message(Outgoing("t", 0, key, value, headers, at)) for key, value, headers, at in batch.messages]
    return seal(batch.writer, batch.number, batch.partition, encoded)


def plain(data):
    return contents(Record(7, 1_000, "clé", data))


@given(BATCHES)
def test_a_batch_is_read_as_it_was_sealed(batch):
    data = sealed(batch)
    assert read_batch(data) == batch
    found = contents(Record(1, 2, "0", data))
    assert found == (batch.messages, batch.partition, (batch.writer, batch.number))


@given(BATCHES)
def test_a_batch_is_no_larger_than_its_messages_and_the_overhead(batch):
    messages = [encode_message(Outgoing("t", 0, k, v, headers, at)) for k, v, headers, at in batch.messages]
    assert len(sealed(batch)) <= sum(map(len, messages)) + OVERHEAD


@given(BATCHES, st.data())
def test_an_altered_batch_is_a_plain_value(batch, data):
    whole = sealed(batch)
    place = data.draw(st.integers(0, len(whole) - 1))
    altered = bytearray(whole)
    altered[place] ^= data.draw(st.integers(1, 255))
    assert plain(bytes(altered)).messages == (("clé".encode(), bytes(altered), (), 1_000),)


@given(BATCHES, st.data())
def test_a_cut_or_longer_batch_is_a_plain_value(batch, data):
    whole = sealed(batch)
    for other in (whole[: data.draw(st.integers(0, len(whole) - 1))], whole + b"\0"):
        assert plain(other).claimed is None
        assert plain(other).messages[0][1] == other


@given(st.binary(max_size=60))
def test_whatever_follows_the_magic_nothing_is_raised_or_dropped(rest):
    for data in (rest, MAGIC + rest, AGGREGATED + rest, aggregated(rest)):
        found = plain(data)
        assert found.claimed is None
        assert disaggregate(data) is not None or [message[1] for message in found.messages] == [data]


def test_a_version_of_a_newer_release_is_a_plain_value():
    data = bytearray(seal(bytes(16), 0, 0, [encode_message(Outgoing("t", 0, b"k", b"v", (), 0))]))
    data[4] = 2
    assert plain(bytes(data)).messages[0][1] == bytes(data)


def test_the_form_of_the_envelope_is_the_specified_one():
    message = Outgoing("t", 300, b"k", None, (("h", b"x"),), 258)
    data = seal(bytes(range(16)), 5, 300, [encode_message(message)])
    body = bytes(range(16)) + b"\x05\xac\x02\x01" + b"\x01" + b"\0\0\0\0\0\0\x01\x02" + b"\x01k" + b"\x01\x01h\x01x"
    assert data[:5] == b"\xc1opk\x01"
    assert data[13:] == body


def field(number, content):
    return varint(number << 3 | 2) + sized(content)


def user_record(key, data, explicit=None, more=b""):
    explicit_hash = b"" if explicit is None else varint(2 << 3) + varint(explicit)
    return field(3, varint(1 << 3) + varint(key) + explicit_hash + field(3, data) + more)


def aggregated(body):
    return AGGREGATED + body + hashlib.md5(body, usedforsecurity=False).digest()


@given(st.lists(st.tuples(st.text(max_size=10), st.binary(max_size=30)), max_size=8))
def test_aggregated_records_are_read_in_order(records):
    keys = sorted({key for key, _ in records})
    body = b"".join(field(1, key.encode()) for key in keys)
    body += b"".join(user_record(keys.index(key), data) for key, data in records)
    found = contents(Record(3, 50, "a", aggregated(body)))
    assert found.messages == tuple((key.encode(), data, (), 50) for key, data in records)
    assert found.claimed is None


def test_tags_hash_keys_and_unknown_fields_are_passed_over():
    tag = field(4, field(1, b"name") + field(2, b"value"))
    body = field(1, b"k") + field(2, b"123") + user_record(0, b"v", 0, tag + varint(9 << 3) + varint(1))
    body += varint(15 << 3 | 5) + bytes(4) + varint(14 << 3 | 1) + bytes(8)
    assert disaggregate(aggregated(body)) == [("k", b"v")]


@pytest.mark.parametrize(
    "body",
    [
        field(1, b"k") + user_record(1, b"v"),
        field(1, b"k") + user_record(0, b"v", 0),
        field(1, b"k") + field(3, field(3, b"v")),
        field(1, b"k") + field(3, varint(1 << 3) + varint(0)),
        field(1, b"\xff") + user_record(0, b"v"),
        field(1, b"k") + varint(3 << 3) + varint(1),
        field(1, b"k") + varint(3 << 3 | 5) + bytes(4),
        field(1, b"k") + varint(3 << 3 | 3),
        field(1, b"k") + b"\x1a\x7f",
        b"\x02\x01k",
        b"\xff" * 11,
    ],
    ids=[
        "a key beyond the table",
        "a hash key beyond the table",
        "no key",
        "no data",
        "a key that is no text",
        "a record that is a number",
        "a record of four bytes",
        "a group",
        "a cut field",
        "field 0",
        "a varint too long",
    ],
)
def test_what_is_no_aggregated_record_is_a_plain_value(body):
    data = aggregated(body)
    assert plain(data).messages == (("clé".encode(), data, (), 1_000),)


def test_an_aggregated_record_with_another_digest_is_a_plain_value():
    data = AGGREGATED + field(1, b"k") + user_record(0, b"v") + bytes(16)
    assert plain(data).messages[0][1] == data


@given(st.integers(0, 2**64 - 1))
def test_integers_are_read_as_they_were_written(number):
    source = Bytes(varint(number))
    assert source.varint() == number
    assert source.at == source.end


def test_an_integer_of_more_than_64_bits_is_refused():
    with pytest.raises(Malformed):
        Bytes(b"\xff" * 9 + b"\x7f").varint()
