"""The port of a codec: how records stand in the bodies of a topic's messages, where that is not Avro's binary form.

A topic asks for a codec by name in its declaration, so every schema document says how its bodies are written. The frame
before the body stays the same, and the Avro schema still gives types, columns and identity.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from onepipe.errors import DeclarationError, nearest

if TYPE_CHECKING:
    from onepipe.schema.model import Schema


@runtime_checkable
class Codec(Protocol):
    """Writes and reads bodies. Thread-safe.

    Records are dicts by field name, inner ones too, of logical values: enums as symbols, arrays as lists. `decode`
    gives back what `encode` was given; a record that does not come back equal is refused when it is published.
    """

    def encode(self, schema: Schema, record: Mapping[str, Any]) -> bytes:
        """The body of a record.

        Args:
            schema: the schema it is written with.
            record: every field of the schema, each value checked against its type.

        Raises:
            InvalidRecord: the codec cannot write such a value. Any other exception counts as one fault of the record.
        """

    def decode(self, schema: Schema, body: bytes) -> Mapping[str, Any]:
        """The record in a body.

        Args:
            schema: the schema it was written with.
            body: the message's value without its frame.

        Raises:
            DecodeError: the bytes are not what the codec reads; says no value. Any other exception counts as one.
        """


_registered: Final[dict[str, Codec]] = {}


def register_codec(name: str, codec: Codec) -> None:
    """Make a codec known in this process. Registering the name again replaces it."""
    _registered[name] = codec


def find_codec(name: str) -> Codec:
    """The codec of that name; plugins are loaded where it is not known yet.

    Raises:
        DeclarationError: there is none; says the nearest match.
    """
    codec = _registered.get(name)
    if codec is None:
        from onepipe.plugins import default_plugins  # loaded only where there is something to look for

        installed = default_plugins().codecs()
        codec = installed.get(name)
        if codec is None:
            message = f"there is no codec {name!r}{nearest(name, [*_registered, *installed])}"
            raise DeclarationError(message, remedy="install the plugin that brings it; for Avro name none")
        _registered[name] = codec
    return codec
