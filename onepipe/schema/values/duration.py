"""Avro's duration, for which Python has no type."""

from __future__ import annotations

import struct
from typing import Final

import attrs

from onepipe.errors import Fault, InvalidRecord

_DURATION: Final = struct.Struct("<III")
_MAX_UINT32: Final = (1 << 32) - 1


@attrs.frozen(order=True)
class Duration:
    """Avro's duration: three counts that do not convert into one another.

    Attributes:
        months: 0 to 2**32 - 1.
        days: 0 to 2**32 - 1.
        milliseconds: 0 to 2**32 - 1.
    """

    months: int = 0
    days: int = 0
    milliseconds: int = 0

    def __attrs_post_init__(self) -> None:
        for name, count in (("months", self.months), ("days", self.days), ("milliseconds", self.milliseconds)):
            if type(count) is not int or not 0 <= count <= _MAX_UINT32:
                raise InvalidRecord([Fault(name, "range", f"{name} is an integer from 0 to {_MAX_UINT32}")])

    def to_bytes(self) -> bytes:
        """The 12 bytes of the duration: three little-endian unsigned integers."""
        return _DURATION.pack(self.months, self.days, self.milliseconds)

    @classmethod
    def from_bytes(cls, data: bytes) -> Duration:
        """The duration that 12 bytes hold."""
        return cls(*_DURATION.unpack(data))
