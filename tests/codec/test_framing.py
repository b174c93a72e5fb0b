"""Framing: every known form is read, the header before the prefix, and nothing else is."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw_messages import single_object

from onepipe.errors import CodecError, DecodeError
from onepipe.schema.framing import KEY_HEADER, VALUE_HEADER, FrameKind, frame, read_frame

_GUID = UUID("12345678-1234-5678-1234-567812345678")


@given(st.integers(0, (1 << 31) - 1), st.binary(max_size=20))
def test_a_prefix_is_read_back(schema_id: int, body: bytes) -> None:
    found = read_frame(frame(schema_id) + body)
    assert found == (FrameKind.PREFIX, schema_id, None, None, 5)


def test_the_prefix_is_confluents() -> None:
    assert frame(0x01020304) == b"\x00\x01\x02\x03\x04"


@given(st.integers(0, (1 << 64) - 1), st.binary(max_size=20))
def test_a_single_object_is_read_back(fingerprint: int, body: bytes) -> None:
    found = read_frame(single_object(fingerprint) + body)
    assert found == (FrameKind.SINGLE_OBJECT, None, None, fingerprint, 10)


def test_the_header_is_looked_at_before_the_prefix() -> None:
    headers = (("other", b"x"), (VALUE_HEADER, b"\x01" + _GUID.bytes))
    assert read_frame(frame(7) + b"body", headers) == (FrameKind.HEADER, None, _GUID, None, 0)


def test_a_header_may_hold_an_id_and_the_last_of_a_name_counts() -> None:
    headers = ((KEY_HEADER, b"\x01" + _GUID.bytes), (KEY_HEADER, frame(9)))
    assert read_frame(b"body", headers, header=KEY_HEADER) == (FrameKind.HEADER, 9, None, None, 0)
    with pytest.raises(DecodeError):
        read_frame(b"body", headers)


@pytest.mark.parametrize("value", [b"", b"\0", b"\0\0\0\0", b"\xc3\x01\0\0\0\0\0\0\0", b"\xc3\x02" + bytes(9), b"{}"])
def test_bytes_without_a_known_frame_are_refused_with_a_remedy(value: bytes) -> None:
    with pytest.raises(DecodeError) as refused:
        read_frame(value)
    assert refused.value.remedy


@pytest.mark.parametrize("content", [b"", b"\x01", b"\x01" + bytes(15), b"\x01" + bytes(17), b"\x02" + bytes(16)])
def test_a_malformed_header_is_refused_though_the_prefix_is_good(content: bytes) -> None:
    with pytest.raises(DecodeError, match=VALUE_HEADER):
        read_frame(frame(1), ((VALUE_HEADER, content),))


def test_a_negative_schema_id_is_refused() -> None:
    with pytest.raises(DecodeError, match="negative"):
        read_frame(b"\0\xff\xff\xff\xff")


@pytest.mark.parametrize("schema_id", [-1, 1 << 31])
def test_a_schema_id_beyond_its_four_bytes_is_refused(schema_id: int) -> None:
    with pytest.raises(CodecError):
        frame(schema_id)
